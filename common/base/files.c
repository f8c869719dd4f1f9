/* files - see files.h. */
#include "common/base/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

bool
file_read(const char *path, struct buffer *out, struct error *err)
{
    struct stat st;
    int fd, saved;
    bool ok = false;

    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) != 0) {
        error_errno(err, ERROR_FAILED, errno, "cannot read %s", path);
        goto cleanup;
    }
    if (!S_ISREG(st.st_mode)) {
        errno = EINVAL;
        error_set(err, ERROR_FAILED, "cannot read %s: not a regular file", path);
        goto cleanup;
    }
    for (;;) {
        unsigned char chunk[8192];
        ssize_t n = read(fd, chunk, sizeof(chunk));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            error_errno(err, ERROR_FAILED, errno, "cannot read %s", path);
            goto cleanup;
        }
        if (n == 0)
            break;
        if (!buffer_add(out, chunk, (size_t)n)) {
            errno = EFBIG;
            error_set(err, ERROR_FAILED, "cannot read %s: larger than %zu bytes", path, out->max);
            goto cleanup;
        }
    }
    ok = true;

cleanup:
    saved = errno;
    if (fd >= 0)
        close(fd);
    errno = saved;
    return ok;
}

static bool
write_all(int fd, const void *data, size_t len)
{
    const char *p = data;

    while (len > 0) {
        ssize_t n = write(fd, p, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        p += n;
        len -= (size_t)n;
    }
    return true;
}

/* The name beside PATH for mkostemp. */
static bool
name_beside(const char *path, char *name, size_t size)
{
    const char *slash = strrchr(path, '/');
    int folder = slash == NULL ? 0 : (int)(slash - path + 1);

    return snprintf(name, size, "%.*s.%s.XXXXXX", folder, path, path + folder) < (int)size;
}

/* Replace PATH, which is no link. */
static bool
replace_file(const char *path, const void *data, size_t len, mode_t mode, struct error *err)
{
    char temp[PATH_MAX];
    struct stat st;
    bool exists = stat(path, &st) == 0;
    int fd;

    if (exists && !S_ISREG(st.st_mode))
        return error_set(err, ERROR_INTERNAL, "cannot write %s: not a regular file", path);
    if (!name_beside(path, temp, sizeof(temp)))
        return error_set(err, ERROR_INTERNAL, "cannot write %s: name too long", path);
    fd = mkostemp(temp, O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, ERROR_INTERNAL, errno, "cannot create a file beside %s", path);
    if (exists && (st.st_uid != geteuid() || st.st_gid != getegid()) &&
        fchown(fd, st.st_uid, st.st_gid) != 0)
        goto failed;
    if (fchmod(fd, mode) != 0 || !write_all(fd, data, len) || fsync(fd) != 0)
        goto failed;
    close(fd);
    fd = -1;
    if (rename(temp, path) != 0)
        goto failed;
    return file_sync_folder_of(path, err);

failed:
    error_errno(err, ERROR_INTERNAL, errno, "cannot write %s", path);
    if (fd >= 0)
        close(fd);
    unlink(temp);
    return false;
}

bool
file_replace(const char *path, const void *data, size_t len, mode_t mode, struct error *err)
{
    struct stat st;
    char *target;
    bool ok;

    if (lstat(path, &st) != 0 || !S_ISLNK(st.st_mode))
        return replace_file(path, data, len, mode, err);
    target = realpath(path, NULL);
    if (target == NULL)
        return error_errno(err, ERROR_INTERNAL, errno, "cannot follow the link %s", path);
    ok = replace_file(target, data, len, mode, err);
    free(target);
    return ok;
}

void
file_forget_beside(const char *path)
{
    char *target = realpath(path, NULL), *slash = target == NULL ? NULL : strrchr(target, '/');
    DIR *dir = NULL;
    struct dirent *entry;

    if (slash != NULL && slash != target) {
        *slash++ = '\0';
        dir = opendir(target);
    }
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        const char *name = entry->d_name;
        size_t len = strlen(slash);

        /* As name_beside makes it. */
        if (name[0] == '.' && strncmp(name + 1, slash, len) == 0 && name[len + 1] == '.' &&
            strlen(name) == len + 8)
            unlinkat(dirfd(dir), name, 0);
    }
    if (dir != NULL)
        closedir(dir);
    free(target);
}

bool
file_make_folder(const char *path, mode_t mode, struct error *err)
{
    char part[PATH_MAX];
    size_t len = strlen(path);

    if (len == 0 || len >= sizeof(part))
        return error_set(err, ERROR_INTERNAL, "cannot create folder '%s': bad name", path);
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, mode) != 0 && errno != EEXIST)
            return error_errno(err, ERROR_INTERNAL, errno, "cannot create folder %s", part);
    }
    return true;
}

bool
file_remove_folder(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(fd, entry->d_name, 0);
    }
    closedir(dir);
    return unlinkat(parent, name, AT_REMOVEDIR) == 0;
}

bool
file_sync(const char *path, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool ok = fd >= 0 && fsync(fd) == 0;

    if (!ok)
        error_errno(err, ERROR_INTERNAL, errno, "cannot make %s durable", path);
    if (fd >= 0)
        close(fd);
    return ok;
}

bool
file_sync_folder_of(const char *path, struct error *err)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - path);

    if (len >= sizeof(folder))
        return error_set(err, ERROR_INTERNAL, "cannot make %s durable: name too long", path);
    if (slash == NULL)
        return file_sync(".", err);
    if (len == 0)
        return file_sync("/", err);
    memcpy(folder, path, len);
    folder[len] = '\0';
    return file_sync(folder, err);
}

int
file_lock(const char *path, int timeout_ms, struct error *err)
{
    static const struct timespec nap = { 0, 20 * 1000 * 1000 };
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0) {
        error_errno(err, ERROR_INTERNAL, errno, "cannot open lock file %s", path);
        return -1;
    }
    for (int waited = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; waited += 20) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            error_errno(err, ERROR_INTERNAL, errno, "cannot lock %s", path);
            close(fd);
            return -1;
        }
        if (waited >= timeout_ms) {
            error_set(err, ERROR_UNREACHABLE, "cannot lock %s: another process holds it", path);
            close(fd);
            return -1;
        }
        nanosleep(&nap, NULL);
    }
    return fd;
}

bool
file_fill_standard(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        /* All below it are open, so open(2) gives this number. */
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
            return false;
    }
    return true;
}
