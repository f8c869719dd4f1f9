/*
 * loader_lockout - the replica's own lockout state goes over into the new database.
 *
 * What the primary knows of it is older, and a locked-out user stays locked out. The live database
 * is read beside kdb5_util's load, which leaves a processor idle; after it, once more if somebody
 * has written it meanwhile, and then only what is new since is carried over.
 */
#include "agent/loader_job.h"

#include "common/snapshot.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WALK_MS = 10 * 60 * 1000 };

/* An identity that is younger may be that of two states, see backend.h. */
static const double settled = 0.02;

static void
name_file(const struct loader_job *job, const char *name, char path[PATH_MAX + 16])
{
    snprintf(path, PATH_MAX + 16, "%s/%s", job->staging_folder, name);
}

/* Save the lockout state of the live database into FILE, but for what stands the same in KNOWN. */
static bool
read_live(const struct loader_job *job, const char *known, const char *file, uint64_t *saved,
          struct backend_identity *identity, struct error *err)
{
    struct snapshot *snapshot;
    struct database from;
    bool ok;

    if (!snapshot_new(job->backend, job->request->database, job->staging_folder, &snapshot,
                      identity, err))
        return false;
    loader_database(job, snapshot_path(snapshot), &from);
    ok = database_save_lockout(&from, known, file, WALK_MS, saved, err);
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
    l->read = read_live(job, NULL, file, &l->saved, &l->identity, &l->why);
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
    *spoilt = !database_restore_lockout(file, &to, WALK_MS, &restored, err);
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

static bool
carry(struct loader_job *job, bool *spoilt, struct error *err)
{
    const struct loader_lockout *l = &job->lockout;
    char first[PATH_MAX + 16], second[PATH_MAX + 16];
    uint64_t more;

    name_file(job, "lockout", first);
    name_file(job, "lockout.later", second);
    if (!l->read) {
        *err = l->why;
        return false;
    }
    if (l->saved > 0 && !restore(job, first, spoilt, err))
        return false;
    if (is_unchanged(job))
        return true;
    return read_live(job, first, second, &more, NULL, err) &&
           (more == 0 || restore(job, second, spoilt, err));
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
    loader_note(job,
                job->lockout.read
                    ? "the replica's lockout state was not kept: %s"
                    : "the replica's old database could not be read, its lockout state is lost: %s",
                why.text);
    return !spoilt ||
           (backend_remove(job->backend, job->staging, err) && loader_load(job, job->staging, err));
}
