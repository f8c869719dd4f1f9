/* ports_hidden - see ports_hidden.h. */
#include "common/port/ports_hidden.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

/* Addresses for documentation: nobody has them, so only a wildcard can take their ports. */
static const char *const nobody[2] = { "192.0.2.1", "2001:db8::1" };

static size_t
address_size(int family)
{
    return family == AF_INET ? 4 : 16;
}

/* Is PORT taken on the address at BYTES (of FAMILY), so that kpropd could not bind it? */
static bool
is_taken(int family, const unsigned char *bytes, uint16_t port)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, code;
    bool taken;

    if (fd < 0)
        return false;
    memcpy(&in.sin_addr, bytes, 4);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on));
    if (family == AF_INET6) {
        memcpy(&in6.sin6_addr, bytes, 16);
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
        code = bind(fd, (struct sockaddr *)&in6, sizeof(in6));
    } else {
        code = bind(fd, (struct sockaddr *)&in, sizeof(in));
    }
    taken = code != 0 && errno == EADDRINUSE;
    close(fd);
    return taken;
}

/* Does a known socket explain that the address at BYTES is taken? */
static bool
is_explained(const struct socket_list *known, int family, const unsigned char *bytes)
{
    static const unsigned char any[16] = { 0 }, mapped[12] = { [10] = 0xff, [11] = 0xff };

    for (size_t i = 0; i < known->count; i++) {
        const struct socket_entry *entry = &known->entries[i];

        if (entry->unsure)
            continue;
        if (memcmp(entry->src, any, address_size(entry->family)) == 0 &&
            (entry->family == family || entry->family == AF_INET6))
            return true;
        if (entry->family == family && memcmp(entry->src, bytes, address_size(family)) == 0)
            return true;
        if (family == AF_INET && entry->family == AF_INET6 &&
            memcmp(entry->src, mapped, sizeof(mapped)) == 0 &&
            memcmp(entry->src + 12, bytes, 4) == 0)
            return true;
    }
    return false;
}

/* A wildcard that is held: seen where even an address that nobody has is taken. */
static bool
wildcard_taken(uint16_t port, int family, const struct socket_list *known, bool *taken)
{
    unsigned char bytes[16] = { 0 };

    if (inet_pton(family, nobody[family == AF_INET6], bytes) != 1)
        return false;
    *taken = is_taken(family, bytes, port);
    return *taken && !is_explained(known, family, bytes);
}

static void
add(struct hidden_hold *holds, size_t *count, int family, const unsigned char *bytes)
{
    for (size_t i = 0; i < *count; i++) {
        if (holds[i].family == family && memcmp(holds[i].address, bytes, address_size(family)) == 0)
            return;
    }
    if (*count == HIDDEN_MAX)
        return;
    holds[*count] = (struct hidden_hold){ .family = family };
    memcpy(holds[*count].address, bytes, address_size(family));
    (*count)++;
}

/* Each address of this host, of a family whose wildcard is free. */
static void
add_addresses(uint16_t port, const struct socket_list *known, const bool *any_taken,
              struct hidden_hold *holds, size_t *count)
{
    struct ifaddrs *list = NULL;

    if (getifaddrs(&list) != 0)
        return;
    for (const struct ifaddrs *one = list; one != NULL; one = one->ifa_next) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)one->ifa_addr;
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)one->ifa_addr;
        unsigned char bytes[16] = { 0 };
        int family;

        if (one->ifa_addr == NULL)
            continue;
        family = one->ifa_addr->sa_family;
        if (family == AF_INET && !any_taken[0])
            memcpy(bytes, &in->sin_addr, 4);
        else if (family == AF_INET6 && !any_taken[1] && !IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr))
            memcpy(bytes, &in6->sin6_addr, 16);
        else
            continue;
        if (is_taken(family, bytes, port) && !is_explained(known, family, bytes))
            add(holds, count, family, bytes);
    }
    freeifaddrs(list);
}

size_t
ports_hidden(uint16_t port, const struct socket_list *known, struct hidden_hold *holds)
{
    static const unsigned char any[16] = { 0 };
    bool any_taken[2] = { false, false };
    bool hidden4 = wildcard_taken(port, AF_INET, known, &any_taken[0]);
    bool hidden6 = wildcard_taken(port, AF_INET6, known, &any_taken[1]);
    size_t count = 0;

    /* Both at once is one socket of both families. */
    if (hidden6)
        add(holds, &count, AF_INET6, any);
    else if (hidden4)
        add(holds, &count, AF_INET, any);
    add_addresses(port, known, any_taken, holds, &count);
    return count;
}
