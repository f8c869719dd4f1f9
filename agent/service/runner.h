/*
 * runner - who runs a realm's kpropd here: systemd, the agent's daemon, or an init script.
 */
#ifndef KPC_AGENT_RUNNER_H
#define KPC_AGENT_RUNNER_H

#include "agent/base/settings.h"
#include "agent/service/services.h"

/* Who runs the kpropd of a realm. */
enum kpropd_runner { RUNNER_SYSTEMD, RUNNER_AGENT, RUNNER_SCRIPT };

/* Of REALM (NULL: the default realm). False if agent.conf asks for what cannot be. */
bool kpropd_runner(const struct settings *settings, const char *realm, enum kpropd_runner *runner,
                   struct error *err);

/* What the daemon says of it, for facts; {"state": null, "error", "hint"} if none answers. Null
 * where the agent is not to run it. */
json_t *kpropd_watched_facts(const struct settings *settings, const char *realm);

/* By RUNNER_SCRIPT: fails, and tells what to do for ACTION ("start", "stop") of SERVICE. */
bool kpropd_tell_script(enum service service, const char *action, struct error *err);

#endif
