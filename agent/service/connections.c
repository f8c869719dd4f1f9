/* connections - see connections.h. */
#include "agent/service/connections.h"

#include "common/port/netlink.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A connection that nobody has accepted is no process's yet: it has no inode. */
static json_t *
describe(const struct socket_entry *entry)
{
    char address[INET6_ADDRSTRLEN] = "", peer[INET6_ADDRSTRLEN + 16];
    static const unsigned char mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

    if (entry->family == AF_INET6 && memcmp(entry->dst, mapped, sizeof(mapped)) == 0)
        inet_ntop(AF_INET, entry->dst + sizeof(mapped), address, sizeof(address));
    else
        inet_ntop(entry->family, entry->dst, address, sizeof(address));
    snprintf(peer, sizeof(peer), strchr(address, ':') != NULL ? "[%s]:%u" : "%s:%u", address,
             (unsigned)entry->dport);
    return json_pack("{s:s, s:f, s:b}", "peer", peer, "idle", entry->idle_ms / 1000.0, "waiting",
                     entry->inode == 0);
}

json_t *
connections_of(int port)
{
    struct socket_list *list = calloc(1, sizeof(*list));
    struct error ignored;
    json_t *array = NULL;

    if (list != NULL && port > 0 && netlink_sockets((uint16_t)port, list, &ignored)) {
        array = json_array();
        for (size_t i = 0; i < list->count; i++) {
            if (list->entries[i].state == SOCKET_STATE_ESTABLISHED)
                json_array_append_new(array, describe(&list->entries[i]));
        }
    }
    free(list);
    return array == NULL ? json_null() : array;
}
