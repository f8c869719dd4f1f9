/*
 * server - the daemon: listening sockets, the sessions' limits, signals.
 *
 * Memory and work are bounded whatever peers do: at most 64 connections that are not yet
 * authenticated, 4 of them from one source, and 16 that are, 8 of them of one principal. Where a
 * cap is reached, the oldest that does nothing makes room, so that silent peers cannot lock out the
 * others; and nobody who only has a ticket can take the sessions of others away.
 */
#ifndef KPC_AGENT_SERVER_H
#define KPC_AGENT_SERVER_H

#include "agent/base/settings.h"
#include "common/base/errors.h"

#include <stdbool.h>

/*
 * Serve until SIGTERM or SIGINT. SETTINGS are replaced on SIGHUP, read from CONFIG (NULL: the
 * default file). False if it could not begin to listen.
 */
bool server_run(struct settings *settings, const char *config, struct error *err);

#endif
