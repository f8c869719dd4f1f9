/* kpropd_watched - see kpropd_watched.h. */
#include "agent/verbs/kpropd_watched.h"

#include "agent/service/kpropd_place.h"
#include "agent/service/supervised.h"

#include <string.h>
#include <unistd.h>

enum { STATUS_SECONDS = 5, START_SECONDS = 40, STOP_SECONDS = 90 };

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
