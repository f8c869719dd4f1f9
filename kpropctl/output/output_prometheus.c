/*
 * output_prometheus - a health check in Prometheus' text format, for node_exporter's textfile
 * collector (https://prometheus.io/docs/instrumenting/exposition_formats/).
 */
#include "kpropctl/output/health.h"
#include "kpropctl/output/output.h"

#include <string.h>
#include <time.h>

/* A gauge of each replica, from its report or the report's metrics. */
static const struct {
    const char *name, *help, *key;
    bool in_metrics;
    bool only_positive; /* 0 is "not known": then there is no sample */
} gauges[] = {
    { "kpropctl_last_verified_timestamp_seconds",
      "When the replica was last verified to hold the database and to issue tickets.",
      "verified_at", true, true },
    { "kpropctl_generation", "Generation of the database that the replica was verified to hold.",
      "generation", false, true },
    { "kpropctl_generations_behind", "Generations made since then.", "behind", true, false },
    { "kpropctl_principals", "Principals in that generation.", "principals", false, true },
    { "kpropctl_policies", "Policies in that generation.", "policies", false, false },
    { "kpropctl_transfer_bytes", "Size of the last verified transfer.", "bytes", false, true },
    { "kpropctl_transfer_duration_seconds",
      "Duration of the last verified transfer, with the load it waits for.", "seconds", false,
      true },
    { "kpropctl_load_duration_seconds", "Duration of the load in that transfer.", "load_seconds",
      true, true },
    { "kpropctl_verify_duration_seconds",
      "Duration of the digest's comparison, where one was made.", "verify_seconds", true, true },
};

/* A label's value: backslash, quote and line feed escaped. */
static void
print_value(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n')
            fputs("\\n", out);
        else if (*text == '\\' || *text == '"')
            fprintf(out, "\\%c", *text);
        else
            fputc(*text, out);
    }
}

static void
print_labels(const struct output *output, size_t host, const char *check)
{
    fputs("{realm=\"", output->stream);
    print_value(output->stream, output->realm);
    fputs("\",host=\"", output->stream);
    print_value(output->stream, output->hosts[host]);
    if (check != NULL) {
        fputs("\",check=\"", output->stream);
        print_value(output->stream, check);
    }
    fputs("\"} ", output->stream);
}

static void
print_head(FILE *out, const char *name, const char *help)
{
    fprintf(out, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name);
}

static void
print_gauge(const struct output *output, size_t which)
{
    bool head = false;

    for (size_t i = 0; i < output->count; i++) {
        const json_t *report = output_collected(output, i);
        const json_t *metrics = json_object_get(report, "metrics");
        double value = json_number_value(
            json_object_get(gauges[which].in_metrics ? metrics : report, gauges[which].key));

        if (report == NULL || json_is_true(json_object_get(metrics, "primary")) ||
            (gauges[which].only_positive && value <= 0))
            continue;
        if (!head)
            print_head(output->stream, gauges[which].name, gauges[which].help);
        head = true;
        fputs(gauges[which].name, output->stream);
        print_labels(output, i, NULL);
        fprintf(output->stream, "%.17g\n", value);
    }
}

static void
print_checks(const struct output *output)
{
    print_head(output->stream, "kpropctl_check_status",
               "Result of a check: 0 ok, 1 warning, 2 critical, 3 unknown; skipped ones are left "
               "out.");
    for (size_t i = 0; i < output->count; i++) {
        const json_t *step;
        size_t index;

        json_array_foreach(json_object_get(output_collected(output, i), "steps"), index, step)
        {
            const char *level = json_string_value(json_object_get(step, "level"));

            if (level == NULL || strcmp(level, "skipped") == 0)
                continue;
            fputs("kpropctl_check_status", output->stream);
            print_labels(output, i, json_string_value(json_object_get(step, "id")));
            fprintf(output->stream, "%d\n", (int)health_of_step(step));
        }
    }
}

static void
prometheus_finish(struct output *output)
{
    print_checks(output);
    for (size_t i = 0; i < sizeof(gauges) / sizeof(*gauges); i++)
        print_gauge(output, i);
    print_head(output->stream, "kpropctl_host_status",
               "The worst result of a host: 0 ok, 1 warning, 2 critical, 3 unknown.");
    for (size_t i = 0; i < output->count; i++) {
        const json_t *report = output_collected(output, i);

        fputs("kpropctl_host_status", output->stream);
        print_labels(output, i, NULL);
        fprintf(output->stream, "%d\n",
                (int)(report == NULL ? HEALTH_UNKNOWN : health_of_report(report)));
    }
    print_head(output->stream, "kpropctl_check_timestamp_seconds", "When these checks were made.");
    fprintf(output->stream, "kpropctl_check_timestamp_seconds{realm=\"");
    print_value(output->stream, output->realm);
    fprintf(output->stream, "\"} %lld\n", (long long)time(NULL));
    output_collect_free(output);
}

const struct output_backend output_prometheus = {
    "prometheus",       output_collect_step, output_collect_progress,
    output_collect_end, prometheus_finish,
};
