/*
 * backend - the one module that knows which files make a KDC database.
 *
 * A database is a backend and a path (the realm's database_name); each backend is a const row that
 * says which files it derives from the path, how others lock it, and how a new one is put in place
 * of a live one. Facts are from krb5 1.20's src/plugins/kdb.
 */
#ifndef KPC_BACKEND_H
#define KPC_BACKEND_H

#include "common/base/errors.h"

#include <stdbool.h>
#include <stdint.h>

/* How a new database takes the place of the live one. */
enum backend_promotion {
    BACKEND_RENAME, /* its files are renamed over the live ones under the exclusive lock */
    BACKEND_FIRST,  /* by renaming too, but never over content: its readers keep what they have
                     * open, and a kdb5_util load that fails destroys what was there */
    BACKEND_SHARED  /* not made of files (LDAP): the directory replicates it, kprop must not */
};

struct backend;

/* The row for db_library LIBRARY ("db2", "klmdb", "kldap", …; NULL: db2), or NULL if unknown. */
const struct backend *backend_find(const char *library);

const char *backend_name(const struct backend *backend);
enum backend_promotion backend_promotion(const struct backend *backend);

/* False for a backend whose database is not made of files: nothing below applies to it then. */
bool backend_has_files(const struct backend *backend);

/* True if NAME, a file's name in the folder of database PATH, is one that holds principals or
 * policies. Lock files are not, nor what a load has not yet put in place. */
bool backend_is_data(const struct backend *backend, const char *path, const char *name);

/* True when the files that hold principals and policies are all there. */
bool backend_exists(const struct backend *backend, const char *path);

/*
 * Does the file that holds the principals have content? Unlike backend_exists this asks whether
 * something could be lost: a file that cannot be read has, one that is empty or overwritten with
 * zeros (as kdb5_util destroy does) has not.
 */
bool backend_holds(const struct backend *backend, const char *path);

/* Bytes of those files together; 0 if there are none. */
uint64_t backend_size(const struct backend *backend, const char *path);

/*
 * What tells one state of a database from another without opening it: device, inode, size and
 * nanosecond mtime of each file that holds principals or policies. Comparable with strcmp, fit to
 * be stored. It is only sure once the youngest mtime is older than the clock's tick (`age` > 0.02
 * s): before that, another write may leave the same mtime.
 */
struct backend_identity {
    char text[512];
    double age; /* seconds since the youngest mtime; below 0 if that is in the future */
};

/* Look at the files as they are now, without a lock. A missing file is ERROR_FAILED. */
bool backend_identify(const struct backend *backend, const char *path,
                      struct backend_identity *identity, struct error *err);
bool backend_same(const struct backend_identity *a, const struct backend_identity *b);

/* Are the identities A and B (their texts) of the same files, whatever was written into them since?
 */
bool backend_same_files(const char *a, const char *b);

/* Was a file of identity A (a text) last written before the same one of B? */
bool backend_older(const char *a, const char *b);

/*
 * The backend's own lock, as its readers (shared) and writers (exclusive) take it: db2's are open
 * file description locks on the whole of principal.ok, then of principal.kadm5.lock
 * (krb5_lock_file, ctx_lock). Waits at most TIMEOUT_MS; ERROR_UNREACHABLE when it is still held.
 * Missing lock files are an error for a shared lock, and made (0600) for an exclusive one. A
 * backend without such a lock (lmdb) gives a lock that holds nobody. Caller releases with
 * backend_unlock.
 */
struct backend_lock;
bool backend_lock(const struct backend *backend, const char *path, bool exclusive, int timeout_ms,
                  struct backend_lock **lock, struct error *err);
void backend_unlock(struct backend_lock *lock);

/*
 * Copy the files of database FROM to TO, which must not exist: 0600, sharing blocks where the file
 * system can. Takes no lock and makes nothing durable; TO is removed on failure.
 */
bool backend_copy(const struct backend *backend, const char *from, const char *to,
                  struct error *err);

/* Where TO, a copy of FROM made earlier, differs from FROM, write it anew, file by file, page by
 * page. For a copy made without a lock to be put right under one. */
bool backend_refresh(const struct backend *backend, const char *from, const char *to,
                     struct error *err);

/* fsync the files of database PATH and their folder. */
bool backend_sync(const struct backend *backend, const char *path, struct error *err);

/*
 * Remove the files of database PATH with its lock files and what an unfinished kdb5_util load left
 * ("~"), never waiting for a lock. Missing ones are fine.
 */
bool backend_remove(const struct backend *backend, const char *path, struct error *err);

/*
 * Put database STAGING in the place of LIVE (same file system, STAGING synced before and nobody
 * using it; ERROR_FAILED for a backend of BACKEND_FIRST whose LIVE holds content): journal,
 * exclusive lock of LIVE (at most TIMEOUT_MS), rename, unlock, fsync. The lock files of LIVE stay,
 * since running KDCs hold them open. LIVE may be missing, damaged or lack lock files. Under the
 * lock LIVE shall be as in EXPECTED (NULL: no matter), else ERROR_REFUSED, or `otherwise` brings
 * STAGING up to date. False with *CHANGED false: LIVE is as it was. False with *CHANGED true: the
 * new database is in place, or will be once backend_recover is called (a rename or fsync failed
 * half-way).
 */
struct backend_expected {
    const struct backend_identity *identity;
    bool (*otherwise)(void *arg, struct error *err); /* or NULL; false: nothing is promoted */
    void *arg;
};
bool backend_promote(const struct backend *backend, const char *staging, const char *live,
                     const struct backend_expected *expected, int timeout_ms, bool *changed,
                     struct error *err);

enum backend_recovered {
    BACKEND_NOTHING,  /* no promotion was under way */
    BACKEND_UNDONE,   /* it had not begun to rename: LIVE is the old database */
    BACKEND_COMPLETED /* it had: LIVE is the new database, whole and durable now */
};

/* Finish or give up a promotion of STAGING that was killed. The caller sees to it that none runs.
 */
bool backend_recover(const struct backend *backend, const char *staging, const char *live,
                     int timeout_ms, enum backend_recovered *what, struct error *err);

#endif
