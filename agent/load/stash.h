/*
 * stash - a new stash for this replica: it waits in the agent's state folder until it opens the
 * live database, and only then takes the place of the old one.
 *
 * After a change of the master key no stash opens the databases of all times (docs/architecture.md
 * has the table). So a new stash that does not open today's database is kept for the one to come:
 * the loader takes that if either stash opens it, and whoever looks next puts the new one in place.
 */
#ifndef KPC_AGENT_STASH_H
#define KPC_AGENT_STASH_H

#include "common/base/errors.h"
#include "common/krb5/realm.h"

#include <stdbool.h>
#include <stddef.h>

/* The file in STATE where REALM's new stash waits. */
bool stash_waiting(const char *state, const char *realm, char *path, size_t size,
                   struct error *err);

enum stash_settled {
    STASH_NONE,      /* none waits */
    STASH_WAITS,     /* it does not open the live database yet, or a load is running */
    STASH_INSTALLED, /* it was put in the place of the old one */
};

/*
 * Put the stash that waits for REALM in place if it opens the live database (a copy of it, in a
 * child), or if there is no database. Holds the lock of loads meanwhile, and never waits for it.
 * Killed at any point, the stash is the old or the new one, whole.
 */
bool stash_settle(const char *state, const struct realm *realm, enum stash_settled *what,
                  struct error *err);

/* The same for whatever realm a stash waits for in STATE, at the daemon's start; a KDC that has
 * ended meanwhile is started. What happens is in the log. */
void stash_recover(const char *state);

#endif
