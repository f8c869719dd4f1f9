/*
 * spool - see spool.h.
 *
 * A folder is alive while somebody holds the flock on its file "owner", which every process of the
 * run inherits; so debris is what can be locked. The dump goes through a pipe into our own file:
 * kdb5_util itself does not notice a full disk (facts: it exits 0 over a truncated file), and
 * validating on the way costs no second reading.
 */
#include "kpropctl/spool.h"

#include "common/backend.h"
#include "common/buffers.h"
#include "common/database.h"
#include "common/files.h"
#include "common/snapshot.h"
#include "common/subprocess.h"
#include "kpropctl/state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum { COUNT_TRIES = 3, WALK_TIMEOUT_MS = 600 * 1000, SILENCE_MS = 120 * 1000 };

struct spool {
    const struct configuration *configuration;
    const struct realm *realm;
    char folder[PATH_MAX];
    int owner; /* the locked file "owner" */
    pid_t pid;
};

static double
now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
remove_folder(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(fd, entry->d_name, 0);
    }
    closedir(dir);
    unlinkat(parent, name, AT_REMOVEDIR);
}

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

static unsigned
remove_debris(const char *folder)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    unsigned count = 0;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, "run.", 4) != 0 || !abandoned(dirfd(dir), entry->d_name))
            continue;
        remove_folder(dirfd(dir), entry->d_name);
        count++;
    }
    if (dir != NULL)
        closedir(dir);
    return count;
}

struct spool *
spool_open(const struct configuration *configuration, const struct realm *realm, unsigned *debris,
           struct error *err)
{
    struct spool *spool = calloc(1, sizeof(*spool));
    char path[PATH_MAX];

    if (spool == NULL) {
        error_memory(err);
        return NULL;
    }
    *spool = (struct spool){ configuration, realm, "", -1, getpid() };
    snprintf(path, sizeof(path), "%s/dump", configuration->state_dir);
    if (!file_make_folder(configuration->state_dir, 0750, err) ||
        !file_make_folder(path, 0700, err))
        goto failed;
    *debris = remove_debris(path);
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

void
spool_close(struct spool *spool)
{
    if (spool == NULL)
        return;
    if (spool->pid == getpid() && spool->folder[0] != '\0')
        remove_folder(AT_FDCWD, spool->folder);
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

    snprintf(folder, size, "%s", configuration->state_dir);
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

/* One dump in the making. */
struct making {
    struct spool *spool;
    struct dump *decoder;
    struct dump_info info;
    unsigned char nonce[DIGEST_NONCE_SIZE];
    char path[PATH_MAX];
    int fd;
    struct buffer errors; /* what kdb5_util says on standard error */
};

static bool
write_all(int fd, const char *path, const unsigned char *data, size_t len, struct error *err)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            error_errno(err, ERROR_FAILED, errno, "cannot write the dump %s", path);
            return error_hint(err, "free space there, or set state_dir in kpropctl.conf to a "
                                   "file system with room");
        }
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* Take what kdb5_util writes until it ends its output. */
static bool
pump(struct making *m, const struct subprocess *child, struct error *err)
{
    struct pollfd fds[2] = { { child->out, POLLIN, 0 }, { child->err, POLLIN, 0 } };
    static const size_t chunk = 256 * 1024;
    unsigned char *data = malloc(chunk);
    bool ok = data != NULL || error_memory(err);

    while (ok && fds[0].fd >= 0) {
        int ready = poll(fds, 2, SILENCE_MS);
        ssize_t n;

        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0) {
            ok = error_set(err, ERROR_FAILED,
                           "cannot dump the database: kdb5_util has said nothing "
                           "for %d s",
                           SILENCE_MS / 1000);
            break;
        }
        if (fds[1].revents != 0) {
            n = read(fds[1].fd, data, 4096);
            if (n <= 0)
                fds[1].fd = -1;
            else if (m->errors.len + (size_t)n <= m->errors.max)
                buffer_add(&m->errors, data, (size_t)n);
        }
        if (fds[0].revents == 0)
            continue;
        n = read(fds[0].fd, data, chunk);
        if (n == 0 || (n < 0 && errno != EINTR))
            fds[0].fd = -1;
        else if (n > 0)
            ok = dump_feed(m->decoder, data, (size_t)n, err) &&
                 write_all(m->fd, m->path, data, (size_t)n, err);
    }
    free(data);
    return ok;
}

static bool
run_kdb5_util(struct making *m, struct error *err)
{
    const struct configuration *configuration = m->spool->configuration;
    char program[PATH_MAX], how[256], last[512];
    struct subprocess_options options = { NULL, true, true, false };
    struct subprocess child;
    struct subprocess_result result;
    bool ok;

    if (configuration->kdb5_util != NULL)
        snprintf(program, sizeof(program), "%s", configuration->kdb5_util);
    else if (!realm_find_program("kdb5_util", program, sizeof(program), err))
        return false;
    const char *argv[] = { program, "-r", m->spool->realm->name, "dump", NULL };
    if (!subprocess_start(argv, &options, &child, err))
        return false;
    ok = pump(m, &child, err);
    subprocess_result_init(&result);
    subprocess_wait(&child, ok ? 10000 : 0, &result);
    if (ok && !subprocess_succeeded(&result)) {
        result.err = m->errors;
        ok = error_set(err, ERROR_FAILED, "cannot dump the database of %s: kdb5_util: %s (%s)",
                       m->spool->realm->name, subprocess_last_line(&result, last, sizeof(last)),
                       subprocess_describe(&result, how, sizeof(how)));
        error_hint(err, "try it by hand: kdb5_util -r %s dump /root/test.dump",
                   m->spool->realm->name);
    }
    return ok;
}

/* kdb5_util and the decoder; the result in m->info. */
static bool
dump_once(struct making *m, struct error *err)
{
    bool ok = false;

    m->decoder = dump_new(m->spool->realm->name, m->spool->realm->master_key, m->nonce);
    buffer_init(&m->errors, 64 * 1024);
    m->fd = open(m->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (m->decoder == NULL)
        error_memory(err);
    else if (m->fd < 0)
        error_errno(err, ERROR_INTERNAL, errno, "cannot create the dump %s", m->path);
    else
        ok = run_kdb5_util(m, err) && dump_finish(m->decoder, &m->info, err);
    if (m->fd >= 0 && close(m->fd) != 0 && ok)
        ok = error_errno(err, ERROR_FAILED, errno, "cannot write the dump %s", m->path);
    dump_free(m->decoder);
    m->decoder = NULL;
    buffer_free(&m->errors);
    return ok;
}

/* Count a copy of the live database. */
static bool
count_live(const struct realm *realm, struct database_answer *answer, struct error *err)
{
    const struct backend *backend = backend_find(realm->backend);
    struct database db = { backend, realm->name, NULL, realm->stash, realm->master_key };
    struct database_question question = { NULL, false };
    struct snapshot *copy;
    bool ok;

    if (!snapshot_new(backend, realm->database, NULL, &copy, NULL, err))
        return false;
    db.path = snapshot_path(copy);
    ok = database_examine(&db, &question, WALK_TIMEOUT_MS, answer, err);
    snapshot_free(copy);
    return ok;
}

/*
 * A dump cut between two records is a good dump of less: only the database tells. Its counts may
 * have moved since the dump by honest work, but not each time.
 */
static bool
dump_and_count(struct making *m, struct error *err)
{
    struct database_answer live;

    for (int tries = 0; tries < COUNT_TRIES; tries++) {
        if (!dump_once(m, err) || !count_live(m->spool->realm, &live, err))
            return false;
        if (live.principals == m->info.principals && live.policies == m->info.policies)
            return true;
    }
    error_set(err, ERROR_REFUSED,
              "cannot trust the dump: it holds %llu principals and %llu policies, the database "
              "%llu and %llu",
              (unsigned long long)m->info.principals, (unsigned long long)m->info.policies,
              (unsigned long long)live.principals, (unsigned long long)live.policies);
    return error_hint(err, "nothing was sent; check kdb5_util, and the database with "
                           "'kadmin.local listprincs'");
}

static bool
make_dump_ok(const char *path, struct error *err)
{
    char name[PATH_MAX + 16];
    int fd;

    snprintf(name, sizeof(name), "%s.dump_ok", path);
    fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || write(fd, "", 1) != 1 || close(fd) != 0)
        return error_errno(err, ERROR_INTERNAL, errno, "cannot write %s", name);
    return true;
}

/* The generation and the run's row; a state database that fails never stops a propagation. */
static void
record_run(const struct spool *spool, const char *reason, struct spool_dump *dump)
{
    struct error err;
    struct state *state = state_open(spool->configuration->state_dir, false, &err);
    struct state_run run = {
        .realm = spool->realm->name,
        .reason = reason,
        .principals = dump->principals,
        .policies = dump->policies,
        .bytes = dump->bytes,
        .dump_seconds = dump->seconds,
    };

    memcpy(run.sha256, dump->sha256, sizeof(run.sha256));
    memcpy(run.digest, dump->digest, sizeof(run.digest));
    memcpy(run.nonce, dump->nonce, sizeof(run.nonce));
    if (state == NULL || !state_run_begin(state, &run, &err)) {
        dump->state_failed = true;
        snprintf(dump->state_error, sizeof(dump->state_error), "%s", err.text);
    } else {
        dump->run = run.id;
        dump->generation = run.generation;
    }
    state_close(state);
}

static bool
make_dump(struct spool *spool, const char *reason, struct spool_dump *dump, struct error *err)
{
    struct making m = { .spool = spool, .fd = -1 };
    double start = now();

    snprintf(m.path, sizeof(m.path), "%s/dump", spool->folder);
    if (getrandom(m.nonce, sizeof(m.nonce), 0) != (ssize_t)sizeof(m.nonce))
        return error_errno(err, ERROR_INTERNAL, errno, "cannot get random bytes");
    if (!dump_and_count(&m, err) || !make_dump_ok(m.path, err)) {
        unlink(m.path);
        return false;
    }
    snprintf(dump->path, sizeof(dump->path), "%s", m.path);
    dump->bytes = m.info.bytes;
    dump->principals = m.info.principals;
    dump->policies = m.info.policies;
    hex_encode(m.info.sha256, sizeof(m.info.sha256), dump->sha256);
    hex_encode(m.info.digest, sizeof(m.info.digest), dump->digest);
    hex_encode(m.nonce, sizeof(m.nonce), dump->nonce);
    dump->seconds = now() - start;
    record_run(spool, reason, dump);
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
spool_dump(struct spool *spool, const char *reason, struct spool_dump *dump, struct error *err)
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
    ok = take_made(made, dump) || (make_dump(spool, reason, dump, err) &&
                                   file_replace(made, dump, sizeof(*dump), 0600, err));
    close(fd);
    return ok;
}
