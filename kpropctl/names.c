/* names - see names.h. */
#include "kpropctl/names.h"

#include <ctype.h>
#include <krb5.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

bool
names_valid(const char *host)
{
    if (host[0] == '\0' || host[0] == '-' || host[0] == '.' || strlen(host) > 253)
        return false;
    for (const char *p = host; *p != '\0'; p++) {
        if (!isalnum((unsigned char)*p) && strchr(".-:_", *p) == NULL)
            return false;
    }
    return true;
}

static bool
is_loopback(const struct sockaddr *sa)
{
    const struct in_addr *v4 = &((const struct sockaddr_in *)(const void *)sa)->sin_addr;
    const struct in6_addr *v6 = &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;

    if (sa->sa_family == AF_INET)
        return (ntohl(v4->s_addr) >> 24) == IN_LOOPBACKNET;
    return IN6_IS_ADDR_LOOPBACK(v6) ||
           (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == IN_LOOPBACKNET);
}

static bool
same_address(const struct sockaddr *a, const struct sockaddr_storage *b)
{
    const struct sockaddr_in *a4 = (const void *)a, *b4 = (const void *)b;
    const struct sockaddr_in6 *a6 = (const void *)a, *b6 = (const void *)b;

    if (a->sa_family != b->ss_family)
        return false;
    if (a->sa_family == AF_INET)
        return a4->sin_addr.s_addr == b4->sin_addr.s_addr;
    return memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof(a6->sin6_addr)) == 0;
}

/* What is sent to an address of this host comes from that address: the kernel tells, without a list
 * of all interfaces. Nothing is sent. */
static bool
address_is_local(const struct addrinfo *ai)
{
    struct sockaddr_storage to, own;
    socklen_t len = sizeof(own);
    bool local = is_loopback(ai->ai_addr);
    int fd;

    if (local || ai->ai_addrlen > sizeof(to))
        return local;
    memcpy(&to, ai->ai_addr, ai->ai_addrlen);
    if (to.ss_family == AF_INET)
        ((struct sockaddr_in *)(void *)&to)->sin_port = htons(9);
    else
        ((struct sockaddr_in6 *)(void *)&to)->sin6_port = htons(9);
    fd = socket(ai->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    local = fd >= 0 && connect(fd, (struct sockaddr *)&to, ai->ai_addrlen) == 0 &&
            getsockname(fd, (struct sockaddr *)&own, &len) == 0 && same_address(ai->ai_addr, &own);
    if (fd >= 0)
        close(fd);
    return local;
}

/* host/HOST@REALM by krb5's own rules; HOST NULL means this host. */
static bool
derive_principal(const char *host, const char *realm, struct names *names, struct error *err)
{
    krb5_context context = NULL;
    krb5_principal principal = NULL;
    krb5_error_code code = krb5_init_context(&context);
    char *text = NULL;

    if (code == 0)
        code = krb5_sname_to_principal(context, host, "host", KRB5_NT_SRV_HST, &principal);
    if (code == 0)
        code = krb5_set_principal_realm(context, principal, realm);
    if (code == 0)
        code = krb5_unparse_name(context, principal, &text);
    if (code == 0) {
        snprintf(names->principal, sizeof(names->principal), "%s", text);
        snprintf(names->host, sizeof(names->host), "%.*s",
                 (int)krb5_princ_component(context, principal, 1)->length,
                 krb5_princ_component(context, principal, 1)->data);
    } else {
        const char *message = krb5_get_error_message(context, code);

        error_set(err, ERROR_FAILED, "cannot derive the host principal of %s: %s",
                  host != NULL ? host : "this host", message);
        krb5_free_error_message(context, message);
    }
    krb5_free_unparsed_name(context, text);
    krb5_free_principal(context, principal);
    krb5_free_context(context);
    return code == 0;
}

static struct addrinfo *
resolve(const char *host)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG }, *list = NULL;

    return getaddrinfo(host, NULL, &hints, &list) == 0 ? list : NULL;
}

bool
names_look_up(const char *host, const char *realm, struct names *names, struct error *err)
{
    struct addrinfo *list;

    memset(names, 0, sizeof(*names));
    if (!derive_principal(host, realm, names, err))
        return false;
    list = resolve(host != NULL ? host : names->host);
    if (list == NULL) {
        error_set(err, ERROR_UNREACHABLE, "cannot resolve %s: no such host",
                  host != NULL ? host : names->host);
        return error_hint(err, "check the spelling, or add the host to DNS or /etc/hosts");
    }
    names->local = address_is_local(list);
    getnameinfo(list->ai_addr, list->ai_addrlen, names->address, sizeof(names->address), NULL, 0,
                NI_NUMERICHOST);
    if (getnameinfo(list->ai_addr, list->ai_addrlen, names->reverse, sizeof(names->reverse), NULL,
                    0, NI_NAMEREQD) != 0)
        names->reverse[0] = '\0';
    freeaddrinfo(list);
    return true;
}

bool
names_suit_replica(const struct names *names, const char *asked, struct error *err)
{
    if (names->local) {
        error_set(err, ERROR_REFUSED, "%s is this host itself", asked);
        return error_hint(err, "name another host: a primary is no replica of its own");
    }
    if (strchr(names->host, '.') != NULL)
        return true;
    error_set(err, ERROR_FAILED,
              "krb5 makes %s of %s: a short name, so the principals will not match",
              names->principal, asked);
    return error_hint(err, "put the full name first in /etc/hosts of this host: %s HOST.DOMAIN %s",
                      names->address, names->host);
}

bool
names_is_local(const char *host)
{
    struct addrinfo *list = resolve(host);
    bool local = false;

    for (const struct addrinfo *ai = list; ai != NULL && !local; ai = ai->ai_next)
        local = address_is_local(ai);
    if (list != NULL)
        freeaddrinfo(list);
    return local;
}
