/* connect - see connect.h. */
#include "kpropctl/remote/connect.h"

#include "kpropctl/krb5/recorded.h"
#include "kpropctl/krb5/tickets.h"
#include "kpropctl/remote/blame.h"

#include <limits.h>
#include <stdio.h>

/* A cached ticket may be of a KDC database that is gone: a second try with a fresh one tells. */
struct remote *
connect_agent(const struct command_context *context, const char *host, struct names *replica,
              struct error *err)
{
    const struct configuration *configuration = context->configuration;
    const char *realm = context->realm->name;
    const char *keytab =
        configuration->keytab != NULL ? configuration->keytab : context->realm->keytab;
    enum remote_fault fault = REMOTE_NO_TICKET;
    struct remote *agent = NULL;
    struct refusal_names who;
    struct names primary;
    char cache[PATH_MAX];

    snprintf(cache, sizeof(cache), "%s/%s.ccache", configuration->runtime_dir, realm);
    if (!names_look_up(NULL, realm, &primary, err) ||
        !recorded_look_up(configuration->state_dir, realm, host, replica, err))
        return NULL;
    who = (struct refusal_names){ realm, replica->host, primary.host };
    for (int fresh = 0; fresh <= 1 && agent == NULL; fresh++) {
        error_clear(err);
        if (tickets_obtain(primary.principal, keytab, cache, fresh != 0, err))
            agent = remote_open(&who, configuration->agent_port, replica->principal,
                                configuration->connect_timeout, &fault, err);
        if (fault != REMOTE_NO_TICKET && fault != REMOTE_KEYTAB)
            break;
    }
    if (agent == NULL)
        blame_address(configuration, realm, replica, fault, err);
    return agent;
}
