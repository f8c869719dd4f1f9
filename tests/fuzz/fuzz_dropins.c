/* dropins: whatever a unit file holds, a command on one line or none; and the loader comes behind
 * it. */
#include "agent/service/dropins.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), *command = NULL;
    struct buffer out;
    struct error err;

    error_clear(&err);
    memcpy(text, data, size);
    text[size] = '\0';
    buffer_init(&out, 1 << 20);
    if (dropins_exec_start(text, &command, &err) && command != NULL) {
        if (command[0] == '\0' || strchr(command, '\n') != NULL)
            abort();
        if (dropins_loader_text(command, "/loader", "/state", &out, &err) &&
            strstr(buffer_string(&out), " -p /loader\n") == NULL)
            abort();
    }
    buffer_free(&out);
    free(command);
    free(text);
    return 0;
}
