/*
 * change_lock - one change at a time: the lock under which verbs that change this host run.
 */
#ifndef KPC_AGENT_CHANGE_LOCK_H
#define KPC_AGENT_CHANGE_LOCK_H

#include "agent/base/settings.h"
#include "common/base/errors.h"

#include <stdbool.h>

/*
 * Take the lock of changes for WHAT ("enroll"), waiting at most TIMEOUT_MS, as a descriptor in *FD
 * that unlocks when closed. ERROR_UNREACHABLE, naming the holder's pid, if it is still held then.
 */
bool verbs_lock_changes(const struct settings *s, const char *what, int timeout_ms, int *fd,
                        struct error *err);

#endif
