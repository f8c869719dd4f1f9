/*
 * verb - what a verb is: one row of the table of everything that the agent can be asked.
 *
 * A verb may block: in the daemon each runs in a forked child with a deadline. It prints nothing by
 * itself; its answer is one JSON object, its failure a struct error.
 */
#ifndef KPC_AGENT_VERB_H
#define KPC_AGENT_VERB_H

#include "agent/base/settings.h"
#include "common/base/errors.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct verb;

/* One request, as it reaches a verb. */
struct verb_call {
    const struct settings *settings;
    const char *peer;         /* the caller's principal; NULL at the console */
    size_t argc;              /* the arguments behind the verb's name, within the row's bounds */
    const char *const *argv;  /* argc strings, then NULL */
    const struct verb *table; /* all rows, for a verb that tells what can be asked; NULL: none */
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

#endif
