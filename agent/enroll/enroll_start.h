/*
 * enroll_start - the agent, started with what an enrolment has put in place.
 */
#ifndef KPC_AGENT_ENROLL_START_H
#define KPC_AGENT_ENROLL_START_H

#include "common/base/errors.h"

#include <stdbool.h>

/*
 * Enable the agent's unit and start it, or restart it if it runs and something has CHANGED; without
 * systemd by its init script. *DONE says what was done ("started", "restarted", "running", "not
 * started"), *TEXT what is left to do for a person (NULL: nothing); both are constants. False: it
 * does not run.
 */
bool enroll_start(bool changed, const char **done, const char **text, struct error *err);

#endif
