/*
 * output_check - a health check for people (worst first), as a monitoring plugin
 * (https://www.monitoring-plugins.org/doc/guidelines.html), and as a documented JSON object.
 */
#include "kpropctl/base/clean.h"
#include "kpropctl/output/health.h"
#include "kpropctl/output/output.h"

#include <string.h>
#include <time.h>

static const char *
member(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text == NULL ? "" : text;
}

static const char *
colour_of(enum health health)
{
    static const char *const colours[] = { "32", "33", "31", "35" };

    return colours[health];
}

/* One row: its state, id, summary; what to do about it on a line of its own. */
static void
print_row(struct output *output, const json_t *step)
{
    enum health health = health_of_step(step);
    const char *level = member(step, "level");
    bool skipped = strcmp(level, "skipped") == 0;
    char clean[4096];

    if (output->colour)
        fprintf(output->stream, "  \033[%sm%-8s\033[0m ", skipped ? "2" : colour_of(health),
                skipped ? "skipped" : health_name(health));
    else
        fprintf(output->stream, "  %-8s ", skipped ? "skipped" : health_name(health));
    output_clean(member(step, "summary"), false, clean, sizeof(clean));
    fprintf(output->stream, "%-15s %s\n", member(step, "id"), clean);
    if (health != HEALTH_OK && member(step, "hint")[0] != '\0') {
        output_clean(member(step, "hint"), false, clean, sizeof(clean));
        fprintf(output->stream, "  %8s %15s %s %s\n", "", "", output->utf8 ? "→" : "->", clean);
    }
}

/* The rows of one report in the order of their states, the worst first. */
static void
print_report(struct output *output, size_t host)
{
    static const enum health order[] = { HEALTH_CRITICAL, HEALTH_UNKNOWN, HEALTH_WARNING,
                                         HEALTH_OK };
    const json_t *report = output_collected(output, host), *step;
    enum health health = report == NULL ? HEALTH_UNKNOWN : health_of_report(report);
    size_t index;

    if (output->colour)
        fprintf(output->stream, "%s: \033[%sm%s\033[0m\n", output->hosts[host], colour_of(health),
                health_name(health));
    else
        fprintf(output->stream, "%s: %s\n", output->hosts[host], health_name(health));
    for (size_t i = 0; i < 4; i++) {
        json_array_foreach(json_object_get(report, "steps"), index, step)
        {
            if (health_of_step(step) == order[i])
                print_row(output, step);
        }
    }
}

static void
text_finish(struct output *output)
{
    static const enum health order[] = { HEALTH_CRITICAL, HEALTH_UNKNOWN, HEALTH_WARNING,
                                         HEALTH_OK };

    for (size_t i = 0; i < 4; i++) {
        for (size_t host = 0; host < output->count; host++) {
            const json_t *report = output_collected(output, host);

            if ((report == NULL ? HEALTH_UNKNOWN : health_of_report(report)) == order[i])
                print_report(output, host);
        }
    }
    output_collect_free(output);
}

/* TEXT for a plugin's output: no bar, which begins the performance data, and no line's end. */
static void
print_plain(FILE *out, const char *text)
{
    char clean[4096];

    output_clean(text, false, clean, sizeof(clean));
    for (char *p = clean; *p != '\0'; p++) {
        if (*p == '|')
            *p = '/';
    }
    fputs(clean, out);
}

static const json_t *
worst_step(const json_t *report)
{
    const json_t *steps = json_object_get(report, "steps"), *step, *worst = NULL;
    size_t index;

    json_array_foreach(steps, index, step)
    {
        enum health health = health_of_step(step);

        if (health != HEALTH_OK &&
            (worst == NULL || (health_worse(health_of_step(worst), health) == health &&
                               health != health_of_step(worst))))
            worst = step;
    }
    return worst;
}

/* The status line: how many are not good, and the worst of them. */
static void
print_status(struct output *output)
{
    enum health all = health_of_all(output);
    size_t bad = 0, first = output->count;

    for (size_t i = 0; i < output->count; i++) {
        const json_t *report = output_collected(output, i);
        enum health health = report == NULL ? HEALTH_UNKNOWN : health_of_report(report);

        bad += health != HEALTH_OK;
        if (health == all && first == output->count)
            first = i;
    }
    fprintf(output->stream, "KPROPCTL %s - ", health_name(all));
    if (bad == 0) {
        fprintf(output->stream, "%zu host%s of ", output->count, output->count == 1 ? "" : "s");
        print_plain(output->stream, output->realm);
        fputs(" good", output->stream);
    } else {
        const json_t *step = worst_step(output_collected(output, first));

        fprintf(output->stream, "%zu of %zu host%s not good: ", bad, output->count,
                output->count == 1 ? "" : "s");
        print_plain(output->stream, output->hosts[first]);
        fputs(": ", output->stream);
        print_plain(output->stream, step == NULL ? "no result" : member(step, "summary"));
    }
}

/* The begin of 'label'=value[unit];[warning];[critical];[min]: quotes are doubled, and what else
 * the grammar has uses for becomes '_'. */
static void
print_label(FILE *out, const char *host, const char *what)
{
    fputs(" '", out);
    for (const char *p = host; *p != '\0'; p++) {
        if (*p == '\'')
            fputs("''", out);
        else
            fputc((unsigned char)*p < 0x20 || *p == '=' || *p == '|' ? '_' : *p, out);
    }
    fprintf(out, "_%s'=", what);
}

static void
print_perfdata(struct output *output)
{
    for (size_t i = 0; i < output->count; i++) {
        const json_t *report = output_collected(output, i);
        const json_t *metrics = json_object_get(report, "metrics");
        json_int_t at = json_integer_value(json_object_get(metrics, "verified_at"));
        const char *host = output->hosts[i];

        if (report == NULL || json_is_true(json_object_get(metrics, "primary")))
            continue;
        if (at > 0) {
            print_label(output->stream, host, "age");
            fprintf(output->stream, "%llds;%lld;%lld;0",
                    (long long)(time(NULL) > (time_t)at ? time(NULL) - (time_t)at : 0),
                    (long long)json_integer_value(json_object_get(metrics, "age_warning")),
                    (long long)json_integer_value(json_object_get(metrics, "age_critical")));
        }
        print_label(output->stream, host, "behind");
        fprintf(output->stream, "%lld;;;0",
                (long long)json_integer_value(json_object_get(metrics, "behind")));
        print_label(output->stream, host, "principals");
        fprintf(output->stream, "%lld;;;0",
                (long long)json_integer_value(json_object_get(report, "principals")));
        print_label(output->stream, host, "transfer");
        fprintf(output->stream, "%.3fs;;;0", json_number_value(json_object_get(report, "seconds")));
    }
}

static void
nagios_finish(struct output *output)
{
    print_status(output);
    fputs(" |", output->stream);
    print_perfdata(output);
    fputc('\n', output->stream);
    for (size_t i = 0; i < output->count; i++) {
        const json_t *step;
        size_t index;

        json_array_foreach(json_object_get(output_collected(output, i), "steps"), index, step)
        {
            if (health_of_step(step) == HEALTH_OK)
                continue;
            print_plain(output->stream, output->hosts[i]);
            fprintf(output->stream, ": %s: %s: ", health_name(health_of_step(step)),
                    member(step, "id"));
            print_plain(output->stream, member(step, "summary"));
            if (member(step, "hint")[0] != '\0') {
                fputs(" (", output->stream);
                print_plain(output->stream, member(step, "hint"));
                fputc(')', output->stream);
            }
            fputc('\n', output->stream);
        }
    }
    output_collect_free(output);
}

static json_t *
host_object(const struct output *output, size_t host)
{
    const json_t *report = output_collected(output, host);
    const json_t *metrics = json_object_get(report, "metrics");
    json_int_t at = json_integer_value(json_object_get(metrics, "verified_at"));
    json_t *object, *rows = json_object_get(report, "steps");

    object =
        json_pack("{s:s, s:s, s:b, s:O?}", "host", output->hosts[host], "status",
                  health_name(report == NULL ? HEALTH_UNKNOWN : health_of_report(report)),
                  "primary", json_is_true(json_object_get(metrics, "primary")), "checks", rows);
    if (!json_is_true(json_object_get(metrics, "primary"))) {
        json_object_set_new(object, "verified_at", at > 0 ? json_integer(at) : json_null());
        json_object_set(object, "behind", json_object_get(metrics, "behind"));
        json_object_set(object, "generation", json_object_get(report, "generation"));
        json_object_set(object, "principals", json_object_get(report, "principals"));
        json_object_set(object, "policies", json_object_get(report, "policies"));
    }
    return object;
}

static void
check_json_finish(struct output *output)
{
    json_t *hosts = json_array(), *all;

    for (size_t i = 0; i < output->count; i++)
        json_array_append_new(hosts, host_object(output, i));
    all = json_pack("{s:s, s:s, s:I, s:o}", "realm", output->realm, "status",
                    health_name(health_of_all(output)), "checked_at", (json_int_t)time(NULL),
                    "hosts", hosts);
    if (all != NULL)
        json_dumpf(all, output->stream, JSON_INDENT(2));
    fputc('\n', output->stream);
    json_decref(all);
    output_collect_free(output);
}

const struct output_backend output_check_text = {
    "text", output_collect_step, output_collect_progress, output_collect_end, text_finish,
};

const struct output_backend output_nagios = {
    "nagios", output_collect_step, output_collect_progress, output_collect_end, nagios_finish,
};

const struct output_backend output_check_json = {
    "json", output_collect_step, output_collect_progress, output_collect_end, check_json_finish,
};
