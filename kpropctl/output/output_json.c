/* output_json - for programs: docs/protocol.md, the report of setup-slave and propagate. */
#include "kpropctl/output/output.h"

#include <jansson.h>

/* A report without what only health checks fill. */
static json_t *
report_of(const struct output *output, size_t host)
{
    json_t *report = json_copy((json_t *)(uintptr_t)output_collected(output, host));

    json_object_del(report, "metrics");
    return report;
}

static void
json_finish(struct output *output)
{
    json_t *all = output->count == 1 ? report_of(output, 0) : json_array();

    for (size_t i = 0; output->count > 1 && i < output->count; i++)
        json_array_append_new(all, report_of(output, i));
    if (all != NULL)
        json_dumpf(all, output->stream, JSON_INDENT(2));
    fputc('\n', output->stream);
    json_decref(all);
    output_collect_free(output);
}

const struct output_backend output_json = {
    "json", output_collect_step, output_collect_progress, output_collect_end, json_finish,
};
