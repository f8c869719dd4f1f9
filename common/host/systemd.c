/* systemd - see systemd.h. */
#include "common/host/systemd.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef HAVE_SYSTEMD

#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>

#define DESTINATION "org.freedesktop.systemd1"
#define MANAGER_PATH "/org/freedesktop/systemd1"
#define MANAGER "org.freedesktop.systemd1.Manager"
#define UNIT "org.freedesktop.systemd1.Unit"
#define SERVICE "org.freedesktop.systemd1.Service"
#define TIMER "org.freedesktop.systemd1.Timer"

enum { MAX_LOG_LINE = 2000, LOOK_AT_MOST = 5000 /* lines of the journal */ };

struct systemd {
    sd_bus *bus;
};

static bool
bus_failed(int code, const sd_bus_error *bus_error, const char *what, struct error *err)
{
    return error_set(err, ERROR_FAILED, "cannot %s: %s", what,
                     bus_error != NULL && bus_error->message != NULL ? bus_error->message
                                                                     : strerror(-code));
}

bool
systemd_runs_here(void)
{
    return access("/run/systemd/system", F_OK) == 0;
}

/* systemctl too speaks with the manager directly where no bus daemon runs. */
static int
open_private(sd_bus **bus)
{
    int r = sd_bus_new(bus);

    if (r >= 0)
        r = sd_bus_set_address(*bus, "unix:path=/run/systemd/private");
    if (r >= 0)
        r = sd_bus_start(*bus);
    if (r < 0)
        *bus = sd_bus_unref(*bus);
    return r;
}

bool
systemd_open(struct systemd **out, struct error *err)
{
    struct systemd *sd = calloc(1, sizeof(*sd));
    int r;

    *out = NULL;
    if (sd == NULL)
        return error_memory(err);
    r = sd_bus_open_system(&sd->bus);
    if (r < 0 && open_private(&sd->bus) < 0) {
        free(sd);
        bus_failed(r, NULL, "connect to systemd", err);
        return error_hint(err, "Is systemd this host's service manager, and does dbus run?");
    }
    *out = sd;
    return true;
}

void
systemd_close(struct systemd *sd)
{
    if (sd == NULL)
        return;
    sd_bus_flush_close_unref(sd->bus);
    free(sd);
}

static void
get_text(struct systemd *sd, const char *path, const char *interface, const char *name, char *text,
         size_t size)
{
    char *value = NULL;

    text[0] = '\0';
    if (sd_bus_get_property_string(sd->bus, DESTINATION, path, interface, name, NULL, &value) >= 0)
        snprintf(text, size, "%s", value);
    free(value);
}

/* The words of the first command of ExecStart, type a(sasbttttuii), joined by blanks. */
static void
get_command(struct systemd *sd, const char *path, char *text, size_t size)
{
    sd_bus_message *m = NULL;
    const char *word;
    size_t len = 0;

    text[0] = '\0';
    if (sd_bus_get_property(sd->bus, DESTINATION, path, SERVICE, "ExecStart", NULL, &m,
                            "a(sasbttttuii)") < 0)
        return;
    if (sd_bus_message_enter_container(m, 'a', "(sasbttttuii)") > 0 &&
        sd_bus_message_enter_container(m, 'r', "sasbttttuii") > 0 &&
        sd_bus_message_read(m, "s", &word) > 0 && sd_bus_message_enter_container(m, 'a', "s") > 0) {
        while (len < size && sd_bus_message_read(m, "s", &word) > 0)
            len += (size_t)snprintf(text + len, size - len, "%s%s", len > 0 ? " " : "", word);
    }
    sd_bus_message_unref(m);
}

/* The object path of UNIT, freed by the caller. The manager loads the unit if need be. */
static bool
unit_path(struct systemd *sd, const char *unit, char **path, struct error *err)
{
    sd_bus_error bus_error = SD_BUS_ERROR_NULL;
    sd_bus_message *m = NULL;
    const char *value = NULL;
    int r;

    *path = NULL;
    r = sd_bus_call_method(sd->bus, DESTINATION, MANAGER_PATH, MANAGER, "LoadUnit", &bus_error, &m,
                           "s", unit);
    if (r >= 0)
        r = sd_bus_message_read(m, "o", &value);
    if (r >= 0)
        *path = strdup(value);
    else
        bus_failed(r, &bus_error, "ask systemd for a unit", err);
    sd_bus_error_free(&bus_error);
    sd_bus_message_unref(m);
    return *path != NULL;
}

bool
systemd_state(struct systemd *sd, const char *unit, struct unit_state *state, struct error *err)
{
    char *path, load[24];
    uint32_t pid = 0;

    memset(state, 0, sizeof(*state));
    if (!unit_path(sd, unit, &path, err))
        return false;
    get_text(sd, path, UNIT, "LoadState", load, sizeof(load));
    get_text(sd, path, UNIT, "ActiveState", state->active, sizeof(state->active));
    state->exists = strcmp(load, "not-found") != 0 && load[0] != '\0';
    if (state->exists) {
        get_text(sd, path, UNIT, "UnitFileState", state->enabled, sizeof(state->enabled));
        get_text(sd, path, UNIT, "FragmentPath", state->fragment, sizeof(state->fragment));
        get_command(sd, path, state->command, sizeof(state->command));
        sd_bus_get_property_trivial(sd->bus, DESTINATION, path, SERVICE, "MainPID", NULL, 'u',
                                    &pid);
        state->pid = (pid_t)pid;
    }
    free(path);
    return true;
}

/* A property in microseconds since the epoch, in seconds; 0 if it is not set. */
static double
get_time(struct systemd *sd, const char *path, const char *interface, const char *name)
{
    uint64_t usec = 0;

    if (sd_bus_get_property_trivial(sd->bus, DESTINATION, path, interface, name, NULL, 't', &usec) <
            0 ||
        usec == UINT64_MAX)
        return 0;
    return (double)usec / 1e6;
}

bool
systemd_service(struct systemd *sd, const char *unit, struct service_run *state, struct error *err)
{
    int32_t status = 0;
    char *path;

    memset(state, 0, sizeof(*state));
    if (!unit_path(sd, unit, &path, err))
        return false;
    state->since = get_time(sd, path, UNIT, "ActiveEnterTimestamp");
    state->ended = get_time(sd, path, SERVICE, "ExecMainExitTimestamp");
    get_text(sd, path, SERVICE, "Result", state->result, sizeof(state->result));
    get_text(sd, path, SERVICE, "StatusText", state->status, sizeof(state->status));
    sd_bus_get_property_trivial(sd->bus, DESTINATION, path, SERVICE, "ExecMainStatus", NULL, 'i',
                                &status);
    state->exit_status = status;
    free(path);
    return true;
}

bool
systemd_timer(struct systemd *sd, const char *unit, struct timer_times *state, struct error *err)
{
    char *path;

    memset(state, 0, sizeof(*state));
    if (!unit_path(sd, unit, &path, err))
        return false;
    state->next = get_time(sd, path, TIMER, "NextElapseUSecRealtime");
    state->last = get_time(sd, path, TIMER, "LastTriggerUSec");
    free(path);
    return true;
}

static bool
get_list(struct systemd *sd, const char *unit, const char *property, char ***list,
         struct error *err)
{
    sd_bus_error bus_error = SD_BUS_ERROR_NULL;
    char *path, what[64];
    int r;

    *list = NULL;
    if (!unit_path(sd, unit, &path, err))
        return false;
    r = sd_bus_get_property_strv(sd->bus, DESTINATION, path, UNIT, property, &bus_error, list);
    free(path);
    snprintf(what, sizeof(what), "read a unit's %s", property);
    if (r < 0)
        bus_failed(r, &bus_error, what, err);
    sd_bus_error_free(&bus_error);
    return r >= 0;
}

bool
systemd_drop_ins(struct systemd *sd, const char *unit, char ***paths, struct error *err)
{
    return get_list(sd, unit, "DropInPaths", paths, err);
}

bool
systemd_triggers(struct systemd *sd, const char *unit, char ***units, struct error *err)
{
    return get_list(sd, unit, "TriggeredBy", units, err);
}

/* Wait until job JOB (an object path) is gone. */
static bool
wait_for_job(struct systemd *sd, const char *job, int timeout_s)
{
    static const struct timespec nap = { 0, 20 * 1000 * 1000 };

    for (int i = 0; i < timeout_s * 50; i++) {
        char *state = NULL;
        int r = sd_bus_get_property_string(sd->bus, DESTINATION, job,
                                           "org.freedesktop.systemd1.Job", "State", NULL, &state);

        free(state);
        if (r < 0)
            return true;
        nanosleep(&nap, NULL);
    }
    return false;
}

bool
systemd_run(struct systemd *sd, const char *unit, enum systemd_action action, int timeout_s,
            struct error *err)
{
    static const char *const methods[] = { "StartUnit", "RestartUnit", "StopUnit" };
    static const char *const words[] = { "start", "restart", "stop" };
    sd_bus_error bus_error = SD_BUS_ERROR_NULL;
    sd_bus_message *m = NULL;
    const char *job = NULL;
    char what[300];
    bool ok;
    int r;

    snprintf(what, sizeof(what), "%s %s", words[action], unit);
    /* A person who asks again is not to meet the limit of systemd for units that fail at once. */
    sd_bus_call_method(sd->bus, DESTINATION, MANAGER_PATH, MANAGER, "ResetFailedUnit", NULL, NULL,
                       "s", unit);
    r = sd_bus_call_method(sd->bus, DESTINATION, MANAGER_PATH, MANAGER, methods[action], &bus_error,
                           &m, "ss", unit, "replace");
    if (r >= 0)
        r = sd_bus_message_read(m, "o", &job);
    if (r < 0)
        ok = bus_failed(r, &bus_error, what, err);
    else if (!wait_for_job(sd, job, timeout_s))
        ok = error_set(err, ERROR_UNREACHABLE, "cannot %s: not done after %d s", what, timeout_s);
    else
        ok = true;
    sd_bus_error_free(&bus_error);
    sd_bus_message_unref(m);
    return ok;
}

bool
systemd_enable(struct systemd *sd, const char *unit, struct error *err)
{
    sd_bus_error bus_error = SD_BUS_ERROR_NULL;
    char what[300];
    int r;

    snprintf(what, sizeof(what), "enable %s", unit);
    r = sd_bus_call_method(sd->bus, DESTINATION, MANAGER_PATH, MANAGER, "EnableUnitFiles",
                           &bus_error, NULL, "asbb", 1, unit, 0, 0);
    if (r < 0)
        bus_failed(r, &bus_error, what, err);
    sd_bus_error_free(&bus_error);
    return r >= 0 && systemd_reload(sd, err);
}

bool
systemd_disable(struct systemd *sd, const char *unit, struct error *err)
{
    sd_bus_error bus_error = SD_BUS_ERROR_NULL;
    char what[300];
    int r;

    snprintf(what, sizeof(what), "disable %s", unit);
    r = sd_bus_call_method(sd->bus, DESTINATION, MANAGER_PATH, MANAGER, "DisableUnitFiles",
                           &bus_error, NULL, "asb", 1, unit, 0);
    if (r < 0)
        bus_failed(r, &bus_error, what, err);
    sd_bus_error_free(&bus_error);
    return r >= 0 && systemd_reload(sd, err);
}

bool
systemd_reload(struct systemd *sd, struct error *err)
{
    sd_bus_error bus_error = SD_BUS_ERROR_NULL;
    int r = sd_bus_call_method(sd->bus, DESTINATION, MANAGER_PATH, MANAGER, "Reload", &bus_error,
                               NULL, "");

    if (r < 0)
        bus_failed(r, &bus_error, "make systemd read its unit files", err);
    sd_bus_error_free(&bus_error);
    return r >= 0;
}

/* FIELD ("MESSAGE=") of the entry as a new string, null if it has none or it is not text. */
static json_t *
journal_field(sd_journal *journal, const char *name, const char *field)
{
    size_t len, skip = strlen(field);
    json_t *text = NULL;
    const void *p;

    if (sd_journal_get_data(journal, name, &p, &len) >= 0 && len >= skip) {
        len -= skip;
        text = json_stringn((const char *)p + skip, len < MAX_LOG_LINE ? len : MAX_LOG_LINE);
    }
    return text == NULL ? json_null() : text;
}

/* One journal entry as {"time", "program", "text"}, or NULL. */
static json_t *
journal_line(sd_journal *journal, uint64_t *usec)
{
    *usec = 0;
    if (sd_journal_get_realtime_usec(journal, usec) < 0)
        return NULL;
    return json_pack("{s:f, s:o, s:o}", "time", (double)*usec / 1e6, "program",
                     journal_field(journal, "SYSLOG_IDENTIFIER", "SYSLOG_IDENTIFIER="), "text",
                     journal_field(journal, "MESSAGE", "MESSAGE="));
}

/* What UNIT or systemd says of it, or PROGRAM without a unit: fields that anybody may write are
 * believed of PID 1, and of root, alone. */
static int
match_journal(sd_journal *journal, const char *unit, const char *program)
{
    char field[300];
    int r;

    snprintf(field, sizeof(field), "_SYSTEMD_UNIT=%s", unit);
    if ((r = sd_journal_add_match(journal, field, 0)) < 0 ||
        (r = sd_journal_add_disjunction(journal)) < 0)
        return r;
    snprintf(field, sizeof(field), "UNIT=%s", unit);
    if ((r = sd_journal_add_match(journal, field, 0)) < 0 ||
        (r = sd_journal_add_match(journal, "_PID=1", 0)) < 0 || program == NULL ||
        (r = sd_journal_add_disjunction(journal)) < 0)
        return r;
    snprintf(field, sizeof(field), "SYSLOG_IDENTIFIER=%s", program);
    if ((r = sd_journal_add_match(journal, field, 0)) < 0)
        return r;
    return sd_journal_add_match(journal, "_UID=0", 0);
}

/* Is the entry, which says it is PROGRAM's, another unit's or somebody's session's? */
static bool
is_of_another(sd_journal *journal, const char *unit, const char *program)
{
    const size_t skip = strlen("_SYSTEMD_UNIT=");
    size_t len;
    const void *p;

    if (program == NULL || sd_journal_get_data(journal, "_SYSTEMD_UNIT", &p, &len) < 0 ||
        (len - skip == strlen(unit) && memcmp((const char *)p + skip, unit, len - skip) == 0))
        return false;
    return sd_journal_get_data(journal, "_PID", &p, &len) < 0 || len != strlen("_PID=1") ||
           memcmp(p, "_PID=1", len) != 0;
}

bool
systemd_journal(const char *unit, const char *program, int count, int seconds, json_t **lines,
                struct error *err)
{
    sd_journal *journal = NULL;
    uint64_t usec, oldest = 0;
    json_t *line;
    int r;

    *lines = json_array();
    if (seconds > 0)
        oldest = (uint64_t)(time(NULL) - seconds) * 1000000;
    r = sd_journal_open(&journal, SD_JOURNAL_LOCAL_ONLY);
    if (r >= 0 && (r = match_journal(journal, unit, program)) >= 0)
        r = sd_journal_seek_tail(journal);
    for (int looked = 0; r >= 0 && (int)json_array_size(*lines) < count && looked < LOOK_AT_MOST;
         looked++) {
        r = sd_journal_previous(journal);
        if (r <= 0)
            break;
        if (is_of_another(journal, unit, program))
            continue;
        line = journal_line(journal, &usec);
        if (line != NULL && usec < oldest) {
            json_decref(line);
            break;
        }
        if (line != NULL)
            json_array_insert_new(*lines, 0, line);
    }
    sd_journal_close(journal);
    if (r >= 0)
        return true;
    json_decref(*lines);
    *lines = NULL;
    return bus_failed(r, NULL, "read the journal", err);
}

void
systemd_free_list(char **paths)
{
    for (char **p = paths; p != NULL && *p != NULL; p++)
        free(*p);
    free(paths);
}

void
systemd_notify(const char *state)
{
    sd_notify(0, state);
}

#else

bool
systemd_runs_here(void)
{
    return false;
}

static bool
unsupported(struct error *err)
{
    error_set(err, ERROR_FAILED, "cannot reach the service manager: built without libsystemd");
    return error_hint(err, "Do it by hand with this host's service manager");
}

bool
systemd_open(struct systemd **out, struct error *err)
{
    *out = NULL;
    return unsupported(err);
}

void
systemd_close(struct systemd *sd)
{
    (void)sd;
}

bool
systemd_state(struct systemd *sd, const char *unit, struct unit_state *state, struct error *err)
{
    (void)sd, (void)unit;
    memset(state, 0, sizeof(*state));
    return unsupported(err);
}

bool
systemd_drop_ins(struct systemd *sd, const char *unit, char ***paths, struct error *err)
{
    (void)sd, (void)unit;
    *paths = NULL;
    return unsupported(err);
}

bool
systemd_triggers(struct systemd *sd, const char *unit, char ***units, struct error *err)
{
    (void)sd, (void)unit;
    *units = NULL;
    return unsupported(err);
}

void
systemd_free_list(char **paths)
{
    (void)paths;
}

bool
systemd_run(struct systemd *sd, const char *unit, enum systemd_action action, int timeout_s,
            struct error *err)
{
    (void)sd, (void)unit, (void)action, (void)timeout_s;
    return unsupported(err);
}

bool
systemd_enable(struct systemd *sd, const char *unit, struct error *err)
{
    (void)sd, (void)unit;
    return unsupported(err);
}

bool
systemd_disable(struct systemd *sd, const char *unit, struct error *err)
{
    (void)sd, (void)unit;
    return unsupported(err);
}

bool
systemd_service(struct systemd *sd, const char *unit, struct service_run *state, struct error *err)
{
    (void)sd, (void)unit;
    memset(state, 0, sizeof(*state));
    return unsupported(err);
}

bool
systemd_timer(struct systemd *sd, const char *unit, struct timer_times *state, struct error *err)
{
    (void)sd, (void)unit;
    memset(state, 0, sizeof(*state));
    return unsupported(err);
}

bool
systemd_reload(struct systemd *sd, struct error *err)
{
    (void)sd;
    return unsupported(err);
}

bool
systemd_journal(const char *unit, const char *program, int count, int seconds, json_t **lines,
                struct error *err)
{
    (void)unit, (void)program, (void)count, (void)seconds;
    *lines = NULL;
    return unsupported(err);
}

void
systemd_notify(const char *state)
{
    (void)state;
}

#endif
