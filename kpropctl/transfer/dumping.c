/*
 * dumping - see dumping.h.
 *
 * The dump goes through a pipe into our own file: kdb5_util itself does not notice a full disk
 * (it exits 0 over a truncated file), and validating on the way costs no second reading.
 */
#include "kpropctl/transfer/dumping.h"
#include "kpropctl/krb5/update_log.h"

#include "common/base/buffers.h"
#include "common/base/subprocess.h"
#include "common/kdb/backend.h"
#include "common/kdb/database.h"
#include "common/kdb/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    COUNT_TRIES = 3,
    WALK_TIMEOUT_MS = 600 * 1000,
    SILENCE_MS = 120 * 1000,
    PIPE_SIZE = 1 << 20,
    LITTLE = 64 * 1024,
    MOST_TIMES = 8 /* hexadecimal and numbers for bytes, of a database that may grow meanwhile */
};

static const uint64_t most_more = 64 << 20;

/* One dump in the making. */
struct making {
    const struct configuration *configuration;
    const struct realm *realm;
    const struct dumping *dumping;
    struct dump *decoder;
    struct dump_info info;
    const char *path;
    bool unlocked; /* without holding the database's lock throughout */
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

/* The pages of a damaged database may make a circle: its dump would fill the disk. */
static bool
has_no_end(const struct making *m, uint64_t taken, struct error *err)
{
    const struct backend *backend = backend_find(m->realm->backend);
    uint64_t size = backend == NULL ? 0 : backend_size(backend, m->realm->database);

    if (size == 0 || taken <= size * MOST_TIMES + most_more)
        return false;
    error_set(err, ERROR_FAILED,
              "cannot dump the database: kdb5_util has written %llu MiB of a database of %llu, and "
              "goes on",
              (unsigned long long)(taken >> 20), (unsigned long long)(size >> 20));
    error_hint(err, "the database of this host is damaged: load it from a dump, here or of a "
                    "replica's last good one");
    return true;
}

/* Take what kdb5_util writes until it ends its output. */
static bool
pump(struct making *m, const struct subprocess *child, struct error *err)
{
    struct pollfd fds[2] = { { child->out, POLLIN, 0 }, { child->err, POLLIN, 0 } };
    static const size_t chunk = 256 * 1024;
    static const struct timespec collect = { 0, 2 * 1000 * 1000 };
    unsigned char *data = malloc(chunk);
    bool ok = data != NULL || error_memory(err);
    uint64_t taken = 0;

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
            taken += n > 0 ? (uint64_t)n : 0;
            ok = !has_no_end(m, taken, err);
        }
        if (!ok || fds[0].revents == 0)
            continue;
        n = read(fds[0].fd, data, chunk);
        taken += n > 0 ? (uint64_t)n : 0;
        if (n == 0 || (n < 0 && errno != EINTR))
            fds[0].fd = -1;
        else if (n > 0)
            ok = !has_no_end(m, taken, err) && dump_feed(m->decoder, data, (size_t)n, err) &&
                 write_all(m->fd, m->path, data, (size_t)n, err);
        if (n > 0 && n < LITTLE)
            nanosleep(&collect, NULL);
    }
    free(data);
    return ok;
}

static bool
run_kdb5_util(struct making *m, struct error *err)
{
    const struct configuration *configuration = m->configuration;
    char program[PATH_MAX], how[256], last[512];
    struct subprocess_options options = { .pipe_out = true, .pipe_err = true };
    struct subprocess child;
    struct subprocess_result result;
    bool ok;

    if (configuration->kdb5_util != NULL)
        snprintf(program, sizeof(program), "%s", configuration->kdb5_util);
    else if (!realm_find_program("kdb5_util", program, sizeof(program), err))
        return false;
    if (!update_log_whole(m->realm, err))
        return false;
    const char *argv[] = { program, "-r", m->realm->name, "dump", NULL, NULL, NULL };
    if (m->unlocked) {
        argv[3] = "-x";
        argv[4] = "unlockiter";
        argv[5] = "dump";
    }
    if (!subprocess_start(argv, &options, &child, err))
        return false;
    fcntl(child.out, F_SETPIPE_SZ, PIPE_SIZE); /* it waits less often for us; may fail */
    ok = pump(m, &child, err);
    subprocess_result_init(&result);
    subprocess_wait(&child, ok ? 10000 : 0, &result);
    if (ok && !subprocess_succeeded(&result)) {
        result.err = m->errors;
        ok = error_set(err, ERROR_FAILED, "cannot dump the database of %s: kdb5_util: %s (%s)",
                       m->realm->name, subprocess_last_line(&result, last, sizeof(last)),
                       subprocess_describe(&result, how, sizeof(how)));
        error_hint(err, "try it by hand: kdb5_util -r %s dump /root/test.dump", m->realm->name);
    }
    return ok;
}

/* kdb5_util and the decoder; the result in m->info. */
static bool
dump_once(struct making *m, struct error *err)
{
    bool ok = false;

    m->decoder = dump_new(m->realm->name, m->realm->master_key, m->dumping->nonce);
    if (m->decoder != NULL && m->dumping->also != NULL)
        dump_also(m->decoder, m->dumping->also);
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

/*
 * A dump holds the lock of a db2 database throughout, and no login that is recorded gets through
 * meanwhile: of a large one that takes many seconds. libkdb5's unlockiter (krb5 1.13) lets go of it
 * between records, at more than twice the time.
 */
static bool
wants_no_lock(const struct making *m)
{
    const struct backend *backend = backend_find(m->realm->backend);
    uint64_t limit = (uint64_t)m->configuration->unlocked_dump << 20;

    return limit > 0 && backend != NULL && strcmp(backend_name(backend), "db2") == 0 &&
           backend_size(backend, m->realm->database) >= limit;
}

/* An older kdb5_util refuses the argument at once. */
static bool
dump_as_it_can(struct making *m, struct error *err)
{
    if (dump_once(m, err))
        return true;
    if (!m->unlocked || strstr(err->text, "unlockiter") == NULL)
        return false;
    m->unlocked = false;
    error_clear(err);
    return dump_once(m, err);
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

/* What a counting child tells. */
struct count {
    bool ok;
    struct database_answer answer;
    struct error err;
};

/* Count beside the dump, on another processor. Returns the child, whose answer comes from *FD. */
static pid_t
start_count(const struct realm *realm, int *fd, struct error *err)
{
    struct count count = { .ok = false };
    int fds[2];
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) != 0) {
        error_errno(err, ERROR_INTERNAL, errno, "cannot count the database");
        return -1;
    }
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        error_clear(&count.err);
        count.ok = count_live(realm, &count.answer, &count.err);
        _exit(write(fds[1], &count, sizeof(count)) == (ssize_t)sizeof(count) ? 0 : 1);
    }
    close(fds[1]);
    *fd = fds[0];
    if (pid < 0) {
        close(fds[0]);
        error_errno(err, ERROR_INTERNAL, errno, "cannot count the database");
    }
    return pid;
}

static bool
finish_count(pid_t pid, int fd, struct database_answer *answer, struct error *err)
{
    struct count count;
    bool told;
    ssize_t n;

    do
        n = read(fd, &count, sizeof(count));
    while (n < 0 && errno == EINTR);
    told = n == (ssize_t)sizeof(count);
    close(fd);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    if (!told)
        return error_set(err, ERROR_INTERNAL, "cannot count the database: the counting was killed");
    *answer = count.answer;
    if (!count.ok)
        *err = count.err;
    return count.ok;
}

/* One dump, and the counts of the database meanwhile. */
static bool
dump_beside_count(struct making *m, struct database_answer *live, struct error *err)
{
    struct error ignored;
    int fd;
    pid_t pid = start_count(m->realm, &fd, err);
    bool dumped;

    if (pid < 0)
        return false;
    dumped = dump_as_it_can(m, err);
    /* Also of a dump that failed: the child removes its copy of the database. */
    return finish_count(pid, fd, live, dumped ? err : &ignored) && dumped;
}

/*
 * A dump cut between two records is a good dump of less: only the database tells. Its counts may
 * have moved since the dump by honest work, but not each time.
 */
static bool
dump_and_count(struct making *m, struct error *err)
{
    struct database_answer live = { 0 };

    for (int tries = 0; tries < COUNT_TRIES; tries++) {
        if (!dump_beside_count(m, &live, err))
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

bool
dumping_make(const struct configuration *configuration, const struct realm *realm,
             const struct dumping *dumping, const char *path, struct dump_info *info,
             struct error *err)
{
    struct making m = {
        .configuration = configuration, .realm = realm, .dumping = dumping, .path = path, .fd = -1
    };

    m.unlocked = wants_no_lock(&m);
    if (!dump_and_count(&m, err) || !make_dump_ok(path, err)) {
        unlink(path);
        return false;
    }
    *info = m.info;
    return true;
}
