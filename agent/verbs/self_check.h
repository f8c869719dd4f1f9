/*
 * self_check - kpropctl-agent check: what a replica can tell of its own health, without its
 * primary. Whether it holds the newest database only the primary knows; `kpropctl check` asks both.
 */
#ifndef KPC_AGENT_SELF_CHECK_H
#define KPC_AGENT_SELF_CHECK_H

#include "agent/base/verb.h"

/* [REALM]: {"host", "realm", "status": "OK"…, "checks": [{"id", "level", "summary", "hint"}…]}. */
verb_function self_check_verb;

/*
 * At the console: as a monitoring plugin tells it, or as JSON with the option --json. Returns
 * the plugin's exit status: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN, which any error is too.
 */
int self_check_console(const struct verb_call *call, FILE *out);

#endif
