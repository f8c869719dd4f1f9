/* run - see run.h. */
#include "kpropctl/run/run.h"

#include "common/base/clock.h"
#include "common/base/files.h"
#include "common/base/log.h"
#include "kpropctl/run/events.h"
#include "kpropctl/run/fleet.h"
#include "kpropctl/state/state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    LONGEST_WAIT_MS = 24 * 3600 * 1000,
    LONGEST_RUN = 12 * 3600, /* seconds: whatever one does, the realm's lock is not held for ever */
    IDENTITY_TIMEOUT = 10,
};

/* What every host's process needs, made before they start. */
struct run {
    const struct run_request *request;
    struct spool *spool; /* NULL where nothing is dumped: in a dry run or a rollback */
    int64_t id;          /* in the state database, 0 if that failed */
};

/* Keep the first failure's text for the state database while telling all. */
struct tee {
    const struct walk_listener *next;
    char failure[600];
};

static void
tee_step(void *closure, const struct step *step)
{
    struct tee *tee = closure;

    if (tee->failure[0] == '\0' && (step->level == LEVEL_FAILED || step->level == LEVEL_REFUSED))
        snprintf(tee->failure, sizeof(tee->failure), "%s: %s", step->id, step->summary);
    tee->next->step(tee->next->closure, step);
}

static void
tee_progress(void *closure, const char *id, uint64_t done, uint64_t total, double seconds)
{
    struct tee *tee = closure;

    tee->next->progress(tee->next->closure, id, done, total, seconds);
}

/* A run that changes keys has nothing to do with content: no dump, no record of one. */
static bool
is_about_keys(enum walk_kind kind)
{
    return kind == WALK_RENEW || kind == WALK_FINISH;
}

static enum host_outcome
judge(const struct walk *walk, int status)
{
    if (is_about_keys(walk->kind))
        return status == 0 ? HOST_RENEWED : HOST_FAILED;
    if (walk->incremental)
        return HOST_INCREMENTAL;
    if (status == 0 && walk->content_verified && walk->ticket_verified)
        return walk->sent ? HOST_VERIFIED : HOST_UNCHANGED;
    return walk->sent && walk->agent == NULL ? HOST_SENT : HOST_FAILED;
}

/*
 * The replica's live files as they are now: our own login may have written them (where host
 * principals need preauthentication), and shall be no reason to read them again next time.
 */
static json_t *
ask_identity(struct walk *walk, const struct host_result *result)
{
    const char *argv[] = { "outcome", walk->realm->name, "0", NULL };
    enum remote_fault fault;
    struct error ignored;
    json_t *reply = NULL;

    if (walk->agent == NULL || !host_is_verified(result) ||
        !remote_call(walk->agent, argv, IDENTITY_TIMEOUT, NULL, NULL, &reply, &fault, &ignored)) {
        json_decref(reply);
        return NULL;
    }
    return reply;
}

/* The files of a replica on which another load has run meanwhile are not what was verified. */
static const char *
identity_of(const struct walk *walk, const json_t *reply)
{
    if (json_integer_value(json_object_get(reply, "generation")) != walk->dump.generation ||
        !json_is_null(json_object_get(reply, "running")))
        return NULL;
    return json_string_value(json_object_get(reply, "live"));
}

/* That it cannot be recorded never makes a good replica bad. */
static void
record(const struct run *run, struct walk *walk, const struct host_result *result, double started,
       const char *failure)
{
    const struct configuration *configuration = walk->configuration;
    json_t *left = ask_identity(walk, result);
    struct error ignored;
    struct state *state;
    struct state_outcome outcome = {
        .run = run->id,
        .generation = walk->dump.generation,
        .realm = walk->realm->name,
        .host = walk->replica.host[0] != '\0' ? walk->replica.host : walk->host,
        .result = host_outcome_name(result->outcome),
        .error = failure[0] != '\0' ? failure : NULL,
        .digested = walk->digested || walk->loader_verified,
        .ticketed = walk->ticketed,
        .bytes = walk->sent ? walk->dump.bytes : 0,
        .started = started,
        .transfer_seconds = walk->transfer_seconds,
        .load_seconds = walk->load_seconds,
        .verify_seconds = walk->verify_seconds,
        .identity = identity_of(walk, left),
    };

    state = state_open(configuration->state_dir, configuration->state_group, false, &ignored);
    if (state != NULL)
        state_outcome_record(state, &outcome, &ignored);
    if (state != NULL && host_is_verified(result) && walk->seen.generation > 0)
        state_seen_record(state, walk->realm->name, &walk->seen, &ignored);
    state_close(state);
    json_decref(left);
}

static bool
was_good(const struct state_memory *memory)
{
    return strcmp(memory->last_result, "verified") == 0 ||
           strcmp(memory->last_result, "unchanged") == 0;
}

/* A replica that turned bad, or good again; the first run of a good one is no news. */
static void
tell_event(const struct walk *walk, const struct host_result *result, const char *failure)
{
    bool good = host_is_verified(result);
    struct event event = {
        .realm = walk->realm->name,
        .host = walk->replica.host[0] != '\0' ? walk->replica.host : walk->host,
        .good = good,
        .result = host_outcome_name(result->outcome),
        .error = failure,
        .generation = walk->dump.generation,
    };
    bool first = walk->memory.last_result[0] == '\0' ||
                 strcmp(walk->memory.last_result, host_outcome_name(HOST_INCREMENTAL)) == 0;
    struct error err;

    if (first ? good : good == was_good(&walk->memory))
        return;
    error_clear(&err);
    if (!events_tell(walk->configuration, &event, &err)) {
        fprintf(stderr, "kpropctl: %s\n", err.text);
        log_warning("%s", err.text);
    }
}

/* What is left alone is said, and recorded, once: until something else has become of the host. */
static bool
is_old_news(const struct walk *walk)
{
    return walk->left_alone &&
           strcmp(walk->memory.last_result, host_outcome_name(HOST_INCREMENTAL)) == 0;
}

static void
tell_left_alone(const struct walk *walk)
{
    log_notice("%s is left alone: its kpropd runs incrementally (iprop), and kadmind keeps it "
               "current; nobody verifies its content",
               walk->replica.host);
}

static void
record_and_tell(const struct run *run, struct walk *walk, const struct host_result *result,
                double started, const char *failure)
{
    if (is_old_news(walk))
        return;
    record(run, walk, result, started, failure);
    if (walk->left_alone)
        tell_left_alone(walk);
    else if (!walk->incremental)
        tell_event(walk, result, failure);
}

/* In the process of one host. */
static void
serve(void *closure, const char *host, const struct walk_listener *listener,
      struct host_result *result)
{
    const struct run *run = closure;
    const struct run_request *request = run->request;
    struct tee tee = { .next = listener };
    struct walk_listener own = { tee_step, tee_progress, &tee };
    double started = clock_wall();
    struct error ignored;
    struct walk walk = {
        .configuration = request->context->configuration,
        .realm = request->context->realm,
        .host = host,
        .kind = request->kind,
        .automatic = request->automatic,
        .dry_run = request->dry_run,
        .overwrite = request->overwrite,
        .accept_timeline = request->accept_timeline,
        .renew_keys = request->renew_keys,
        .force = request->force,
        .without_agent = request->without_agent,
        .rollback = request->rollback,
        .spool = run->spool,
        .hosts = request->count,
        .delivery = &request->delivery,
        .listener = &own,
    };

    if (request->kind == WALK_ROLLBACK)
        names_look_up(NULL, walk.realm->name, &walk.primary, &ignored);
    result->status = checks_walk(&walk);
    if (run->spool != NULL && !walk.heard)
        spool_heard(run->spool, 0);
    result->dry_run = request->dry_run;
    result->keys = is_about_keys(request->kind);
    result->outcome = judge(&walk, result->status);
    result->bytes = walk.sent ? walk.dump.bytes : 0;
    result->seconds = walk.transfer_seconds;
    result->principals = walk.dump.principals;
    result->policies = walk.dump.policies;
    result->generation = walk.dump.generation;
    if (!request->dry_run && !is_about_keys(request->kind))
        record_and_tell(run, &walk, result, started, tee.failure);
    walk_finish(&walk);
}

bool
run_check_hosts(char *const *hosts, size_t count, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (!names_valid(hosts[i]))
            return error_set(err, ERROR_USAGE, "'%s' is no valid host name", hosts[i]);
        for (size_t j = 0; j < i; j++) {
            if (strcasecmp(hosts[i], hosts[j]) == 0)
                return error_set(err, ERROR_USAGE, "%s is named twice", hosts[i]);
        }
    }
    return true;
}

/* The one that has the lock wrote its pid, its reason and its start into it. */
static void
name_other(const char *path, const char *realm, struct error *err)
{
    char text[128] = "", since[64] = "";
    long pid = 0;
    long long at = 0;
    char reason[32] = "";
    time_t start;
    struct tm tm;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        ssize_t n = read(fd, text, sizeof(text) - 1);

        close(fd);
        if (n > 0 && sscanf(text, "%ld %lld %31s", &pid, &at, reason) >= 2) {
            start = (time_t)at;
            localtime_r(&start, &tm);
            strftime(since, sizeof(since), "%Y-%m-%d %H:%M:%S", &tm);
        }
    }
    error_set(err, ERROR_UNREACHABLE, "another run for %s is at work: pid %ld (%s), since %s",
              realm, pid, reason, since);
    error_hint(err, "wait for it, or see what holds it up: ps -fp %ld", pid);
}

/* One run for a realm at a time: a second would dump and send the same again. */
static int
lock_realm(const struct run_request *request, struct error *err)
{
    const char *folder = request->context->configuration->runtime_dir;
    const char *realm = request->context->realm->name;
    char path[PATH_MAX];
    int fd;

    if (!file_make_folder(folder, 0700, err))
        return -1;
    snprintf(path, sizeof(path), "%s/%s.lock", folder, realm);
    fd = file_lock(path, 0, err);
    if (fd < 0 && err->code == ERROR_UNREACHABLE) {
        name_other(path, realm, err);
        if (!request->wait)
            return -1;
        fprintf(stderr, "kpropctl: %s; waiting for it\n", err->text);
        error_clear(err);
        fd = file_lock(path, LONGEST_WAIT_MS, err);
    }
    if (fd >= 0 && (ftruncate(fd, 0) != 0 || dprintf(fd, "%ld %lld %s\n", (long)getpid(),
                                                     (long long)time(NULL), request->reason) < 0))
        fprintf(stderr, "kpropctl: cannot write %s: %s\n", path, strerror(errno));
    return fd;
}

static void
begin_record(struct run *run)
{
    const struct command_context *context = run->request->context;
    struct error err;
    struct state *state = state_open(context->configuration->state_dir,
                                     context->configuration->state_group, false, &err);

    if (state == NULL ||
        !state_run_begin(state, context->realm->name, run->request->reason, &run->id, &err))
        fprintf(stderr, "kpropctl: %s: the run goes on, but is not recorded\n", err.text);
    state_close(state);
}

/* What was dumped, if anything was, is in the spool. */
static void
end_record(const struct run *run, int status)
{
    const struct command_context *context = run->request->context;
    struct spool_dump dump = { .generation = run->request->rollback };
    struct error ignored;
    struct state *state;

    if (run->id == 0)
        return;
    if (run->spool != NULL)
        spool_look(run->spool, &dump);
    state = state_open(context->configuration->state_dir, context->configuration->state_group,
                       false, &ignored);
    if (state != NULL) {
        state_run_end(state, run->id, dump.generation, dump.seconds, status, &ignored);
        state_prune(state, context->configuration->keep_history, &ignored);
    }
    state_close(state);
}

static int
tell_walks(struct run *run, struct error *err)
{
    const struct run_request *request = run->request;
    struct output *output = output_new(request->backend, stdout, request->context->realm->name,
                                       request->hosts, request->count);
    size_t limit;
    int status;

    if (output == NULL) {
        error_memory(err);
        return ERROR_INTERNAL;
    }
    limit = (size_t)request->context->configuration->parallel;
    status = fleet_run(output, serve, run, limit, limit, LONGEST_RUN, err);
    output_finish(output);
    return status;
}

static bool
open_spool(struct run *run, struct error *err)
{
    const struct run_request *request = run->request;
    struct spool_options options = { request->force, request->allow_shrink };
    unsigned debris = 0;

    if (request->kind == WALK_ROLLBACK || is_about_keys(request->kind))
        return true;
    run->spool = spool_open(request->context->configuration, request->context->realm, &options,
                            &debris, err);
    if (debris > 0)
        fprintf(stderr, "kpropctl: removed what %u killed run%s had left\n", debris,
                debris == 1 ? "" : "s");
    return run->spool != NULL;
}

int
run_walks(const struct run_request *request, struct error *err)
{
    struct run run = { .request = request };
    int lock, status;

    if (request->dry_run)
        return tell_walks(&run, err);
    lock = lock_realm(request, err);
    if (lock < 0)
        return err->code;
    if (!open_spool(&run, err)) {
        close(lock);
        return err->code;
    }
    if (!is_about_keys(request->kind))
        begin_record(&run);
    status = tell_walks(&run, err);
    end_record(&run, status);
    spool_close(run.spool);
    close(lock);
    return status;
}
