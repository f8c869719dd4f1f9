/* output_json - for programs: docs/protocol.md, the report of setup-slave. */
#include "kpropctl/output.h"

#include <jansson.h>
#include <stdlib.h>

struct output_host {
    json_t *steps;
    json_t *report;
};

/* A text of unknown make as a JSON string: what is not UTF-8 becomes "?" */
static json_t *
text(const char *s)
{
    char clean[4096];
    json_t *value;

    output_clean(s, true, clean, sizeof(clean));
    value = json_string(clean);
    for (char *p = clean; value == NULL && *p != '\0'; p++) {
        if ((unsigned char)*p >= 0x80)
            *p = '?';
    }
    return value != NULL ? value : json_string(clean);
}

static void
json_step(struct output *output, size_t host, const struct step *step)
{
    struct output_host *state = &output->state[host];

    if (state->steps == NULL)
        state->steps = json_array();
    json_array_append_new(state->steps,
                          json_pack("{s:s, s:s, s:o, s:o, s:o}", "id", step->id, "level",
                                    level_name(step->level), "summary", text(step->summary),
                                    "detail", text(step->detail), "hint", text(step->hint)));
}

static void
json_progress(struct output *output, size_t host, const char *id, uint64_t done, uint64_t total,
              double seconds)
{
    (void)output;
    (void)host;
    (void)id;
    (void)done;
    (void)total;
    (void)seconds;
}

static void
json_end(struct output *output, size_t host, const struct host_result *result)
{
    struct output_host *state = &output->state[host];

    if (state->steps == NULL)
        state->steps = json_array();
    state->report = json_pack(
        "{s:s, s:s, s:b, s:s, s:b, s:i, s:I, s:I, s:I, s:I, s:f, s:o}", "replica",
        output->hosts[host], "realm", output->realm, "verified", host_is_verified(result), "result",
        host_outcome_name(result->outcome), "dry_run", result->dry_run, "status", result->status,
        "generation", (json_int_t)result->generation, "principals", (json_int_t)result->principals,
        "policies", (json_int_t)result->policies, "bytes", (json_int_t)result->bytes, "seconds",
        result->seconds, "steps", state->steps);
    state->steps = NULL;
}

static void
json_finish(struct output *output)
{
    json_t *all = output->count == 1 ? json_incref(output->state[0].report) : json_array();

    for (size_t i = 0; i < output->count; i++) {
        if (output->count > 1 && output->state[i].report != NULL)
            json_array_append(all, output->state[i].report);
        json_decref(output->state[i].report);
        json_decref(output->state[i].steps);
    }
    if (all != NULL)
        json_dumpf(all, output->stream, JSON_INDENT(2));
    fputc('\n', output->stream);
    json_decref(all);
}

const struct output_backend output_json = {
    "json", json_step, json_progress, json_end, json_finish,
};
