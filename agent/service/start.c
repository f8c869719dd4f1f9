/* start - see start.h. */
#include "agent/service/start.h"

#include "agent/base/progress.h"
#include "agent/service/port_release.h"
#include "common/host/systemd.h"
#include "common/krb5/realm.h"

#include <string.h>
#include <time.h>

enum {
    JOB_TIMEOUT = 60,    /* seconds for a job of systemd's */
    START_TRIES = 3,     /* of kpropd, if its port is taken again and again */
    LISTEN_TIMEOUT = 15, /* seconds from a start until the socket must be seen */
    LOG_TIMEOUT = 3,     /* seconds until what a service said must be in the journal */
    LOGS_DEFAULT = 20,
};

static bool
has_line_of(const json_t *lines, const char *program)
{
    const json_t *line;
    size_t index;

    json_array_foreach(lines, index, line)
    {
        const char *name = json_string_value(json_object_get(line, "program"));

        if (name != NULL && strcmp(name, program) == 0)
            return true;
    }
    return false;
}

/* What the unit said since its start goes into REPLY, its last words into the hint: they may take a
 * moment to get into the journal. */
static void
explain_failed_start(const char *unit, const char *program, int seconds, json_t **reply,
                     struct error *err)
{
    static const struct timespec nap = { 0, 50 * 1000 * 1000 };
    struct error ignored;
    json_t *lines;

    for (int tries = LOG_TIMEOUT * 20;; tries--) {
        if (!systemd_journal(unit, program, LOGS_DEFAULT, seconds, &lines, &ignored))
            return;
        if (tries <= 0 || has_line_of(lines, program))
            break;
        json_decref(lines);
        nanosleep(&nap, NULL);
    }
    services_hint_from_log(lines, err);
    *reply = json_pack("{s:s, s:o}", "unit", unit, "log", lines);
}

/* Wait until SERVICE is seen listening on PORT, or has ended, or it takes too long. */
static bool
wait_for_listening(struct systemd *sd, enum service service, int port, struct service_state *state,
                   struct error *err)
{
    static const struct timespec nap = { 0, 50 * 1000 * 1000 };
    const char *unit = state->unit;

    for (int i = 0; i < LISTEN_TIMEOUT * 20; i++) {
        if (!services_see(sd, service, unit, port, state, err))
            return false;
        if (state->listening && !state->by_hand)
            return true;
        if (strcmp(state->state.active, "failed") == 0 ||
            strcmp(state->state.active, "inactive") == 0)
            return error_set(err, ERROR_FAILED, "cannot start %s: it ended at once (%s is %s)",
                             services_name(service), state->unit, state->state.active);
        if (i % 40 == 39)
            verbs_progress("waiting for %s to listen on port %d", services_name(service), port);
        nanosleep(&nap, NULL);
    }
    return error_set(err, ERROR_FAILED, "cannot see %s listening on port %d after %d s",
                     services_name(service), port, LISTEN_TIMEOUT);
}

/*
 * kpropd's port may have been taken meanwhile, and let go. krb5kdc forks, and on a busy host
 * systemd may read its pid file while that is empty: it then ends a KDC that was well ("protocol").
 */
static bool
worth_another_try(enum service service, int port, int tries, struct error *err)
{
    static const struct ports_options options = { 0 };

    if (service != SERVICE_KPROPD)
        return tries == 1;
    if (tries == START_TRIES || !port_release_retry(port, &options, err))
        return false;
    verbs_progress("port %d was taken meanwhile and is free again: starting kpropd again", port);
    return true;
}

bool
start_unit(struct systemd *sd, enum service service, int port, enum systemd_action action,
           struct service_state *state, json_t **reply, struct error *err)
{
    time_t began = time(NULL);

    for (int tries = 1;; tries++) {
        if (systemd_run(sd, state->unit, action, JOB_TIMEOUT, err) &&
            wait_for_listening(sd, service, port, state, err))
            return true;
        json_decref(*reply);
        *reply = NULL;
        explain_failed_start(state->unit, services_name(service), (int)(time(NULL) - began) + 1,
                             reply, err);
        if (!worth_another_try(service, port, tries, err))
            return false;
        error_clear(err);
        action = SYSTEMD_RESTART;
    }
}

bool
bring_up(struct systemd *sd, enum service service, int port, struct service_state *state,
         json_t **reply, struct error *err)
{
    bool start = state->state.pid == 0 || !state->listening, enable = !services_enabled(state);
    enum systemd_action action = state->state.pid == 0 ? SYSTEMD_START : SYSTEMD_RESTART;

    if (state->by_hand) {
        error_set(err, ERROR_REFUSED, "cannot start %s: pid %d runs already, and not as %s",
                  services_name(service), (int)state->pid, state->unit);
        return error_hint(err, "End that process (%s), then try again", state->command);
    }
    if (start && !start_unit(sd, service, port, action, state, reply, err))
        return false;
    if (enable && !systemd_enable(sd, state->unit, err))
        return false;
    *reply = json_pack("{s:b, s:b, s:b, s:s, s:i, s:b, s:i}", "changed", start || enable, "started",
                       start, "enabled", true, "unit", state->unit, "pid", (int)state->pid,
                       "listening", state->listening, "port", port);
    return true;
}

/* On Debian the start of kpropd's unit stops kadmind: never on a host that is a primary. */
bool
refuse_on_primary(struct systemd *sd, struct error *err)
{
    struct service_state kadmind;

    if (!services_see(sd, SERVICE_KADMIND, NULL, 0, &kadmind, err))
        return false;
    if (kadmind.pid == 0 && !services_enabled(&kadmind))
        return true;
    error_set(err, ERROR_REFUSED,
              "cannot start kpropd: kadmind %s on this host, so it may be a "
              "primary, and kpropd's start would stop it",
              kadmind.pid != 0 ? "runs" : "is enabled");
    return error_hint(err, "If this host is to be a replica: systemctl disable --now %s",
                      kadmind.unit != NULL ? kadmind.unit : "kadmind");
}

bool
stop_unit(struct systemd *sd, const struct service_state *state, json_t **reply, struct error *err)
{
    bool stop = strcmp(state->state.active, "inactive") != 0 &&
                strcmp(state->state.active, "failed") != 0,
         disable = services_enabled(state);

    if (state->by_hand) {
        error_set(err, ERROR_REFUSED, "cannot stop kpropd: pid %d runs, and not as %s",
                  (int)state->pid, state->unit);
        return error_hint(err, "End that process (%s) by hand", state->command);
    }
    if ((disable && !systemd_disable(sd, state->unit, err)) ||
        (stop && !systemd_run(sd, state->unit, SYSTEMD_STOP, JOB_TIMEOUT, err)))
        return false;
    *reply = json_pack("{s:b, s:s}", "changed", stop || disable, "unit", state->unit);
    return true;
}

bool
kpropd_revive_kdc(const char *realm_name, json_t **reply, struct error *err)
{
    struct service_state state;
    struct systemd *sd = NULL;
    struct realm *realm = NULL;
    json_t *started = NULL;
    bool ok, dead;

    *reply = NULL;
    ok = realm_load(realm_name, &realm, err) && (!systemd_runs_here() || systemd_open(&sd, err)) &&
         services_see(sd, SERVICE_KDC, NULL, realm->kdc_port, &state, err);
    dead = ok && state.unit != NULL && state.pid == 0 && services_enabled(&state);
    if (dead)
        ok = bring_up(sd, SERVICE_KDC, realm->kdc_port, &state, &started, err);
    if (ok)
        *reply = json_pack("{s:b, s:b}", "running", state.pid != 0, "started", dead);
    json_decref(started);
    systemd_close(sd);
    realm_free(realm);
    return ok;
}
