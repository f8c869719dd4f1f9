/*
 * roster - the replicas of a realm once more, beside the state database: a damaged one stops no
 * propagation. The file is STATE_DIR/REALM.replicas, a JSON array of host names.
 */
#ifndef KPC_ROSTER_H
#define KPC_ROSTER_H

#include "common/base/errors.h"

#include <jansson.h>

/* Keep the hosts of REPLICAS (as state_replicas gives them); a file that has them already is left
 * alone. That it cannot be written is no trouble of today's. */
void roster_keep(const char *dir, const char *realm, const json_t *replicas);

/* What was kept, as an array of {"host"}, owned by the caller; NULL if there is nothing. */
json_t *roster_recall(const char *dir, const char *realm);

#endif
