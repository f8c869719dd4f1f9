/*
 * verbs - the agent's core: the table of everything that it can be asked.
 *
 * The transports (network, console, an existing remctld) hand over a peer and an argument vector.
 * What a verb is: agent/base/verb.h.
 */
#ifndef KPC_AGENT_VERBS_H
#define KPC_AGENT_VERBS_H

#include "agent/base/verb.h"

#include <stddef.h>
#include <stdio.h>

/* The rows in the order of the help, ended by a row whose name is NULL. */
const struct verb *verbs_table(void);

/* The row called NAME, or NULL. */
const struct verb *verbs_find(const char *name);

/*
 * Run row VERB for CALL in this process: checks the number of arguments, takes the change lock
 * where the row changes something, prints the answer to OUT as one line of JSON, and a failure's
 * text to ERRORS. Returns the exit status.
 */
int verbs_run(const struct verb *verb, const struct verb_call *call, FILE *out, FILE *errors);

/*
 * For a VERB of which the last argument is a secret: what comes on FD, up to its end or a line feed
 * (at most 64 KiB), as a string that the caller wipes and frees; ARGC is how many arguments came
 * otherwise. NULL with ERR: too many of them, so that it seems to be one of those; or unreadable.
 */
char *verbs_read_secret(const struct verb *verb, size_t argc, int fd, struct error *err);

/*
 * Exit statuses of verbs_serve that no verb has: the peer may not use that verb; there is none of
 * that name for a remote peer.
 */
enum { VERBS_DENIED = 201, VERBS_UNKNOWN = 202 };

/*
 * The boundary between network and verbs: for PEER, not trusted, run the verb ARGV[0] (argc words,
 * then NULL) if the access lists permit it. Prints as verbs_run does, nothing for VERBS_DENIED and
 * VERBS_UNKNOWN.
 */
typedef int verbs_server(const struct settings *settings, const char *peer, size_t argc,
                         const char *const *argv, FILE *out, FILE *errors);
verbs_server verbs_serve;

/* The list of verbs, a line each, for help and --help. */
void verbs_usage(FILE *out);

#endif
