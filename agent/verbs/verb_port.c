/* verb_port - see verb_port.h. */
#include "agent/verbs/verb_port.h"

#include "agent/base/progress.h"
#include "agent/service/dropins.h"
#include "agent/service/port_release.h"
#include "agent/service/services.h"
#include "agent/service/supervised.h"
#include "common/base/files.h"
#include "common/port/portreserve.h"
#include "common/port/ports_json.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DROPIN_BYTES = 16 * 1024 };

static json_t *
text_or_null(const char *text)
{
    return text != NULL && text[0] != '\0' ? json_string(text) : json_null();
}

/* [SERVICE|PORT] [--way WAY], in any order. */
static bool
read_arguments(const struct verb_call *call, struct port_spec *spec, struct ports_options *options,
               struct error *err)
{
    const char *port = NULL;

    *options = (struct ports_options){ .portreserve = call->settings->portreserve };
    for (size_t i = 0; i < call->argc; i++) {
        if (strcmp(call->argv[i], "--way") == 0 && i + 1 < call->argc) {
            if (!ports_way_from(call->argv[++i], &options->way))
                return error_set(err, ERROR_USAGE,
                                 "cannot look by way '%.32s': it is not auto, "
                                 "sock_diag, pidfd, proc or portreserve",
                                 call->argv[i]);
        } else if (call->argv[i][0] != '-' && port == NULL) {
            port = call->argv[i];
        } else {
            return error_set(err, ERROR_USAGE, "cannot use argument '%.64s'", call->argv[i]);
        }
    }
    return ports_resolve(port, spec, err);
}

static bool
is_own_port(const struct port_spec *spec)
{
    struct port_spec own;
    struct error err;

    return ports_resolve(NULL, &own, &err) && own.port == spec->port;
}

/* The name of the file by which portreserve reserves the port when it starts, or "". */
static void
reserving_name(const struct port_spec *spec, const struct ports_options *options, char *name,
               size_t size)
{
    struct portreserve *reserve = (struct portreserve *)calloc(1, sizeof(*reserve));
    const struct portreserve_file *file = NULL;
    struct error err;
    size_t at = 0;

    name[0] = '\0';
    if (reserve != NULL && portreserve_read(options->root, options->portreserve, reserve, &err))
        file = portreserve_find(reserve, spec->port, &at);
    if (file != NULL)
        snprintf(name, size, "%s", file->name);
    free(reserve);
}

/* Of UNIT: does the drop-in release the port at each start? */
static bool
dropin_is_there(const char *unit, const struct port_spec *spec)
{
    char path[PATH_MAX], wanted[64];
    struct buffer text;
    struct error err;
    bool there;

    snprintf(wanted, sizeof(wanted), " release-at-start %u\n", spec->port);
    buffer_init(&text, DROPIN_BYTES);
    there = dropins_path(unit, DROPIN_PORT, path, sizeof(path), &err) &&
            file_read(path, &text, &err) && strstr(buffer_string(&text), wanted) != NULL;
    buffer_free(&text);
    return there;
}

/* kpropd's unit into STATE; false where there is none, or no systemd. SD is closed by the caller.
 */
static bool
find_unit(struct systemd **sd, struct service_state *state)
{
    struct error err;

    *sd = NULL;
    *state = (struct service_state){ 0 };
    return systemd_open(sd, &err) && services_see(*sd, SERVICE_KPROPD, NULL, 0, state, &err) &&
           state->unit != NULL;
}

static json_t *
lasting(const struct settings *settings, const struct port_spec *spec,
        const struct ports_options *options)
{
    struct service_state state;
    struct systemd *sd = NULL;
    char name[256];
    json_t *answer;

    if (!is_own_port(spec))
        return json_null();
    reserving_name(spec, options, name, sizeof(name));
    if (name[0] == '\0' || supervised_realm(settings, NULL, NULL))
        answer = json_true();
    else if (!find_unit(&sd, &state))
        answer = json_null();
    else
        answer = json_boolean(dropin_is_there(state.unit, spec));
    systemd_close(sd);
    return answer;
}

bool
verb_port(const struct verb_call *call, json_t **reply, struct error *err)
{
    struct port_report *report = NULL;
    struct ports_options options;
    struct port_spec spec;

    if (!read_arguments(call, &spec, &options, err) ||
        !ports_examine(&spec, &options, &report, err))
        return false;
    *reply = ports_json(report);
    ports_report_free(report);
    if (*reply == NULL)
        return error_memory(err);
    json_object_set_new(*reply, "lasting", lasting(call->settings, &spec, &options));
    return true;
}

/* Make the release last, but where the agent releases at each start of kpropd anyway: PATH is the
 * drop-in ("" if none is needed), INIT what to do by hand. */
static bool
make_lasting(const struct settings *settings, const struct port_spec *spec,
             const struct ports_options *options, char *path, size_t path_size, char *init,
             size_t init_size, bool *changed, struct error *err)
{
    struct service_state state;
    struct systemd *sd = NULL;
    char name[256], text[4096];
    bool ok = true;

    path[0] = init[0] = '\0';
    *changed = false;
    reserving_name(spec, options, name, sizeof(name));
    if (name[0] == '\0' || !is_own_port(spec) || supervised_realm(settings, NULL, NULL))
        return true;
    if (find_unit(&sd, &state)) {
        port_release_drop_in(state.unit, spec, name, path, path_size, text, sizeof(text));
        ok = dropins_write(state.unit, DROPIN_PORT, text, changed, err) &&
             (!*changed || systemd_reload(sd, err));
    } else {
        port_release_init_advice(name, init, init_size);
    }
    systemd_close(sd);
    return ok;
}

bool
verb_release(const struct verb_call *call, json_t **reply, struct error *err)
{
    char path[PATH_MAX] = "", init[512] = "";
    struct port_report *report = NULL;
    struct port_release result = { 0 };
    struct ports_options options;
    struct port_spec spec;
    bool ok, changed = false;

    if (!read_arguments(call, &spec, &options, err) ||
        !ports_examine(&spec, &options, &report, err))
        return false;
    ok = ports_ready(report);
    if (!ok) {
        if (report->warning[0] != '\0')
            verbs_progress("%s", report->warning);
        ports_report_free(report);
        ok = port_release(&spec, &options, &result, &report, err);
    }
    ok = ok && make_lasting(call->settings, &spec, &options, path, sizeof(path), init, sizeof(init),
                            &changed, err);
    *reply = json_pack("{s:b, s:i, s:o, s:o, s:o, s:o, s:o, s:o}", "changed",
                       result.released || changed, "port", (int)spec.port, "released",
                       text_or_null(result.released ? result.name : NULL), "lost",
                       text_or_null(result.lost), "taken", text_or_null(result.taken), "dropin",
                       text_or_null(path), "init", text_or_null(init), "report",
                       report != NULL ? ports_json(report) : json_null());
    ports_report_free(report);
    if (ok && *reply == NULL)
        return error_memory(err);
    return ok;
}

bool
verb_release_at_start(const struct verb_call *call, json_t **reply, struct error *err)
{
    struct ports_options options;
    struct port_spec spec;

    if (!read_arguments(call, &spec, &options, err) || !port_release_at_start(&spec, &options, err))
        return false;
    *reply = json_pack("{s:i, s:b}", "port", (int)spec.port, "usable", true);
    return *reply != NULL || error_memory(err);
}
