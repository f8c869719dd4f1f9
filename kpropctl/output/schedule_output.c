/* schedule_output - a schedule for people, and for programs. */
#include "kpropctl/base/clean.h"
#include "kpropctl/output/output.h"
#include "kpropctl/schedule/schedule.h"

#include <string.h>
#include <time.h>

/* As "11:42:07" if it is within half a day, else with the date. */
static const char *
time_text(double when, char *text, size_t size)
{
    time_t at = (time_t)when, now = time(NULL);
    bool near = at > now - 43200 && at < now + 43200;
    struct tm tm;

    strftime(text, size, near ? "%H:%M:%S" : "%Y-%m-%d %H:%M:%S", localtime_r(&at, &tm));
    return text;
}

static const char *
state_word(const struct schedule_unit *unit)
{
    if (unit->active)
        return unit->enabled ? "on" : "on until the next boot";
    return unit->failed ? "failed" : unit->enabled ? "off until the next boot" : "off";
}

static void
print_watch(const struct schedule_unit *watch, FILE *out)
{
    char when[32], status[512];

    fprintf(out, "  watch  %s", state_word(watch));
    if (watch->active && watch->since > 0)
        fprintf(out, " since %s", time_text(watch->since, when, sizeof(when)));
    output_clean(watch->status, false, status, sizeof(status));
    if (watch->active && status[0] != '\0')
        fprintf(out, ": %s", status);
    fprintf(out, "  (%s)\n", watch->name);
}

static void
print_timer(const struct schedule_unit *timer, FILE *out)
{
    char when[32];

    fprintf(out, "  timer  %s", state_word(timer));
    if (timer->running)
        fprintf(out, ", a run is under way");
    else if (timer->active && timer->next > 0)
        fprintf(out, ", next run at %s", time_text(timer->next, when, sizeof(when)));
    if (timer->ended > 0 && strcmp(timer->result, "success") == 0)
        fprintf(out, ", the last was good (%s)", time_text(timer->ended, when, sizeof(when)));
    else if (timer->ended > 0)
        fprintf(out, ", the last FAILED (%s, exit status %d)",
                time_text(timer->ended, when, sizeof(when)), timer->exit_status);
    fprintf(out, "  (%s)\n", timer->name);
}

static void
print_competitor(const struct competitor *one, FILE *out)
{
    fprintf(out, "  %s:%u", one->file, one->line);
    if (one->script[0] != '\0')
        fprintf(out, " runs %s, which runs %s in its line %u\n", one->script, job_name(one->kind),
                one->script_line);
    else
        fprintf(out, " runs %s\n", job_name(one->kind));
    fprintf(out, "      %s\n", one->command);
}

static void
print_kind(const struct competitors *found, enum job_kind kind, const char *heading, FILE *out)
{
    bool first = true;

    for (size_t i = 0; i < found->count; i++) {
        if (found->items[i].kind != kind)
            continue;
        if (first)
            fprintf(out, "%s\n", heading);
        first = false;
        print_competitor(&found->items[i], out);
    }
}

void
schedule_print(const struct schedule *schedule, FILE *out)
{
    fprintf(out, "propagation of %s by itself:\n", schedule->realm->name);
    if (schedule->systemd) {
        print_watch(&schedule->watch, out);
        print_timer(&schedule->timer, out);
        if (!schedule_is_on(schedule))
            fputs("  turn it on with 'kpropctl schedule --enable'\n", out);
    } else if (!schedule_is_on(schedule)) {
        fprintf(out, "  off; without systemd, put this line into /etc/cron.d/kpropctl:\n  %s\n",
                SCHEDULE_CRON_LINE);
    }
    print_kind(&schedule->competitors, JOB_OURS, "by cron, or units of your own:", out);
    print_kind(&schedule->competitors, JOB_KPROP,
               "competing jobs, which send without proof (remove them):", out);
    print_kind(&schedule->competitors, JOB_DUMP,
               "jobs that only dump (fine if they are meant as backups):", out);
    if (schedule->competitors.cut)
        fputs("there is more than was looked at: other jobs may be there\n", out);
}

/* --- for programs --- */

static json_t *
number_or_null(double value)
{
    return value > 0 ? json_real(value) : json_null();
}

/* Text from elsewhere; null if there is none. */
static json_t *
text_or_null(const char *text)
{
    char clean[1024];
    json_t *value;

    if (text[0] == '\0')
        return json_null();
    output_clean(text, false, clean, sizeof(clean));
    value = json_string(clean);
    return value != NULL ? value : json_string("(text that is not UTF-8)");
}

static json_t *
competitor_json(const struct competitor *one)
{
    return json_pack("{s:s, s:o, s:i, s:o, s:o, s:o, s:o}", "kind", job_name(one->kind), "file",
                     text_or_null(one->file), "line", (int)one->line, "command",
                     text_or_null(one->command), "script", text_or_null(one->script), "script_line",
                     one->script_line > 0 ? json_integer(one->script_line) : json_null(), "unit",
                     text_or_null(one->unit));
}

static json_t *
watch_json(const struct schedule_unit *watch)
{
    return json_pack("{s:s, s:b, s:b, s:b, s:o, s:o}", "unit", watch->name, "enabled",
                     watch->enabled, "active", watch->active, "failed", watch->failed, "since",
                     number_or_null(watch->since), "status", text_or_null(watch->status));
}

static json_t *
timer_json(const struct schedule_unit *timer)
{
    bool ran = timer->ended > 0;

    return json_pack("{s:s, s:b, s:b, s:b, s:o, s:o, s:b, s:o, s:o, s:o}", "unit", timer->name,
                     "enabled", timer->enabled, "active", timer->active, "failed", timer->failed,
                     "next", number_or_null(timer->next), "last", number_or_null(timer->last),
                     "running", timer->running, "ended", number_or_null(timer->ended), "result",
                     text_or_null(ran ? timer->result : ""), "exit_status",
                     ran ? json_integer(timer->exit_status) : json_null());
}

json_t *
schedule_json(const struct schedule *schedule)
{
    json_t *jobs = json_array();

    for (size_t i = 0; i < schedule->competitors.count; i++)
        json_array_append_new(jobs, competitor_json(&schedule->competitors.items[i]));
    return json_pack("{s:s, s:b, s:b, s:o, s:o, s:o, s:b}", "realm", schedule->realm->name,
                     "systemd", schedule->systemd, "scheduled", schedule_is_on(schedule), "watch",
                     schedule->systemd ? watch_json(&schedule->watch) : json_null(), "timer",
                     schedule->systemd ? timer_json(&schedule->timer) : json_null(), "competitors",
                     jobs, "complete", !schedule->competitors.cut);
}
