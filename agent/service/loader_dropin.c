/* loader_dropin - see loader_dropin.h. */
#include "agent/service/loader_dropin.h"

#include "agent/service/dropins.h"
#include "agent/service/processes.h"
#include "common/base/buffers.h"
#include "common/base/files.h"
#include "common/host/systemd.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_UNIT_FILE = 256 * 1024 };

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

bool
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
bool
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
