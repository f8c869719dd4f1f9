/* What portreserve's files hold, of any bytes: bounded, and the same for a buffer cut to size. */
#include "common/port/portreserve.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct portreserve_port ports[PORTRESERVE_PORTS_MAX];
    char *copy, version[64];
    size_t count;

    if (size > 4096)
        return 0;
    copy = (char *)malloc(size + 1);
    if (copy == NULL)
        return 0;
    memcpy(copy, data, size);
    count = portreserve_parse(copy, size, ports, PORTRESERVE_PORTS_MAX);
    if (count > PORTRESERVE_PORTS_MAX)
        abort();
    for (size_t i = 0; i < count; i++) {
        if (ports[i].port == 0)
            abort();
    }
    memcpy(version, copy, size < sizeof(version) - 1 ? size : sizeof(version) - 1);
    version[size < sizeof(version) - 1 ? size : sizeof(version) - 1] = '\0';
    portreserve_age_of(version);
    free(copy);
    return 0;
}
