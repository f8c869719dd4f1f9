/*
 * tickets - this primary's own credentials, and the proof that a replica's KDC issues tickets.
 */
#ifndef KPC_TICKETS_H
#define KPC_TICKETS_H

#include "common/base/errors.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Make a ticket-granting ticket of PRINCIPAL the default credentials of this process (in memory,
 * KRB5CCNAME). Taken from the cache file CACHE (root's own, 0600) while it is good for ten minutes
 * more and FRESH is false; else got with KEYTAB and kept there. A cached one saves an AS exchange,
 * which the database would record; service tickets are never cached, so that each proves the
 * present keys.
 */
bool tickets_obtain(const char *principal, const char *keytab, const char *cache, bool fresh,
                    struct error *err);

/*
 * Make the ticket-granting ticket in credential cache CCACHE, somebody else's making, the default
 * credentials of this process, in memory: CCACHE itself is not written to. CLIENT is whose it is.
 */
bool tickets_use(const char *ccache, char *client, size_t size, struct error *err);

/* The first principal of KEYTAB into NAME. */
bool tickets_keytab_principal(const char *keytab, char *name, size_t size, struct error *err);

/* With which key version the service ticket for TARGET is encrypted that the default credentials
 * hold, since a connection was made with it. */
bool tickets_kvno(const char *target, int *kvno, struct error *err);

struct ticket_proof {
    double seconds;
    int kvno;              /* of the krbtgt key that the KDC used */
    bool other_master_key; /* of a failure: the KDC cannot decrypt its own database */
};

/*
 * One real AS exchange for PRINCIPAL with KEYTAB, answered by the KDC at ADDRESS:PORT (a numeric
 * address) and nobody else: no other KDC of the realm, no DNS, no primary is asked. Waits at most
 * TIMEOUT seconds.
 */
bool tickets_prove(const char *principal, const char *keytab, const char *realm,
                   const char *address, int port, int timeout, struct ticket_proof *proof,
                   struct error *err);

#endif
