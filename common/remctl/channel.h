/*
 * channel - one end of a remctl connection: bytes in, bytes and messages out, no I/O.
 *
 * Both roles of the remctl protocol version 2 (IANA port 4373) over GSS-API with Kerberos: mutual
 * authentication, confidentiality, integrity, replay and sequence protection are required on both
 * sides, and only the krb5 mechanism is spoken. A peer that speaks version 1 is refused.
 *
 * How to drive it, after channel_new_*:
 *
 *     send what is in channel_output() (an initiator has something to say at once)
 *     while channel_wants_input(): read some bytes (at most CHANNEL_MAX_FEED), channel_feed() them,
 *         take every message with channel_next(), answer with channel_send_*()
 *     when channel_feed() or a sender returns false: send what is in channel_output() (the peer
 *         learns the reason from it) if that goes quickly, then close
 *     when the peer closed: channel_feed() has nothing to say to that; close
 *
 * All timeouts are the caller's: 10 s for the handshake as a whole (not for each read), 300 s idle,
 * 30 s for a reader who does not take his output. So is the cap on connections. The channel only
 * enforces the lifetime of the Kerberos ticket, at every message in both directions.
 *
 * gss_init_sec_context() may ask a KDC and block: an initiator blocks in channel_new_initiator().
 * An acceptor does not block, except on its keytab and replay cache.
 */
#ifndef KPC_CHANNEL_H
#define KPC_CHANNEL_H

#include "common/base/buffers.h"
#include "common/base/errors.h"
#include "common/remctl/messages.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gssapi/gssapi.h>

#define CHANNEL_PORT 4373
#define CHANNEL_MAX_FEED 65536 /* bytes that one channel_feed() takes */
#define CHANNEL_OUTPUT_HIGH                                                                        \
    (256 << 10)                      /* bytes waiting from which on a caller should hold back      \
                                      */
#define CHANNEL_OUTPUT_MAX (2 << 20) /* bytes waiting past which the channel fails */

struct channel;

/* The end of a server. CRED (acceptor, krb5 mechanism only, see channel_acquire_acceptor) is
 * borrowed and may be shared; it must outlive the channel. NULL and ERR on failure. */
struct channel *channel_new_acceptor(gss_cred_id_t cred, struct error *err);

/*
 * The end of a client, that asks for TARGET as the server (borrowed during the call only) with
 * CRED (borrowed; must outlive the handshake) or, with GSS_C_NO_CREDENTIAL, the default ones.
 * Asks a KDC for a ticket: may block. NULL and ERR on failure; *MINOR (may be NULL) is then the
 * reason as channel_gss_minor() has it, such as KRB5KDC_ERR_S_PRINCIPAL_UNKNOWN, and else 0.
 */
struct channel *channel_new_initiator(gss_name_t target, gss_cred_id_t cred, uint32_t *minor,
                                      struct error *err);

/* Forget everything, sending nothing. */
void channel_free(struct channel *ch);

/* Acceptor credentials for the krb5 mechanism alone and ANY key of the default keytab (KRB5_KTNAME)
 * or of KEYTAB if not NULL: see agent/acceptor. Released with gss_release_cred. */
bool channel_acquire_acceptor(const char *keytab, gss_cred_id_t *cred, struct error *err);

/* The name of the server on HOST for an initiator: host@HOST, canonicalised as krb5.conf says; or,
 * if PRINCIPAL is not NULL, that principal. Released with gss_release_name. */
bool channel_import_target(const char *host, const char *principal, gss_name_t *name,
                           struct error *err);

/*
 * Take LEN bytes (at most CHANNEL_MAX_FEED) that came from the peer. On failure the channel is
 * dead: every later call fails with the same error. Messages that came whole before the fault can
 * still be taken, and the output may hold an answer (the token that tells an initiator why it was
 * not accepted, or an ERROR message). Bytes after a QUIT are dropped.
 */
bool channel_feed(struct channel *ch, const void *data, size_t len, struct error *err);

/* True while more bytes may be read from the peer: no message waits to be taken, less than
 * CHANNEL_OUTPUT_HIGH bytes wait to be sent, and the channel is alive and got no QUIT. */
bool channel_wants_input(const struct channel *ch);

/* The bytes that wait to be sent, also after a failure; the caller removes what it sent with
 * buffer_consume(). The channel's own; valid until channel_free. */
struct buffer *channel_output(struct channel *ch);

/* Take the next whole message into MSG (emptied first, whatever it held: free it before); the
 * caller frees it with message_free. False when there is none. NOOPs to an acceptor are answered
 * inside and not seen here, and so are messages that the grammar refuses. */
bool channel_next(struct channel *ch, struct message *msg);

/* True once both sides are authenticated and messages can be sent. */
bool channel_established(const struct channel *ch);

/* The authenticated peer as krb5 prints it (host/kdc1.example.org@EXAMPLE.ORG), the channel's own;
 * NULL before channel_established. It holds no control characters and no NUL. */
const char *channel_peer(const struct channel *ch);

/* The principal whose key opened the peer's ticket (an initiator: the peer); likewise. */
const char *channel_target(const struct channel *ch);

/* Seconds for which messages can still be sent and received; 0 before channel_established, and when
 * the ticket has expired. */
uint32_t channel_expires(const struct channel *ch);

/*
 * Why GSS-API failed in this channel, else 0: the minor status, for the krb5 mechanism a
 * krb5_error_code cast to uint32_t. Compare with e.g. (uint32_t)KRB5KRB_AP_ERR_SKEW. An initiator
 * refused by its server gets the server's reason: KRB5KRB_AP_ERR_BADKEYVER, …NOKEY, …SKEW,
 * …NOT_US, …MODIFIED or …BAD_INTEGRITY; for tickets KRB5_CC_NOTFOUND, KRB5_FCC_NOFILE,
 * KRB5KDC_ERR_S_PRINCIPAL_UNKNOWN, KRB5KRB_AP_ERR_TKT_EXPIRED.
 */
uint32_t channel_gss_minor(const struct channel *ch);

/*
 * Senders: put a message into the output. They fail before channel_established; finally, as
 * channel_feed does, after a failure, when the ticket has expired, and past CHANNEL_OUTPUT_MAX
 * (the peer does not read).
 */

/* As initiator. ARGC is 1 to MESSAGE_MAX_ARGS; in all MESSAGE_MAX_COMMAND bytes: what does not fit
 * is ERROR_USAGE and leaves the channel alive. */
bool channel_send_command(struct channel *ch, size_t argc, const struct message_string *argv,
                          bool keepalive, struct error *err);
bool channel_send_quit(struct channel *ch, struct error *err);
bool channel_send_noop(struct channel *ch, struct error *err);

/* As acceptor. Output of any length is split; none at all sends nothing. */
bool channel_send_output(struct channel *ch, enum message_stream stream, const void *data,
                         size_t len, struct error *err);
bool channel_send_status(struct channel *ch, uint8_t status, struct error *err);
bool channel_send_error(struct channel *ch, uint32_t code, const char *text, struct error *err);
bool channel_send_version(struct channel *ch, struct error *err);

#endif
