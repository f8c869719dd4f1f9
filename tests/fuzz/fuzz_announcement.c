/* fuzz_announcement - the JSON of the verb "announce", and of the file that it becomes. */
#include "agent/load/announcement.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_error_t where;
    json_t *object = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, &where);
    struct announcement a;
    struct error err;

    if (announcement_parse(object, "from", &a, &err) &&
        (a.generation == 0 || a.expires_at < a.announced_at + 60 ||
         a.expires_at > a.announced_at + 24 * 3600))
        abort();
    json_decref(object);
    return 0;
}
