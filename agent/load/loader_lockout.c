/*
 * loader_lockout - the replica's own lockout state goes over into the new database.
 *
 * What the primary knows of it is older, and a locked-out user stays locked out. The live database
 * is read beside kdb5_util's load, which leaves a processor idle; after it, once more if somebody
 * has written it meanwhile, and then only what is new since is carried over. Before the promotion
 * likewise, a few times if need be.
 */
#include "agent/load/loader_job.h"

#include "common/kdb/snapshot.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RESTORE_MS = 10 * 60 * 1000, HELD_MS = 5 * 1000 };

/* An identity that is younger may be that of two states, see backend.h. */
static const double settled = 0.02;

static void
name_file(const struct loader_job *job, const char *name, char path[PATH_MAX + 16])
{
    snprintf(path, PATH_MAX + 16, "%s/%s", job->staging_folder, name);
}

/* A copy for as long as the caller holds the lock of the live database. */
static bool
read_held(const struct loader_job *job, const char *known, const char *file, uint64_t *saved,
          struct error *err)
{
    char copy[PATH_MAX + 16];
    struct database from;
    struct error ignored;
    bool ok;

    name_file(job, "held", copy);
    loader_database(job, copy, &from);
    if (!backend_copy(job->backend, job->request->database, copy, err))
        return false;
    ok = database_save_lockout(&from, known, true, file, HELD_MS, saved, err);
    backend_remove(job->backend, copy, &ignored);
    return ok;
}

/* Save the lockout state of the live database into FILE, but for what stands the same in KNOWN. */
static bool
read_live(const struct loader_job *job, const char *known, bool failures, const char *file,
          uint64_t *saved, struct backend_identity *identity, struct error *err)
{
    struct snapshot *snapshot;
    struct database from;
    bool ok;

    if (!snapshot_new(job->backend, job->request->database, job->staging_folder, &snapshot,
                      identity, err))
        return false;
    loader_database(job, snapshot_path(snapshot), &from);
    ok = database_save_lockout(&from, known, failures, file, database_walk_ms(&from), saved, err);
    snapshot_free(snapshot);
    return ok;
}

static void __attribute__((noreturn)) reader_main(struct loader_job *job, pid_t worker)
{
    struct loader_lockout *l = &job->lockout;
    char file[PATH_MAX + 16];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != worker)
        _exit(1);
    name_file(job, "lockout", file);
    l->read = read_live(job, NULL, false, file, &l->saved, &l->identity, &l->why);
    _exit(0);
}

void
loader_lockout_begin(struct loader_job *job)
{
    struct loader_lockout *l = &job->lockout;
    pid_t worker = getpid(), reader;

    memset(l, 0, sizeof(*l));
    if (!backend_exists(job->backend, job->request->database))
        return;
    error_set(&l->why, ERROR_INTERNAL, "its reader was killed");
    reader = fork();
    if (reader == 0)
        reader_main(job, worker);
    l->reader = reader; /* here alone: both share it */
}

static void
await_reader(struct loader_job *job)
{
    struct loader_lockout *l = &job->lockout;

    while (l->reader > 0 && waitpid(l->reader, NULL, 0) < 0 && errno == EINTR)
        continue;
    l->reader = 0;
}

void
loader_lockout_drop(struct loader_job *job)
{
    if (job->lockout.reader > 0)
        kill(job->lockout.reader, SIGKILL);
    await_reader(job);
}

static bool
restore(struct loader_job *job, const char *file, bool *spoilt, struct error *err)
{
    struct database to;
    uint64_t restored;

    loader_database(job, job->staging, &to);
    *spoilt = !database_restore_lockout(file, &to, RESTORE_MS, &restored, err);
    job->outcome->carried += restored;
    return !*spoilt;
}

static bool
is_unchanged(const struct loader_job *job)
{
    const struct backend_identity *before = &job->lockout.identity;
    struct backend_identity now;
    struct error ignored;

    return before->age > settled &&
           backend_identify(job->backend, job->request->database, &now, &ignored) &&
           backend_same(before, &now);
}

/* What kept the reader from it, but for the database itself, may be over. */
static bool
read_again(struct loader_job *job, const char *file, struct error *err)
{
    struct loader_lockout *l = &job->lockout;

    if (!l->read && l->why.code != ERROR_FAILED)
        l->read = read_live(job, NULL, false, file, &l->saved, &l->identity, &l->why);
    if (!l->read)
        *err = l->why;
    return l->read;
}

/* Carry over what has changed since the first reading. */
static bool
carry_later(struct loader_job *job, bool failures, bool held, bool *spoilt, struct error *err)
{
    struct loader_lockout *l = &job->lockout;
    char first[PATH_MAX + 16], later[PATH_MAX + 16];
    uint64_t more = 0, before = job->outcome->carried;

    name_file(job, "lockout", first);
    name_file(job, "lockout.later", later);
    l->current = !held && is_unchanged(job);
    if (!l->current)
        l->current = (held ? read_held(job, first, later, &more, err)
                           : read_live(job, first, failures, later, &more, &l->identity, err)) &&
                     (more == 0 || restore(job, later, spoilt, err));
    l->failing = job->outcome->carried > before;
    return l->current;
}

static bool
carry(struct loader_job *job, bool *spoilt, struct error *err)
{
    char first[PATH_MAX + 16];

    name_file(job, "lockout", first);
    return read_again(job, first, err) &&
           (job->lockout.saved == 0 || restore(job, first, spoilt, err)) &&
           carry_later(job, false, false, spoilt, err);
}

const struct backend_identity *
loader_lockout_expected(const struct loader_job *job)
{
    return job->lockout.current ? &job->lockout.identity : NULL;
}

static bool
follow(struct loader_job *job, bool held, struct error *err)
{
    bool spoilt = false;
    struct error why;

    error_clear(&why);
    if (carry_later(job, true, held, &spoilt, &why))
        return true;
    if (!spoilt)
        loader_note(job, "the replica's lockout state was not kept to the last: %s", why.text);
    else
        *err = why;
    return !spoilt;
}

bool
loader_lockout_follow(struct loader_job *job, struct error *err)
{
    return follow(job, false, err);
}

bool
loader_lockout_follow_held(struct loader_job *job, struct error *err)
{
    return follow(job, true, err);
}

/*
 * A live database that cannot be read has no state to keep. Whoever wrote ours may have died in the
 * middle of it: it is loaded again.
 */
bool
loader_lockout_carry(struct loader_job *job, struct error *err)
{
    bool spoilt = false;
    struct error why;

    error_clear(&why);
    if (job->lockout.reader == 0)
        return true;
    await_reader(job);
    if (carry(job, &spoilt, &why))
        return true;
    if (!spoilt && why.code != ERROR_FAILED) { /* it is not the database that is at fault */
        *err = why;
        error_prefix(err, "cannot keep the replica's lockout state");
        return false;
    }
    loader_note(job,
                job->lockout.read
                    ? "the replica's lockout state was not kept: %s"
                    : "the replica's old database could not be read, its lockout state is lost: %s",
                why.text);
    return !spoilt ||
           (backend_remove(job->backend, job->staging, err) && loader_load(job, job->staging, err));
}
