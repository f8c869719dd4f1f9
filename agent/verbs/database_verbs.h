/*
 * database_verbs - the verbs about the replica's database and its loads, for the table in verbs.c.
 *
 * The live database is never walked: it would delay its KDC. What is read is a snapshot.
 */
#ifndef KPC_AGENT_DATABASE_VERBS_H
#define KPC_AGENT_DATABASE_VERBS_H

#include "agent/base/verb.h"

/*
 * "announce REALM JSON" (changing): this dump comes next, see announcement.h. Answers
 * {"generation", "greatest", "expires_at"}; with ERROR_REFUSED for an older one still {"greatest"}.
 */
verb_function database_verb_announce;

/* "digest REALM NONCEHEX": {"digest", "nonce", "principals", "policies", "stash_opens",
 * "stash_error", "identity", "seconds"}. */
verb_function database_verb_digest;

/*
 * "inventory REALM [PART/PARTS]": {"principals": {NAME: time of its last change}, "policies":
 * {NAME: 0}}, of all entries or of those whose name falls into PART (from 0) of PARTS, so that a
 * large realm can be asked for in pieces.
 */
verb_function database_verb_inventory;

/*
 * "outcome REALM [SECONDS]": what became of the last load, as in its file (outcome.h), with
 * "running" (null, or {"pid", "since", "stage", "generation"}), "pending" (the announcement, or
 * null), "last_good",
 * "previous_good", "greatest" and "live" (the identity of the live files, null if the load did
 * not promote them). Waits at most SECONDS
 * (default 240) for a load that runs. Without a load so far "generation" is null.
 */
verb_function database_verb_outcome;

/*
 * Complete a promotion of REALM's (NULL: the default realm's) that was killed half-way, and remove
 * what else is left; for the daemon's start. True when there was nothing, or it was done and told
 * in the log.
 */
bool database_recover(const char *realm, struct error *err);

#endif
