/*
 * loads - is a database being loaded on this host, and waiting until none is. Whoever stops kpropd
 * in the middle of one kills it in its last lines, which may cost the live database.
 */
#ifndef KPC_AGENT_LOADS_H
#define KPC_AGENT_LOADS_H

#include "agent/service/processes.h"
#include "common/base/errors.h"

#include <stdbool.h>
#include <sys/types.h>

/* A load is going on: kdb5_util or our loader runs, of the processes ALL. *PID is its process,
 * *SINCE its start (seconds since the epoch). */
bool loads_running(struct processes *all, pid_t *pid, double *since);

/* Wait at most SECONDS until none runs, telling of it. VERB ("stop") is what is to be done to
 * kpropd then, for messages. ERROR_UNREACHABLE if one still does. */
bool loads_wait(const char *verb, int seconds, struct error *err);

/*
 * Hold the lock of our loads of REALM_NAME's database, in *LOCK for the caller to close: none
 * begins meanwhile. Where our loader has never been there is none to take, and *LOCK is -1.
 */
bool loads_hold(const char *realm_name, const char *verb, int seconds, int *lock,
                struct error *err);

#endif
