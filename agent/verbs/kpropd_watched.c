/* kpropd_watched - see kpropd_watched.h. */
#include "agent/verbs/kpropd_watched.h"

#include "agent/service/supervised.h"
#include "agent/verbs/kpropd.h"

#include <string.h>
#include <unistd.h>

enum { STATUS_SECONDS = 5, START_SECONDS = 40, STOP_SECONDS = 90 };

bool
kpropd_runner(const struct settings *settings, const char *realm, enum kpropd_runner *runner,
              struct error *err)
{
    bool other;

    *runner = systemd_runs_here() ? RUNNER_SYSTEMD : RUNNER_SCRIPT;
    if (supervised_realm(settings, realm, &other))
        *runner = RUNNER_AGENT;
    if (!other)
        return true;
    error_set(err, ERROR_USAGE, "cannot supervise the kpropd of %s: it is not the default realm",
              realm);
    return error_hint(err, "Take supervise out of the subsection %s of agent.conf", realm);
}

/* "error" and "hint" of what the daemon replied. */
static bool
take_error(const json_t *reply, struct error *err)
{
    const char *text = json_string_value(json_object_get(reply, "error"));
    const char *hint = json_string_value(json_object_get(reply, "hint"));

    if (text == NULL)
        return true;
    error_set(err, ERROR_FAILED, "%s", text);
    return hint == NULL || hint[0] == '\0' ? false : error_hint(err, "%s", hint);
}

/* What kpropd itself wrote, for whoever has to find out. */
static void
add_log(const struct settings *settings, json_t **reply)
{
    *reply = json_pack("{s:o}", "log", supervised_log(settings, 10));
}

/* Stop kpropd and start it again, if it runs. Without a daemon nobody runs it: its next start heeds
 * what was written down. */
static bool
restart(const struct settings *settings, bool *restarted, struct error *err)
{
    struct error ignored;
    json_t *status;
    bool ok = true;

    *restarted = false;
    error_clear(&ignored);
    if (!supervised_ask(settings, "status", STATUS_SECONDS, &status, &ignored))
        return true;
    *restarted = json_is_integer(json_object_get(status, "pid"));
    json_decref(status);
    for (int i = 0; *restarted && ok && i < 2; i++) {
        ok = supervised_ask(settings, i == 0 ? "stop" : "start",
                            i == 0 ? STOP_SECONDS : START_SECONDS, &status, err) &&
             take_error(status, err);
        json_decref(status);
    }
    return ok;
}

/* With our loader, or with kdb5_util itself (STOCK). */
static bool
choose_loader(const struct verb_call *call, bool stock, json_t **reply, struct error *err)
{
    bool changed = supervised_stock(call->settings) != stock, restarted = false;

    if (changed && (!supervised_set_stock(call->settings, stock, err) ||
                    !restart(call->settings, &restarted, err)))
        return false;
    *reply =
        json_pack("{s:b, s:n, s:b, s:b, s:s?, s:b}", "changed", changed, "unit", "dropin", false,
                  "restarted", restarted, "loader", stock ? NULL : KPC_LOADER, "supervised", true);
    return *reply != NULL || error_memory(err);
}

bool
kpropd_watched_use_loader(const struct verb_call *call, json_t **reply, struct error *err)
{
    return choose_loader(call, false, reply, err);
}

bool
kpropd_watched_release(const struct verb_call *call, json_t **reply, struct error *err)
{
    return choose_loader(call, true, reply, err);
}

bool
kpropd_watched_start(const struct verb_call *call, json_t **reply, struct error *err)
{
    bool was_wanted = supervised_wanted(call->settings), was_up = false;
    struct kpropd_place place;
    json_t *status = NULL;
    bool ok;

    if (!kpropd_place(call->settings, call->argv[0], &place, err) ||
        !supervised_ask(call->settings, "status", STATUS_SECONDS, &status, err))
        return false;
    was_up = strcmp(json_string_value(json_object_get(status, "state")), "up") == 0;
    json_decref(status);
    status = NULL;
    ok = supervised_want(call->settings, true, err) &&
         supervised_ask(call->settings, "start", START_SECONDS, &status, err) &&
         take_error(status, err);
    if (ok)
        *reply = json_pack("{s:b, s:b, s:b, s:n, s:O, s:b, s:i, s:b}", "changed",
                           !was_wanted || !was_up, "started", !was_up, "enabled", true, "unit",
                           "pid", json_object_get(status, "pid"), "listening", true, "port",
                           place.port, "supervised", true);
    else
        add_log(call->settings, reply);
    json_decref(status);
    return ok;
}

bool
kpropd_watched_stop(const struct verb_call *call, json_t **reply, struct error *err)
{
    bool was_wanted = supervised_wanted(call->settings), ok;
    struct error ignored;
    json_t *status = NULL;

    error_clear(&ignored);
    ok = supervised_want(call->settings, false, err) &&
         supervised_ask(call->settings, "stop", STOP_SECONDS, &status, err) &&
         take_error(status, err);
    if (ok)
        *reply = json_pack("{s:b, s:n, s:b}", "changed", was_wanted, "unit", "supervised", true);
    else if (was_wanted && json_object_get(status, "error") != NULL)
        supervised_want(call->settings, true, &ignored);
    json_decref(status);
    return ok;
}

json_t *
kpropd_watched_facts(const struct settings *settings, const char *realm)
{
    struct error err;
    json_t *status;

    error_clear(&err);
    if (!supervised_realm(settings, realm, NULL))
        return json_null();
    if (supervised_ask(settings, "status", STATUS_SECONDS, &status, &err))
        return status;
    return json_pack("{s:n, s:s, s:s}", "state", "error", err.text, "hint", err.hint);
}

bool
kpropd_tell_script(enum service service, const char *action, struct error *err)
{
    char now[128], boot[128];
    struct service_state state;
    bool start = strcmp(action, "start") == 0;

    if (!services_see(NULL, service, NULL, 0, &state, err))
        return false;
    error_set(err, ERROR_REFUSED,
              "cannot %s %s: this host has no systemd, and init scripts are left to people", action,
              services_name(service));
    if (state.script.path[0] == '\0')
        return error_hint(err, "There is no init script of it either: install the package that "
                               "brings it (Debian: krb5-kdc, krb5-kpropd)");
    init_script_command(&state.script, action, now, sizeof(now));
    init_script_command(&state.script, start ? "enable" : "disable", boot, sizeof(boot));
    return error_hint(err, "Here: '%s' and '%s'%s", now, boot,
                      service == SERVICE_KPROPD
                          ? "; or have the agent run kpropd: supervise = yes in agent.conf"
                          : "");
}
