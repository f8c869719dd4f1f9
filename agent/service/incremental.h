/*
 * incremental - a kpropd that runs incrementally (iprop) is kadmind's affair: it takes no dump of
 * ours, and undoes what is loaded past it.
 */
#ifndef KPC_AGENT_INCREMENTAL_H
#define KPC_AGENT_INCREMENTAL_H

#include "agent/base/verb.h"
#include "agent/service/services.h"
#include "common/base/errors.h"
#include "common/krb5/realm.h"

#include <jansson.h>
#include <stdbool.h>

/* True, false, or null where no kpropd runs or nobody can tell: what STATE's process does, whatever
 * kdc.conf says by now. */
json_t *incremental_fact(const struct service_state *state);

/* False with ERR (ERROR_REFUSED, and the way out in its hint) if kpropd runs incrementally here, or
 * is configured to and does not run, or lmdb holds a database: VERB is what must not be done ("roll
 * back"). */
bool incremental_allows(const struct verb_call *call, const struct realm *realm, const char *verb,
                        struct error *err);

#endif
