/*
 * output_brief - for a run that a timer or an administrator starts often: a line for each replica,
 * and of the rows only those that are not well. The quiet one tells nothing but trouble.
 */
#include "kpropctl/base/clean.h"
#include "kpropctl/base/text.h"
#include "kpropctl/output/output.h"

#include <string.h>

static void
clear_line(struct output *output)
{
    if (output->terminal)
        fputs("\r\033[K", output->stream);
}

static void
print_lines(struct output *output, char *text)
{
    char *save = NULL;

    for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
        fprintf(output->stream, "   %s\n", line);
}

/* A transfer is what a run is for; what it met on the way, or what else had to be mended, is told.
 */
static bool
is_remarkable(const struct step *step)
{
    switch (step->level) {
    case LEVEL_WARNING:
    case LEVEL_FAILED:
    case LEVEL_REFUSED:
    case LEVEL_UNKNOWN:
        return true;
    case LEVEL_FIXED:
        return strcmp(step->id, "propagate") != 0 || step->detail[0] != '\0';
    case LEVEL_OK:
    case LEVEL_SKIPPED:
        break;
    }
    return false;
}

static void
brief_step(struct output *output, size_t host, const struct step *step)
{
    char clean[sizeof(step->detail)];

    if (!is_remarkable(step))
        return;
    clear_line(output);
    output_clean(step->summary, false, clean, sizeof(clean));
    fprintf(output->stream, "%s: %s: %s: %s\n", output->hosts[host], level_name(step->level),
            step->id, clean);
    output_clean(step->detail, true, clean, sizeof(clean));
    print_lines(output, clean);
    if (step->hint[0] != '\0') {
        output_clean(step->hint, false, clean, sizeof(clean));
        fprintf(output->stream, "   %s %s\n", output->utf8 ? "→" : "->", clean);
    }
    fflush(output->stream);
}

/* One line, of the host that moved last; the others show at their end. */
static void
brief_progress(struct output *output, size_t host, const char *id, uint64_t done, uint64_t total,
               double seconds)
{
    double part = total == 0 ? 0 : (double)done / (double)total;
    char have[32], rate[32];

    (void)id;
    if (!output->terminal)
        return;
    clear_line(output);
    fprintf(output->stream, "%s  %3.0f %%  %s  %s/s", output->hosts[host], part * 100,
            bytes_text(done, have, sizeof(have)),
            bytes_text(seconds > 0 ? (uint64_t)((double)done / seconds) : 0, rate, sizeof(rate)));
    if (part > 0 && done < total)
        fprintf(output->stream, "  %.0f s left", seconds / part - seconds);
    fflush(output->stream);
}

static void
brief_end(struct output *output, size_t host, const struct host_result *result)
{
    const char *colour = host_is_verified(result) ? "\033[32m" : "\033[31m";
    char bytes[32];

    clear_line(output);
    fprintf(output->stream, "%-28s %s%-9s%s", output->hosts[host], output->colour ? colour : "",
            host_outcome_name(result->outcome), output->colour ? "\033[0m" : "");
    if (result->generation > 0)
        fprintf(output->stream, "  generation %lld, %llu principals", (long long)result->generation,
                (unsigned long long)result->principals);
    if (result->bytes > 0)
        fprintf(output->stream, ", %s in %.1f s", bytes_text(result->bytes, bytes, sizeof(bytes)),
                result->seconds);
    if (result->outcome == HOST_SENT)
        fputs(", but NOT verified", output->stream);
    fputc('\n', output->stream);
    fflush(output->stream);
}

static void
quiet_progress(struct output *output, size_t host, const char *id, uint64_t done, uint64_t total,
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
quiet_end(struct output *output, size_t host, const struct host_result *result)
{
    /* One that is left alone is no trouble; the log has said so once. */
    if (!host_is_verified(result) && !(result->outcome == HOST_INCREMENTAL && result->status == 0))
        brief_end(output, host, result);
}

static void
brief_finish(struct output *output)
{
    (void)output;
}

const struct output_backend output_brief = {
    "brief", brief_step, brief_progress, brief_end, brief_finish,
};

const struct output_backend output_quiet = {
    "quiet", brief_step, quiet_progress, quiet_end, brief_finish,
};
