/*
 * Everything that is read about holders of ports, of any bytes. The first byte says which decoder:
 * netlink answers, /proc/net/tcp, descriptor links, control groups, texts of a process, inetd's,
 * xinetd's and systemd's configuration.
 */
#include "common/host/process.h"
#include "common/port/activators.h"
#include "common/port/netlink.h"
#include "common/port/procwalk.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static void
try_netlink(const char *text, size_t size)
{
    struct socket_list *list = (struct socket_list *)calloc(1, sizeof(*list));
    /* mnl wants whole, aligned messages */
    void *aligned = malloc(size + 1);

    if (list != NULL && aligned != NULL) {
        memcpy(aligned, text, size);
        netlink_decode(aligned, size, 754, list);
        if (list->count > SOCKETS_MAX)
            abort();
    }
    free(aligned);
    free(list);
}

static void
try_process(const char *text, size_t size)
{
    char unit[64], clean[32];

    process_unit(text, unit, sizeof(unit));
    text_clean(text, size, clean, sizeof(clean));
    if (strlen(clean) >= sizeof(clean) || strlen(unit) >= sizeof(unit))
        abort();
}

static void
try_activators(int which, const char *text, size_t size)
{
    struct activation result = { 0 };
    char socket_unit[64], service[64];

    if (which == 0)
        activators_parse_inetd(text, size, 754, "inetd.conf", &result);
    else if (which == 1)
        activators_parse_xinetd(text, size, 754, "xinetd.conf", &result);
    else
        activators_parse_sockets(text, 754, socket_unit, sizeof(socket_unit), service,
                                 sizeof(service));
    if (result.kpropd && !result.found)
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct socket_entry entry;
    char *text;

    if (size < 1 || size > 8192 || (text = (char *)malloc(size)) == NULL)
        return 0;
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    switch (data[0] % 8) {
    case 0:
        try_netlink(text, size - 1);
        break;
    case 1:
        procwalk_decode_line(text, AF_INET, &entry);
        break;
    case 2:
        procwalk_decode_line(text, AF_INET6, &entry);
        break;
    case 3:
        procwalk_decode_link(text);
        break;
    case 4:
        try_process(text, size - 1);
        break;
    default:
        try_activators(data[0] % 8 - 5, text, size - 1);
        break;
    }
    free(text);
    return 0;
}
