/* kpropd_release - verb release-loader: kpropd loads with kdb5_util itself again, as before
 * use-loader. What was verified stays known: use-loader takes up from there. */
#include "agent/service/dropins.h"
#include "agent/service/loader_dropin.h"
#include "agent/service/runner.h"
#include "agent/verbs/kpropd.h"
#include "agent/verbs/kpropd_watched.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

/* The drop-in, and its folder if nothing else is in it. */
static bool
remove_dropin(const struct service_state *state, bool *changed, struct error *err)
{
    char path[PATH_MAX];

    *changed = false;
    if (!dropins_path(state->unit, DROPIN_LOADER, path, sizeof(path), err))
        return false;
    *changed = unlink(path) == 0;
    if (!*changed && errno != ENOENT)
        return error_errno(err, ERROR_FAILED, errno, "cannot remove %s", path);
    *strrchr(path, '/') = '\0';
    rmdir(path);
    return true;
}

/* What an init script starts, its own file of settings decides. */
static bool
tell_script(struct error *err)
{
    error_set(err, ERROR_REFUSED,
              "cannot give kpropd its own loader back: this host has no systemd, and init scripts "
              "are left to people");
    return error_hint(err, "Take -p " KPC_LOADER " out of what kpropd's init script starts it with "
                           "(Debian: DAEMON_ARGS in /etc/default/kpropd), and restart it");
}

/* One that its unit did not start goes on with what it was started with. */
static bool
is_left_alone(const struct service_state *state, bool running, struct error *err)
{
    if (!state->by_hand || !running)
        return true;
    error_set(err, ERROR_REFUSED,
              "cannot give kpropd its own loader back: pid %d was started by hand with it",
              (int)state->pid);
    return error_hint(err, "Start it again without its -p (%s)", state->command);
}

bool
kpropd_verb_release_loader(const struct verb_call *call, json_t **reply, struct error *err)
{
    bool changed = false, dropin, running, restart = false, ok = false;
    struct service_state state;
    struct kpropd_place place;
    struct systemd *sd = NULL;
    enum kpropd_runner runner;

    if (!kpropd_runner(call->settings, call->argv[0], &runner, err))
        return false;
    if (runner == RUNNER_AGENT)
        return kpropd_watched_release(call, reply, err);
    if (runner == RUNNER_SCRIPT)
        return tell_script(err);
    if (!kpropd_place(call->settings, call->argv[0], &place, err))
        return false;
    /* Read anew also if the file was gone: a former run may have ended before that. */
    if (!systemd_open(&sd, err) || !kpropd_see(sd, &place, &state, err) ||
        !remove_dropin(&state, &changed, err) || !systemd_reload(sd, err))
        goto cleanup;
    kpropd_loader_state(&state, &dropin, &running);
    if (!is_left_alone(&state, running, err))
        goto cleanup;
    restart = state.state.pid != 0 && running;
    if (restart && !kpropd_restart(sd, call->argv[0], &place, &state, reply, err))
        goto cleanup;
    *reply = json_pack("{s:b, s:s, s:b, s:b}", "changed", changed || restart, "unit", state.unit,
                       "dropin", false, "restarted", restart);
    ok = true;

cleanup:
    systemd_close(sd);
    return ok;
}
