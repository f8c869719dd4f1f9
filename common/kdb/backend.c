/* backend - see backend.h. Locks are in backend_lock.c, promotion in backend_promote.c. */
#include "common/kdb/backend.h"

#include "common/base/files.h"
#include "common/kdb/backend_files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 256 * 1024, THREADS = 4, PART_MIN = 8 << 20 };

/* Data files are in the order in which a promotion renames them. */
static const struct backend backends[] = {
    {
        .name = "db2",
        .libraries = { "db2" },
        .promotion = BACKEND_RENAME,
        .data = { ".kadm5", "" },
        .locks = { ".ok", ".kadm5.lock" },
        .debris = { "~", "~.ok", "~.kadm5", "~.kadm5.lock" },
    },
    {
        .name = "lmdb",
        .libraries = { "klmdb", "lmdb" },
        .promotion = BACKEND_FIRST,
        .data = { ".lockout.mdb", ".mdb" },
        .debris = { ".mdb-lock", ".lockout.mdb-lock" },
    },
    {
        .name = "ldap",
        .libraries = { "kldap", "ldap" },
        .promotion = BACKEND_SHARED,
    },
};

const struct backend *
backend_find(const char *library)
{
    if (library == NULL)
        return &backends[0];
    for (size_t i = 0; i < sizeof(backends) / sizeof(*backends); i++) {
        for (size_t j = 0; j < BACKEND_FILES && backends[i].libraries[j] != NULL; j++) {
            if (strcmp(backends[i].libraries[j], library) == 0)
                return &backends[i];
        }
    }
    return NULL;
}

const char *
backend_name(const struct backend *backend)
{
    return backend->name;
}

enum backend_promotion
backend_promotion(const struct backend *backend)
{
    return backend->promotion;
}

bool
backend_has_files(const struct backend *backend)
{
    return backend->data[0] != NULL;
}

bool
backend_file_name(const char *path, const char *suffix, char *name, size_t size, struct error *err)
{
    if (snprintf(name, size, "%s%s", path, suffix) < (int)size)
        return true;
    return error_set(err, ERROR_USAGE, "cannot use database %s: name too long", path);
}

bool
backend_is_data(const struct backend *backend, const char *path, const char *name)
{
    const char *slash = strrchr(path, '/'), *base = slash == NULL ? path : slash + 1;
    size_t len = strlen(base);

    if (strncmp(name, base, len) != 0)
        return false;
    for (size_t i = 0; i < BACKEND_FILES && backend->data[i] != NULL; i++) {
        if (strcmp(name + len, backend->data[i]) == 0)
            return true;
    }
    return false;
}

bool
backend_exists(const struct backend *backend, const char *path)
{
    char name[BACKEND_NAME_MAX];
    struct error ignored;
    struct stat st;

    for (size_t i = 0; i < BACKEND_FILES && backend->data[i] != NULL; i++) {
        if (!backend_file_name(path, backend->data[i], name, sizeof(name), &ignored) ||
            stat(name, &st) != 0 || !S_ISREG(st.st_mode))
            return false;
    }
    return backend_has_files(backend);
}

/* Of LMDB's first two pages, one is valid: their magic number, 16 bytes into each. */
static bool
is_lmdb(int fd)
{
    static const uint32_t magic = 0xBEEFC0DE;
    long page = sysconf(_SC_PAGESIZE);
    uint32_t found;

    for (off_t at = 16; at < 2 * page; at += page) {
        ssize_t n = pread(fd, &found, sizeof(found), at);

        if (n < 0 || (n == sizeof(found) && found == magic))
            return true;
    }
    return false;
}

bool
backend_holds(const struct backend *backend, const char *path)
{
    char name[BACKEND_NAME_MAX];
    struct error ignored;
    size_t last = 0;
    struct stat st;
    bool holds;
    int fd;

    if (!backend_has_files(backend))
        return true;
    while (last + 1 < BACKEND_FILES && backend->data[last + 1] != NULL)
        last++;
    if (!backend_file_name(path, backend->data[last], name, sizeof(name), &ignored))
        return true;
    fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno != ENOENT;
    holds =
        backend->promotion == BACKEND_FIRST ? is_lmdb(fd) : fstat(fd, &st) != 0 || st.st_size > 0;
    close(fd);
    return holds;
}

uint64_t
backend_size(const struct backend *backend, const char *path)
{
    char name[BACKEND_NAME_MAX];
    uint64_t size = 0;
    struct error ignored;
    struct stat st;

    for (size_t i = 0; i < BACKEND_FILES && backend->data[i] != NULL; i++) {
        if (backend_file_name(path, backend->data[i], name, sizeof(name), &ignored) &&
            stat(name, &st) == 0)
            size += (uint64_t)st.st_size;
    }
    return size;
}

bool
backend_identify(const struct backend *backend, const char *path, struct backend_identity *identity,
                 struct error *err)
{
    char name[BACKEND_NAME_MAX];
    struct timespec now;
    struct stat st;
    size_t used = 0;

    memset(identity, 0, sizeof(*identity));
    identity->age = 1e9;
    clock_gettime(CLOCK_REALTIME, &now);
    for (size_t i = 0; i < BACKEND_FILES && backend->data[i] != NULL; i++) {
        double age;
        int n;

        if (!backend_file_name(path, backend->data[i], name, sizeof(name), err))
            return false;
        if (stat(name, &st) != 0)
            return error_errno(err, ERROR_FAILED, errno, "cannot look at %s", name);
        n = snprintf(identity->text + used, sizeof(identity->text) - used,
                     "%s%s:%llu:%llu:%lld:%lld.%09ld", used > 0 ? " " : "", backend->data[i],
                     (unsigned long long)st.st_dev, (unsigned long long)st.st_ino,
                     (long long)st.st_size, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
        used += (size_t)n;
        age = (double)(now.tv_sec - st.st_mtim.tv_sec) +
              (double)(now.tv_nsec - st.st_mtim.tv_nsec) / 1e9;
        if (age < identity->age)
            identity->age = age;
    }
    return true;
}

bool
backend_same(const struct backend_identity *a, const struct backend_identity *b)
{
    return a->text[0] != '\0' && strcmp(a->text, b->text) == 0;
}

/* The inode in the next word of an identity, "suffix:device:inode:size:time"; moves *TEXT on. */
static unsigned long long
next_inode(const char **text)
{
    unsigned long long inode = 0;
    const char *p = strchr(*text, ':');

    if (p == NULL || sscanf(p, ":%*u:%llu:", &inode) != 1)
        inode = 0;
    *text += strcspn(*text, " ");
    *text += **text == ' ';
    return inode;
}

bool
backend_same_files(const char *a, const char *b)
{
    bool same = a[0] != '\0' && b[0] != '\0';

    while (same && (*a != '\0' || *b != '\0')) {
        unsigned long long inode = next_inode(&a);

        same = inode != 0 && inode == next_inode(&b);
    }
    return same;
}

/* The time in the next word of an identity, in nanoseconds; 0 if there is none. Moves *TEXT on. */
static long long
next_time(const char **text)
{
    long long seconds = 0, nanoseconds = 0;
    const char *p = strchr(*text, ':');

    if (p == NULL || sscanf(p, ":%*u:%*u:%*d:%lld.%9lld", &seconds, &nanoseconds) != 2)
        seconds = nanoseconds = 0;
    *text += strcspn(*text, " ");
    *text += **text == ' ';
    return seconds * 1000000000 + nanoseconds;
}

bool
backend_older(const char *a, const char *b)
{
    bool older = false;

    while (!older && *a != '\0' && *b != '\0') {
        long long time = next_time(&a), other = next_time(&b);

        older = time != 0 && time < other;
    }
    return older;
}

static bool
write_at(int fd, const char *data, size_t len, off_t at)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, data, len, at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        data += n;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

/* Up to LEN bytes, less only at the end of the file; -1 with errno. */
static ssize_t
read_at(int fd, char *data, size_t len, off_t at)
{
    size_t got = 0;

    while (got < len) {
        ssize_t n = pread(fd, data + got, len - got, at + (off_t)got);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        got += (size_t)n;
    }
    return (ssize_t)got;
}

/* One part of a file to be brought up to date; END may be beyond the end of FROM. */
struct part {
    int from;
    int to;
    off_t begin;
    off_t end;
    int code; /* errno of what failed, or 0 */
};

static bool
refresh_chunk(const struct part *part, char *ours, char *theirs, off_t at, ssize_t *len)
{
    size_t want = part->end - at < CHUNK ? (size_t)(part->end - at) : CHUNK;
    ssize_t have;

    *len = read_at(part->from, theirs, want, at);
    if (*len <= 0)
        return *len == 0;
    have = read_at(part->to, ours, (size_t)*len, at);
    if (have < 0)
        return false;
    return (have == *len && memcmp(ours, theirs, (size_t)*len) == 0) ||
           write_at(part->to, theirs, (size_t)*len, at);
}

static void *
refresh_part(void *arg)
{
    struct part *part = arg;
    char *ours = malloc(CHUNK), *theirs = malloc(CHUNK);
    ssize_t len = 1;

    part->code = ours == NULL || theirs == NULL ? ENOMEM : 0;
    for (off_t at = part->begin; part->code == 0 && at < part->end && len > 0; at += len) {
        if (!refresh_chunk(part, ours, theirs, at, &len))
            part->code = errno;
    }
    free(ours);
    free(theirs);
    return NULL;
}

/*
 * Make the content of TO that of FROM, writing only what differs. Large files in several threads:
 * somebody may be holding the database's lock over this.
 */
static bool
copy_differing(int from, int to)
{
    struct part parts[THREADS];
    pthread_t threads[THREADS];
    bool started[THREADS] = { false };
    struct stat st;
    size_t count;

    if (fstat(from, &st) != 0)
        return false;
    count = st.st_size < THREADS * PART_MIN ? 1 : THREADS;
    for (size_t i = 0; i < count; i++) {
        off_t share = st.st_size / (off_t)count / CHUNK * CHUNK;

        parts[i] = (struct part){ from, to, share * (off_t)i, share * (off_t)(i + 1), 0 };
        if (i + 1 == count)
            parts[i].end = st.st_size;
        else
            started[i] = pthread_create(&threads[i], NULL, refresh_part, &parts[i]) == 0;
        if (!started[i])
            refresh_part(&parts[i]);
    }
    errno = 0;
    for (size_t i = 0; i < count; i++) {
        if (started[i])
            pthread_join(threads[i], NULL);
        if (parts[i].code != 0)
            errno = parts[i].code;
    }
    return errno == 0 && ftruncate(to, st.st_size) == 0;
}

static bool
copy_content(int from, int to)
{
    ssize_t n;

    if (ioctl(to, FICLONE, from) == 0)
        return true;
    do
        n = copy_file_range(from, NULL, to, NULL, (size_t)1 << 30, 0);
    while (n > 0 || (n < 0 && errno == EINTR));
    return n == 0 || copy_differing(from, to);
}

/* Copy file SUFFIX; FRESH: TO must not exist, else it is brought up to date. */
static bool
copy_file(const char *from, const char *to, const char *suffix, bool fresh, struct error *err)
{
    char source[BACKEND_NAME_MAX], target[BACKEND_NAME_MAX];
    int in = -1, out = -1;
    bool ok = false;

    if (!backend_file_name(from, suffix, source, sizeof(source), err) ||
        !backend_file_name(to, suffix, target, sizeof(target), err))
        return false;
    in = open(source, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (in < 0) {
        error_errno(err, ERROR_FAILED, errno, "cannot read %s", source);
        goto cleanup;
    }
    out = open(target, O_RDWR | O_CLOEXEC | O_NOFOLLOW | (fresh ? O_CREAT | O_EXCL : 0), 0600);
    if (out < 0 || !(fresh ? copy_content(in, out) : copy_differing(in, out))) {
        error_errno(err, ERROR_FAILED, errno, "cannot copy %s to %s", source, target);
        goto cleanup;
    }
    ok = true;

cleanup:
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    return ok;
}

bool
backend_copy(const struct backend *backend, const char *from, const char *to, struct error *err)
{
    char name[BACKEND_NAME_MAX];
    struct error ignored;

    for (size_t i = 0; i < BACKEND_FILES && backend->data[i] != NULL; i++) {
        if (!copy_file(from, to, backend->data[i], true, err))
            goto failed;
    }
    for (size_t i = 0; i < BACKEND_FILES && backend->locks[i] != NULL; i++) {
        int fd;

        if (!backend_file_name(to, backend->locks[i], name, sizeof(name), err))
            goto failed;
        fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0) {
            error_errno(err, ERROR_FAILED, errno, "cannot create %s", name);
            goto failed;
        }
        close(fd);
    }
    return true;

failed:
    backend_remove(backend, to, &ignored);
    return false;
}

bool
backend_refresh(const struct backend *backend, const char *from, const char *to, struct error *err)
{
    for (size_t i = 0; i < BACKEND_FILES && backend->data[i] != NULL; i++) {
        if (!copy_file(from, to, backend->data[i], false, err))
            return false;
    }
    return true;
}

bool
backend_sync(const struct backend *backend, const char *path, struct error *err)
{
    char name[BACKEND_NAME_MAX];

    for (size_t i = 0; i < BACKEND_FILES && backend->data[i] != NULL; i++) {
        if (!backend_file_name(path, backend->data[i], name, sizeof(name), err) ||
            !file_sync(name, err))
            return false;
    }
    return file_sync_folder_of(path, err);
}

static bool
remove_all(const char *const *suffixes, const char *path, struct error *err)
{
    char name[BACKEND_NAME_MAX];

    for (size_t i = 0; i < BACKEND_FILES && suffixes[i] != NULL; i++) {
        if (!backend_file_name(path, suffixes[i], name, sizeof(name), err))
            return false;
        if (unlink(name) != 0 && errno != ENOENT)
            return error_errno(err, ERROR_FAILED, errno, "cannot remove %s", name);
    }
    return true;
}

bool
backend_remove(const struct backend *backend, const char *path, struct error *err)
{
    static const char *const journal[BACKEND_FILES] = { BACKEND_JOURNAL };

    return remove_all(journal, path, err) && remove_all(backend->data, path, err) &&
           remove_all(backend->locks, path, err) && remove_all(backend->debris, path, err);
}
