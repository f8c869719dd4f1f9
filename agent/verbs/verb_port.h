/*
 * verb_port - the verbs about kpropd's port: port, release, release-at-start.
 */
#ifndef KPC_AGENT_VERB_PORT_H
#define KPC_AGENT_VERB_PORT_H

#include "agent/base/verb.h"

/*
 * [SERVICE|PORT] [--way WAY]: the report of ports_json(), and of kpropd's own port "lasting": false
 * if portreserve would reserve it again at its next start, null if that cannot be told. A port that
 * is held is no failure of the verb.
 */
verb_function verb_port;

/*
 * [SERVICE|PORT]: {"changed", "port", "released": NAME, "lost", "taken", "dropin": PATH, "init",
 * "report"}: release a reservation, prove it, and for kpropd's own port make it last. Nothing to do
 * is no failure. On failure the report is there too.
 */
verb_function verb_release;

/* PORT: what the drop-in runs before each start of kpropd. Console only, takes no lock. */
verb_function verb_release_at_start;

#endif
