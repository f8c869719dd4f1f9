/* runner - see runner.h. */
#include "agent/service/runner.h"

#include "agent/service/supervised.h"
#include "common/host/systemd.h"

#include <string.h>

enum { STATUS_SECONDS = 5 };

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
