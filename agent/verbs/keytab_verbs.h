/*
 * keytab_verbs - the verbs that change this host's own keys in its keytab, for the table in
 * verbs.c.
 *
 * PRINCIPAL must be the host's own of REALM (host/NAME@REALM, as libkrb5 makes it here). Both
 * change the default keytab, which kpropd uses, and the agent's own where agent.conf names another.
 */
#ifndef KPC_AGENT_KEYTAB_VERBS_H
#define KPC_AGENT_KEYTAB_VERBS_H

#include "agent/base/verb.h"

/*
 * "keytab-add REALM PRINCIPAL KEYS": KEYS (a secret, see common/krb5/keytab.h) beside the keys of
 * other versions: {"changed", "kvno", "files"}.
 */
verb_function keytab_verb_add;

/* "keytab-drop REALM PRINCIPAL KVNO": drop what is older than KVNO, which must be there:
 * {"changed", "kvno", "dropped", "files"}. */
verb_function keytab_verb_drop;

#endif
