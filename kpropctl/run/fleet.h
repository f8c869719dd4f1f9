/*
 * fleet - several hosts side by side: a child process for each, and one loop that sees only
 * children and pipes. What blocks (DNS, GSS-API, kprop) blocks in the child.
 */
#ifndef KPC_FLEET_H
#define KPC_FLEET_H

#include "common/base/errors.h"
#include "kpropctl/output/output.h"

#include <stddef.h>

/*
 * Serve one host, in its own process: tell LISTENER, fill RESULT.
 */
typedef void fleet_serve(void *closure, const char *host, const struct walk_listener *listener,
                         struct host_result *result);

/*
 * Serve all hosts of OUTPUT side by side, at most LIMIT at once, each in a child, telling OUTPUT.
 * While none of those that were begun gets done, as hosts do that are dark, more are begun than
 * LIMIT, up to MOST (LIMIT: never), so that they do not keep the others waiting. With a DEADLINE
 * (seconds for all of them together; 0: none) hosts that are not done then are given up, and told
 * as a row "timeout".
 * SIGINT, SIGTERM and SIGHUP end the children (whose own children die with them) and then return.
 * Returns the worst exit status; ERROR_INTERNAL with ERR if nothing could be started.
 */
int fleet_run(struct output *output, fleet_serve *serve, void *closure, size_t limit, size_t most,
              int deadline, struct error *err);

#endif
