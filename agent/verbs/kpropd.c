/* kpropd - see kpropd.h. */
#include "agent/verbs/kpropd.h"

#include "agent/load/loads.h"
#include "agent/service/kpropd_acl.h"
#include "agent/service/loader_dropin.h"
#include "agent/service/runner.h"
#include "agent/service/start.h"
#include "agent/verbs/kpropd_watched.h"
#include "common/host/systemd.h"
#include "common/krb5/realm.h"

#include <errno.h>
#include <krb5.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    LOAD_WAIT = 240, /* seconds to wait for a running load before a restart */
    STOP_WAIT = 60,  /* and before a stop */
};

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
