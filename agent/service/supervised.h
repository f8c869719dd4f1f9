/*
 * supervised - the kpropd that the agent's daemon itself runs and watches (supervise = yes in
 * agent.conf): what both the daemon and a verb in another process need to know of it.
 *
 * The daemon answers at a socket that only root reaches, one word and one JSON object in each
 * connection: "status", "start" (answered when kpropd listens, or has failed), "stop" (when it has
 * ended, or a load holds that up). Whether it is to run at all survives as a file of the state.
 */
#ifndef KPC_AGENT_SUPERVISED_H
#define KPC_AGENT_SUPERVISED_H

#include "agent/base/settings.h"
#include "common/base/errors.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum { SUPERVISED_REPLY = 8192 };

/*
 * True if the daemon of BASE is to run the kpropd of REALM (NULL: the default realm). Only the
 * default realm's can be; *OTHER (may be NULL) tells that it was asked for another.
 */
bool supervised_realm(const struct settings *base, const char *realm, bool *other);

/* The path of FILE ("kpropd.pid", "kpropd.log", "supervisor") in the runtime folder of S. */
bool supervised_path(const struct settings *s, const char *file, char *path, size_t size);

/* Whether kpropd is to run, until said otherwise, also after a boot. */
bool supervised_wanted(const struct settings *s);
bool supervised_want(const struct settings *s, bool wanted, struct error *err);

/* Whether kpropd is to load with kdb5_util itself, since release-loader said so. */
bool supervised_stock(const struct settings *s);
bool supervised_set_stock(const struct settings *s, bool stock, struct error *err);

/*
 * Say WORD to the daemon and wait at most SECONDS for its answer in *REPLY: {"state", "wanted",
 * "pid", "since", "restarts", "failures", "last_failure", "next", "error", "hint"}, see
 * docs/protocol.md. ERROR_UNREACHABLE if no daemon answers.
 */
bool supervised_ask(const struct settings *s, const char *word, int seconds, json_t **reply,
                    struct error *err);

/* The last COUNT lines that kpropd wrote, as an array of texts. */
json_t *supervised_log(const struct settings *s, size_t count);

#endif
