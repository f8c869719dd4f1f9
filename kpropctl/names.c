/* names - see names.h. */
#include "kpropctl/names.h"

#include <ctype.h>
#include <ifaddrs.h>
#include <krb5.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

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

static const void *
address_bytes(const struct sockaddr *sa, size_t *len)
{
    if (sa->sa_family == AF_INET) {
        *len = sizeof(struct in_addr);
        return &((const struct sockaddr_in *)(const void *)sa)->sin_addr;
    }
    *len = sizeof(struct in6_addr);
    return &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
}

static bool
address_is_local(const struct sockaddr *sa)
{
    struct ifaddrs *list = NULL;
    size_t len, other;
    const void *wanted = address_bytes(sa, &len);
    bool found = false;

    if (getifaddrs(&list) != 0)
        return false;
    for (const struct ifaddrs *p = list; p != NULL && !found; p = p->ifa_next) {
        if (p->ifa_addr != NULL && p->ifa_addr->sa_family == sa->sa_family)
            found = memcmp(address_bytes(p->ifa_addr, &other), wanted, len) == 0;
    }
    freeifaddrs(list);
    return found;
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
    names->local = address_is_local(list->ai_addr);
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
        local = address_is_local(ai->ai_addr);
    if (list != NULL)
        freeaddrinfo(list);
    return local;
}
