/*
 * conf_places - where on this host a bundle's files and libraries may be: below the folders of its
 * own KDC programs, and beside what its own kdc.conf names.
 */
#ifndef AGENT_CONF_PLACES_H
#define AGENT_CONF_PLACES_H

#include "agent/enroll/conf_wanted.h"
#include "common/base/errors.h"

#include <profile.h>
#include <stdbool.h>

/* The folders that KDC programs were built with on a host. */
struct kdc_folders {
    const char *data_dir, *conf_dir;
};

/* Write each path of WANTED, of kdc.conf, that is below PRIMARY's folders with those of HERE. */
bool conf_places_move(struct conf_wanted *wanted, const struct kdc_folders *primary,
                      const struct kdc_folders *here, struct error *err);

/*
 * May what WANTED names be used here, as far as OWN, the kdc.conf that is at PATH (NULL: there is
 * none), does not say otherwise? A relation that OWN has, with OWN's rule or value, is its own. A
 * path must be plain and below a folder of HERE (or, if it is only read, /usr/share/dict), or, its
 * links followed too, in a folder that OWN has such a file in; what the database would take the
 * place of must be one; a library is "db2" or "klmdb". Refusals print the line that lets it, for
 * PATH.
 */
bool conf_places_check(const struct conf_wanted *wanted, profile_t own, const char *path,
                       const struct kdc_folders *here, struct error *err);

#endif
