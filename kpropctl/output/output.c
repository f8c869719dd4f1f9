/* output - see output.h: what both backends share. */
#include "kpropctl/output/output.h"

#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { DEFAULT_WIDTH = 80, STATE_SIZE = 64 };

const char *
host_outcome_name(enum host_outcome outcome)
{
    static const char *const names[] = { "failed",   "sent",    "unchanged",
                                         "verified", "renewed", "incremental" };

    return names[outcome];
}

bool
host_is_verified(const struct host_result *result)
{
    return result->outcome == HOST_VERIFIED || result->outcome == HOST_UNCHANGED;
}

struct output *
output_new(const struct output_backend *backend, FILE *stream, const char *realm,
           char *const *hosts, size_t count)
{
    struct output *output = calloc(1, sizeof(*output));
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    struct winsize size;

    if (output == NULL || (output->state = calloc(count, STATE_SIZE)) == NULL) {
        free(output);
        return NULL;
    }
    output->backend = backend;
    output->stream = stream;
    output->realm = realm;
    output->hosts = hosts;
    output->count = count;
    output->terminal = isatty(fileno(stream)) && (term == NULL || strcmp(term, "dumb") != 0);
    output->colour = output->terminal && (no_color == NULL || no_color[0] == '\0');
    output->utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    output->width = DEFAULT_WIDTH;
    if (output->terminal && ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col >= 40)
        output->width = size.ws_col;
    return output;
}

void
output_finish(struct output *output)
{
    if (output == NULL)
        return;
    output->backend->finish(output);
    fflush(output->stream);
    free(output->state);
    free(output);
}
