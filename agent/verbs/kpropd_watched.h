/*
 * kpropd_watched - the verbs about kpropd where systemd does not run it: where the agent does
 * (supervise = yes), they go to its daemon.
 */
#ifndef KPC_AGENT_KPROPD_WATCHED_H
#define KPC_AGENT_KPROPD_WATCHED_H

#include "agent/base/verb.h"

/* By RUNNER_AGENT: the verbs use-loader, release-loader, start-kpropd and stop-kpropd. */
bool kpropd_watched_use_loader(const struct verb_call *call, json_t **reply, struct error *err);
bool kpropd_watched_release(const struct verb_call *call, json_t **reply, struct error *err);
bool kpropd_watched_start(const struct verb_call *call, json_t **reply, struct error *err);
bool kpropd_watched_stop(const struct verb_call *call, json_t **reply, struct error *err);

#endif
