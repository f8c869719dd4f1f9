/*
 * kpropd_watched - the verbs about kpropd where systemd does not run it: where the agent does
 * (supervise = yes), they go to its daemon; where an init script does, its commands are told.
 */
#ifndef KPC_AGENT_KPROPD_WATCHED_H
#define KPC_AGENT_KPROPD_WATCHED_H

#include "agent/base/verb.h"
#include "agent/service/services.h"

/* Who runs the kpropd of a realm. */
enum kpropd_runner { RUNNER_SYSTEMD, RUNNER_AGENT, RUNNER_SCRIPT };

/* Of REALM (NULL: the default realm). False if agent.conf asks for what cannot be. */
bool kpropd_runner(const struct settings *settings, const char *realm, enum kpropd_runner *runner,
                   struct error *err);

/* By RUNNER_AGENT: the verbs use-loader, release-loader, start-kpropd and stop-kpropd. */
bool kpropd_watched_use_loader(const struct verb_call *call, json_t **reply, struct error *err);
bool kpropd_watched_release(const struct verb_call *call, json_t **reply, struct error *err);
bool kpropd_watched_start(const struct verb_call *call, json_t **reply, struct error *err);
bool kpropd_watched_stop(const struct verb_call *call, json_t **reply, struct error *err);

/* What the daemon says of it, for facts; {"state": null, "error", "hint"} if none answers. Null
 * where the agent is not to run it. */
json_t *kpropd_watched_facts(const struct settings *settings, const char *realm);

/* By RUNNER_SCRIPT: fails, and tells what to do for ACTION ("start", "stop") of SERVICE. */
bool kpropd_tell_script(enum service service, const char *action, struct error *err);

#endif
