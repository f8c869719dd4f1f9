/* rollback - see rollback.h. */
#include "agent/load/rollback.h"

#include "agent/base/progress.h"
#include "agent/load/announcement.h"
#include "agent/load/loader.h"
#include "agent/service/incremental.h"
#include "agent/service/start.h"
#include "common/base/log.h"
#include "common/krb5/realm.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TELL_SECONDS = 5 };

/* Which dump: its file, and what was announced of it. */
struct choice {
    bool previous;
    char file[PATH_MAX];
    struct announcement announcement;
};

static bool
none_kept(const char *realm, bool previous, struct error *err)
{
    error_set(err, ERROR_FAILED, "cannot roll back %s: no %sgood dump is kept here", realm,
              previous ? "earlier " : "");
    return error_hint(err,
                      "only dumps that the loader has verified are kept; any other one is "
                      "loaded as carefully by: kpropctl-agent accept-next %s; " KPC_LOADER
                      " -r %s load FILE",
                      realm, realm);
}

/* Fill CHOICE with one of the two dumps; false without a code if that is not kept. */
static bool
look_at(const struct verb_call *call, const struct realm *realm, bool previous,
        struct choice *choice, struct error *err)
{
    json_t *object = announcement_last_good(call->settings->state, realm->name, previous);
    bool ok = object != NULL && announcement_of_last_good(object, &choice->announcement, err);

    json_decref(object);
    choice->previous = previous;
    return ok &&
           loader_last_good(realm->database, previous, choice->file, sizeof(choice->file), err) &&
           access(choice->file, F_OK) == 0;
}

static bool
choose_generation(const struct verb_call *call, const struct realm *realm, struct choice *choice,
                  struct error *err)
{
    char *end;
    unsigned long long generation = strtoull(call->argv[1], &end, 10);

    if (*end != '\0' || end == call->argv[1] || generation == 0)
        return error_set(err, ERROR_USAGE,
                         "cannot go back to '%s': neither 'previous' nor a generation",
                         call->argv[1]);
    for (int previous = 0; previous <= 1; previous++) {
        if (look_at(call, realm, previous != 0, choice, err) &&
            choice->announcement.generation == generation)
            return true;
        error_clear(err);
    }
    error_set(err, ERROR_FAILED, "cannot roll back %s: generation %llu is not kept here",
              realm->name, generation);
    return error_hint(err, "'kpropctl-agent outcome %s' shows last_good and previous_good",
                      realm->name);
}

static bool
choose(const struct verb_call *call, const struct realm *realm, struct choice *choice,
       struct error *err)
{
    bool previous = call->argc > 1 && strcmp(call->argv[1], "previous") == 0;

    if (call->argc > 1 && !previous)
        return choose_generation(call, realm, choice, err);
    if (look_at(call, realm, previous, choice, err))
        return true;
    return err->code == ERROR_NONE ? none_kept(realm->name, previous, err) : false;
}

/* Wait for the loading child, saying every few seconds that we are at work: no caller gives up. */
static bool
wait_for(pid_t child, const struct announcement *a)
{
    static const struct timespec nap = { 0, 20 * 1000 * 1000 };
    int status = 0;

    for (int naps = 1; waitpid(child, &status, WNOHANG) == 0; naps++) {
        nanosleep(&nap, NULL);
        if (naps % (TELL_SECONDS * 50) == 0)
            verbs_progress("loading generation %llu for %d s", (unsigned long long)a->generation,
                           naps / 50);
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* In a child: the loader reaps whatever children its process has, and minds its signals. */
static bool
load(const struct verb_call *call, const struct realm *realm, const struct choice *choice,
     struct outcome *outcome, struct error *err)
{
    char program[PATH_MAX];
    struct loader_request request = { .realm = realm,
                                      .database = realm->database,
                                      .file = choice->file,
                                      .state = call->settings->state,
                                      .kdb5_util = program,
                                      .again = &choice->announcement };
    pid_t child;

    if (!realm_find_program("kdb5_util", program, sizeof(program), err))
        return false;
    child = fork();
    if (child == 0) {
        umask(077);
        _exit(loader_run(&request, outcome) ? 0 : 1);
    }
    if (child < 0)
        return error_errno(err, ERROR_INTERNAL, errno, "cannot load: no process");
    if (wait_for(child, &choice->announcement))
        return true;
    error_set(err, ERROR_FAILED, "%s",
              outcome->error[0] != '\0' ? outcome->error : "cannot load: the loader was killed");
    return error_hint(err, "%s", outcome->hint);
}

/* A KDC that died of the database that was there can live again. */
static json_t *
revive_kdc(const struct verb_call *call)
{
    json_t *reply = NULL, *kdc;
    struct error err;

    error_clear(&err);
    if (kpropd_revive_kdc(call->argv[0], &reply, &err)) {
        json_object_set_new(reply, "error", json_null());
        return reply;
    }
    json_decref(reply);
    kdc = json_pack("{s:b, s:b, s:s}", "running", 0, "started", 0, "error", err.text);
    return kdc != NULL ? kdc : json_null();
}

static json_t *
tell(const struct verb_call *call, const struct choice *choice, const struct outcome *o)
{
    const struct announcement *a = &choice->announcement;

    return json_pack("{s:I, s:o, s:o, s:I, s:I, s:I, s:s, s:s, s:f, s:o}", "generation",
                     (json_int_t)a->generation, "digest", outcome_hex(a->digest, sizeof(a->digest)),
                     "nonce", outcome_hex(a->nonce, sizeof(a->nonce)), "principals",
                     (json_int_t)o->principals, "policies", (json_int_t)o->policies, "announced_at",
                     (json_int_t)a->announced_at, "from", a->from, "note", o->note, "seconds",
                     o->finished - o->started, "kdc", revive_kdc(call));
}

bool
rollback_verb(const struct verb_call *call, json_t **reply, struct error *err)
{
    struct realm *realm = NULL;
    struct choice choice = { 0 };
    struct outcome *outcome =
        mmap(NULL, sizeof(*outcome), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    bool ok;

    if (outcome == MAP_FAILED)
        return error_memory(err);
    ok = realm_load(call->argv[0], &realm, err) &&
         incremental_allows(call, realm, "roll back", err) && choose(call, realm, &choice, err);
    if (ok)
        log_notice("realm %s: going back to generation %llu, announced by %s", realm->name,
                   (unsigned long long)choice.announcement.generation, choice.announcement.from);
    if (ok && load(call, realm, &choice, outcome, err))
        *reply = tell(call, &choice, outcome);
    else
        ok = false;
    realm_free(realm);
    munmap(outcome, sizeof(*outcome));
    return ok && (*reply != NULL || error_memory(err));
}
