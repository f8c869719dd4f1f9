/*
 * leftovers - what interrupted loads, transfers and comparisons have left on the disk.
 */
#ifndef KPC_AGENT_LEFTOVERS_H
#define KPC_AGENT_LEFTOVERS_H

#include "common/krb5/realm.h"

#include <jansson.h>

/*
 * Their paths, a new array, of at most some dozens. To be asked while no load runs: those of a
 * running one look the same. What a living process has locked is none.
 */
json_t *leftovers_find(const struct realm *realm);

#endif
