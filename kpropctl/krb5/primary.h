/*
 * primary - is this host the primary of a realm, whose database kprop may replicate?
 *
 * Whatever dumps, sends or schedules asks here first, so that all refuse on the same grounds.
 */
#ifndef KPC_PRIMARY_H
#define KPC_PRIMARY_H

#include "common/base/errors.h"
#include "common/krb5/realm.h"

#include <stdbool.h>

/*
 * True if it is. Else ERROR_REFUSED, saying why: a backend that is not made of files (LDAP), no
 * database, kpropd serving here, or an admin_server that is another host.
 */
bool primary_is_here(const struct realm *realm, struct error *err);

/* Is it another host, by what every user can see: kpropd serves here, or admin_server is another?
 */
bool primary_is_elsewhere(const struct realm *realm);

#endif
