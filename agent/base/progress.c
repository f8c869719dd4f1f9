/* progress - see progress.h. */
#include "agent/base/progress.h"

#include <stdarg.h>

void
print_reply(json_t *reply, FILE *out)
{
    json_dumpf(reply, out, JSON_COMPACT);
    fputc('\n', out);
    fflush(out);
}

void
verbs_progress(const char *fmt, ...)
{
    char text[1024];
    json_t *line;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    line = json_pack("{s:s}", "progress", text);
    if (line != NULL)
        print_reply(line, stderr);
    json_decref(line);
}
