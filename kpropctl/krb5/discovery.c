/* discovery - see discovery.h. */
#include "kpropctl/krb5/discovery.h"

#include "common/base/forked.h"

#include <arpa/nameser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { MAX_ANSWER = 16384, TYPE_URI = 256 };

struct question {
    const struct realm *realm;
    const char *host, *address;
    enum discovery answer;
};

/* The host of a kdc line: without its port, and without the brackets of an address. */
static void
host_of(const char *line, char *host, size_t size)
{
    const char *colon = strchr(line, ':');

    if (line[0] == '[')
        snprintf(host, size, "%.*s", (int)strcspn(line + 1, "]"), line + 1);
    else if (colon != NULL && colon == strrchr(line, ':'))
        snprintf(host, size, "%.*s", (int)(colon - line), line);
    else
        snprintf(host, size, "%s", line);
}

static bool
is_named(const struct question *q, const char *name)
{
    size_t len = strlen(name);

    if (len > 0 && name[len - 1] == '.')
        len--;
    return (strlen(q->host) == len && strncasecmp(name, q->host, len) == 0) ||
           strcmp(name, q->address) == 0;
}

static struct addrinfo *
addresses_of(const char *name)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;

    return getaddrinfo(name, NULL, &hints, &list) == 0 ? list : NULL;
}

static bool
same_address(const struct addrinfo *a, const struct addrinfo *b)
{
    const struct sockaddr_in *a4 = (const void *)a->ai_addr, *b4 = (const void *)b->ai_addr;
    const struct sockaddr_in6 *a6 = (const void *)a->ai_addr, *b6 = (const void *)b->ai_addr;

    if (a->ai_family != b->ai_family)
        return false;
    if (a->ai_family == AF_INET)
        return a4->sin_addr.s_addr == b4->sin_addr.s_addr;
    return memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof(a6->sin6_addr)) == 0;
}

/* Does NAME lead to an address of ours, which may have several and several names? */
static bool
resolves_to(const char *name, const char *ours)
{
    struct addrinfo *theirs = addresses_of(name), *own = addresses_of(ours);
    bool same = false;

    for (const struct addrinfo *a = theirs; a != NULL && !same; a = a->ai_next) {
        for (const struct addrinfo *b = own; b != NULL && !same; b = b->ai_next)
            same = same_address(a, b);
    }
    if (theirs != NULL)
        freeaddrinfo(theirs);
    if (own != NULL)
        freeaddrinfo(own);
    return same;
}

/* NAME is the host by its name or an address, or, if we may LOOK_UP, an alias of it. */
static bool
is_meant(const struct question *q, const char *name, bool look_up)
{
    return is_named(q, name) ||
           (look_up && (resolves_to(name, q->address) || resolves_to(name, q->host)));
}

static bool
in_krb5_conf(const struct question *q, bool look_up)
{
    char name[256];

    for (char **line = q->realm->kdc; line != NULL && *line != NULL; line++) {
        host_of(*line, name, sizeof(name));
        if (is_meant(q, name, look_up))
            return true;
    }
    return false;
}

/* The host in the target of a URI record, of a KDC that is spoken to directly. */
static bool
uri_host(const char *target, size_t len, char *name, size_t size)
{
    char text[512];
    size_t flags;

    if (len < strlen("krb5srv:") || strncasecmp(target, "krb5srv:", 8) != 0)
        return false;
    snprintf(text, sizeof(text), "%.*s", (int)len - 8, target + 8);
    flags = strcspn(text, ":");
    if (text[flags] == '\0' ||
        (strncasecmp(text + flags, ":udp:", 5) != 0 && strncasecmp(text + flags, ":tcp:", 5) != 0))
        return false;
    host_of(text + flags + 5, name, size);
    return true;
}

bool
discovery_uri_names(const char *target, size_t len, const char *host, const char *address)
{
    const struct question q = { .host = host, .address = address };
    char name[256];

    return uri_host(target, len, name, sizeof(name)) && is_named(&q, name);
}

/* By its name, or, as MIT recommends, by an alias. */
static bool
record_names(const struct question *q, ns_msg *msg, const ns_rr *rr, int type)
{
    char target[NS_MAXDNAME];

    if (type == TYPE_URI)
        return ns_rr_rdlen(*rr) > 4 &&
               uri_host((const char *)ns_rr_rdata(*rr) + 4, ns_rr_rdlen(*rr) - 4, target,
                        sizeof(target)) &&
               is_meant(q, target, true);
    return ns_rr_rdlen(*rr) >= 7 &&
           ns_name_uncompress(ns_msg_base(*msg), ns_msg_end(*msg), ns_rr_rdata(*rr) + 6, target,
                              sizeof(target)) >= 0 &&
           is_meant(q, target, true);
}

/* Does a record of TYPE at PREFIX.REALM name the host? What DNS does not answer is noted. */
static bool
in_dns(struct question *q, const char *prefix, int type)
{
    unsigned char answer[MAX_ANSWER];
    char query[512];
    ns_msg msg;
    ns_rr rr;
    int len;

    snprintf(query, sizeof(query), "%s.%s.", prefix, q->realm->name);
    len = res_query(query, ns_c_in, type, answer, sizeof(answer));
    if (len < 0 && h_errno == TRY_AGAIN)
        q->answer = DISCOVERY_NO_ANSWER;
    if (len < 0 || ns_initparse(answer, len < MAX_ANSWER ? len : MAX_ANSWER, &msg) != 0)
        return false;
    for (int i = 0; i < ns_msg_count(msg, ns_s_an); i++) {
        if (ns_parserr(&msg, ns_s_an, i, &rr) == 0 && (int)ns_rr_type(rr) == type &&
            record_names(q, &msg, &rr, type))
            return true;
    }
    return false;
}

/* In a child: the resolver has timeouts of its own, far too long. */
static bool
ask(void *arg, struct forked_outlet *outlet, struct error *err)
{
    struct question *q = arg;

    (void)err;
    if (res_init() == 0) {
        _res.retrans = 1;
        _res.retry = 1;
    }
    if (in_krb5_conf(q, true))
        q->answer = DISCOVERY_KRB5_CONF;
    else if (in_dns(q, "_kerberos._udp", ns_t_srv) || in_dns(q, "_kerberos._tcp", ns_t_srv))
        q->answer = DISCOVERY_SRV;
    else if (in_dns(q, "_kerberos", TYPE_URI))
        q->answer = DISCOVERY_URI;
    return forked_send(outlet, &q->answer, sizeof(q->answer));
}

static bool
take_answer(void *arg, const void *data, size_t len, struct error *err)
{
    struct question *q = arg;

    (void)err;
    if (len == sizeof(q->answer))
        memcpy(&q->answer, data, len);
    return true;
}

enum discovery
discovery_try(const struct realm *realm, const char *host, const char *address, int timeout)
{
    struct question q = { realm, host, address, DISCOVERY_NONE };
    struct error ignored;

    if (in_krb5_conf(&q, false))
        return DISCOVERY_KRB5_CONF;
    error_clear(&ignored);
    if (!forked_run(ask, take_answer, &q, timeout * 1000, "ask DNS", &ignored))
        return DISCOVERY_NO_ANSWER;
    return q.answer;
}
