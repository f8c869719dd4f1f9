/* loader - see loader.h. This is the supervisor's side; the stages are in loader_work.c. */
#include "agent/load/loader.h"

#include "common/base/clock.h"

#include "agent/load/loader_job.h"
#include "common/base/files.h"
#include "common/kdb/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOCK_TRIES = 4 };

static bool
name_files(struct loader_job *job, const char *database, struct error *err)
{
    size_t size = PATH_MAX;

    if (!loader_folder(database, job->folder, size, err) ||
        !loader_last_good(database, false, job->last_good, size, err) ||
        !loader_last_good(database, true, job->previous_good, size, err))
        return false;
    if (snprintf(job->staging_folder, size, "%s.kpropctl/staging", database) < (int)size &&
        snprintf(job->staging, size, "%s.kpropctl/staging/principal", database) < (int)size &&
        snprintf(job->dump, size, "%s.kpropctl/staging/dump", database) < (int)size)
        return true;
    return error_set(err, ERROR_USAGE, "cannot use database %s: name too long", database);
}

/* Open and lock the file of all loads of this database. The end of a snapshot may remove its
 * folder, when that is empty, between our two steps. */
static bool
lock_folder(struct loader_job *job, int timeout_ms, struct error *err)
{
    char name[PATH_MAX + 16];

    snprintf(name, sizeof(name), "%s/loading", job->folder);
    for (int tries = 1;; tries++) {
        if (!file_make_folder(job->folder, 0700, err))
            return false;
        job->lock = file_lock(name, timeout_ms, err);
        if (job->lock >= 0 || tries == LOCK_TRIES || access(job->folder, F_OK) == 0)
            return job->lock >= 0;
        error_clear(err);
    }
}

/* Take the lock of all loads of this database, waiting at most TIMEOUT_MS. */
static bool
take_lock(struct loader_job *job, int timeout_ms, struct error *err)
{
    struct loader_progress other;

    if (lock_folder(job, timeout_ms, err))
        return true;
    if (err->code == ERROR_UNREACHABLE) {
        loader_look(job->request->database, &other);
        error_set(err, ERROR_UNREACHABLE,
                  "cannot load: another load (pid %d) has been running for %.0f s, at stage '%s'",
                  other.pid, clock_wall() - other.since, other.stage);
        error_hint(err, "Wait for it to end");
    }
    return false;
}

static void
finish_recovery(struct loader_job *job, enum backend_recovered what)
{
    unsigned files, snapshots;

    if (what == BACKEND_COMPLETED)
        loader_note(job, "completed the promotion of a load that was killed in the middle of it");
    files = loader_clean(job);
    snapshots = snapshot_clean(job->backend, job->folder);
    if (files + snapshots > 0)
        loader_note(job, "removed the leftovers of a load that was killed");
}

/* What a killed load left is completed or removed, and told. */
static bool
tidy_up(struct loader_job *job, struct error *err)
{
    enum backend_recovered what;

    if (job->backend != NULL && !backend_recover(job->backend, job->staging, job->request->database,
                                                 LOADER_PROMOTE_MS, &what, err))
        return false;
    if (job->backend != NULL)
        finish_recovery(job, what);
    return file_make_folder(job->staging_folder, 0700, err);
}

/* backend_identify leaves the text of what it saw before the file that is not there. */
static void
see_live(const struct loader_job *job, struct backend_identity *seen)
{
    struct error ignored;

    if (job->backend == NULL || !backend_has_files(job->backend) ||
        !backend_identify(job->backend, job->request->database, seen, &ignored))
        seen->text[0] = '\0';
}

static void
remember_live(struct loader_job *job)
{
    see_live(job, &job->before);
    job->looked = true;
}

/* What became of the live database is said by whoever has just looked at it, and nobody else. */
static void
tell_live(struct loader_job *job)
{
    static const struct {
        const char *left;
        const char *says;
    } rows[] = {
        { "untouched", "Looked at afterwards: the live database is as it was" },
        { "written", "Looked at afterwards: the live database is in the same files, written "
                     "meanwhile, as logins do" },
        { "replaced", "Looked at afterwards: ANOTHER database is in the place of the live one" },
        { "missing", "Looked at afterwards: the live database is GONE" },
        { "none", "There is no live database, as before" },
    };
    struct outcome *o = job->outcome;
    struct backend_identity now;
    size_t row, used = strlen(o->hint);

    if (!job->looked || job->backend == NULL || !backend_has_files(job->backend))
        return;
    see_live(job, &now);
    if (now.text[0] == '\0')
        row = job->before.text[0] == '\0' ? 4 : 3;
    else if (backend_same(&job->before, &now))
        row = 0;
    else
        row = backend_same_files(job->before.text, now.text) ? 1 : 2;
    snprintf(o->left, sizeof(o->left), "%s", rows[row].left);
    snprintf(o->hint + used, sizeof(o->hint) - used, "%s%s", used > 0 ? ". " : "", rows[row].says);
}

static bool
begin(struct loader_job *job, struct error *err)
{
    struct outcome *o = job->outcome;

    o->started = clock_wall();
    o->pid = getpid();
    snprintf(o->stage, sizeof(o->stage), "begin");
    if (!name_files(job, job->request->database, err) || !take_lock(job, LOADER_LOCK_MS, err))
        return false;
    loader_stage(job, "begin");
    if (!tidy_up(job, err))
        return false;
    remember_live(job);
    return true;
}

/* Reap WORKER, and whatever it leaves to us. Returns its status; *SIG is a signal that asked to
 * end.
 */
static int
wait_for_worker(struct loader_job *job, pid_t worker, const sigset_t *signals, int *sig)
{
    int status = 0, got;
    pid_t pid;

    *sig = 0;
    for (;;) {
        while ((pid = waitpid(-1, &got, WNOHANG)) > 0) {
            if (pid != worker)
                continue;
            status = got;
            while ((pid = waitpid(-1, &got, 0)) > 0 || (pid < 0 && errno == EINTR))
                continue;
            return status;
        }
        got = sigwaitinfo(signals, NULL);
        if (got > 0 && got != SIGCHLD && strcmp(job->outcome->stage, "promote") != 0) {
            *sig = got;
            kill(worker, SIGKILL);
        }
    }
}

/* The worker died before its end: was it during the promotion? */
static void
judge_death(struct loader_job *job, int status, int sig)
{
    struct outcome *o = job->outcome;
    enum backend_recovered what = BACKEND_NOTHING;
    struct error err;

    if (o->loaded)
        return;
    error_clear(&err);
    if (sig != 0)
        error_set(&err, ERROR_FAILED, "cannot load: told to end (%s) at stage '%s'", strsignal(sig),
                  o->stage);
    else if (WIFSIGNALED(status))
        error_set(&err, ERROR_FAILED,
                  "cannot load: the loader was killed (signal %d) at stage '%s'", WTERMSIG(status),
                  o->stage);
    else
        error_set(&err, ERROR_INTERNAL, "cannot load: the loader ended at stage '%s'", o->stage);
    error_hint(&err, "Send the dump again");
    if (job->backend != NULL && !backend_recover(job->backend, job->staging, job->request->database,
                                                 LOADER_PROMOTE_MS, &what, &err))
        error_hint(&err, "The next load, or the agent's next start, completes the promotion");
    else if (what == BACKEND_COMPLETED)
        o->loaded = true;
    if (!o->loaded) {
        snprintf(o->error, sizeof(o->error), "%s", err.text);
        snprintf(o->hint, sizeof(o->hint), "%s", err.hint);
    }
}

/*
 * After a verified load the dump is the last good one, and its announcement is used up. The last
 * good one of before, if it was another, is kept as well.
 */
static void
keep_last_good(struct loader_job *job)
{
    const struct loader_request *request = job->request;
    struct error err;
    bool other;

    error_clear(&err);
    if (!job->linked) {
        loader_note(job, "the dump is on another file system, and not kept as the last good one");
        goto done;
    }
    if (!announcement_make_way(request->state, request->realm->name, &job->announcement, &other,
                               &err))
        loader_note(job, "%s", err.text);
    if (other && rename(job->last_good, job->previous_good) != 0 && errno != ENOENT)
        loader_note(job, "the last good dump of before could not be kept: %s", strerror(errno));
    if (rename(job->dump, job->last_good) != 0)
        loader_note(job, "the dump could not be kept as the last good one: %s", strerror(errno));

done:
    error_clear(&err);
    if (!announcement_done(request->state, request->realm->name, &job->announcement, &err))
        loader_note(job, "%s", err.text);
}

static void
finish(struct loader_job *job, const struct error *err)
{
    struct outcome *o = job->outcome;

    if (err->code != ERROR_NONE) {
        snprintf(o->error, sizeof(o->error), "%s", err->text);
        snprintf(o->hint, sizeof(o->hint), "%s", err->hint);
    }
    if (o->loaded)
        o->error[0] = o->hint[0] = '\0';
    else
        tell_live(job);
    o->verified = o->loaded && o->announced && o->proved;
    if (o->verified)
        keep_last_good(job);
    if (job->lock >= 0)
        loader_clean(job);
    if (o->loaded)
        snprintf(o->stage, sizeof(o->stage), "done");
    o->finished = clock_wall();
}

/* Without a lock there is nothing to tell of this database: the load that holds it writes its own.
 */
static void
write_outcome(struct loader_job *job)
{
    const struct loader_request *request = job->request;
    struct error err;

    error_clear(&err);
    if (job->lock >= 0 && !outcome_write(request->state, request->realm->name, job->outcome, &err))
        loader_note(job, "%s", err.text);
}

static void __attribute__((noreturn)) worker_main(struct loader_job *job, const sigset_t *mask)
{
    struct error err;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != job->supervisor)
        _exit(1);
    sigprocmask(SIG_SETMASK, mask, NULL);
    error_clear(&err);
    if (!loader_work(job, &err)) {
        snprintf(job->outcome->error, sizeof(job->outcome->error), "%s", err.text);
        snprintf(job->outcome->hint, sizeof(job->outcome->hint), "%s", err.hint);
    }
    if (getppid() != job->supervisor) { /* it was killed during the promotion */
        error_clear(&err);
        finish(job, &err);
        write_outcome(job);
    }
    _exit(0);
}

static void
supervise(struct loader_job *job, struct error *err)
{
    sigset_t signals, before;
    int status, sig;
    pid_t worker;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGCHLD);
    signal(SIGCHLD, SIG_DFL); /* ignored, as a parent may have left it, it gives no status */
    sigprocmask(SIG_BLOCK, &signals, &before);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    job->supervisor = getpid();
    worker = fork();
    if (worker == 0)
        worker_main(job, &before);
    if (worker < 0) {
        error_errno(err, ERROR_INTERNAL, errno, "cannot load: no process");
    } else {
        status = wait_for_worker(job, worker, &signals, &sig);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            judge_death(job, status, sig);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
}

/* SIZE bytes of zeros that a forked child shares with us; NULL if there are none. */
static void *
share(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

bool
loader_run(const struct loader_request *request, struct outcome *result)
{
    /* The worker writes what the supervisor keeps: the outcome and the announcement. */
    struct loader_job *job = share(sizeof(*job));
    struct error err;
    bool loaded = false;

    memset(result, 0, sizeof(*result));
    error_clear(&err);
    if (job == NULL)
        return false;
    job->request = request;
    job->backend = backend_find(request->realm->backend);
    job->lock = -1;
    job->outcome = share(sizeof(*job->outcome));
    if (job->outcome == NULL) {
        munmap(job, sizeof(*job));
        return false;
    }
    if (begin(job, &err))
        supervise(job, &err);
    finish(job, &err);
    write_outcome(job);
    *result = *job->outcome;
    loaded = result->loaded;
    if (job->lock >= 0)
        close(job->lock);
    munmap(job->outcome, sizeof(*job->outcome));
    munmap(job, sizeof(*job));
    return loaded;
}

bool
loader_recover(const struct backend *backend, const char *database, enum backend_recovered *what,
               struct error *err)
{
    const struct loader_request request = { .database = database };
    struct loader_progress progress;
    struct loader_job *job;
    bool ok = false;

    *what = BACKEND_NOTHING;
    loader_look(database, &progress);
    if (progress.running)
        return true;
    job = calloc(1, sizeof(*job));
    if (job == NULL)
        return error_memory(err);
    job->lock = -1;
    job->request = &request;
    if (!name_files(job, database, err))
        goto cleanup;
    if (access(job->staging_folder, F_OK) != 0) {
        ok = true; /* no load has ever been here */
        goto cleanup;
    }
    if (!take_lock(job, 0, err)) {
        ok = err->code == ERROR_UNREACHABLE;
        goto cleanup;
    }
    ok = backend_recover(backend, job->staging, database, LOADER_PROMOTE_MS, what, err);

cleanup:
    if (job->lock >= 0)
        close(job->lock);
    free(job);
    return ok;
}
