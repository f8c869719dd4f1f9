/* bundle: whatever the bytes are, a bundle or a refusal; and what was read is written back as it
 * was. The digest is made to fit, so that the parts behind it are reached. */
#include "common/contract/bundle.h"

#include <openssl/sha.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
read_and_write(const unsigned char *data, size_t size)
{
    struct buffer again;
    struct bundle b;
    struct error err;

    error_clear(&err);
    bundle_init(&b);
    buffer_init(&again, 0);
    if (!bundle_read(data, size, &b, &err)) {
        if (err.code != ERROR_REFUSED || err.hint[0] == '\0')
            abort();
    } else if (!bundle_write(&b, &again, &err) || again.len != size) {
        abort();
    }
    buffer_free(&again);
    bundle_free(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char *copy;

    read_and_write(data, size);
    if (size < 57 || size > 65536)
        return 0;
    copy = malloc(size);
    if (copy == NULL)
        return 0;
    memcpy(copy, data, size);
    copy[20] = 0;
    copy[21] = (unsigned char)(size >> 16);
    copy[22] = (unsigned char)(size >> 8);
    copy[23] = (unsigned char)size;
    SHA256(copy, size - 32, copy + size - 32);
    read_and_write(copy, size);
    free(copy);
    return 0;
}
