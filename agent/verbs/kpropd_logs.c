/* kpropd_logs - verb: the last lines of kpropd, krb5kdc and the agent. */
#include "agent/service/services.h"
#include "agent/service/supervised.h"
#include "agent/verbs/kpropd.h"
#include "common/host/systemd.h"

#include <stdlib.h>

enum { LOGS_DEFAULT = 20, LOGS_MAX = 500 };

/* The journal of SERVICE, or null where it has no unit. */
static bool
add_log(struct systemd *sd, enum service service, int count, json_t *reply, struct error *err)
{
    struct service_state state;
    json_t *lines = NULL;

    if (!services_see(sd, service, NULL, 0, &state, err) ||
        (state.unit != NULL &&
         !systemd_journal(state.unit, services_name(service), count, 0, &lines, err)))
        return false;
    json_object_set_new(reply, services_name(service), lines == NULL ? json_null() : lines);
    return true;
}

/* What kpropd has written since it was started by the agent; its times are in syslog's files. */
static json_t *
watched_log(const struct settings *settings, size_t count)
{
    json_t *texts, *lines, *text;
    size_t index;

    if (!supervised_realm(settings, NULL, NULL))
        return json_null();
    texts = supervised_log(settings, count);
    lines = json_array();
    json_array_foreach(texts, index, text) json_array_append_new(
        lines, json_pack("{s:n, s:s, s:O}", "time", "program", "kpropd", "text", text));
    json_decref(texts);
    return lines;
}

bool
kpropd_verb_logs(const struct verb_call *call, json_t **reply, struct error *err)
{
    struct systemd *sd = NULL;
    int count = LOGS_DEFAULT;
    json_t *lines;
    bool ok;

    if (call->argc > 0) {
        char *end;
        long value = strtol(call->argv[0], &end, 10);

        if (*end != '\0' || value < 1 || value > LOGS_MAX)
            return error_set(err, ERROR_USAGE, "cannot show '%s' lines: must be 1 to %d",
                             call->argv[0], LOGS_MAX);
        count = (int)value;
    }
    *reply = json_object();
    if (!systemd_runs_here()) {
        json_object_set_new(*reply, "kpropd", watched_log(call->settings, (size_t)count));
        json_object_set_new(*reply, "kdc", json_null());
        return json_object_set_new(*reply, "agent", json_null()) == 0;
    }
    ok = systemd_open(&sd, err) && add_log(sd, SERVICE_KPROPD, count, *reply, err) &&
         add_log(sd, SERVICE_KDC, count, *reply, err) &&
         systemd_journal("kpropctl-agent.service", NULL, count, 0, &lines, err) &&
         json_object_set_new(*reply, "agent", lines) == 0;
    systemd_close(sd);
    return ok;
}
