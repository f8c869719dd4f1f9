/*
 * acceptance - root's word at this host's console that the next dump may be loaded though nobody
 * announced it: once, within half an hour, one for each realm. It is a file of the agent's state,
 * so it needs neither a daemon nor a key.
 */
#ifndef KPC_AGENT_ACCEPTANCE_H
#define KPC_AGENT_ACCEPTANCE_H

#include "agent/base/verb.h"

#include <stdint.h>

enum { ACCEPTANCE_SECONDS = 30 * 60 };

struct acceptance {
    bool given; /* and not expired */
    bool named; /* only the dump with this hash: */
    unsigned char sha256[32];
    int64_t until; /* seconds since the epoch */
};

/* Give it for REALM in state folder STATE; SHA256 (hexadecimal) may be NULL. A also gets it. */
bool acceptance_give(const char *state, const char *realm, const char *sha256, struct acceptance *a,
                     struct error *err);

/* What is given for REALM. A file that cannot be read gives nothing. */
void acceptance_read(const char *state, const char *realm, struct acceptance *a);

/* It is used up, for good, before this returns true. */
bool acceptance_take(const char *state, const char *realm, struct error *err);

/* For facts: {"until", "sha256"}, or null. */
json_t *acceptance_json(const char *state, const char *realm);

verb_function acceptance_verb; /* REALM [SHA256]: {"changed", "realm", "until", "sha256"} */

#endif
