/* incremental - see incremental.h. */
#include "agent/service/incremental.h"

#include "agent/service/kpropd_place.h"
#include "agent/service/processes.h"
#include "agent/service/runner.h"
#include "common/contract/judge.h"
#include "common/host/systemd.h"
#include "common/kdb/backend.h"

#include <limits.h>
#include <unistd.h>

/* It maps the update log when it starts, parent and listening child, and never lets go of it. */
json_t *
incremental_fact(const struct service_state *state)
{
    bool shares;

    return state->pid != 0 && processes_shares_file(state->pid, &shares) ? json_boolean(shares)
                                                                         : json_null();
}

/* As much of the verb facts as its judge wants. */
static json_t *
look(const struct verb_call *call, const struct realm *realm)
{
    struct service_state state = { .unit = NULL };
    struct kpropd_place place = { .port = 0 };
    struct systemd *sd = NULL;
    struct error ignored;
    const struct backend *backend = backend_find(realm->backend);
    json_t *kpropd, *facts;

    if (!systemd_open(&sd, &ignored))
        sd = NULL;
    if (!kpropd_place(call->settings, realm->name, &place, &ignored) ||
        !services_see(sd, SERVICE_KPROPD, kpropd_unit(&place), place.port, &state, &ignored))
        state.pid = 0;
    kpropd = services_json(SERVICE_KPROPD, &state);
    json_object_set_new(kpropd, "incremental", incremental_fact(&state));
    json_object_set_new(kpropd, "supervised", kpropd_watched_facts(call->settings, realm->name));
    facts = json_pack("{s:{s:s, s:s, s:s?, s:b}, s:{s:b}, s:o}", "realm", "name", realm->name,
                      "kdc_conf", realm->kdc_conf, "backend", realm->backend, "iprop", realm->iprop,
                      "database", "exists",
                      backend != NULL && backend_holds(backend, realm->database), "kpropd", kpropd);
    systemd_close(sd);
    return facts;
}

bool
incremental_allows(const struct verb_call *call, const struct realm *realm, const char *verb,
                   struct error *err)
{
    json_t *facts = look(call, realm);
    struct judgement j = { .hint = "" };
    char host[HOST_NAME_MAX + 1] = "this host";
    enum verdict verdict;

    if (facts == NULL)
        return error_memory(err);
    gethostname(host, sizeof(host) - 1);
    verdict = judge_whole(facts, host, verb, &j);
    json_decref(facts);
    if (verdict != REFUSED)
        return true;
    error_set(err, ERROR_REFUSED, "%s", j.summary);
    return error_hint(err, "%s", j.hint);
}
