/* schedule - see schedule.h; how it is told is in schedule_output.c. */
#include "kpropctl/schedule/schedule.h"

#include "common/host/systemd.h"

#include <ctype.h>
#include <string.h>

enum { START_TIMEOUT = 90 };

/* systemd takes nothing else in a name; a realm is written so wherever people make them. */
static bool
fits_a_unit(const char *realm)
{
    for (const char *p = realm; *p != '\0'; p++) {
        if (!isalnum((unsigned char)*p) && strchr(":_.-", *p) == NULL)
            return false;
    }
    return strlen(realm) < 100;
}

/* The default realm has units of its own, any other one an instance of the templates. */
static bool
name_units(const struct realm *realm, struct schedule *schedule, struct error *err)
{
    char instance[128] = "";
    struct realm *usual = NULL;
    struct error ignored;

    if (!realm_load(NULL, &usual, &ignored) || strcmp(usual->name, realm->name) != 0)
        snprintf(instance, sizeof(instance), "@%s", realm->name);
    realm_free(usual);
    if (instance[0] != '\0' && !fits_a_unit(realm->name)) {
        error_set(err, ERROR_FAILED, "cannot name a unit for realm %s", realm->name);
        return error_hint(err, "copy kpropctl-watch.service and kpropctl-propagate.timer to "
                               "/etc/systemd/system under names of your own");
    }
    snprintf(schedule->watch.name, sizeof(schedule->watch.name), "kpropctl-watch%s.service",
             instance);
    snprintf(schedule->timer.name, sizeof(schedule->timer.name), "kpropctl-propagate%s.timer",
             instance);
    return true;
}

static void
service_of(const struct schedule_unit *timer, char *name, size_t size)
{
    snprintf(name, size, "%.*sservice", (int)(strlen(timer->name) - strlen("timer")), timer->name);
}

static bool
read_state(struct systemd *sd, struct schedule_unit *unit, struct error *err)
{
    struct unit_state state;

    if (!systemd_state(sd, unit->name, &state, err))
        return false;
    unit->exists = state.exists;
    unit->enabled = strcmp(state.enabled, "enabled") == 0;
    unit->active = strcmp(state.active, "active") == 0 || strcmp(state.active, "reloading") == 0;
    unit->failed = strcmp(state.active, "failed") == 0;
    return true;
}

static bool
read_watch(struct systemd *sd, struct schedule_unit *watch, struct error *err)
{
    struct service_run run;

    if (!read_state(sd, watch, err) || !systemd_service(sd, watch->name, &run, err))
        return false;
    watch->since = watch->active ? run.since : 0;
    snprintf(watch->status, sizeof(watch->status), "%s", run.status);
    snprintf(watch->result, sizeof(watch->result), "%s", run.result);
    watch->exit_status = run.exit_status;
    return true;
}

static bool
read_timer(struct systemd *sd, struct schedule_unit *timer, struct error *err)
{
    char service[sizeof(timer->name) + 8];
    struct timer_times times;
    struct unit_state state;
    struct service_run run;

    service_of(timer, service, sizeof(service));
    if (!read_state(sd, timer, err) || !systemd_timer(sd, timer->name, &times, err) ||
        !systemd_state(sd, service, &state, err) || !systemd_service(sd, service, &run, err))
        return false;
    timer->next = timer->active ? times.next : 0;
    timer->last = times.last;
    timer->running = strcmp(state.active, "activating") == 0;
    timer->ended = run.ended;
    snprintf(timer->result, sizeof(timer->result), "%s", run.result);
    timer->exit_status = run.exit_status;
    return true;
}

/* --- competing jobs --- */

static bool
unit_is_on(struct systemd *sd, const char *name)
{
    struct unit_state state;
    struct error ignored;

    return systemd_state(sd, name, &state, &ignored) &&
           (strcmp(state.active, "active") == 0 || strcmp(state.active, "activating") == 0 ||
            strncmp(state.enabled, "enabled", 7) == 0);
}

/* A service competes if it, or what starts it, is on. */
static bool
service_is_on(struct systemd *sd, const char *name)
{
    char **triggers = NULL;
    struct error ignored;
    bool on = unit_is_on(sd, name);

    if (!on && systemd_triggers(sd, name, &triggers, &ignored)) {
        for (char **p = triggers; !on && p != NULL && *p != NULL; p++)
            on = unit_is_on(sd, *p);
        systemd_free_list(triggers);
    }
    return on;
}

/* SD is NULL where there is no systemd: then no unit is on. */
static void
drop_what_is_off(struct systemd *sd, struct competitors *found)
{
    size_t kept = 0;

    for (size_t i = 0; i < found->count; i++) {
        const char *unit = found->items[i].unit;

        if (unit[0] == '\0' || (sd != NULL && service_is_on(sd, unit)))
            found->items[kept++] = found->items[i];
    }
    found->count = kept;
}

/* --- the schedule --- */

bool
schedule_read(const struct realm *realm, struct schedule *schedule, struct error *err)
{
    struct systemd *sd = NULL;
    bool ok;

    memset(schedule, 0, sizeof(*schedule));
    schedule->realm = realm;
    schedule->systemd = systemd_runs_here();
    if (!name_units(realm, schedule, err) || (schedule->systemd && !systemd_open(&sd, err)))
        return false;
    ok = competitors_find("", &schedule->competitors, err);
    if (ok && sd != NULL)
        ok = read_watch(sd, &schedule->watch, err) && read_timer(sd, &schedule->timer, err);
    if (ok)
        drop_what_is_off(sd, &schedule->competitors);
    systemd_close(sd);
    return ok;
}

void
schedule_free(struct schedule *schedule)
{
    competitors_free(&schedule->competitors);
}

bool
schedule_is_on(const struct schedule *schedule)
{
    for (size_t i = 0; i < schedule->competitors.count; i++) {
        if (schedule->competitors.items[i].kind == JOB_OURS)
            return true;
    }
    return schedule->watch.active || schedule->timer.active;
}

static bool
turn_on(struct systemd *sd, const struct schedule_unit *unit, struct error *err)
{
    if (!unit->exists) {
        error_set(err, ERROR_FAILED, "cannot enable %s: there is no such unit", unit->name);
        return error_hint(err, "install the package kpropctl, which brings it");
    }
    return systemd_enable(sd, unit->name, err) &&
           systemd_run(sd, unit->name, SYSTEMD_START, START_TIMEOUT, err);
}

static bool
turn_off(struct systemd *sd, const struct schedule_unit *unit, struct error *err)
{
    return !unit->exists || (systemd_run(sd, unit->name, SYSTEMD_STOP, START_TIMEOUT, err) &&
                             systemd_disable(sd, unit->name, err));
}

/* What was to be on and is not. */
static bool
check_on(const struct schedule_unit *unit, struct error *err)
{
    if (unit->active)
        return true;
    error_set(err, ERROR_FAILED, "cannot start %s: %s%s%s", unit->name,
              unit->failed ? "it failed" : "it is not active", unit->status[0] != '\0' ? ": " : "",
              unit->status);
    return error_hint(err, "see journalctl -u %s", unit->name);
}

bool
schedule_change(struct schedule *schedule, int which, bool on, struct error *err)
{
    const struct realm *realm = schedule->realm;
    struct systemd *sd;
    bool ok = true;

    if (!schedule->systemd) {
        error_set(err, ERROR_FAILED,
                  "cannot %s a schedule: systemd is not this host's service manager",
                  on ? "enable" : "disable");
        return on ? error_hint(err, "put this line into /etc/cron.d/kpropctl: %s",
                               SCHEDULE_CRON_LINE)
                  : error_hint(err, "remove the line with kpropctl from cron's tables");
    }
    if (!systemd_open(&sd, err))
        return false;
    if (which & SCHEDULE_TIMER)
        ok = on ? turn_on(sd, &schedule->timer, err) : turn_off(sd, &schedule->timer, err);
    if (ok && (which & SCHEDULE_WATCH))
        ok = on ? turn_on(sd, &schedule->watch, err) : turn_off(sd, &schedule->watch, err);
    systemd_close(sd);
    if (!ok)
        return false;
    schedule_free(schedule);
    if (!schedule_read(realm, schedule, err))
        return false;
    return !on || ((!(which & SCHEDULE_TIMER) || check_on(&schedule->timer, err)) &&
                   (!(which & SCHEDULE_WATCH) || check_on(&schedule->watch, err)));
}

bool
schedule_hint(const struct realm *realm, char *text, size_t size)
{
    struct schedule schedule;
    struct error ignored;
    bool told;

    told = schedule_read(realm, &schedule, &ignored) && !schedule_is_on(&schedule);
    schedule_free(&schedule);
    snprintf(text, size, "%s",
             told ? "nothing propagates by itself yet: 'kpropctl schedule --enable' sees to it"
                  : "");
    return told;
}
