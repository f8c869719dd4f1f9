/* health - see health.h. */
#include "kpropctl/output/health.h"

#include <string.h>

const char *
health_name(enum health health)
{
    static const char *const names[] = { "OK", "WARNING", "CRITICAL", "UNKNOWN" };

    return names[health];
}

enum health
health_worse(enum health a, enum health b)
{
    static const int rank[] = { 0, 1, 3, 2 };

    return rank[a] >= rank[b] ? a : b;
}

enum health
health_of_step(const json_t *step)
{
    const char *name = json_string_value(json_object_get(step, "level"));
    enum level level;

    if (name == NULL || !level_from_name(name, &level))
        return HEALTH_UNKNOWN;
    switch (level) {
    case LEVEL_OK:
    case LEVEL_FIXED:
    case LEVEL_SKIPPED:
        return HEALTH_OK;
    case LEVEL_WARNING:
        return HEALTH_WARNING;
    case LEVEL_FAILED:
    case LEVEL_REFUSED:
        return HEALTH_CRITICAL;
    case LEVEL_UNKNOWN:
        break;
    }
    return HEALTH_UNKNOWN;
}

enum health
health_of_report(const json_t *report)
{
    const json_t *steps = json_object_get(report, "steps"), *step;
    enum health worst = HEALTH_OK;
    size_t index;
    bool told = false;

    json_array_foreach(steps, index, step)
    {
        const char *level = json_string_value(json_object_get(step, "level"));

        told = told || (level != NULL && strcmp(level, "skipped") != 0);
        worst = health_worse(worst, health_of_step(step));
    }
    return told ? worst : health_worse(worst, HEALTH_UNKNOWN);
}

enum health
health_of_all(const struct output *output)
{
    enum health worst = HEALTH_OK;

    for (size_t i = 0; i < output->count; i++)
        worst = health_worse(worst, output_collected(output, i) != NULL
                                        ? health_of_report(output_collected(output, i))
                                        : HEALTH_UNKNOWN);
    return worst;
}
