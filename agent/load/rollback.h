/*
 * rollback - going back to a dump that was good: what only a person may ask for.
 */
#ifndef KPC_AGENT_ROLLBACK_H
#define KPC_AGENT_ROLLBACK_H

#include "agent/base/verb.h"

/*
 * "rollback REALM [previous|GENERATION]" (changing): load the last good dump again (previous: the
 * one before it; GENERATION: that of the two which has it), as carefully as kpropd's transfers are
 * loaded: beside the live database, compared with the digest that its primary announced, promoted
 * only then. It needs no primary, so it is also the repair of a damaged database while that is
 * gone. What is loaded becomes the last good one, and what was that becomes the previous one: the
 * same word undoes it. A krb5kdc that is enabled and does not run is started.
 *
 * Answers {"generation", "digest", "nonce", "principals", "policies", "announced_at", "from",
 * "note", "seconds", "kdc": {"running", "started", "error"}}.
 */
verb_function rollback_verb;

#endif
