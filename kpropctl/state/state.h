/*
 * state - what the primary knows: replicas, runs, and what became of each, in one SQLite file.
 *
 * The only use of SQLite. A rollback journal, so that readers need no right to write; every change
 * is one transaction, so that a crash or a full disk leaves no half record. A generation is one
 * content of the database; generations grow, and the next is above all that was ever recorded here
 * or seen on a replica.
 */
#ifndef KPC_STATE_H
#define KPC_STATE_H

#include "common/base/errors.h"
#include "common/kdb/digest.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct state;

/*
 * Open the state database in folder DIR, creating both unless READ_ONLY; GROUP (NULL: none) may
 * then read it. NULL and ERR (ERROR_INTERNAL) on failure; a missing one is a failure for READ_ONLY.
 */
struct state *state_open(const char *dir, const char *group, bool read_only, struct error *err);
void state_close(struct state *state);

/* Is there none in folder DIR, for all that can be seen? */
bool state_is_missing(const char *dir);

/* One content of a realm's database, as it was dumped. Numbers are in hexadecimal. */
struct state_content {
    int64_t generation; /* 0: there is none */
    int64_t made;       /* when first dumped, seconds since the epoch */
    uint64_t principals;
    uint64_t policies;
    uint64_t bytes; /* of the dump */
    char sha256[65];
    char digest[2 * DIGEST_SIZE + 1];
    char nonce[2 * DIGEST_NONCE_SIZE + 1];
    char identity[512]; /* of the live files before the last dump that had this content */
};

/* The newest content of REALM; generation 0 if there is none. */
bool state_content_last(struct state *state, const char *realm, struct state_content *content,
                        struct error *err);

/* Has a content of REALM with this digest under this nonce been recorded, or seen on a replica,
 * whatever its number? False also where that cannot be read. */
bool state_content_known(struct state *state, const char *realm, const char *digest,
                         const char *nonce);

/* Add CONTENT as a new generation, above all others and above LEAST: fills generation and made. */
bool state_content_add(struct state *state, const char *realm, int64_t least,
                       struct state_content *content, struct error *err);

/* What a replica held that this host had not recorded, and what its agent knew: the run that found
 * nothing newer in it has seen it, and it is no news after that. */
struct state_seen {
    int64_t generation;               /* the greatest that its agent knew; 0: nothing was seen */
    char digest[2 * DIGEST_SIZE + 1]; /* of what it was sent last; "" if it does not say */
    char nonce[2 * DIGEST_NONCE_SIZE + 1];
};

bool state_seen_record(struct state *state, const char *realm, const struct state_seen *seen,
                       struct error *err);

/* The greatest generation of REALM that was recorded or seen; 0 also where that cannot be read. */
int64_t state_greatest(struct state *state, const char *realm);

/* The live files are now IDENTITY, and still of this generation. */
bool state_content_touch(struct state *state, const char *realm, int64_t generation,
                         const char *identity, struct error *err);

/* A run: why ("setup", "timer", …), *ID is filled. What it dumped is added at its end. */
bool state_run_begin(struct state *state, const char *realm, const char *reason, int64_t *id,
                     struct error *err);
bool state_run_end(struct state *state, int64_t id, int64_t generation, double dump_seconds,
                   int status, struct error *err);

/* What became of a run on one replica. */
struct state_outcome {
    int64_t run;
    int64_t generation; /* 0 if none was in play */
    const char *realm;
    const char *host;
    const char *result;      /* "verified", "unchanged", "sent", "failed" */
    const char *error;       /* or NULL */
    bool digested;           /* the digest of its live database was compared */
    bool ticketed;           /* its KDC issued a ticket */
    uint64_t bytes;          /* sent; 0 if nothing was */
    double started;          /* seconds since the epoch */
    double transfer_seconds; /* kprop, with the load it waits for */
    double load_seconds;
    double verify_seconds;
    const char *identity; /* of its live files when it had been verified (backend.h); or NULL */
};

bool state_outcome_record(struct state *state, const struct state_outcome *outcome,
                          struct error *err);

/* Remember HOST as a replica of REALM. *IS_NEW tells whether it was not one before. */
bool state_replica_record(struct state *state, const char *realm, const char *host, bool *is_new,
                          struct error *err);

/* Forget HOST; its history stays. *KNOWN tells whether it was one. */
bool state_replica_forget(struct state *state, const char *realm, const char *host, bool *known,
                          struct error *err);

/*
 * The replicas of REALM with what is known of each, as a new JSON array of {"host", "added",
 * "generation", "verified_at", "result", "finished", "error", "transfer_seconds"} (the last four of
 * its newest outcome; null where there is none), by host. NULL on failure.
 */
json_t *state_replicas(struct state *state, const char *realm, struct error *err);

/* What is remembered of HOST's successes. */
struct state_memory {
    bool known;                   /* it is a replica */
    struct state_content content; /* that it was last verified to hold; generation 0: never */
    char identity[512];           /* of its live files then; or "" */
    int64_t digested_at;          /* when its digest was last compared and good, 0: never */
    int64_t ticketed_at;
    char last_result[16];    /* of its newest outcome, "" if there is none */
    int64_t verified_at;     /* when it was last verified or found unchanged, 0: never */
    int64_t behind;          /* generations made since the one it was verified to hold */
    double transfer_seconds; /* of its last transfer that was verified, or 0 */
    double load_seconds;     /* likewise */
    double verify_seconds;   /* likewise */
    uint64_t bytes;          /* likewise */
    double slowest_rate;     /* bytes per second of the slowest of its last 20 transfers, or 0 */
};

bool state_memory(struct state *state, const char *realm, const char *host,
                  struct state_memory *memory, struct error *err);

/*
 * Since when all replicas of REALM hold what the database was at SINCE (seconds since the epoch):
 * the time at which the last of them was first verified in a run that began later. 0 where one has
 * not been yet: its name is then in HOST.
 */
bool state_all_hold(struct state *state, const char *realm, int64_t since, int64_t *at, char *host,
                    size_t size, struct error *err);

/*
 * Outcomes of REALM (and HOST, if not NULL), the newest first, at most LIMIT, as a new JSON array;
 * the keys are those of docs/protocol.md, history. NULL on failure.
 */
json_t *state_history(struct state *state, const char *realm, const char *host, int limit,
                      struct error *err);

/* Drop runs and outcomes older than DAYS (0: none), but never a replica's last verified outcome. */
bool state_prune(struct state *state, int days, struct error *err);

#endif
