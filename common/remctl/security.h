/*
 * security - the GSS-API security context under a channel: the krb5 mechanism and nothing else.
 *
 * Mutual authentication, confidentiality, integrity, replay and sequence protection are all there
 * once security_step says so, or it fails. A context that has expired wraps and unwraps nothing.
 */
#ifndef KPC_SECURITY_H
#define KPC_SECURITY_H

#include "common/base/buffers.h"
#include "common/base/errors.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gssapi/gssapi.h>

struct security;

/* CRED is borrowed. TARGET (initiator) is copied. NULL and ERR on failure. */
struct security *security_new_acceptor(gss_cred_id_t cred, struct error *err);
struct security *security_new_initiator(gss_name_t target, gss_cred_id_t cred, struct error *err);
void security_free(struct security *sec);

enum security_state { SECURITY_CONTINUE, SECURITY_DONE, SECURITY_FAILED };

/* Take the peer's token (an initiator's first step: none, LEN 0) and append the answer, if there is
 * one, to REPLY: also on failure, for the peer to learn the reason. */
enum security_state security_step(struct security *sec, const void *token, size_t len,
                                  struct buffer *reply, struct error *err);

/* Append the wrapped form of PLAIN to OUT, always encrypted. */
bool security_wrap(struct security *sec, const void *plain, size_t len, struct buffer *out,
                   struct error *err);

/* Append the plaintext of TOKEN to PLAIN. Fails for anything that is not encrypted, whole, new and
 * the next in sequence. */
bool security_unwrap(struct security *sec, const void *token, size_t len, struct buffer *plain,
                     struct error *err);

/* The principal of the authenticated peer; NULL before SECURITY_DONE. No control characters. */
const char *security_peer(const struct security *sec);

/* The principal whose key opened the ticket, which is the server's (an acceptor's own); NULL before
 * SECURITY_DONE. What the ticket calls itself does not matter. */
const char *security_target(const struct security *sec);

/* Seconds until the context expires, by the wall clock or the boot-time clock, whichever is sooner;
 * 0 before SECURITY_DONE. */
uint32_t security_lifetime(const struct security *sec);

/* The minor status of the last failure of GSS-API, else 0. */
uint32_t security_minor(const struct security *sec);

/* See channel.h: channel_acquire_acceptor, channel_import_target. */
bool security_acquire_acceptor(const char *keytab, gss_cred_id_t *cred, struct error *err);
bool security_import_target(const char *host, const char *principal, gss_name_t *name,
                            struct error *err);

#endif
