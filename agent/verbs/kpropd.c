/* kpropd - see kpropd.h. */
#include "agent/verbs/kpropd.h"

#include "agent/base/progress.h"
#include "agent/load/loads.h"
#include "agent/service/dropins.h"
#include "agent/service/kpropd_acl.h"
#include "agent/service/port_release.h"
#include "agent/service/processes.h"
#include "agent/service/supervised.h"
#include "agent/verbs/kpropd_watched.h"
#include "common/base/files.h"
#include "common/host/systemd.h"
#include "common/krb5/realm.h"

#include <errno.h>
#include <krb5.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    JOB_TIMEOUT = 60,    /* seconds for a job of systemd's */
    START_TRIES = 3,     /* of kpropd, if its port is taken again and again */
    LISTEN_TIMEOUT = 15, /* seconds from a start until the socket must be seen */
    LOG_TIMEOUT = 3,     /* seconds until what a service said must be in the journal */
    LOAD_WAIT = 240,     /* seconds to wait for a running load before a restart */
    STOP_WAIT = 60,      /* and before a stop */
    LOGS_DEFAULT = 20,
    MAX_UNIT_FILE = 256 * 1024,
};

static int
services_port(void)
{
    struct servent *service = getservbyname("krb5_prop", "tcp");

    return service == NULL ? 0 : ntohs((uint16_t)service->s_port);
}

bool
kpropd_place(const struct settings *settings, const char *realm, struct kpropd_place *place,
             struct error *err)
{
    struct settings own;

    memset(place, 0, sizeof(*place));
    if (!settings_of_realm(settings, realm, &own, err))
        return false;
    place->port = own.kpropd_port != 0 ? own.kpropd_port : services_port();
    if (own.kpropd_unit != NULL)
        snprintf(place->unit, sizeof(place->unit), "%s", own.kpropd_unit);
    settings_free(&own);
    return true;
}

const char *
kpropd_unit(const struct kpropd_place *place)
{
    return place->unit[0] == '\0' ? NULL : place->unit;
}

void
kpropd_loader_state(const struct service_state *state, bool *dropin, bool *running)
{
    char path[PATH_MAX], value[PATH_MAX];
    struct error ignored;

    *dropin = state->unit != NULL &&
              dropins_path(state->unit, DROPIN_LOADER, path, sizeof(path), &ignored) &&
              access(path, F_OK) == 0;
    *running = state->pid != 0 && processes_option(state->pid, "-p", value, sizeof(value)) &&
               strcmp(value, KPC_LOADER) == 0;
}

/* PRINCIPAL as libkrb5 prints it after parsing, with a realm, in NAME; no blanks in it. */
static bool
parse_principal(const char *principal, char *name, size_t size, struct error *err)
{
    krb5_context context = NULL;
    krb5_principal parsed = NULL;
    char *text = NULL;
    bool ok = false;

    if (krb5_init_context(&context) != 0)
        return error_memory(err);
    if (strpbrk(principal, " \t\r\n#") != NULL || strchr(principal, '@') == NULL ||
        krb5_parse_name(context, principal, &parsed) != 0 ||
        krb5_unparse_name(context, parsed, &text) != 0 || strpbrk(text, " \t\r\n") != NULL) {
        error_set(err, ERROR_USAGE, "cannot take '%s' for a principal", principal);
        error_hint(err, "Write it as host/kdc1.example.org@EXAMPLE.ORG");
    } else {
        ok = snprintf(name, size, "%s", text) < (int)size ||
             error_set(err, ERROR_USAGE, "cannot take a principal of that length");
    }
    krb5_free_unparsed_name(context, text);
    krb5_free_principal(context, parsed);
    krb5_free_context(context);
    return ok;
}

bool
kpropd_verb_acl_add(const struct verb_call *call, json_t **reply, struct error *err)
{
    struct realm *realm = NULL;
    char principal[1024];
    bool changed, ok;

    ok = parse_principal(call->argv[1], principal, sizeof(principal), err) &&
         realm_load(call->argv[0], &realm, err) &&
         kpropd_acl_add(realm->kpropd_acl, principal, &changed, err);
    if (ok)
        *reply = json_pack("{s:b, s:s, s:s}", "changed", changed, "file", realm->kpropd_acl,
                           "principal", principal);
    realm_free(realm);
    return ok;
}

bool
kpropd_see(struct systemd *sd, const struct kpropd_place *place, struct service_state *state,
           struct error *err)
{
    if (!services_see(sd, SERVICE_KPROPD, kpropd_unit(place), place->port, state, err))
        return false;
    if (state->unit != NULL)
        return true;
    if (place->unit[0] != '\0') {
        error_set(err, ERROR_FAILED, "cannot find kpropd's unit %s", place->unit);
        return error_hint(err, "Write it, or correct kpropd_unit in agent.conf");
    }
    error_set(err, ERROR_FAILED,
              "cannot find kpropd's unit: neither krb5-kpropd.service nor "
              "kprop.service is there");
    return error_hint(err, "Install the package krb5-kpropd (Debian) or krb5-server (RHEL)");
}

/* Apply what unit file or drop-in PATH says of ExecStart. */
static bool
read_exec_start(const char *path, char **command, struct error *err)
{
    struct buffer text;
    bool ok;

    buffer_init(&text, MAX_UNIT_FILE);
    ok = file_read(path, &text, err) && dropins_exec_start(buffer_string(&text), command, err);
    buffer_free(&text);
    return ok;
}

/* The unit's ExecStart as it would be without our drop-in, freed by the caller. */
static bool
own_command(struct systemd *sd, const struct service_state *state, char **command,
            struct error *err)
{
    char ours[PATH_MAX], **paths = NULL;
    bool ok;

    *command = NULL;
    ok = dropins_path(state->unit, DROPIN_LOADER, ours, sizeof(ours), err) &&
         systemd_drop_ins(sd, state->unit, &paths, err) &&
         read_exec_start(state->state.fragment, command, err);
    for (char **p = paths; ok && p != NULL && *p != NULL; p++) {
        if (strcmp(*p, ours) != 0)
            ok = read_exec_start(*p, command, err);
    }
    systemd_free_list(paths);
    if (ok && *command == NULL)
        ok = error_set(err, ERROR_REFUSED, "cannot add the loader: %s has no ExecStart",
                       state->unit);
    if (!ok) {
        free(*command);
        *command = NULL;
    }
    return ok;
}

static bool
write_loader_dropin(struct systemd *sd, const struct verb_call *call,
                    const struct service_state *state, bool *changed, struct error *err)
{
    struct buffer text;
    char *command;
    bool ok;

    *changed = false;
    if (!own_command(sd, state, &command, err))
        return false;
    buffer_init(&text, 64 * 1024);
    ok = dropins_loader_text(command, KPC_LOADER, call->settings->state, &text, err) &&
         dropins_write(state->unit, DROPIN_LOADER, buffer_string(&text), changed, err);
    /* Also when the file was there already: a former run may have ended before the reload. */
    ok = ok && systemd_reload(sd, err);
    buffer_free(&text);
    free(command);
    return ok;
}

/* A drop-in whose name sorts behind ours may still have the last word. */
static bool
check_effective(struct systemd *sd, const struct service_state *state, struct error *err)
{
    struct unit_state now;

    if (!systemd_state(sd, state->unit, &now, err))
        return false;
    if (strstr(now.command, " -p " KPC_LOADER) != NULL)
        return true;
    error_set(err, ERROR_REFUSED,
              "cannot make kpropd use the loader: a drop-in of %s behind " DROPIN_LOADER
              " sets ExecStart again (%s)",
              state->unit, now.command);
    return error_hint(err, "Look at `systemctl cat %s`, and give that drop-in a name before zz-",
                      state->unit);
}

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

/* Run the unit of SERVICE by ACTION and see it listen on PORT, or REPLY and ERR say what its log
 * does. Where somebody took kpropd's port meanwhile and lets go of it, it is tried again. */
static bool
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
kpropd_restart(struct systemd *sd, const char *realm, const struct kpropd_place *place,
               struct service_state *state, json_t **reply, struct error *err)
{
    int lock = -1;
    bool ok;

    ok = loads_wait("restart", LOAD_WAIT, err) &&
         loads_hold(realm, "restart", STOP_WAIT, &lock, err) &&
         start_unit(sd, SERVICE_KPROPD, place->port, SYSTEMD_RESTART, state, reply, err);
    if (lock >= 0)
        close(lock);
    return ok;
}

/* What an init script starts, its own file of settings decides. */
static bool
tell_loader(struct error *err)
{
    error_set(err, ERROR_REFUSED,
              "cannot make kpropd use the loader: this host has no systemd, and init scripts are "
              "left to people");
    return error_hint(err, "Have kpropd's init script start it with -p " KPC_LOADER
                           " (Debian: DAEMON_ARGS in /etc/default/kpropd); or have the agent run "
                           "kpropd: supervise = yes in agent.conf");
}

bool
kpropd_verb_use_loader(const struct verb_call *call, json_t **reply, struct error *err)
{
    struct service_state state;
    struct kpropd_place place;
    struct systemd *sd = NULL;
    enum kpropd_runner runner;
    bool changed = false, dropin, running, restart = false, ok = false;

    if (!kpropd_runner(call->settings, call->argv[0], &runner, err))
        return false;
    if (runner == RUNNER_AGENT)
        return kpropd_watched_use_loader(call, reply, err);
    if (runner == RUNNER_SCRIPT)
        return tell_loader(err);
    if (access(KPC_LOADER, X_OK) != 0)
        return error_errno(err, ERROR_FAILED, errno, "cannot use the loader %s", KPC_LOADER);
    if (!kpropd_place(call->settings, call->argv[0], &place, err))
        return false;
    if (!systemd_open(&sd, err) || !kpropd_see(sd, &place, &state, err) ||
        !write_loader_dropin(sd, call, &state, &changed, err) || !check_effective(sd, &state, err))
        goto cleanup;
    kpropd_loader_state(&state, &dropin, &running);
    restart = state.state.pid != 0 && !running;
    if (restart && !kpropd_restart(sd, call->argv[0], &place, &state, reply, err))
        goto cleanup;
    *reply = json_pack("{s:b, s:s, s:b, s:b, s:s}", "changed", changed || restart, "unit",
                       state.unit, "dropin", true, "restarted", restart, "loader", KPC_LOADER);
    ok = true;

cleanup:
    systemd_close(sd);
    return ok;
}

/* Start and enable SERVICE unless it is so already; REPLY tells what is true then. */
static bool
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
static bool
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
kpropd_verb_start(const struct verb_call *call, json_t **reply, struct error *err)
{
    struct service_state state;
    struct kpropd_place place;
    struct systemd *sd = NULL;
    enum kpropd_runner runner;
    bool ok;

    if (!kpropd_runner(call->settings, call->argv[0], &runner, err))
        return false;
    if (runner == RUNNER_AGENT)
        return kpropd_watched_start(call, reply, err);
    if (runner == RUNNER_SCRIPT)
        return kpropd_tell_script(SERVICE_KPROPD, "start", err);
    if (!kpropd_place(call->settings, call->argv[0], &place, err))
        return false;
    if (place.port == 0) {
        error_set(err, ERROR_FAILED, "cannot start kpropd: no krb5_prop/tcp in the services file");
        return error_hint(err, "Add the line 'krb5_prop 754/tcp' to /etc/services");
    }
    ok = systemd_open(&sd, err) && refuse_on_primary(sd, err) &&
         kpropd_see(sd, &place, &state, err) &&
         bring_up(sd, SERVICE_KPROPD, place.port, &state, reply, err);
    systemd_close(sd);
    return ok;
}

static bool
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
kpropd_verb_stop(const struct verb_call *call, json_t **reply, struct error *err)
{
    struct service_state state;
    struct kpropd_place place;
    struct systemd *sd = NULL;
    enum kpropd_runner runner;
    int lock = -1;
    bool ok;

    if (!kpropd_runner(call->settings, call->argv[0], &runner, err))
        return false;
    if (runner == RUNNER_AGENT)
        return kpropd_watched_stop(call, reply, err);
    if (runner == RUNNER_SCRIPT)
        return kpropd_tell_script(SERVICE_KPROPD, "stop", err);
    ok = kpropd_place(call->settings, call->argv[0], &place, err) && systemd_open(&sd, err) &&
         kpropd_see(sd, &place, &state, err) && loads_wait("stop", STOP_WAIT, err) &&
         loads_hold(call->argv[0], "stop", STOP_WAIT, &lock, err) &&
         stop_unit(sd, &state, reply, err);
    if (lock >= 0)
        close(lock);
    systemd_close(sd);
    return ok;
}

bool
kpropd_verb_start_kdc(const struct verb_call *call, json_t **reply, struct error *err)
{
    struct service_state state;
    struct systemd *sd = NULL;
    struct realm *realm = NULL;
    bool ok;

    if (!systemd_runs_here())
        return kpropd_tell_script(SERVICE_KDC, "start", err);
    ok = realm_load(call->argv[0], &realm, err) && systemd_open(&sd, err) &&
         services_see(sd, SERVICE_KDC, NULL, realm->kdc_port, &state, err);
    if (ok && state.unit == NULL) {
        ok = error_set(err, ERROR_FAILED,
                       "cannot find krb5kdc's unit: neither krb5-kdc.service "
                       "nor krb5kdc.service is there");
        error_hint(err, "Install the package krb5-kdc (Debian) or krb5-server (RHEL)");
    }
    ok = ok && bring_up(sd, SERVICE_KDC, realm->kdc_port, &state, reply, err);
    systemd_close(sd);
    realm_free(realm);
    return ok;
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

/* A krb5kdc that runs knows the master keys of its start, and such as they lead to. */
bool
kpropd_verb_restart_kdc(const struct verb_call *call, json_t **reply, struct error *err)
{
    struct service_state state;
    struct systemd *sd = NULL;
    struct realm *realm = NULL;
    bool ok, runs;

    ok = realm_load(call->argv[0], &realm, err) && systemd_open(&sd, err) &&
         services_see(sd, SERVICE_KDC, NULL, realm->kdc_port, &state, err);
    runs = ok && state.unit != NULL && state.pid != 0;
    if (runs && state.by_hand)
        ok = error_set(err, ERROR_REFUSED, "cannot restart krb5kdc: pid %d runs, and not as %s",
                       (int)state.pid, state.unit);
    if (ok && runs)
        ok = start_unit(sd, SERVICE_KDC, realm->kdc_port, SYSTEMD_RESTART, &state, reply, err);
    if (ok)
        *reply = json_pack("{s:b, s:s?, s:i, s:b}", "changed", runs, "unit", state.unit, "pid",
                           (int)state.pid, "listening", state.listening);
    systemd_close(sd);
    realm_free(realm);
    return ok;
}
