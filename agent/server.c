/* server - see server.h. */
#include "agent/server.h"

bool
server_run(struct settings *settings, const char *config, struct error *err)
{
    (void)settings, (void)config;
    return error_set(err, ERROR_INTERNAL, "cannot listen: not there yet");
}
