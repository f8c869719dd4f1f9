/*
 * connect - a connection to the agent of one host, for commands that walk no table.
 */
#ifndef KPC_CONNECT_H
#define KPC_CONNECT_H

#include "kpropctl/base/command_context.h"
#include "kpropctl/krb5/names.h"
#include "kpropctl/remote/remote.h"

/*
 * Look HOST up, into REPLICA, and connect to its agent as this primary. NULL with ERR; free with
 * remote_close.
 */
struct remote *connect_agent(const struct command_context *context, const char *host,
                             struct names *replica, struct error *err);

#endif
