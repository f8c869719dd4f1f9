/* fuzz_keytab - any bytes as a line of keys: what is read is written and read again as the same. */
#include "common/krb5/keytab.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    struct keytab_keys keys, again;
    struct buffer line;
    struct error err;

    if (text == NULL)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    error_clear(&err);
    buffer_init(&line, 64 * 1024);
    if (keytab_keys_read(text, &keys, &err)) {
        if (!keytab_keys_write(&keys, &line) ||
            !keytab_keys_read(buffer_string(&line), &again, &err) ||
            memcmp(&keys, &again, sizeof(keys)) != 0)
            abort();
    } else if (err.code != ERROR_USAGE || keys.count != 0) {
        abort();
    }
    buffer_free_secret(&line);
    free(text);
    return 0;
}
