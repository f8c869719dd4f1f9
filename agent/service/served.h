/*
 * served - which realms this host serves, or may come to.
 */
#ifndef KPC_AGENT_SERVED_H
#define KPC_AGENT_SERVED_H

#include "agent/base/settings.h"
#include "common/base/errors.h"

#include <stdbool.h>

/*
 * Does this host serve REALM: does `realms` of SETTINGS name it, kpropd's access list a principal
 * of it, or is the stash that kdc.conf says for it that realm's? False too where nothing can be
 * read.
 */
bool served_shows(const struct settings *settings, const char *realm);

/*
 * May VERB change something for REALM here? If served_shows, or nothing shows it yet and it is the
 * default realm, or krb5.conf or kdc.conf has a section of [realms] for it. Else ERROR_USAGE, with
 * the realms that may: a mistyped one has no files here, and its kpropd would be the usual one.
 */
bool served_check(const struct settings *settings, const char *realm, const char *verb,
                  struct error *err);

#endif
