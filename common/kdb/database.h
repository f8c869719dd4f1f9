/*
 * database - reading a KDC database: what is in it, its digest, whether the stash opens it.
 *
 * The only use of libkdb5. A damaged db2 file may crash or spin whoever reads it, so all reading is
 * done in a child with a deadline, and never on a live database: its lock would delay the KDC.
 * Copy a live one first (common/snapshot), read the copy.
 */
#ifndef KPC_DATABASE_H
#define KPC_DATABASE_H

#include "common/base/errors.h"
#include "common/kdb/backend.h"
#include "common/kdb/digest.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* Which database: all strings belong to the caller, and come from common/realm. */
struct database {
    const struct backend *backend;
    const char *realm;
    const char *path;       /* not the live one, see above */
    const char *stash;      /* stash file; NULL: libkdb5's default */
    const char *master_key; /* "K/M@REALM"; NULL: that */
};

/* What to look for, besides the counts. */
struct database_question {
    const unsigned char *nonce; /* DIGEST_NONCE_SIZE bytes: compute the digest; NULL: do not */
    bool stash;                 /* does the stash open it */
    bool brief;                 /* only that: count and compare nothing */
};

struct database_answer {
    uint64_t principals;
    uint64_t policies;
    bool master_key; /* K/M of this realm is in it */
    bool krbtgt;     /* krbtgt/REALM@REALM is in it */
    bool stash_opens;
    char stash_error[256]; /* why not, "" if it does or was not asked */
    unsigned char digest[DIGEST_SIZE];
    double seconds;
};

/* What a walk over DB may take by its size, on a slow disk: later, it is damaged. */
int database_walk_ms(const struct database *db);

/*
 * Walk DB in a child of at most TIMEOUT_MS and answer QUESTION. False when it cannot be read to its
 * end (damaged, the child crashed or was too late); an unfit stash is no failure.
 */
bool database_examine(const struct database *db, const struct database_question *question,
                      int timeout_ms, struct database_answer *answer, struct error *err);

enum database_kind { DATABASE_PRINCIPAL, DATABASE_POLICY };

/* One entry: NAME as krb5_unparse_name writes it; MODIFIED when its administrator last changed it,
 * 0 if unknown (policies). False stops the walk. */
typedef bool database_entry_function(void *arg, enum database_kind kind, const char *name,
                                     time_t modified);

/* As database_examine, calling FUNCTION (in this process) for each entry, in no certain order. */
bool database_inventory(const struct database *db, int timeout_ms,
                        database_entry_function *function, void *arg, struct error *err);

/*
 * What a KDC keeps of logins and does not replicate (last success, last failure, failure count),
 * carried over from one database to another as merge_nra of kdb5_util does for incremental
 * propagation, by way of a private file. Both in a child of at most TIMEOUT_MS, in little memory.
 *
 * Save it from FROM into FILE (made 0600 or written anew): of every principal that has any; or,
 * where KNOWN is a FILE saved earlier from the same database, of every one whose state is no longer
 * as saved there; of FAILURES alone, if so wanted (a login that went well changes its time and no
 * more). *SAVED counts them.
 */
bool database_save_lockout(const struct database *from, const char *known, bool failures,
                           const char *file, int timeout_ms, uint64_t *saved, struct error *err);

/* Restore what is in FILE into the principals of TO, a private database, that are still there.
 * *RESTORED counts those changed. On failure TO is to be thrown away. */
bool database_restore_lockout(const char *file, const struct database *to, int timeout_ms,
                              uint64_t *restored, struct error *err);

/* A place in the update log of incremental propagation, as an ipropx dump's header gives it. */
struct database_ulog_place {
    uint32_t serial;
    uint32_t seconds;
    uint32_t useconds;
};

/*
 * Set update log FILE (of ENTRIES, as iprop_ulogsize says) to hold nothing but PLACE, or, where
 * PLACE is NULL, a start of its own that no primary knows, so that kpropd asks for a full resync.
 */
bool database_ulog_set(const char *file, uint32_t entries, const struct database_ulog_place *place,
                       struct error *err);

#endif
