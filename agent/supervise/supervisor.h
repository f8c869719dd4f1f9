/*
 * supervisor - run kpropd and watch it, where agent.conf says supervise = yes: started again when
 * it ends, after a pause that doubles; ready only when it is seen at its socket; never stopped in
 * the middle of a load; never two at once. One object of the daemon, on its loop.
 *
 * A daemon that dies leaves kpropd running, and the next one takes it up again. One that is stopped
 * stops kpropd before it ends.
 */
#ifndef KPC_AGENT_SUPERVISOR_H
#define KPC_AGENT_SUPERVISOR_H

#include "agent/base/settings.h"
#include "common/base/errors.h"

#include <ev.h>
#include <stdbool.h>

struct supervisor;

/*
 * Begin, on LOOP (libev's default one, for it waits for children), as SETTINGS say; they must
 * outlive it. NULL with ERR if it cannot be asked by anybody.
 */
struct supervisor *supervisor_new(struct ev_loop *loop, const struct settings *settings,
                                  struct error *err);

/* The settings have changed. */
void supervisor_refresh(struct supervisor *supervisor);

/*
 * Stop kpropd in the safe order, and call STOPPED with ARG when nothing is left to wait for, maybe
 * at once. Where a load outlasts all patience, kpropd runs on.
 */
void supervisor_stop(struct supervisor *supervisor, void (*stopped)(void *arg), void *arg);

/* NULL is fine. */
void supervisor_free(struct supervisor *supervisor);

#endif
