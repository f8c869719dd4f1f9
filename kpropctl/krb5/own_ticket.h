/*
 * own_ticket - a service ticket that this primary makes itself, with a key that its database keeps.
 *
 * A KDC issues tickets with the newest key alone. Where a host's keytab has only an older one that
 * is still in the database, this is the way to its agent: the primary has all keys of the realm
 * anyway. The format is that of RFC 4120, section 5.3.
 */
#ifndef KPC_OWN_TICKET_H
#define KPC_OWN_TICKET_H

#include "common/base/errors.h"
#include "common/krb5/keytab.h"

#include <stdbool.h>

/* Put a ticket of CLIENT for SERVICE (principals of one realm), encrypted with the first of KEYS,
 * good for five minutes, into the default credential cache of this process. */
bool own_ticket_make(const char *client, const char *service, const struct keytab_keys *keys,
                     struct error *err);

#endif
