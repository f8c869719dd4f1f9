/* update_log - see update_log.h. */
#include "kpropctl/krb5/update_log.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

/* As krb5's kdb_log.h has had it since 1.8, in the host's byte order. */
struct header {
    uint32_t magic;
    uint16_t version;
    uint32_t count;
    uint32_t times[4];
    uint32_t first, last;
    uint16_t state, block;
};

enum { MAGIC = 0x06662323 };

static bool
is_whole(const struct header *header, ssize_t len, off_t size)
{
    /* Of another kind, and not short: libkdb5 says so itself. */
    if (len == (ssize_t)sizeof(*header) && header->magic != MAGIC)
        return true;
    return len == (ssize_t)sizeof(*header) &&
           (uint64_t)size >= sizeof(*header) + (uint64_t)header->count * header->block;
}

bool
update_log_whole(const struct realm *realm, struct error *err)
{
    const char *file = realm->iprop_log;
    struct header header;
    struct stat st;
    bool whole = true;
    int fd;

    fd = !realm->iprop || file == NULL ? -1 : open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return true;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        whole = is_whole(&header, pread(fd, &header, sizeof(header), 0), st.st_size);
    close(fd);
    if (whole)
        return true;
    error_set(err, ERROR_FAILED, "cannot use the database of %s: its update log %s is cut",
              realm->name, file);
    return error_hint(err,
                      "kadmind ends at it, too: rm %s; systemctl reset-failed krb5-admin-server; "
                      "systemctl restart krb5-admin-server; replicas that run incrementally then "
                      "fetch the whole database once",
                      file);
}
