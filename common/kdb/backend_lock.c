/*
 * backend_lock - the lock of a database as its backend takes it, see backend.h.
 *
 * All lock files or none are held while waiting, and waiting is done by trying: a reader that
 * queued behind us would be a login delayed.
 */
#include "common/kdb/backend_files.h"

#include "common/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct backend_lock {
    int fds[BACKEND_FILES];
    size_t count;
};

enum attempt { GOT, HELD, FAILED };

/* As krb5_lock_file does: an open file description lock, on old kernels the process's own. */
static int
try_lock(int fd, bool exclusive)
{
    struct flock lock = { .l_type = exclusive ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET };

    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return 0;
    if (errno == EINVAL && fcntl(fd, F_SETLK, &lock) == 0)
        return 0;
    return errno == EACCES ? EAGAIN : errno;
}

static enum attempt
lock_one(const char *name, bool exclusive, int *fd, struct error *err)
{
    int flags = O_CLOEXEC | O_NONBLOCK | (exclusive ? O_RDWR | O_CREAT : O_RDONLY);
    struct stat ours, theirs;
    int code;

    *fd = open(name, flags, 0600);
    if (*fd < 0) {
        error_errno(err, ERROR_FAILED, errno, "cannot open lock file %s", name);
        return FAILED;
    }
    code = try_lock(*fd, exclusive);
    /* A lock on a file that was replaced meanwhile is no lock: look again. */
    if (code == 0 && (fstat(*fd, &ours) != 0 || stat(name, &theirs) != 0 ||
                      ours.st_ino != theirs.st_ino || ours.st_dev != theirs.st_dev))
        code = EAGAIN;
    if (code == 0)
        return GOT;
    close(*fd);
    *fd = -1;
    if (code == EAGAIN)
        return HELD;
    error_errno(err, ERROR_FAILED, code, "cannot lock %s", name);
    return FAILED;
}

static void
release(struct backend_lock *lock)
{
    while (lock->count > 0)
        close(lock->fds[--lock->count]);
}

static enum attempt
lock_all(const struct backend *backend, const char *path, bool exclusive, struct backend_lock *lock,
         struct error *err)
{
    char name[BACKEND_NAME_MAX];
    enum attempt result;

    for (size_t i = 0; i < BACKEND_FILES && backend->locks[i] != NULL; i++) {
        if (!backend_file_name(path, backend->locks[i], name, sizeof(name), err))
            result = FAILED;
        else
            result = lock_one(name, exclusive, &lock->fds[lock->count], err);
        if (result != GOT) {
            release(lock);
            return result;
        }
        lock->count++;
    }
    return GOT;
}

bool
backend_lock(const struct backend *backend, const char *path, bool exclusive, int timeout_ms,
             struct backend_lock **out, struct error *err)
{
    struct timespec nap = { 0, 100 * 1000 };
    double deadline = clock_monotonic() + timeout_ms / 1000.0;
    struct backend_lock *lock = calloc(1, sizeof(*lock));
    enum attempt result;

    *out = NULL;
    if (lock == NULL)
        return error_memory(err);
    while ((result = lock_all(backend, path, exclusive, lock, err)) == HELD) {
        if (clock_monotonic() >= deadline) {
            error_set(err, ERROR_UNREACHABLE, "cannot lock database %s: in use for more than %d s",
                      path, timeout_ms / 1000);
            error_hint(err, "see which program holds it: fuser -v %s%s", path, backend->locks[0]);
            break;
        }
        nanosleep(&nap, NULL);
        if (nap.tv_nsec < 5 * 1000 * 1000)
            nap.tv_nsec *= 2;
    }
    if (result == GOT)
        *out = lock;
    else
        free(lock);
    return result == GOT;
}

void
backend_unlock(struct backend_lock *lock)
{
    if (lock == NULL)
        return;
    release(lock);
    free(lock);
}
