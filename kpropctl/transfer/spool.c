/*
 * spool - see spool.h.
 *
 * A folder is alive while somebody holds the flock on its file "owner", which every process of the
 * run inherits; so debris is what can be locked.
 */
#include "kpropctl/transfer/spool.h"

#include "common/base/buffers.h"
#include "common/base/clock.h"
#include "common/base/files.h"
#include "common/contract/refusals.h"
#include "common/kdb/backend.h"
#include "kpropctl/state/state.h"
#include "kpropctl/transfer/dumping.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

struct spool {
    const struct configuration *configuration;
    const struct realm *realm;
    struct spool_options options;
    struct state_content last;        /* what was dumped last; generation 0: nothing, or unknown */
    struct backend_identity identity; /* of the live files when the run began; "" if not sure */
    char state_error[1024];           /* "" if the state database can be read */
    char folder[PATH_MAX];
    int owner; /* the locked file "owner" */
    pid_t pid;
};

/* Nobody holds its "owner"; a folder without one is just being made, unless it is old. */
static bool
abandoned(int parent, const char *name)
{
    char path[PATH_MAX];
    struct stat st;
    int fd;
    bool free_to_remove;

    snprintf(path, sizeof(path), "%s/owner", name);
    fd = openat(parent, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode) &&
               time(NULL) - st.st_mtime > 60;
    free_to_remove = flock(fd, LOCK_EX | LOCK_NB) == 0;
    close(fd);
    return free_to_remove;
}

/* Count what killed runs have left in FOLDER, and remove it if so told. */
static unsigned
find_debris(const char *folder, bool remove)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    unsigned count = 0;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, "run.", 4) != 0 || !abandoned(dirfd(dir), entry->d_name))
            continue;
        if (remove)
            file_remove_folder(dirfd(dir), entry->d_name);
        count++;
    }
    if (dir != NULL)
        closedir(dir);
    return count;
}

/*
 * The identity of the live files and what was dumped last. An identity is only sure when no later
 * write can leave the same time stamp (backend.h): for that instant we wait.
 */
static void
remember(struct spool *spool)
{
    static const struct timespec tick = { 0, 21 * 1000 * 1000 };
    const struct backend *backend = backend_find(spool->realm->backend);
    struct error err;
    struct state *state;

    if (backend != NULL && backend_has_files(backend)) {
        for (int i = 0; i < 2; i++) {
            if (!backend_identify(backend, spool->realm->database, &spool->identity, &err))
                spool->identity.age = -1;
            if (spool->identity.age > 0.02)
                break;
            nanosleep(&tick, NULL);
        }
    }
    if (spool->identity.age <= 0.02)
        spool->identity.text[0] = '\0';
    state =
        state_open(spool->configuration->state_dir, spool->configuration->state_group, false, &err);
    if (state == NULL || !state_content_last(state, spool->realm->name, &spool->last, &err)) {
        memset(&spool->last, 0, sizeof(spool->last));
        snprintf(spool->state_error, sizeof(spool->state_error), "%s", err.text);
    }
    state_close(state);
}

struct spool *
spool_open(const struct configuration *configuration, const struct realm *realm,
           const struct spool_options *options, unsigned *debris, struct error *err)
{
    struct spool *spool = calloc(1, sizeof(*spool));
    char path[PATH_MAX];

    if (spool == NULL) {
        error_memory(err);
        return NULL;
    }
    *spool = (struct spool){
        .configuration = configuration,
        .realm = realm,
        .options = *options,
        .owner = -1,
        .pid = getpid(),
    };
    remember(spool);
    snprintf(path, sizeof(path), "%s/dump", configuration->state_dir);
    if (!file_make_folder(configuration->state_dir, 0750, err) ||
        !file_make_folder(path, 0700, err))
        goto failed;
    *debris = find_debris(path, true);
    snprintf(spool->folder, sizeof(spool->folder), "%s/dump/run.XXXXXX", configuration->state_dir);
    if (mkdtemp(spool->folder) == NULL) {
        error_errno(err, ERROR_INTERNAL, errno, "cannot create a folder in %s", path);
        spool->folder[0] = '\0';
        goto failed;
    }
    if (snprintf(path, sizeof(path), "%s/owner", spool->folder) < (int)sizeof(path))
        spool->owner = file_lock(path, 0, err);
    if (spool->owner < 0)
        goto failed;
    return spool;

failed:
    spool_close(spool);
    return NULL;
}

unsigned
spool_debris(const struct configuration *configuration)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/dump", configuration->state_dir);
    return find_debris(path, false);
}

void
spool_close(struct spool *spool)
{
    if (spool == NULL)
        return;
    if (spool->pid == getpid() && spool->folder[0] != '\0')
        file_remove_folder(AT_FDCWD, spool->folder);
    if (spool->owner >= 0)
        close(spool->owner);
    free(spool);
}

bool
spool_space(const struct configuration *configuration, const struct realm *realm, uint64_t *needed,
            uint64_t *available, char *folder, size_t size, struct error *err)
{
    const struct backend *backend = backend_find(realm->backend);
    struct statvfs fs;
    char *slash;

    snprintf(folder, size, "%s/dump", configuration->state_dir);
    while (statvfs(folder, &fs) != 0) {
        slash = strrchr(folder, '/');
        if (errno != ENOENT || slash == NULL)
            return error_errno(err, ERROR_INTERNAL, errno, "cannot tell the free space of %s",
                               configuration->state_dir);
        slash[slash == folder ? 1 : 0] = '\0';
    }
    /* A dump writes in hexadecimal what a database holds in bytes, but has no free pages. */
    *needed = 2 * (backend == NULL ? 0 : backend_size(backend, realm->database)) + (1 << 20);
    *available = (uint64_t)fs.f_bavail * fs.f_frsize;
    return true;
}

void
spool_heard(struct spool *spool, int64_t greatest)
{
    char path[PATH_MAX + 8], line[32];
    int fd, n;

    if (greatest < 0 || greatest > SPOOL_GENERATION_RAISED)
        greatest = 0;
    snprintf(path, sizeof(path), "%s/heard", spool->folder);
    n = snprintf(line, sizeof(line), "%lld\n", (long long)greatest);
    fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    /* Without it there may be a number too many, which the next run mends. */
    if (fd < 0)
        return;
    if (write(fd, line, (size_t)n) != n)
        n = 0;
    close(fd);
}

/* The greatest that was heard, and from how many. */
static int64_t
heard(const struct spool *spool, size_t *count)
{
    char path[PATH_MAX + 8], line[32];
    int64_t greatest = 0;
    FILE *file;

    *count = 0;
    snprintf(path, sizeof(path), "%s/heard", spool->folder);
    file = spool->folder[0] != '\0' ? fopen(path, "re") : NULL;
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        int64_t one = strtoll(line, NULL, 10);

        if (one > greatest)
            greatest = one;
        ++*count;
    }
    if (file != NULL)
        fclose(file);
    return greatest;
}

int64_t
spool_hear_all(struct spool *spool, size_t hosts, int seconds)
{
    static const struct timespec nap = { 0, 50 * 1000 * 1000 };
    double end = clock_monotonic() + seconds;
    size_t count;
    int64_t greatest = heard(spool, &count);

    while (count < hosts && clock_monotonic() < end) {
        nanosleep(&nap, NULL);
        greatest = heard(spool, &count);
    }
    return greatest;
}

/* Keep a new content, or that an old one has been dumped again: the state database may fail. */
static void
record_content(const struct spool *spool, struct spool_dump *dump)
{
    struct state_content content = { .principals = dump->principals,
                                     .policies = dump->policies,
                                     .bytes = dump->bytes };
    const char *realm = spool->realm->name;
    size_t count;
    int64_t least = heard(spool, &count);
    struct error err;
    struct state *state =
        state_open(spool->configuration->state_dir, spool->configuration->state_group, false, &err);
    bool ok = state != NULL;

    memcpy(content.sha256, dump->sha256, sizeof(content.sha256));
    memcpy(content.digest, dump->digest, sizeof(content.digest));
    memcpy(content.nonce, dump->nonce, sizeof(content.nonce));
    memcpy(content.identity, spool->identity.text, sizeof(content.identity));
    if (ok && dump->same_content)
        ok = state_content_touch(state, realm, dump->generation, spool->identity.text, &err);
    else if (ok && (ok = state_content_add(state, realm, least, &content, &err)))
        dump->generation = content.generation;
    if (!ok) {
        /* A guess: a replica that knows a greater one says so. */
        if (!dump->same_content)
            dump->generation =
                1 + (spool->last.generation > least ? spool->last.generation : least);
        dump->state_failed = true;
        snprintf(dump->state_error, sizeof(dump->state_error), "%s", err.text);
    }
    state_close(state);
}

static bool
shrunk(const struct spool *spool, uint64_t before, uint64_t now_there)
{
    uint64_t least = before - before * (uint64_t)spool->configuration->shrink_limit / 100;

    return !spool->options.allow_shrink && spool->last.generation != 0 && now_there < least;
}

static bool
check_shrink(const struct spool *spool, const struct spool_dump *dump, struct error *err)
{
    const struct state_content *last = &spool->last;

    if (!shrunk(spool, last->principals, dump->principals) &&
        !shrunk(spool, last->policies, dump->policies))
        return true;
    return refusal_set(
        err, REFUSAL_SHRUNK, NULL,
        "the database has shrunk from %llu principals and %llu policies to %llu and %llu, more "
        "than the %d %% of shrink_limit in kpropctl.conf",
        (unsigned long long)last->principals, (unsigned long long)last->policies,
        (unsigned long long)dump->principals, (unsigned long long)dump->policies,
        spool->configuration->shrink_limit);
}

static bool
make_dump(struct spool *spool, struct spool_dump *dump, struct error *err)
{
    unsigned char nonce[DIGEST_NONCE_SIZE], last[DIGEST_NONCE_SIZE];
    struct dumping dumping = { nonce, NULL };
    struct dump_info info;
    double start = clock_monotonic();
    char also[2 * DIGEST_SIZE + 1];

    snprintf(dump->path, sizeof(dump->path), "%s/dump", spool->folder);
    if (getrandom(nonce, sizeof(nonce), 0) != (ssize_t)sizeof(nonce))
        return error_errno(err, ERROR_INTERNAL, errno, "cannot get random bytes");
    if (spool->last.generation != 0 && hex_decode(spool->last.nonce, last, sizeof(last)))
        dumping.also = last;
    if (!dumping_make(spool->configuration, spool->realm, &dumping, dump->path, &info, err))
        return false;
    dump->bytes = info.bytes;
    dump->principals = info.principals;
    dump->policies = info.policies;
    hex_encode(info.sha256, sizeof(info.sha256), dump->sha256);
    hex_encode(info.digest, sizeof(info.digest), dump->digest);
    hex_encode(nonce, sizeof(nonce), dump->nonce);
    hex_encode(info.also, sizeof(info.also), also);
    dump->same_content = dumping.also != NULL && strcmp(also, spool->last.digest) == 0;
    if (dump->same_content) {
        dump->generation = spool->last.generation;
        memcpy(dump->digest, spool->last.digest, sizeof(dump->digest));
        memcpy(dump->nonce, spool->last.nonce, sizeof(dump->nonce));
    } else if (!check_shrink(spool, dump, err)) {
        unlink(dump->path);
        return false;
    }
    dump->seconds = clock_monotonic() - start;
    record_content(spool, dump);
    return true;
}

/* The result is handed to the other processes of this run as it is: same program, same layout. */
static bool
take_made(const char *path, struct spool_dump *dump)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    bool ok = fd >= 0 && read(fd, dump, sizeof(*dump)) == (ssize_t)sizeof(*dump);

    if (fd >= 0)
        close(fd);
    return ok;
}

bool
spool_file(struct spool *spool, struct spool_dump *dump, struct error *err)
{
    char lock[PATH_MAX + 16], made[PATH_MAX + 16];
    int fd;
    bool ok;

    memset(dump, 0, sizeof(*dump));
    snprintf(lock, sizeof(lock), "%s/lock", spool->folder);
    snprintf(made, sizeof(made), "%s/made", spool->folder);
    fd = file_lock(lock, INT_MAX - 100, err);
    if (fd < 0)
        return false;
    ok = take_made(made, dump) ||
         (make_dump(spool, dump, err) && file_replace(made, dump, sizeof(*dump), 0600, err));
    close(fd);
    return ok;
}

static bool
is_untouched(const struct spool *spool)
{
    return !spool->options.force && spool->last.generation != 0 &&
           spool->identity.text[0] != '\0' &&
           strcmp(spool->last.identity, spool->identity.text) == 0;
}

static void
take_last(const struct spool *spool, struct spool_dump *dump)
{
    const struct state_content *last = &spool->last;

    memset(dump, 0, sizeof(*dump));
    dump->untouched = true;
    dump->generation = last->generation;
    dump->principals = last->principals;
    dump->policies = last->policies;
    dump->bytes = last->bytes;
    memcpy(dump->sha256, last->sha256, sizeof(dump->sha256));
    memcpy(dump->digest, last->digest, sizeof(dump->digest));
    memcpy(dump->nonce, last->nonce, sizeof(dump->nonce));
}

bool
spool_content(struct spool *spool, struct spool_dump *dump, struct error *err)
{
    if (!is_untouched(spool))
        return spool_file(spool, dump, err);
    take_last(spool, dump);
    return true;
}

void
spool_look(struct spool *spool, struct spool_dump *dump)
{
    char made[PATH_MAX + 16];

    memset(dump, 0, sizeof(*dump));
    snprintf(made, sizeof(made), "%s/made", spool->folder);
    if (!take_made(made, dump) && is_untouched(spool))
        take_last(spool, dump);
}

/* One child at a time; without the lock there may be a number too many. */
static int
lock_raise(const struct spool *spool)
{
    char path[PATH_MAX + 8];
    struct error ignored;

    snprintf(path, sizeof(path), "%s/raise", spool->folder);
    return file_lock(path, 10 * 1000, &ignored);
}

/* Has the child of another host given this very content a number above LEAST meanwhile? */
static bool
is_raised(struct state *state, const struct spool *spool, int64_t least,
          const struct spool_dump *dump, int64_t *generation)
{
    struct state_content last;
    struct error err;

    if (!state_content_last(state, spool->realm->name, &last, &err) || last.generation <= least ||
        memcmp(last.digest, dump->digest, sizeof(last.digest)) != 0 ||
        memcmp(last.nonce, dump->nonce, sizeof(last.nonce)) != 0)
        return false;
    *generation = last.generation;
    return true;
}

bool
spool_raise(struct spool *spool, int64_t least, struct spool_dump *dump, struct error *err)
{
    struct state_content content = { .principals = dump->principals,
                                     .policies = dump->policies,
                                     .bytes = dump->bytes };
    struct state *state;
    int lock;
    bool ok;

    if (least < 0 || least > SPOOL_GENERATION_RAISED)
        return error_set(err, ERROR_REFUSED, "cannot number a dump above generation %lld",
                         (long long)least);
    state =
        state_open(spool->configuration->state_dir, spool->configuration->state_group, false, err);
    memcpy(content.sha256, dump->sha256, sizeof(content.sha256));
    memcpy(content.digest, dump->digest, sizeof(content.digest));
    memcpy(content.nonce, dump->nonce, sizeof(content.nonce));
    memcpy(content.identity, spool->identity.text, sizeof(content.identity));
    lock = spool->folder[0] != '\0' ? lock_raise(spool) : -1;
    ok = state != NULL && (is_raised(state, spool, least, dump, &content.generation) ||
                           state_content_add(state, spool->realm->name, least, &content, err));
    dump->generation = ok ? content.generation : least + 1;
    state_close(state);
    if (lock >= 0)
        close(lock);
    return ok;
}
