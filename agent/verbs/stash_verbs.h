/*
 * stash_verbs - the verbs about this replica's stash, for the table in verbs.c.
 */
#ifndef KPC_AGENT_STASH_VERBS_H
#define KPC_AGENT_STASH_VERBS_H

#include "agent/base/verb.h"

/*
 * "stash REALM NONCE KVNO:MARK,KVNO:MARK...": which of these master keys (marks as in
 * common/krb5/stash.h) the stash has: {"file", "exists", "error", "held": [KVNO...], "missing":
 * [KVNO...], "waiting": a new stash waits that has them all}.
 */
verb_function stash_verb;

/*
 * "stash-put REALM STASH": STASH (a secret: the file's bytes in hexadecimal) as the new stash, see
 * stash.h: {"changed", "state": "same", "installed" or "waiting", "file", "kvnos"}.
 */
verb_function stash_verb_put;

#endif
