/* output_status - the fleet in one table: a line for each host, whose marks read without colour
 * too. */
#include "kpropctl/base/table.h"
#include "kpropctl/output/health.h"
#include "kpropctl/output/output.h"

#include <string.h>
#include <time.h>

static const json_t *
find_step(const json_t *report, const char *id)
{
    const json_t *step;
    size_t index;

    json_array_foreach(json_object_get(report, "steps"), index, step)
    {
        const char *name = json_string_value(json_object_get(step, "id"));

        if (name != NULL && strcmp(name, id) == 0)
            return step;
    }
    return NULL;
}

/* What row ID says in one word. */
static const char *
word_of(const json_t *report, const char *id)
{
    const json_t *step = find_step(report, id);
    const char *level = json_string_value(json_object_get(step, "level"));

    if (level == NULL || strcmp(level, "skipped") == 0)
        return "?";
    switch (health_of_step(step)) {
    case HEALTH_OK:
        return "up";
    case HEALTH_WARNING:
        return "up!";
    case HEALTH_CRITICAL:
        return "DOWN";
    case HEALTH_UNKNOWN:
        break;
    }
    return "?";
}

static const char *
mark_of(const struct output *output, enum health health)
{
    static const char *const utf8[] = { "✔ good", "! warning", "✘ BAD", "? unknown" };
    static const char *const ascii[] = { "+ good", "! warning", "x BAD", "? unknown" };

    return output->utf8 && output->terminal ? utf8[health] : ascii[health];
}

/* The summary of the worst row, for the note. */
static const char *
worst_of(const json_t *report, enum health health)
{
    const json_t *step;
    size_t index;

    json_array_foreach(json_object_get(report, "steps"), index, step)
    {
        if (health != HEALTH_OK && health_of_step(step) == health)
            return json_string_value(json_object_get(step, "summary"));
    }
    return "";
}

static json_t *
row_of(const struct output *output, size_t host)
{
    const json_t *report = output_collected(output, host);
    const json_t *metrics = json_object_get(report, "metrics");
    enum health health = report == NULL ? HEALTH_UNKNOWN : health_of_report(report);
    json_int_t at = json_integer_value(json_object_get(metrics, "verified_at"));
    json_t *row = json_pack("{s:s, s:s, s:s}", "host", output->hosts[host], "state",
                            mark_of(output, health), "note", worst_of(report, health));

    if (json_is_true(json_object_get(metrics, "primary"))) {
        json_object_set_new(row, "kdc", json_string(word_of(report, "kadmind")));
        return row;
    }
    if (at > 0) {
        json_object_set_new(row, "age", json_integer(time(NULL) - (time_t)at));
        json_object_set(row, "behind", json_object_get(metrics, "behind"));
        json_object_set(row, "generation", json_object_get(report, "generation"));
        json_object_set(row, "principals", json_object_get(report, "principals"));
        json_object_set(row, "seconds", json_object_get(report, "seconds"));
    }
    json_object_set_new(row, "kpropd", json_string(word_of(report, "kpropd")));
    json_object_set_new(row, "kdc", json_string(word_of(report, "kdc")));
    return row;
}

static void
status_finish(struct output *output)
{
    static const struct table_column columns[] = {
        { "host", "HOST", TABLE_TEXT },
        { "state", "STATE", TABLE_TEXT },
        { "age", "VERIFIED", TABLE_AGE },
        { "generation", "GENERATION", TABLE_TEXT },
        { "behind", "BEHIND", TABLE_TEXT },
        { "principals", "PRINCIPALS", TABLE_TEXT },
        { "seconds", "TRANSFER", TABLE_SECONDS },
        { "kpropd", "KPROPD", TABLE_TEXT },
        { "kdc", "KDC", TABLE_TEXT },
        { "note", "NOTE", TABLE_TEXT },
        { NULL, NULL, TABLE_TEXT },
    };
    json_t *rows = json_array();

    for (size_t i = 0; i < output->count; i++)
        json_array_append_new(rows, row_of(output, i));
    table_print(output->stream, rows, columns);
    json_decref(rows);
    output_collect_free(output);
}

const struct output_backend output_status = {
    "status", output_collect_step, output_collect_progress, output_collect_end, status_finish,
};
