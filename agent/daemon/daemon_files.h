/*
 * daemon_files - what a service manager would do for the daemon, where there is none: its folders,
 * and its pid file, by which the init script finds it.
 */
#ifndef KPC_AGENT_DAEMON_FILES_H
#define KPC_AGENT_DAEMON_FILES_H

#include "agent/base/settings.h"

/* Make them, once the daemon listens (the pid file says so). Failures are logged. */
void daemon_files_make(const struct settings *settings);

#endif
