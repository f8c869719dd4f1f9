/*
 * session - one connection of the daemon: drives a channel with libev, hands commands to requests.
 *
 * Nothing here waits. A peer that does not read has its verb held back and is dropped after 30 s;
 * one that is silent, after 10 s before it is authenticated, and 300 s afterwards.
 */
#ifndef KPC_AGENT_SESSION_H
#define KPC_AGENT_SESSION_H

#include "agent/daemon/request.h"
#include "common/base/errors.h"

#include <ev.h>
#include <gssapi/gssapi.h>
#include <stdbool.h>
#include <stddef.h>

struct session;

/* What sessions need of their server; it outlives them. */
struct session_owner {
    struct ev_loop *loop;
    struct requests *requests;
    double handshake; /* seconds in all until the peer is authenticated */
    double idle;      /* seconds without a command */
    double stall;     /* seconds in which the peer takes none of what waits for it */
    /* The peer is authenticated: NULL, or what it is told as it is refused. */
    const char *(*established)(void *arg, struct session *session);
    /* The peer at ADDRESS broke the protocol, or could not be authenticated: for the log. */
    void (*broken)(void *arg, const char *address, const char *why);
    /* The session is about to be freed. */
    void (*closed)(void *arg, struct session *session);
    void *arg;
};

enum { SESSION_SOURCE = 16 };

/*
 * Serve the peer on FD, a stream socket that does not block, with acceptor credentials CRED (which
 * must outlive the handshake). SOURCE (SESSION_SOURCE bytes) tells connections of one host. Owns FD
 * from here on, also when it fails.
 */
struct session *session_new(const struct session_owner *owner, int fd, gss_cred_id_t cred,
                            const unsigned char *source, struct error *err);

/* Close it and free it, calling the owner's closed. A changing request goes on. NULL is fine. */
void session_close(struct session *session);

/* Close it once what it does now is done and told. May close it at once. */
void session_finish(struct session *session);

bool session_established(const struct session *session);

/* True while a verb works for it. */
bool session_busy(const struct session *session);

/* True while a verb that changes something works for it. */
bool session_changing(const struct session *session);

/* The principal of an established one. */
const char *session_peer(const struct session *session);

/* The principal of ours whose key it has used. */
const char *session_target(const struct session *session);

const unsigned char *session_source(const struct session *session);

/* The next one in the owner's list, which the owner links. */
struct session **session_next(struct session *session);

#endif
