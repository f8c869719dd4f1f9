/*
 * remote - one authenticated connection to the agent of one host, and the verbs called over it.
 *
 * Blocks, each step within its deadline: used in the child that serves one host, never in a loop.
 */
#ifndef KPC_REMOTE_H
#define KPC_REMOTE_H

#include "common/base/errors.h"
#include "common/contract/refusals.h"

#include <jansson.h>

struct remote;

/*
 * What stands between us and the agent, beyond the text of the error: which row of the table is
 * concerned. Kept apart because the remedies have nothing in common.
 */
enum remote_fault {
    REMOTE_OK,
    REMOTE_NAME,      /* HOST does not resolve */
    REMOTE_NO_ROUTE,  /* host down, or its network */
    REMOTE_REFUSED,   /* nothing listens: the agent is not running */
    REMOTE_TIMEOUT,   /* packets vanish: firewall, or the host hangs */
    REMOTE_NO_TICKET, /* no ticket for host/HOST could be had: our side */
    REMOTE_UNKNOWN,   /* host/HOST is not in the database */
    REMOTE_CLOCK,     /* clock skew */
    REMOTE_KEYTAB, /* the agent cannot decrypt our ticket: its keytab is stale or lacks the key */
    REMOTE_NOT_AGENT,      /* something else listens there, or it speaks no GSS-API */
    REMOTE_NOT_AUTHORISED, /* connected, but its ACL denies us */
    REMOTE_LOST,           /* the connection broke later */
};

/*
 * Connect to PORT of who->replica (HOST) and authenticate as the default credentials (KRB5CCNAME)
 * to principal TARGET
 * ("host/kdc2.example.org@EXAMPLE.ORG"): the first address of HOST that proves to be TARGET's, each
 * within TIMEOUT seconds for the connection of all, and as many again to authenticate. NULL on
 * failure, with ERR (ERROR_UNREACHABLE, with a hint) and *FAULT set, of the first address that
 * answered anything, or else of the last. Free with remote_close. The names of WHO are copied: what
 * an agent refuses is told with them.
 */
struct remote *remote_open(const struct refusal_names *who, int port, const char *target,
                           int timeout, enum remote_fault *fault, struct error *err);
void remote_close(struct remote *remote);

/* The numeric address at which it answered. */
void remote_address(const struct remote *remote, char *text, size_t size);

/* Which other addresses of HOST something answered at that is not TARGET's agent, one line for
 * each; or "". Only those that were tried before. */
const char *remote_others(const struct remote *remote);

/* What remote_call tells while a verb is at work: a JSON object the agent sent, not kept. */
typedef void remote_progress(void *closure, const json_t *line);

/* More than any verb takes in all, by the agents' own deadlines: the longest is 3,700 s. */
enum { REMOTE_LONGEST = 4000 };

/* Wait at most SECONDS for the end of any verb, instead of REMOTE_LONGEST. */
void remote_set_longest(struct remote *remote, int seconds);

/*
 * Call verb ARGV (ended by NULL, without the leading "kpropctl"), waiting at most TIMEOUT seconds
 * between two signs of life, and never longer than remote_set_longest says: an agent that only ever
 * says that it lives must not hold up the run, and with it all other replicas. True with *OUT
 * (freed by the caller) and ERR untouched when the verb ended with status 0. Otherwise false: ERR
 * has the agent's own error and hint with the code of its exit status, or says that the connection
 * failed (*FAULT then is not REMOTE_OK); *OUT may hold what it said all the same, or NULL.
 */
bool remote_call(struct remote *remote, const char *const *argv, int timeout,
                 remote_progress *progress, void *closure, json_t **out, enum remote_fault *fault,
                 struct error *err);

#endif
