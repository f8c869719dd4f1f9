/*
 * supervised_work - what the supervisor has done in children of its own, because it may wait: start
 * kpropd, see it at its socket, stop it. Each is the whole life of a forked child.
 */
#ifndef KPC_AGENT_SUPERVISED_WORK_H
#define KPC_AGENT_SUPERVISED_WORK_H

#include "agent/base/settings.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * Become kpropd, with our loader. What hinders it (a kpropd that runs already, no realm, a primary,
 * no port) is written to REPORT, which is closed at the exec. Never returns.
 */
void supervised_become(const struct settings *s, int report) __attribute__((noreturn));

/* Wait at most SECONDS until kpropd (whose process group is PID) is seen listening: whether it is.
 * False at once when it has ended. */
bool supervised_see(const struct settings *s, pid_t pid, int seconds);

/*
 * Stop kpropd: wait at most SECONDS for a load to end and let none begin, then SIGTERM to its
 * process group, and SIGKILL when that is not heeded. False, with a text in REPORT, if a load goes
 * on: kpropd then runs on.
 */
bool supervised_end(const struct settings *s, pid_t pid, int seconds, int report);

#endif
