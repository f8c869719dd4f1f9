/*
 * request - one verb at work for a session: a forked child with a deadline, its output relayed.
 *
 * The loop never waits for a verb. When the caller goes away, a reading verb is ended; one that
 * changes something goes on unheard.
 */
#ifndef KPC_AGENT_REQUEST_H
#define KPC_AGENT_REQUEST_H

#include "agent/base/settings.h"
#include "agent/verbs/verbs.h"
#include "common/base/errors.h"

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* All requests of one server: the loop they run on (libev's default one), and how many there are.
 */
struct requests {
    struct ev_loop *loop;
    const struct settings *settings;
    verbs_server *serve; /* what the child calls: verbs_serve, but in tests */
    size_t running;
    void (*ended)(void *arg); /* called after each end, NULL for none */
    void *arg;
};

/* How a request ended. */
enum request_end {
    REQUEST_EXITED,    /* with the status told */
    REQUEST_TIMED_OUT, /* killed at the verb's deadline */
    REQUEST_CRASHED,
};

/*
 * What a session wants to hear, with its own ARG. Nothing is called after request_abandon, which
 * output must not call.
 */
struct request_listener {
    void (*output)(void *arg, bool error_stream, const void *data, size_t len);
    void (*done)(void *arg, enum request_end end, int status); /* the request is gone then */
    void *arg;
};

struct request;

/*
 * Start VERB with the words ARGV (ARGC of them, the verb's name first; copied by the fork) for
 * PEER. ERROR_INTERNAL if the system lacks what it takes, ERROR_UNREACHABLE past REQUESTS_MAX.
 */
struct request *request_start(struct requests *all, const struct verb *verb, const char *peer,
                              size_t argc, const char *const *argv,
                              const struct request_listener *listener, struct error *err);

/* Stop reading its output while HOLD: the pipe fills, and the verb waits. */
void request_hold(struct request *request, bool hold);

/* The listener goes away. The request ends by itself; NULL is fine. */
void request_abandon(struct request *request);

/* True for a verb that changes something. */
bool request_changes(const struct request *request);

enum { REQUESTS_MAX = 32 };

#endif
