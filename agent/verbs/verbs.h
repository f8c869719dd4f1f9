/*
 * verbs - the agent's core: the table of everything that it can be asked.
 *
 * The transports (network, console, an existing remctld) hand over a peer and an argument vector.
 * A verb may block: in the daemon each runs in a forked child with a deadline. It prints nothing by
 * itself; its answer is one JSON object, its failure a struct error.
 */
#ifndef KPC_AGENT_VERBS_H
#define KPC_AGENT_VERBS_H

#include "agent/base/settings.h"
#include "common/base/errors.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* One request, as it reaches a verb. */
struct verb_call {
    const struct settings *settings;
    const char *peer;        /* the caller's principal; NULL at the console */
    size_t argc;             /* the arguments behind the verb's name, within the row's bounds */
    const char *const *argv; /* argc strings, then NULL */
};

/*
 * Do it. True: REPLY holds the answer (a new object, owned by the caller). False: ERR says why;
 * REPLY may still hold an object, which is then printed with "error" and "hint" added. The error's
 * code is the exit status.
 */
typedef bool verb_function(const struct verb_call *call, json_t **reply, struct error *err);

enum verb_kind {
    VERB_READING,
    VERB_CHANGING, /* serialised by the change lock, finishes without its caller, is logged;
                      must be idempotent */
};

struct verb {
    const char *name;
    const char *usage;   /* its arguments as "REALM [LINES]", or "" */
    const char *summary; /* one line, lower case, no full stop */
    unsigned min_args;
    unsigned max_args;
    enum verb_kind kind;
    bool console_only; /* never for a remote peer */
    unsigned deadline; /* seconds, then it is killed */
    verb_function *run;
    bool secret; /* its last argument is one: over the network it is encrypted like all else, but
                    at the console and behind remctld it comes on standard input, never in argv */
};

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
 * Take the lock of changes for WHAT ("enroll"), waiting at most TIMEOUT_MS, as a descriptor in *FD
 * that unlocks when closed. ERROR_UNREACHABLE, naming the holder's pid, if it is still held then.
 */
bool verbs_lock_changes(const struct settings *s, const char *what, int timeout_ms, int *fd,
                        struct error *err);

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

/*
 * For a verb that takes long: tell the caller where it stands, as one line of JSON
 * ({"progress": text}) on standard error. Say something every few seconds.
 */
void verbs_progress(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The list of verbs, a line each, for help and --help. */
void verbs_usage(FILE *out);

#endif
