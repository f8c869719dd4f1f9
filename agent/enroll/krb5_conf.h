/*
 * krb5_conf - what of the primary's krb5.conf and kdc.conf a replica needs, merged into its own.
 */
#ifndef AGENT_KRB5_CONF_H
#define AGENT_KRB5_CONF_H

#include "agent/enroll/conf_merge.h"
#include "agent/enroll/conf_places.h"
#include "common/base/errors.h"

#include <stdbool.h>

/*
 * Plan the merge of REALM, as the primary's krb5.conf TEXT has it, into PATH: what conf_allowed
 * lists of the realm's own section, the domains that are its, default_realm where the realm is the
 * primary's default, and the few settings of [libdefaults] that both must have alike. Without a
 * file that, and no more, is the new one. Where PATH is TEMPLATE (NULL: Debian's) as its package
 * installs it, a default_realm there is nobody's choice, and gives way. Otherwise as conf_merge.
 */
bool krb5_conf_plan(const char *path, const char *template, const char *text, const char *realm,
                    bool replace, struct conf_plan *plan, struct error *err);

/*
 * Plan the merge of what TEXT, of the primary's kdc.conf, says of REALM and conf_allowed lists into
 * PATH, but for addresses to listen on. Files and libraries must be this host's by
 * conf_places_check, else ERROR_REFUSED. Paths below the PRIMARY's folders are written with those
 * of HERE, and a path that PATH has already stands, as do its [kdcdefaults]. Otherwise as
 * conf_merge.
 */
bool kdc_conf_plan(const char *path, const char *text, const char *realm,
                   const struct kdc_folders *primary, const struct kdc_folders *here, bool replace,
                   struct conf_plan *plan, struct error *err);

#endif
