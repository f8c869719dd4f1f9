/*
 * principals - the primary's database through libkadm5srv, as kadmin.local sees it.
 */
#ifndef KPC_PRINCIPALS_H
#define KPC_PRINCIPALS_H

#include "common/base/buffers.h"
#include "common/base/errors.h"
#include "common/krb5/keytab.h"
#include "common/krb5/realm.h"

#include <stdbool.h>
#include <stdint.h>

struct principals;

/*
 * Open the database of REALM on this host with its stash. Fails where there is none, or the stash
 * does not open it. Reads take the database's lock for an instant each. Free with principals_close.
 */
struct principals *principals_open(const struct realm *realm, struct error *err);
void principals_close(struct principals *principals);

/* *KVNO is the current key version of principal NAME, or 0 when there is no such principal. */
bool principals_kvno(struct principals *principals, const char *name, int *kvno, struct error *err);

/* Create NAME with a random key, as `addprinc -randkey` does. An existing one is left alone. */
bool principals_create(struct principals *principals, const char *name, struct error *err);

/*
 * Give NAME new random keys, as `ktadd` does without -norandkey: every keytab that has the old ones
 * is stale from then on, and the old ones are gone.
 */
bool principals_rekey(struct principals *principals, const char *name, struct error *err);

/*
 * Append a keytab with all present keys of NAME, whatever their versions, to OUT (initialised by
 * the caller, who ends it by buffer_free_secret in any case). Nothing is changed. As for
 * kadmin.local, the attribute lockdown_keys is no hindrance.
 */
bool principals_keytab(struct principals *principals, const char *name, struct buffer *out,
                       struct error *err);

enum keytab_state {
    KEYTAB_CURRENT,
    KEYTAB_UNREADABLE, /* missing file, or no permission */
    KEYTAB_MISSING,    /* it has no entry of NAME */
    KEYTAB_STALE,      /* entries of other key versions only */
    KEYTAB_WRONG,      /* the current version, but another key */
    KEYTAB_NEWER,      /* a newer version, which libkrb5 would use: of another database */
};

/*
 * Hold the entries of NAME in keytab file KEYTAB against the database, without using or showing a
 * key. ERR's text says what is wrong where *STATE is not KEYTAB_CURRENT; false only if the database
 * could not tell.
 */
bool principals_match_keytab(struct principals *principals, const char *name, const char *keytab,
                             enum keytab_state *state, struct error *err);

/* How old the keys of a principal are, and how long what was made with them may live. */
struct principals_age {
    int kvno;             /* the current version */
    int oldest;           /* that is kept */
    int64_t changed_at;   /* when the current one was made: seconds since the epoch */
    int64_t longest_life; /* of a ticket for it, in seconds */
};

/* Of NAME, which must exist. */
bool principals_age(struct principals *principals, const char *name, struct principals_age *age,
                    struct error *err);

/* The current keys of NAME as they are; wiped by the caller. */
bool principals_keys(struct principals *principals, const char *name, struct keytab_keys *keys,
                     struct error *err);

/* The keys of NAME of the newest version below KVNO that is kept; a count of 0 if none is. Wiped by
 * the caller. */
bool principals_keys_below(struct principals *principals, const char *name, unsigned kvno,
                           struct keytab_keys *keys, struct error *err);

/* New random keys for NAME, of the next version and the types of its current ones, which nobody
 * knows yet: the database is as it was. Wiped by the caller. */
bool principals_invent(struct principals *principals, const char *name, struct keytab_keys *keys,
                       struct error *err);

/* Add KEYS to those of NAME: from now on a KDC uses them; the older ones stay. Fails if KEYS'
 * version is there, as when somebody else changed the key meanwhile. */
bool principals_add_keys(struct principals *principals, const char *name,
                         const struct keytab_keys *keys, struct error *err);

/* Drop the keys of NAME that are older than KVNO. */
bool principals_drop_older(struct principals *principals, const char *name, int kvno,
                           struct error *err);

#endif
