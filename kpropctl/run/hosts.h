/*
 * hosts - all replicas, for commands that take no host for every host.
 */
#ifndef KPC_HOSTS_H
#define KPC_HOSTS_H

#include "kpropctl/base/command_context.h"

#include <jansson.h>

/*
 * All recorded replicas of the realm as a list of names, counted; the strings of *LIST (freed by
 * the caller) belong to *REPLICAS (likewise). 0 with ERR if none is known.
 */
size_t hosts_all(const struct command_context *context, json_t **replicas, char ***list,
                 struct error *err);

#endif
