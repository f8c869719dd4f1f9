/*
 * loader_work - the worker: from the dump to the promoted database, stage by stage.
 *
 * Nothing here touches the live database but the promotion: the rest happens in the staging folder,
 * and a failure anywhere is the end.
 */
#include "agent/load/loader_job.h"
#include "agent/load/stash.h"
#include "common/contract/refusals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WALK_MS = 10 * 60 * 1000, SPACE_MARGIN = 4 << 20, FOLLOWS = 2 };

/* A login that meets the lock waits for a second (krb5's db2). */
static const double hold_seconds = 2;

/* Take the dump by a name of our own: the next transfer may rename another over FILE. */
static bool
take_dump(struct loader_job *job, struct error *err)
{
    const char *file = job->request->file;
    struct stat st;

    if (stat(file, &st) != 0)
        return error_errno(err, ERROR_FAILED, errno, "cannot read dump %s", file);
    if (!S_ISREG(st.st_mode))
        return error_set(err, ERROR_FAILED, "cannot read dump %s: not a regular file", file);
    job->outcome->bytes = (uint64_t)st.st_size;
    job->linked = linkat(AT_FDCWD, file, AT_FDCWD, job->dump, AT_SYMLINK_FOLLOW) == 0;
    if (!job->linked)
        snprintf(job->dump, sizeof(job->dump), "%s", file);
    else if (chmod(job->dump, 0600) != 0)
        return error_errno(err, ERROR_FAILED, errno, "cannot protect dump %s", file);
    return true;
}

/* A database takes about 0.7 times its dump when it is new, and a snapshot of the live one is made
 * meanwhile, with its lockout state beside it. */
static bool
check_space(struct loader_job *job, struct error *err)
{
    uint64_t need = job->outcome->bytes / 4 * 5 + SPACE_MARGIN, have;
    struct statvfs st;

    if (job->backend != NULL)
        need += backend_size(job->backend, job->request->database) / 4 * 5;
    if (statvfs(job->staging_folder, &st) != 0)
        return error_errno(err, ERROR_FAILED, errno, "cannot tell the free space of %s",
                           job->staging_folder);
    have = (uint64_t)st.f_bavail * st.f_frsize;
    if (have >= need)
        return true;
    error_set(err, ERROR_FAILED,
              "cannot load: not enough space in %s: %llu MiB free, %llu MiB needed", job->folder,
              (unsigned long long)(have >> 20), (unsigned long long)(need >> 20) + 1);
    return error_hint(err, "Make room on that file system of the replica");
}

/* Make the staged database durable, while it is being walked. */
static pid_t
start_sync(struct loader_job *job)
{
    pid_t pid = fork();

    if (pid == 0) {
        struct error err;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(backend_sync(job->backend, job->staging, &err) ? 0 : 1);
    }
    return pid;
}

static bool
finish_sync(struct loader_job *job, pid_t pid, struct error *err)
{
    int status = 1;

    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    /* Once more, for the reason: errors of writing back are told to each descriptor once. */
    if (pid <= 0 || status != 0)
        return backend_sync(job->backend, job->staging, err) && pid <= 0
                   ? true
                   : error_set(err, ERROR_FAILED,
                               "cannot write database %s to disk: disk full or failing",
                               job->staging);
    return true;
}

static bool
judge_content(const struct loader_job *job, const struct database_answer *answer, struct error *err)
{
    const struct outcome *o = job->outcome;
    const unsigned char *digest = o->announced ? job->announcement.digest : job->info.digest;
    uint64_t principals = o->announced ? job->announcement.principals : job->info.principals;
    uint64_t policies = o->announced ? job->announcement.policies : job->info.policies;

    if (answer->principals != principals || answer->policies != policies)
        error_set(err, ERROR_FAILED,
                  "cannot promote the new database: it holds %llu principals and %llu policies, "
                  "its dump %llu and %llu",
                  (unsigned long long)answer->principals, (unsigned long long)answer->policies,
                  (unsigned long long)principals, (unsigned long long)policies);
    else if (memcmp(answer->digest, digest, DIGEST_SIZE) != 0)
        error_set(err, ERROR_FAILED,
                  "cannot promote the new database: its content is not that of its dump");
    else
        return true;
    return error_hint(err, "kdb5_util load lost something without telling; see the replica's disk "
                           "and its kernel's log, then send again");
}

/* A new stash waits for this database: whoever looks at that next puts it in place. */
static bool
new_stash_opens(struct loader_job *job)
{
    const struct database_question question = { .stash = true, .brief = true };
    struct database_answer answer;
    char waiting[PATH_MAX];
    struct database db;
    struct error ignored;

    loader_database(job, job->staging, &db);
    db.stash = waiting;
    if (!stash_waiting(job->request->state, db.realm, waiting, sizeof(waiting), &ignored) ||
        access(waiting, F_OK) != 0 ||
        !database_examine(&db, &question, WALK_MS, &answer, &ignored) || !answer.stash_opens)
        return false;
    if (strstr(job->outcome->note, "new stash") == NULL) /* proved again: told already */
        loader_note(job, "the new stash that waits for this database opens it: krb5kdc is to be "
                         "started again");
    return true;
}

static bool
judge_stash(struct loader_job *job, const struct database_answer *answer, struct error *err)
{
    const char *stash = job->request->realm->stash;

    /* What nobody announced gets no other keys than those that are in use. */
    if (answer->stash_opens || (job->outcome->announced && new_stash_opens(job)))
        return true;
    error_set(err, ERROR_FAILED,
              "cannot promote the new database: stash file %s does not open it: %s", stash,
              answer->stash_error);
    return error_hint(err,
                      "On the primary: kpropctl renew --stash THIS-HOST brings its stash file");
}

/* What was proved is what is promoted, and known again later: nobody has written it meanwhile. */
static bool
keep_identity(struct loader_job *job, const char *path, const struct backend_identity *proved,
              struct error *err)
{
    struct backend_identity now;

    if (!backend_identify(job->backend, path, &now, err))
        return false;
    if (proved != NULL && !backend_same(proved, &now))
        return error_set(err, ERROR_FAILED,
                         "cannot promote the new database: somebody wrote it while it was proved");
    snprintf(job->outcome->identity, sizeof(job->outcome->identity), "%s", now.text);
    return true;
}

/* Walk the staged database: is it that of the dump, and of use to a KDC here? */
static bool
verify(struct loader_job *job, struct error *err)
{
    struct outcome *o = job->outcome;
    struct database_question question = { o->nonce, true };
    struct database_answer answer;
    struct backend_identity before;
    struct database db;
    struct error later;
    pid_t sync;
    bool ok;

    loader_database(job, job->staging, &db);
    if (!backend_identify(job->backend, job->staging, &before, err))
        return false;
    sync = start_sync(job);
    ok = database_examine(&db, &question, WALK_MS, &answer, err);
    if (!ok)
        error_prefix(err, "cannot promote the new database");
    if (!finish_sync(job, sync, ok ? err : &later) || !ok)
        return false;
    o->principals = answer.principals;
    o->policies = answer.policies;
    memcpy(o->digest, answer.digest, sizeof(o->digest));
    o->has_digest = true;
    o->proved = judge_content(job, &answer, err) && judge_stash(job, &answer, err) &&
                keep_identity(job, job->staging, &before, err);
    return o->proved;
}

/* Is the staged database no longer that which was proved? */
static bool
is_written(const struct loader_job *job)
{
    struct backend_identity now;
    struct error ignored;

    return !backend_identify(job->backend, job->staging, &now, &ignored) ||
           strcmp(now.text, job->outcome->identity) != 0;
}

/* The live database's lock is held: by the times that it took before, for an instant. */
static bool
catch_up(void *arg, struct error *err)
{
    struct loader_job *job = arg;

    return loader_lockout_follow_held(job, err) && (!is_written(job) || verify(job, err));
}

/* What the live database must be for the promotion; false: no matter. */
static bool
set_expected(struct loader_job *job, struct backend_expected *expected)
{
    *expected = (struct backend_expected){ .identity = loader_lockout_expected(job), .arg = job };
    if (job->lockout.follows >= FOLLOWS) {
        if (!job->lockout.failing || job->lockout.follow > hold_seconds)
            return false;
        expected->otherwise = catch_up;
    }
    return expected->identity != NULL;
}

/* From here on our supervisor's death must not be ours: half a promotion is no state to leave. */
static bool
promote(struct loader_job *job, struct error *err)
{
    const char *live = job->request->database;
    struct backend_expected expected;
    bool changed = false, ok;

    prctl(PR_SET_PDEATHSIG, 0);
    if (!loader_ulog(job, true, err))
        return false;
    ok = backend_promote(job->backend, job->staging, live,
                         set_expected(job, &expected) ? &expected : NULL, LOADER_PROMOTE_MS,
                         &changed, err);
    if (!ok && changed) {
        enum backend_recovered what;

        ok = backend_recover(job->backend, job->staging, live, LOADER_PROMOTE_MS, &what, err);
    }
    job->outcome->loaded = ok;
    if (ok && !loader_ulog(job, false, err))
        loader_note(job, "kpropd will ask for a full resync: %s", err->text);
    return ok;
}

static bool
timed(struct loader_job *job, const char *stage,
      bool (*function)(struct loader_job *, struct error *), double *seconds, struct error *err)
{
    double start = loader_clock();
    bool ok;

    loader_stage(job, stage);
    ok = function(job, err);
    *seconds += loader_clock() - start;
    return ok;
}

static bool
load_staging(struct loader_job *job, struct error *err)
{
    if (!check_space(job, err))
        return false;
    loader_lockout_begin(job);
    if (loader_load(job, job->staging, err))
        return loader_lockout_carry(job, err);
    loader_lockout_drop(job);
    return false;
}

/*
 * Who was locked out while the new database was proved shall be so in it, too. Where somebody
 * guesses passwords all the time, it is proved for the last time under the lock, unless that takes
 * long: then what happens meanwhile is lost.
 */
static bool
promote_current(struct loader_job *job, struct error *err)
{
    struct outcome *o = job->outcome;

    while (!timed(job, "promote", promote, &o->promote, err)) {
        if (err->code != ERROR_REFUSED)
            return false;
        error_clear(err);
        job->lockout.follows++;
        job->lockout.follow = -loader_clock();
        if (!timed(job, "load", loader_lockout_follow, &o->load, err) ||
            (is_written(job) && !timed(job, "verify", verify, &o->verify, err)))
            return false;
        job->lockout.follow += loader_clock();
    }
    return true;
}

/* A backend that we do not know: kdb5_util must know what it does. */
static bool
load_unproved(struct loader_job *job, struct error *err)
{
    loader_note(job, "backend '%s' is not known to the loader: nothing is verified",
                job->request->realm->backend);
    job->outcome->loaded = loader_load(job, job->request->database, err);
    return job->outcome->loaded;
}

/* Whoever sends, and however it came here. */
static bool
refuse_lmdb(struct loader_job *job, struct error *err)
{
    const struct loader_request *request = job->request;
    char host[256] = "";
    struct refusal_names names = { .realm = request->realm->name };

    if (gethostname(host, sizeof(host) - 1) == 0 && host[0] != '\0')
        names.replica = host;
    snprintf(job->outcome->refusal, sizeof(job->outcome->refusal), "%s",
             refusal_row(REFUSAL_LMDB)->id);
    return refusal_set(err, REFUSAL_LMDB, &names,
                       "cannot load dump %s: this host keeps the realm in lmdb, and a load that "
                       "fails would destroy the database that is in %s.mdb",
                       request->file, request->database);
}

bool
loader_work(struct loader_job *job, struct error *err)
{
    struct outcome *o = job->outcome;

    if (job->backend != NULL && backend_promotion(job->backend) == BACKEND_SHARED) {
        error_set(err, ERROR_REFUSED, "cannot load: realm %s keeps its database in LDAP",
                  job->request->realm->name);
        return error_hint(err, "The directory replicates itself; kprop has no business there");
    }
    if (job->backend != NULL && backend_promotion(job->backend) == BACKEND_FIRST &&
        backend_holds(job->backend, job->request->database))
        return refuse_lmdb(job, err);
    if (!take_dump(job, err) || !timed(job, "validate", loader_validate, &o->validate, err))
        return false;
    if (job->backend == NULL)
        return timed(job, "load", load_unproved, &o->load, err);
    return timed(job, "load", load_staging, &o->load, err) &&
           timed(job, "verify", verify, &o->verify, err) && promote_current(job, err);
}
