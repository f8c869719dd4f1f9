/* output_collect - the reports of a run as JSON, for the backends that tell all at its end. */
#include "kpropctl/base/clean.h"
#include "kpropctl/output/output.h"

#include <jansson.h>

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

void
output_collect_step(struct output *output, size_t host, const struct step *step)
{
    struct output_host *state = &output->state[host];

    if (state->steps == NULL)
        state->steps = json_array();
    json_array_append_new(state->steps,
                          json_pack("{s:s, s:s, s:o, s:o, s:o}", "id", step->id, "level",
                                    level_name(step->level), "summary", text(step->summary),
                                    "detail", text(step->detail), "hint", text(step->hint)));
}

void
output_collect_progress(struct output *output, size_t host, const char *id, uint64_t done,
                        uint64_t total, double seconds)
{
    (void)output;
    (void)host;
    (void)id;
    (void)done;
    (void)total;
    (void)seconds;
}

static json_t *
metrics(const struct host_result *result)
{
    return json_pack("{s:b, s:I, s:I, s:f, s:f, s:i, s:i}", "primary", result->primary,
                     "verified_at", (json_int_t)result->verified_at, "behind",
                     (json_int_t)result->behind, "load_seconds", result->load_seconds,
                     "verify_seconds", result->verify_seconds, "age_warning", result->age_warning,
                     "age_critical", result->age_critical);
}

void
output_collect_end(struct output *output, size_t host, const struct host_result *result)
{
    struct output_host *state = &output->state[host];

    if (state->steps == NULL)
        state->steps = json_array();
    state->report =
        json_pack("{s:s, s:s, s:b, s:s?, s:b, s:i, s:I, s:I, s:I, s:I, s:f, s:o, s:o}", "replica",
                  output->hosts[host], "realm", output->realm, "verified", host_is_verified(result),
                  "result", result->dry_run ? NULL : host_outcome_name(result->outcome), "dry_run",
                  result->dry_run, "status", result->status, "generation",
                  (json_int_t)result->generation, "principals", (json_int_t)result->principals,
                  "policies", (json_int_t)result->policies, "bytes", (json_int_t)result->bytes,
                  "seconds", result->seconds, "steps", state->steps, "metrics", metrics(result));
    state->steps = NULL;
}

const json_t *
output_collected(const struct output *output, size_t host)
{
    return output->state[host].report;
}

void
output_collect_free(struct output *output)
{
    for (size_t i = 0; i < output->count; i++) {
        json_decref(output->state[i].report);
        json_decref(output->state[i].steps);
        output->state[i] = (struct output_host){ NULL, NULL };
    }
}
