/* names - see names.h. */
#include "kpropctl/krb5/names.h"

#include "common/contract/refusals.h"

#include <ctype.h>
#include <errno.h>
#include <krb5.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <profile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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

const char *
names_krb5_conf(void)
{
    const char *list = secure_getenv("KRB5_CONFIG");

    return list != NULL && list[0] != '\0' ? list : "/etc/krb5.conf";
}

/* A context in which LAYER, the text of a krb5.conf, counts before this host's own files; NULL:
 * these alone. *FD is to be closed behind the context, which looks at the file again. */
static krb5_error_code
make_context(const char *layer, krb5_context *context, int *fd)
{
    char path[2 * PATH_MAX];
    profile_t profile = NULL;
    krb5_error_code code;

    *fd = -1;
    if (layer == NULL)
        return krb5_init_context(context);
    *fd = memfd_create("krb5.conf", MFD_CLOEXEC);
    if (*fd < 0 || dprintf(*fd, "%s", layer) < 0)
        return ENOMEM;
    snprintf(path, sizeof(path), "/proc/self/fd/%d:%s", *fd, names_krb5_conf());
    code = (krb5_error_code)profile_init_path(path, &profile);
    if (code == 0)
        code = krb5_init_context_profile(profile, 0, context);
    profile_release(profile);
    return code;
}

/* host/HOST@REALM by krb5's own rules, with LAYER before its configuration; HOST NULL means this
 * host. */
static bool
derive_principal(const char *host, const char *realm, const char *layer, struct names *names,
                 struct error *err)
{
    krb5_context context = NULL;
    krb5_principal principal = NULL;
    int fd;
    krb5_error_code code = make_context(layer, &context, &fd);
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
    if (fd >= 0)
        close(fd);
    return code == 0;
}

bool
names_plain_layer(const char *realm, const char *own, char *text, size_t size)
{
    const char *name = strncmp(own, "host/", 5) == 0 ? own + 5 : own;
    char host[256] = "";
    struct names derived;
    struct error ignored;
    size_t len;
    int used;

    used = snprintf(text, size,
                    "[libdefaults]\n    dns_canonicalize_hostname = false\n"
                    "    rdns = false\n");
    gethostname(host, sizeof(host) - 1);
    len = strlen(host);
    /* What krb5 (1.18) puts behind a name of one component; else it asks resolv.conf. */
    if (len > 0 && strchr(host, '.') == NULL && strncasecmp(name, host, len) == 0 &&
        name[len] == '.')
        snprintf(text + used, size - (size_t)used, "    qualify_shortname = %.*s\n",
                 (int)strcspn(name + len + 1, "@"), name + len + 1);
    memset(&derived, 0, sizeof(derived));
    return derive_principal(NULL, realm, text, &derived, &ignored) &&
           strcmp(derived.principal, own) == 0;
}

static struct addrinfo *
resolve(const char *host)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG }, *list = NULL;

    return getaddrinfo(host, NULL, &hints, &list) == 0 ? list : NULL;
}

/* The addresses of HOST, and what goes with them, into NAMES. */
static bool
find_addresses(const char *host, struct names *names, struct error *err)
{
    struct addrinfo *list = resolve(host);

    if (list == NULL) {
        error_set(err, ERROR_UNREACHABLE, "cannot resolve %s: no such host", host);
        return error_hint(err, "check the spelling, or add the host to DNS or /etc/hosts");
    }
    names->local = address_is_local(list);
    for (const struct addrinfo *ai = list; ai != NULL; ai = ai->ai_next)
        names->addresses++;
    getnameinfo(list->ai_addr, list->ai_addrlen, names->address, sizeof(names->address), NULL, 0,
                NI_NUMERICHOST);
    if (getnameinfo(list->ai_addr, list->ai_addrlen, names->reverse, sizeof(names->reverse), NULL,
                    0, NI_NAMEREQD) != 0)
        names->reverse[0] = '\0';
    freeaddrinfo(list);
    return true;
}

bool
names_look_up(const char *host, const char *realm, struct names *names, struct error *err)
{
    memset(names, 0, sizeof(*names));
    return derive_principal(host, realm, NULL, names, err) &&
           find_addresses(host != NULL ? host : names->host, names, err);
}

static bool
leads_elsewhere(const char *recorded, const char *realm, const struct names *found,
                struct error *err)
{
    const struct refusal_names who = { realm, recorded, NULL };

    return refusal_set(err, REFUSAL_RENAMED, &who,
                       "cannot trust the name %s: it leads to another host, %s (%s); mend DNS or "
                       "/etc/hosts of this host",
                       recorded, found->host, found->address);
}

/* Does krb5 make HOST of ASKED? By the forward name, or as it is configured: a reverse name may be
 * wrong, or change, behind a name that is right. FOUND has what it makes of it in the end. */
static bool
leads_to(const char *asked, const char *host, const char *realm, struct names *found,
         struct error *err)
{
    static const char forward[] = "[libdefaults]\n    rdns = false\n";

    return (derive_principal(asked, realm, forward, found, err) &&
            strcasecmp(found->host, host) == 0) ||
           (derive_principal(asked, realm, NULL, found, err) && strcasecmp(found->host, host) == 0);
}

bool
names_mean(const char *asked, const char *host, const char *realm)
{
    struct names found;
    struct error ignored;

    memset(&found, 0, sizeof(found));
    error_clear(&ignored);
    return leads_to(asked, host, realm, &found, &ignored);
}

bool
names_look_up_recorded(const char *recorded, const char *realm, struct names *names,
                       struct error *err)
{
    static const char plain[] = "[libdefaults]\n    dns_canonicalize_hostname = false\n"
                                "    rdns = false\n";
    struct names found;

    memset(names, 0, sizeof(*names));
    memset(&found, 0, sizeof(found));
    if (!find_addresses(recorded, &found, err))
        return false;
    error_clear(err);
    if (!leads_to(recorded, recorded, realm, &found, err))
        return err->code == ERROR_NONE ? leads_elsewhere(recorded, realm, &found, err) : false;
    *names = found;
    return derive_principal(recorded, realm, plain, names, err);
}

bool
names_lead_to(const char *host, const char *address)
{
    struct addrinfo *list = resolve(host);
    bool same = list != NULL;
    char text[64];

    for (const struct addrinfo *ai = list; ai != NULL && same; ai = ai->ai_next)
        same = getnameinfo(ai->ai_addr, ai->ai_addrlen, text, sizeof(text), NULL, 0,
                           NI_NUMERICHOST) == 0 &&
               strcmp(text, address) == 0;
    if (list != NULL)
        freeaddrinfo(list);
    return same;
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
