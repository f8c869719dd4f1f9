/* ports - see ports.h: the service's number, the probe, and the order in which ways are tried. */
#include "common/port/ports.h"

#include "common/port/ports_ways.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PROBE_AGAIN_MAX = 3, PROBE_AGAIN_MS = 50 };

static bool
resolve_number(const char *text, struct port_spec *spec, struct error *err)
{
    const struct servent *own = getservbyname(PORTS_SERVICE, "tcp"), *entry;
    unsigned long number;
    char *end;

    errno = 0;
    number = strtoul(text, &end, 10);
    if (errno != 0 || *end != '\0' || number == 0 || number > 65535) {
        error_set(err, ERROR_USAGE, "cannot use port '%.64s': it is not between 1 and 65535", text);
        return error_hint(err, "Give a port number, or a name of /etc/services");
    }
    spec->port = (uint16_t)number;
    if (own != NULL && ntohs((uint16_t)own->s_port) == number)
        snprintf(spec->service, sizeof(spec->service), "%s", PORTS_SERVICE);
    else if ((entry = getservbyport(htons((uint16_t)number), "tcp")) != NULL)
        text_clean(entry->s_name, strlen(entry->s_name), spec->service, sizeof(spec->service));
    return true;
}

bool
ports_resolve(const char *text, struct port_spec *spec, struct error *err)
{
    const char *name = text != NULL ? text : PORTS_SERVICE;
    const struct servent *entry;

    *spec = (struct port_spec){ 0 };
    if (isdigit((unsigned char)name[0]) && name[strspn(name, "0123456789")] == '\0')
        return resolve_number(name, spec, err);
    entry =
        strlen(name) < sizeof(spec->service) && name[0] != '\0' ? getservbyname(name, "tcp") : NULL;
    if (entry == NULL) {
        char clean[80];

        text_clean(name, strlen(name), clean, sizeof(clean));
        error_set(err, text != NULL ? ERROR_USAGE : ERROR_INTERNAL,
                  "cannot find service '%s': it is not in /etc/services for tcp", clean);
        if (strcmp(name, PORTS_SERVICE) == 0)
            return error_hint(err, "Add the line 'krb5_prop 754/tcp' to /etc/services: kprop and "
                                   "kpropd need it too");
        return error_hint(err, "Give a port number, or a name of /etc/services");
    }
    spec->port = ntohs((uint16_t)entry->s_port);
    snprintf(spec->service, sizeof(spec->service), "%s", name);
    return true;
}

/*
 * As kpropd chooses it: the IPv6 wildcard if this host has an IPv6 address, else that of IPv4.
 * Where there is loopback alone kpropd ends, but who holds the port can be told all the same.
 */
static int
wildcard(uint16_t port, struct addrinfo **out)
{
    static const int flags[] = { AI_ADDRCONFIG, 0 }, families[] = { AF_INET6, AF_INET };
    char text[8];
    int code = EAI_FAIL;

    snprintf(text, sizeof(text), "%u", port);
    for (size_t i = 0; i < 4 && code != 0; i++) {
        struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICSERV | flags[i / 2],
                                  .ai_family = families[i % 2],
                                  .ai_socktype = SOCK_STREAM };

        code = getaddrinfo(NULL, text, &hints, out);
    }
    return code;
}

bool
ports_probe(const struct port_spec *spec, int *bind_errno, struct error *err)
{
    struct addrinfo *address = NULL;
    int on = 1, off = 0, code, fd;

    *bind_errno = 0;
    code = wildcard(spec->port, &address);
    if (code != 0)
        return error_set(err, ERROR_INTERNAL, "cannot find a wildcard address: %s",
                         gai_strerror(code));
    fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, address->ai_protocol);
    if (fd < 0) {
        error_errno(err, ERROR_INTERNAL, errno, "cannot make a socket");
        freeaddrinfo(address);
        return false;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (address->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (bind(fd, address->ai_addr, address->ai_addrlen) != 0)
        *bind_errno = errno;
    close(fd);
    freeaddrinfo(address);
    return true;
}

static enum ports_usable
usable_from(int bind_errno)
{
    if (bind_errno == 0)
        return PORTS_USABLE;
    return bind_errno == EADDRINUSE ? PORTS_HELD : PORTS_UNKNOWN;
}

static bool
probe_into(struct port_report *report, struct error *err)
{
    if (!ports_probe(&report->spec, &report->bind_errno, err))
        return false;
    report->usable = usable_from(report->bind_errno);
    return true;
}

/* Nobody was seen to hold a port that is held: perhaps it has just been let go. */
static bool
look_again(struct port_report *report, const struct ports_options *options, struct error *err)
{
    struct timespec nap = { 0, PROBE_AGAIN_MS * 1000000L };

    for (int i = 0; i < PROBE_AGAIN_MAX; i++) {
        if (report->usable != PORTS_HELD || ports_obstacle(report, -1) != NULL)
            return true;
        nanosleep(&nap, NULL);
        if (!probe_into(report, err) || !ports_look(report, options, err))
            return false;
    }
    return true;
}

/* kpropd asks for addresses with AI_ADDRCONFIG, and ends where there is none but loopback's. */
static void
note_loopback(struct port_report *report)
{
    struct ifaddrs *list = NULL;
    bool only = true;

    if (strcmp(report->spec.service, PORTS_SERVICE) != 0 || report->note[0] != '\0' ||
        getifaddrs(&list) != 0)
        return;
    for (const struct ifaddrs *one = list; one != NULL; one = one->ifa_next) {
        if (one->ifa_addr != NULL && !(one->ifa_flags & IFF_LOOPBACK) &&
            (one->ifa_addr->sa_family == AF_INET || one->ifa_addr->sa_family == AF_INET6))
            only = false;
    }
    freeifaddrs(list);
    if (only)
        snprintf(report->note, sizeof(report->note),
                 "this host has no address but loopback's: kpropd ends at its start until it has");
}

bool
ports_examine(const struct port_spec *spec, const struct ports_options *options,
              struct port_report **out, struct error *err)
{
    static const struct ports_options none = { 0 };
    struct port_report *report = (struct port_report *)calloc(1, sizeof(*report));

    *out = NULL;
    if (report == NULL)
        return error_memory(err);
    report->spec = *spec;
    if (options == NULL)
        options = &none;
    if (!probe_into(report, err) || !ports_look(report, options, err) ||
        !look_again(report, options, err)) {
        free(report);
        return false;
    }
    note_loopback(report);
    *out = report;
    return true;
}
