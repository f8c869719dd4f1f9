/*
 * snapshot - see snapshot.h.
 *
 * Writers of db2 flush before they unlock (db->close in ctx_unlock), so files whose identity is the
 * same at two instants under the shared lock have not been written between them, provided that the
 * mtime seen first was older than the clock's tick. The folder of a snapshot is locked by flock as
 * long as its maker lives, which is how leftovers are known.
 */
#include "common/kdb/snapshot.h"

#include "common/base/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PREFIX "snapshot."
static const char database_name[] = "principal";

enum { TRIES = 4, LOCK_TIMEOUT_MS = 60 * 1000 };
static const double settled = 0.02; /* seconds; ticks are 1 to 10 ms */

struct snapshot {
    const struct backend *backend;
    char *folder;
    char *path;
    int fd;      /* of the folder, locked */
    bool beside; /* its parent is ours: removed when empty */
};

static bool
identify_locked(const struct backend *backend, const char *path, struct backend_identity *identity,
                struct error *err)
{
    struct backend_lock *lock;
    bool ok;

    if (!backend_lock(backend, path, false, LOCK_TIMEOUT_MS, &lock, err))
        return false;
    ok = backend_identify(backend, path, identity, err);
    backend_unlock(lock);
    return ok;
}

/* Identify once the youngest mtime has settled. A time in the future does not, and is left be. */
static bool
identify_settled(const struct backend *backend, const char *path, struct backend_identity *identity,
                 struct error *err)
{
    for (int i = 0; i < 10; i++) {
        struct timespec nap = { 0, 0 };

        if (!identify_locked(backend, path, identity, err))
            return false;
        if (identity->age < -1.0 || identity->age > settled)
            return true;
        nap.tv_nsec = (long)((settled - (identity->age < 0 ? 0 : identity->age)) * 1e9) + 1000000;
        nanosleep(&nap, NULL);
    }
    return true;
}

static bool
copy_unlocked(struct snapshot *s, const char *from, bool first, struct backend_identity *identity,
              bool *consistent, struct error *err)
{
    struct backend_identity before;

    *consistent = false;
    if (!identify_settled(s->backend, from, &before, err))
        return false;
    if (first ? !backend_copy(s->backend, from, s->path, err)
              : !backend_refresh(s->backend, from, s->path, err))
        return false;
    if (!identify_locked(s->backend, from, identity, err))
        return false;
    *consistent = before.age > settled && backend_same(&before, identity);
    return true;
}

static bool
copy_locked(struct snapshot *s, const char *from, struct backend_identity *identity,
            struct error *err)
{
    struct backend_lock *lock;
    bool ok;

    if (!backend_lock(s->backend, from, false, LOCK_TIMEOUT_MS, &lock, err))
        return false;
    ok = backend_identify(s->backend, from, identity, err) &&
         backend_refresh(s->backend, from, s->path, err);
    backend_unlock(lock);
    return ok;
}

static bool
fill(struct snapshot *s, const char *from, struct backend_identity *identity, struct error *err)
{
    struct backend_identity own;
    bool consistent = false;

    if (identity == NULL)
        identity = &own;
    for (int i = 0; i < TRIES; i++) {
        if (!copy_unlocked(s, from, i == 0, identity, &consistent, err))
            return false;
        if (consistent)
            return true;
    }
    if (backend_promotion(s->backend) != BACKEND_RENAME)
        return error_set(err, ERROR_FAILED, "cannot copy database %s: it changes all the time",
                         from);
    return copy_locked(s, from, identity, err);
}

/* The end of another snapshot may remove FOLDER between our two steps. */
static bool
make_temporary(struct snapshot *s, const char *folder, struct error *err)
{
    for (int tries = 0; tries < TRIES; tries++) {
        if (!file_make_folder(folder, 0700, err))
            return false;
        if (asprintf(&s->folder, "%s/" PREFIX "XXXXXX", folder) < 0) {
            s->folder = NULL;
            return error_memory(err);
        }
        if (mkdtemp(s->folder) != NULL)
            return true;
        error_errno(err, ERROR_INTERNAL, errno, "cannot create folder %s", s->folder);
        free(s->folder);
        s->folder = NULL;
    }
    return false;
}

static bool
make_folder(struct snapshot *s, const char *folder, struct error *err)
{
    if (!make_temporary(s, folder, err))
        return false;
    s->fd = open(s->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->fd < 0 || flock(s->fd, LOCK_EX | LOCK_NB) != 0)
        return error_errno(err, ERROR_INTERNAL, errno, "cannot lock folder %s", s->folder);
    if (asprintf(&s->path, "%s/%s", s->folder, database_name) < 0) {
        s->path = NULL;
        return error_memory(err);
    }
    return true;
}

bool
snapshot_new(const struct backend *backend, const char *from, const char *folder,
             struct snapshot **snapshot, struct backend_identity *identity, struct error *err)
{
    struct snapshot *s = calloc(1, sizeof(*s));
    char beside[4096];

    *snapshot = NULL;
    if (s == NULL)
        return error_memory(err);
    s->backend = backend;
    s->fd = -1;
    if (folder == NULL) {
        s->beside = true;
        snprintf(beside, sizeof(beside), "%s.kpropctl", from);
        folder = beside;
    }
    snapshot_clean(backend, folder);
    if (!make_folder(s, folder, err) || !fill(s, from, identity, err)) {
        snapshot_free(s);
        return false;
    }
    *snapshot = s;
    return true;
}

const char *
snapshot_path(const struct snapshot *snapshot)
{
    return snapshot->path;
}

static bool
remove_folder(const struct backend *backend, const char *folder, const char *path)
{
    struct error ignored;

    backend_remove(backend, path, &ignored);
    return rmdir(folder) == 0;
}

void
snapshot_free(struct snapshot *snapshot)
{
    if (snapshot == NULL)
        return;
    if (snapshot->path != NULL)
        remove_folder(snapshot->backend, snapshot->folder, snapshot->path);
    else if (snapshot->folder != NULL)
        rmdir(snapshot->folder);
    if (snapshot->fd >= 0)
        close(snapshot->fd);
    if (snapshot->beside && snapshot->folder != NULL) {
        *strrchr(snapshot->folder, '/') = '\0';
        rmdir(snapshot->folder); /* unless somebody else has something in it */
    }
    free(snapshot->folder);
    free(snapshot->path);
    free(snapshot);
}

/* True when FOLDER was a snapshot of nobody, and is gone. One just being made holds no files yet,
 * so that removing it would be told to its maker as a failed lock or copy; it has its name for an
 * instant only, and is spared by its age. */
static bool
clean_one(const struct backend *backend, const char *folder)
{
    char path[4096];
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    bool removed = false;
    struct timespec now;
    struct stat st;

    clock_gettime(CLOCK_REALTIME, &now);
    if (fd < 0)
        return false;
    if (fstat(fd, &st) == 0 && now.tv_sec - st.st_ctim.tv_sec > 1 &&
        flock(fd, LOCK_EX | LOCK_NB) == 0 &&
        snprintf(path, sizeof(path), "%s/%s", folder, database_name) < (int)sizeof(path))
        removed = remove_folder(backend, folder, path);
    close(fd);
    return removed;
}

unsigned
snapshot_clean(const struct backend *backend, const char *folder)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    unsigned count = 0;
    char name[4096];

    if (dir == NULL)
        return 0;
    while ((entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) == 0 &&
            snprintf(name, sizeof(name), "%s/%s", folder, entry->d_name) < (int)sizeof(name) &&
            clean_one(backend, name))
            count++;
    }
    closedir(dir);
    return count;
}
