/*
 * child - what a child process of the daemon leaves behind before it does its own work.
 */
#ifndef KPC_AGENT_CHILD_H
#define KPC_AGENT_CHILD_H

#include "agent/base/settings.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * In a child: forget everything the parent had open (but *KEEP, which moves; NULL: nothing), and
 * whatever it did with signals. OUT and ERROR become its output.
 */
void leave_parent(int out, int error, int *keep);

/* Run FUNCTION with SETTINGS in a child of its own that nobody waits for or listens to; false with
 * errno. */
bool request_run_aside(void (*function)(const struct settings *), const struct settings *settings);

/*
 * fork(2) for work beside the loop: the child has left everything of its parent's behind but
 * OUT, its output now, and *KEEP, which becomes another number there. It leads a process group.
 */
pid_t request_fork(int out, int *keep);

#endif
