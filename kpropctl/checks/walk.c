/* walk - see walk.h. */
#include "kpropctl/checks/walk.h"

#include "common/base/clock.h"

#include "kpropctl/krb5/own_ticket.h"
#include "kpropctl/krb5/principals.h"
#include "kpropctl/krb5/tickets.h"
#include "kpropctl/remote/blame.h"
#include "kpropctl/remote/remote.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { VERB_TIMEOUT = 60 };

struct principals *
walk_principals(struct walk *walk, struct step *step)
{
    struct error err;

    if (walk->principals == NULL) {
        walk->principals = principals_open(walk->realm, &err);
        if (walk->principals == NULL)
            step_error(step, &err);
    }
    return walk->principals;
}

bool
walk_call(struct walk *walk, const char *const *argv, int timeout, json_t **reply,
          struct error *err)
{
    *reply = NULL;
    walk->call_fault = REMOTE_OK;
    if (walk->agent == NULL)
        return error_set(err, ERROR_UNREACHABLE, "not connected to the agent on %s", walk->host);
    return remote_call(walk->agent, argv, timeout, NULL, NULL, reply, &walk->call_fault, err);
}

bool
walk_fetch_facts(struct walk *walk, struct error *err)
{
    const char *argv[] = { "facts", walk->realm->name, NULL };
    json_t *reply = NULL;

    if (walk->facts != NULL)
        return true;
    if (!walk_call(walk, argv, VERB_TIMEOUT, &reply, err)) {
        json_decref(reply);
        return false;
    }
    walk->facts = reply;
    walk->facts_skew = json_number_value(json_object_get(reply, "time")) - clock_wall();
    return true;
}

const char *
walk_keytab(const struct walk *walk)
{
    return walk->configuration->keytab != NULL ? walk->configuration->keytab : walk->realm->keytab;
}

bool
walk_is_blind(const struct walk *walk, struct step *step)
{
    if (walk->kind != WALK_PROPAGATE || walk->agent != NULL)
        return false;
    step_summary(step, "cannot be told without the agent of %s", walk->replica.host);
    return true;
}

const json_t *
walk_facts(struct walk *walk, struct step *step)
{
    struct error err;

    error_clear(&err);
    if (walk_fetch_facts(walk, &err))
        return walk->facts;
    step_error(step, &err);
    return NULL;
}

/* Whose tickets a walk uses: this primary's host principal, or a monitor's own. */
static bool
obtain_tickets(struct walk *walk, bool fresh, struct error *err)
{
    const struct configuration *configuration = walk->configuration;
    char cache[PATH_MAX];

    snprintf(walk->client, sizeof(walk->client), "%s", walk->primary.principal);
    if (walk->kind == WALK_CHECK && configuration->check_ccache != NULL) {
        walk->keytab = NULL;
        return tickets_use(configuration->check_ccache, walk->client, sizeof(walk->client), err);
    }
    if (walk->kind == WALK_CHECK && configuration->check_keytab != NULL) {
        walk->keytab = configuration->check_keytab;
        if (!tickets_keytab_principal(walk->keytab, walk->client, sizeof(walk->client), err))
            return false;
    }
    if (geteuid() != 0 && (walk->kind != WALK_CHECK || configuration->check_keytab == NULL)) {
        walk->keytab = NULL;
        error_set(err, ERROR_USAGE, "no credentials to ask the agents with");
        return error_hint(err,
                          "give --keytab or --ccache, or set check_keytab in kpropctl.conf; the "
                          "principal must be in the agents' acl_read");
    }
    snprintf(cache, sizeof(cache), "%s/%s.ccache", configuration->runtime_dir, walk->realm->name);
    return tickets_obtain(walk->client, walk->keytab, geteuid() == 0 ? cache : "/nonexistent/cache",
                          fresh, err);
}

const char *
walk_address(const struct walk *walk)
{
    return walk->agent == NULL ? NULL : walk->replica.address;
}

int
walk_patience(const struct walk *walk)
{
    return walk->dark ? 1 : walk->configuration->connect_timeout;
}

void
walk_bound_verbs(struct walk *walk, double part)
{
    double left = (walk->deadline - clock_monotonic()) * part;

    if (walk->agent != NULL && walk->deadline > 0)
        remote_set_longest(walk->agent, left < 1 ? 1 : (int)left);
}

static bool
open_agent(struct walk *walk, enum remote_fault *fault, struct error *err)
{
    const struct refusal_names who = { walk->realm->name, walk->replica.host, walk->primary.host };

    walk->agent = remote_open(&who, walk->configuration->agent_port, walk->replica.principal,
                              walk->configuration->connect_timeout, fault, err);
    walk->dark = *fault == REMOTE_TIMEOUT || *fault == REMOTE_NO_ROUTE;
    if (walk->agent != NULL) /* what follows concerns the host that has answered */
        remote_address(walk->agent, walk->replica.address, sizeof(walk->replica.address));
    walk_bound_verbs(walk, 0.5);
    return walk->agent != NULL;
}

static bool
connect_agent(struct walk *walk, bool fresh, enum remote_fault *fault, struct error *err)
{
    *fault = REMOTE_NO_TICKET;
    return obtain_tickets(walk, fresh, err) && open_agent(walk, fault, err);
}

/*
 * The agent's keytab lacks the current key, and we are told to renew it: does it have an older one
 * that the database has kept? With ERR left alone if not.
 */
static bool
connect_with_older_key(struct walk *walk)
{
    const char *principal = walk->replica.principal;
    struct keytab_keys keys;
    enum remote_fault fault = REMOTE_KEYTAB;
    struct error ignored;
    bool ok = false;

    if (walk->principals == NULL || (!walk->renew_keys && walk->kind != WALK_RENEW) ||
        !principals_keys(walk->principals, principal, &keys, &ignored))
        return false;
    while (!ok && fault == REMOTE_KEYTAB &&
           principals_keys_below(walk->principals, principal, keys.kvno, &keys, &ignored) &&
           keys.count > 0) {
        walk->older_key = keys.kvno;
        ok = obtain_tickets(walk, false, &ignored) &&
             own_ticket_make(walk->client, principal, &keys, &ignored) &&
             open_agent(walk, &fault, &ignored);
    }
    keytab_keys_wipe(&keys);
    if (!ok)
        walk->older_key = 0;
    return ok;
}

/* A host or network that may come back by itself. */
bool
walk_may_pass(enum remote_fault fault)
{
    return fault == REMOTE_NO_ROUTE || fault == REMOTE_TIMEOUT || fault == REMOTE_LOST;
}

/* A cached ticket may be of a KDC database that is gone: a second try with a fresh one tells. */
bool
walk_connect(struct walk *walk, enum remote_fault *fault, struct error *err)
{
    int retries = walk->kind == WALK_PROPAGATE ? walk->configuration->retries : 0;
    unsigned delay = (unsigned)walk->configuration->retry_delay;
    bool fresh = false;

    walk->older_key = 0;
    for (;;) {
        error_clear(err);
        if (connect_agent(walk, fresh, fault, err))
            return true;
        if (!fresh && (*fault == REMOTE_NO_TICKET || *fault == REMOTE_KEYTAB)) {
            fresh = true;
            continue;
        }
        if (*fault == REMOTE_KEYTAB && connect_with_older_key(walk))
            return true;
        if (!walk_may_pass(*fault) || retries-- <= 0) {
            blame_address(walk->configuration, walk->realm->name, &walk->replica, *fault, err);
            return false;
        }
        sleep(delay);
        delay *= 2;
    }
}

void
walk_finish(struct walk *walk)
{
    principals_close(walk->principals);
    walk->principals = NULL;
    remote_close(walk->agent);
    walk->agent = NULL;
    json_decref(walk->facts);
    walk->facts = NULL;
}
