/* enroll_start - see enroll_start.h. */
#include "agent/enroll/enroll_start.h"

#include "agent/service/services.h"
#include "common/base/subprocess.h"
#include "common/host/systemd.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#define UNIT "kpropctl-agent.service"
#define SCRIPT "/etc/init.d/kpropctl-agent"

enum { JOB_TIMEOUT = 60, SCRIPT_TIMEOUT_MS = 120 * 1000, LOG_LINES = 20 };

/* Start or restart it, and see it run: a job of systemd's ends also when it has failed. */
static bool
run_unit(struct systemd *sd, enum systemd_action action, struct error *err)
{
    struct unit_state state;
    time_t began = time(NULL);
    json_t *lines = NULL;
    struct error ignored;

    if (!systemd_run(sd, UNIT, action, JOB_TIMEOUT, err) || !systemd_state(sd, UNIT, &state, err))
        return false;
    if (strcmp(state.active, "active") == 0)
        return true;
    error_set(err, ERROR_FAILED, "cannot start " UNIT ": it ended at once");
    error_hint(err, "See `journalctl -u kpropctl-agent`");
    if (systemd_journal(UNIT, NULL, LOG_LINES, (int)(time(NULL) - began) + 1, &lines, &ignored))
        services_hint_from_log(lines, err);
    json_decref(lines);
    return false;
}

static bool
start_by_systemd(bool changed, const char **done, const char **text, struct error *err)
{
    struct unit_state state;
    struct systemd *sd = NULL;
    bool ok;

    if (!systemd_open(&sd, err))
        return false;
    ok = systemd_state(sd, UNIT, &state, err);
    if (ok && !state.exists) {
        *text = "it has no unit " UNIT " here; start it now and at boot: kpropctl-agent";
    } else if (ok) {
        bool runs = strcmp(state.active, "active") == 0;

        if (strcmp(state.enabled, "enabled") != 0)
            ok = systemd_enable(sd, UNIT, err);
        if (ok && (!runs || changed))
            ok = run_unit(sd, runs ? SYSTEMD_RESTART : SYSTEMD_START, err);
        if (ok)
            *done = !runs ? "started" : changed ? "restarted" : "running";
    }
    systemd_close(sd);
    return ok;
}

/* Our package's own script; it is enabled when it is installed. */
static bool
start_by_script(bool changed, const char **done, const char **text, struct error *err)
{
    const char *argv[] = { SCRIPT, changed ? "restart" : "start", NULL };
    struct subprocess_result result;
    char how[128];
    bool ok;

    if (access(SCRIPT, X_OK) != 0) {
        *text = "no systemd runs here; start it now and at boot: kpropctl-agent";
        return true;
    }
    subprocess_result_init(&result);
    ok = subprocess_run(argv, NULL, SCRIPT_TIMEOUT_MS, &result, err);
    if (ok && !subprocess_succeeded(&result)) {
        ok = error_set(err, ERROR_FAILED, "cannot start it by " SCRIPT ": %s",
                       subprocess_describe(&result, how, sizeof(how)));
        error_hint(err, "See the system's log");
    }
    if (ok)
        *done = changed ? "restarted" : "running";
    subprocess_result_free(&result);
    return ok;
}

bool
enroll_start(bool changed, const char **done, const char **text, struct error *err)
{
    *done = "not started";
    *text = NULL;
    if (systemd_runs_here() ? start_by_systemd(changed, done, text, err)
                            : start_by_script(changed, done, text, err))
        return true;
    return error_prefix(err, "the files are in place, but the agent does not run");
}
