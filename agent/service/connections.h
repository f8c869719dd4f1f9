/*
 * connections - who is connected to kpropd, and since when the peer has been silent.
 *
 * kpropd serves one connection at a time: one that says nothing stops all propagation.
 */
#ifndef KPC_AGENT_CONNECTIONS_H
#define KPC_AGENT_CONNECTIONS_H

#include <jansson.h>

/*
 * The established connections to PORT of this host: [{"peer": "192.0.2.1:40000", "idle": seconds
 * since it last sent anything, "waiting": not yet accepted by kpropd}…], a new array. JSON null if
 * the kernel does not tell.
 */
json_t *connections_of(int port);

#endif
