/*
 * The dump decoder on any bytes: the first byte says how the rest is sliced. It must come to the
 * same verdict, texts and digest whether it is fed whole or in slices.
 */
#include "common/kdb/dump.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct verdict {
    bool ok;
    struct dump_info info;
    struct error err;
};

static void
decode(const uint8_t *data, size_t size, size_t slice, struct verdict *verdict)
{
    static const unsigned char nonce[DIGEST_NONCE_SIZE];
    struct dump *d = dump_new((slice & 1) != 0 ? "U.TEST" : NULL, NULL, nonce);

    if (d == NULL)
        abort();
    memset(verdict, 0, sizeof(*verdict));
    for (size_t at = 0; at < size; at += slice)
        if (!dump_feed(d, data + at, slice < size - at ? slice : size - at, &verdict->err))
            break;
    verdict->ok = dump_finish(d, &verdict->info, &verdict->err);
    dump_free(d);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct verdict whole, sliced;
    size_t slice;

    if (size < 1)
        return 0;
    slice = data[0] + 1u;
    decode(data + 1, size - 1, slice | 0x10000000, &whole);
    decode(data + 1, size - 1, slice, &sliced);
    if (whole.ok != sliced.ok || whole.err.code != sliced.err.code ||
        strcmp(whole.err.text, sliced.err.text) != 0 ||
        strcmp(whole.err.hint, sliced.err.hint) != 0 ||
        memcmp(&whole.info, &sliced.info, sizeof(whole.info)) != 0)
        abort();
    if (whole.ok == (whole.err.code != ERROR_NONE))
        abort();
    return 0;
}
