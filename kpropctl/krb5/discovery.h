/*
 * discovery - how the clients of a realm find a KDC: the kdc lines of krb5.conf, or DNS.
 */
#ifndef KPC_DISCOVERY_H
#define KPC_DISCOVERY_H

#include "common/krb5/realm.h"

enum discovery {
    DISCOVERY_NONE,
    DISCOVERY_KRB5_CONF, /* a kdc line of this host names it, or an address of it */
    DISCOVERY_SRV,       /* _kerberos._udp or _kerberos._tcp (RFC 4120) */
    DISCOVERY_URI,       /* _kerberos.REALM URI (MIT krb5 1.15) */
    DISCOVERY_NO_ANSWER, /* not in krb5.conf, and DNS does not answer */
};

/*
 * How HOST, whose address is ADDRESS, is found as a KDC of REALM. Asks DNS only if krb5.conf does
 * not name it as it is, in a child of its own, for at most TIMEOUT seconds.
 */
enum discovery discovery_try(const struct realm *realm, const char *host, const char *address,
                             int timeout);

/*
 * Does the target of a URI record ("krb5srv:m:udp:kdc.example.org:88", LEN bytes) name HOST or
 * ADDRESS as a KDC that is spoken to directly?
 */
bool discovery_uri_names(const char *target, size_t len, const char *host, const char *address);

#endif
