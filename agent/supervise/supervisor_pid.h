/*
 * supervisor_pid - which kpropd is ours, for a daemon that comes after this one: its pid and when
 * it was started, so that a recycled pid is not taken for it.
 */
#ifndef KPC_AGENT_SUPERVISOR_PID_H
#define KPC_AGENT_SUPERVISOR_PID_H

#include "agent/base/settings.h"

#include <sys/types.h>

/* PID was started; failures are logged. */
void supervisor_pid_remember(const struct settings *s, pid_t pid);
void supervisor_pid_forget(const struct settings *s);

/* The one remembered if it still runs, else 0. *FD becomes readable when it ends (pidfd_open(2)),
 * and is the caller's. */
pid_t supervisor_pid_recall(const struct settings *s, int *fd);

#endif
