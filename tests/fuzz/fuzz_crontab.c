/* fuzz_crontab - lines of crontabs and of shell: whatever they hold, a command lies within its
 * line, and the same line says the same without what stands around it. */
#include "kpropctl/schedule/competitors.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
try_line(const char *text, size_t len)
{
    /* A copy of its own size, so that a read past its end is seen. */
    char *line = malloc(len == 0 ? 1 : len);
    size_t command_len;

    if (line == NULL)
        return;
    memcpy(line, text, len);
    for (int with_user = 0; with_user < 2; with_user++) {
        const char *command = crontab_command(line, len, with_user != 0, &command_len);

        if (command == NULL)
            continue;
        if (command < line || command_len == 0 || command + command_len != line + len)
            abort();
        (void)job_of_line(command, command_len);
    }
    if (job_name(job_of_line(line, len)) == NULL)
        abort();
    free(line);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;

    while (size > 0) {
        const char *end = memchr(text, '\n', size);
        size_t len = end == NULL ? size : (size_t)(end - text);

        try_line(text, len);
        len += end != NULL;
        text += len;
        size -= len;
    }
    return 0;
}
