/*
 * conf_roles - what a file of a KDC is there for: one must not come to be another's.
 */
#ifndef AGENT_CONF_ROLES_H
#define AGENT_CONF_ROLES_H

#include "agent/enroll/conf_wanted.h"

#include <profile.h>
#include <stdbool.h>

/* PATH into REAL (PATH_MAX), with the links followed of as much of it as is there. */
bool conf_roles_follow(const char *path, char *real);

/*
 * Why REAL, of which links are followed, must not be what relation R names: by its name it is
 * something else's here (kpropd's list, a stash, a keytab, what kpropd receives, …), or OWN
 * (kdc.conf of this host, or NULL) names it for something else or for another realm's database.
 * NULL: it may be.
 */
const char *conf_roles_wrong(const char *real, const struct conf_relation *r, profile_t own);

/* Would what relations R1 and R2 name be written over each other, other than by being the same? */
bool conf_roles_clash(const char *real1, const struct conf_relation *r1, const char *real2,
                      const struct conf_relation *r2);

#endif
