/*
 * keytab_file - see keytab_file.h.
 *
 * libkrb5 works on files: a memory file (memfd_create) is one that it opens as /proc/self/fd/N.
 */
#include "common/krb5/keytab_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* The head of a keytab of the format that everybody writes since 1996. */
static const unsigned char HEAD[2] = { 5, 2 };

void
keytab_memory_close(krb5_context context, struct keytab_memory *m)
{
    if (m->keytab != NULL)
        krb5_kt_close(context, m->keytab);
    if (m->fd >= 0)
        close(m->fd);
    *m = (struct keytab_memory){ .fd = -1 };
}

bool
keytab_memory_open(krb5_context context, const struct buffer *content, struct keytab_memory *m,
                   struct error *err)
{
    bool empty = content == NULL || content->len == 0;
    const void *data = empty ? HEAD : content->data;
    size_t len = empty ? sizeof(HEAD) : content->len;
    char name[64];

    m->keytab = NULL;
    m->fd = memfd_create("keytab", MFD_CLOEXEC);
    snprintf(name, sizeof(name), "FILE:/proc/self/fd/%d", m->fd);
    if (m->fd >= 0 && write(m->fd, data, len) == (ssize_t)len &&
        krb5_kt_resolve(context, name, &m->keytab) == 0)
        return true;
    error_errno(err, ERROR_INTERNAL, errno, "cannot put a keytab in memory");
    keytab_memory_close(context, m);
    return false;
}

bool
keytab_memory_read(const struct keytab_memory *m, struct buffer *out, struct error *err)
{
    struct stat st;
    unsigned char *p;

    if (fstat(m->fd, &st) != 0 || (size_t)st.st_size > KEYTAB_MAX ||
        (p = buffer_reserve(out, (size_t)st.st_size)) == NULL)
        return error_set(err, ERROR_FAILED, "cannot use a keytab: larger than %u bytes",
                         KEYTAB_MAX);
    if (pread(m->fd, p, (size_t)st.st_size, 0) != st.st_size)
        return error_errno(err, ERROR_INTERNAL, errno, "cannot read a keytab in memory");
    out->len += (size_t)st.st_size;
    return true;
}

/* Lock FD as krb5_lock_file does (lib/krb5/os/lock_file.c). */
static bool
lock_fd(int fd, const char *path, int timeout_ms, struct error *err)
{
    static const struct timespec nap = { 0, 20 * 1000 * 1000 };
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

    for (int waited = 0; fcntl(fd, F_OFD_SETLK, &lock) != 0; waited += 20) {
        if (errno != EAGAIN && errno != EACCES && errno != EINTR)
            return error_errno(err, ERROR_FAILED, errno, "cannot lock keytab %s", path);
        if (waited >= timeout_ms)
            return error_set(err, ERROR_UNREACHABLE,
                             "cannot lock keytab %s: another process holds its lock", path);
        nanosleep(&nap, NULL);
    }
    return true;
}

int
keytab_lock(const char *path, int timeout_ms, struct error *err)
{
    for (;;) {
        struct stat mine, now;
        int saved, fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

        if (fd < 0) {
            saved = errno;
            error_errno(err, ERROR_FAILED, saved, "cannot open keytab %s", path);
            errno = saved;
            return -1;
        }
        if (!lock_fd(fd, path, timeout_ms, err)) {
            close(fd);
            errno = EAGAIN;
            return -1;
        }
        if (fstat(fd, &mine) != 0 || stat(path, &now) != 0 ||
            (mine.st_dev == now.st_dev && mine.st_ino == now.st_ino))
            return fd;
        close(fd); /* another was renamed over it while this one was waited for */
    }
}
