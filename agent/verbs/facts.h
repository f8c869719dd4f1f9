/*
 * facts - the verb that tells the primary all that its checks want to know of this host.
 *
 * It must stay quick: it looks at files, processes and units, and never opens the database.
 */
#ifndef KPC_AGENT_FACTS_H
#define KPC_AGENT_FACTS_H

#include "agent/base/verb.h"

/* [REALM]: the object described in docs/protocol.md. */
verb_function facts_verb;

#endif
