/*
 * loader_dropin - has kpropd's unit load with our loader: a drop-in that repeats its command.
 */
#ifndef KPC_AGENT_LOADER_DROPIN_H
#define KPC_AGENT_LOADER_DROPIN_H

#include "agent/base/verb.h"
#include "agent/service/services.h"

/*
 * Whether kpropd uses our loader: *DROPIN if the unit's drop-in is written, *RUNNING if the process
 * of STATE was started with it.
 */
void kpropd_loader_state(const struct service_state *state, bool *dropin, bool *running);

/* Write the drop-in for the unit of STATE, and have systemd read it: *CHANGED if it was not there
 * so. */
bool write_loader_dropin(struct systemd *sd, const struct verb_call *call,
                         const struct service_state *state, bool *changed, struct error *err);

/* Is the unit's command the drop-in's? False where another drop-in has the last word. */
bool check_effective(struct systemd *sd, const struct service_state *state, struct error *err);

#endif
