/*
 * channel - see channel.h.
 *
 * Two layers, each dead simple: frames (flags, length, payload) are cut out of the bytes that came;
 * a frame is a step of the handshake, or a wrapped message. What a frame may be depends on the
 * state alone, and is judged from its head, before its payload is there.
 */
#include "common/remctl/channel.h"

#include "common/remctl/security.h"

#include <stdlib.h>
#include <string.h>

#define FRAME_HEAD 5
#define FRAME_MAX 1048576 /* the head included */
#define TOKEN_MAX 65536   /* of the handshake */
#define ROUNDS_MAX 4
#define QUEUE_MAX 4096 /* messages that nobody takes: a caller's bug */

/* A buffer above this is given back when it is empty: most connections are idle or small. */
#define KEEP_MAX 16384

enum frame_flags {
    FLAG_CONTEXT = 0x02,
    FLAG_PROTOCOL = 0x40,
    FRAME_HELLO = 0x51, /* NOOP | CONTEXT_NEXT | PROTOCOL */
    FRAME_CONTEXT = 0x42,
    FRAME_DATA = 0x44,
};

enum state {
    STATE_HELLO,   /* an acceptor waits for the first frame */
    STATE_CONTEXT, /* waits for a token of the handshake */
    STATE_OPEN,    /* messages */
    STATE_QUIT,    /* an acceptor got a QUIT: what follows is dropped */
    STATE_DEAD,
};

struct queued {
    struct queued *next;
    struct message msg;
};

struct channel {
    bool acceptor;
    enum state state;
    unsigned rounds;
    struct security *security;
    struct message_reader reader;
    struct buffer in;
    struct buffer out;
    struct queued *first, **last;
    size_t waiting;
    struct error *why; /* STATE_DEAD: what killed it; NULL if even that did not fit in memory */
};

/* Return a grown buffer's memory once nothing is in it. */
static void
trim(struct buffer *b)
{
    if (b->len == 0 && b->cap > KEEP_MAX)
        buffer_free_secret(b);
}

/* The channel ends with ERR. Returns false. */
static bool
die(struct channel *ch, const struct error *err)
{
    if (ch->state == STATE_DEAD)
        return false;
    ch->state = STATE_DEAD;
    ch->why = malloc(sizeof(*ch->why));
    if (ch->why != NULL)
        *ch->why = *err;
    return false;
}

/* As die, for what the peer did. TEXT is the reason. */
static bool
die_protocol(struct channel *ch, struct error *err, const char *text)
{
    error_set(err, ERROR_UNREACHABLE, "cannot understand the %s: %s",
              ch->acceptor ? "client" : "server", text);
    return die(ch, err);
}

static bool
tell_death(const struct channel *ch, struct error *err)
{
    if (ch->why == NULL)
        return error_memory(err);
    *err = *ch->why;
    return false;
}

/* SECURITY, which the channel takes over, may be NULL: its maker then has set ERR. */
static struct channel *
channel_new(bool acceptor, struct security *security, struct error *err)
{
    struct channel *ch;

    if (security == NULL)
        return NULL;
    ch = calloc(1, sizeof(*ch));
    if (ch == NULL) {
        security_free(security);
        error_memory(err);
        return NULL;
    }
    ch->acceptor = acceptor;
    ch->state = acceptor ? STATE_HELLO : STATE_CONTEXT;
    ch->security = security;
    message_reader_init(&ch->reader, acceptor);
    buffer_init(&ch->in, FRAME_MAX + CHANNEL_MAX_FEED);
    buffer_init(&ch->out, CHANNEL_OUTPUT_MAX);
    ch->last = &ch->first;
    return ch;
}

struct channel *
channel_new_acceptor(gss_cred_id_t cred, struct error *err)
{
    error_clear(err);
    return channel_new(true, security_new_acceptor(cred, err), err);
}

void
channel_free(struct channel *ch)
{
    struct message msg;

    if (ch == NULL)
        return;
    while (channel_next(ch, &msg))
        message_free(&msg);
    message_reader_free(&ch->reader);
    buffer_free_secret(&ch->in);
    buffer_free(&ch->out);
    security_free(ch->security);
    free(ch->why);
    free(ch);
}

/* Put a frame into the output. */
static bool
put_frame(struct channel *ch, uint8_t flags, const struct buffer *payload, struct error *err)
{
    if (ch->out.max - ch->out.len < FRAME_HEAD + payload->len) {
        error_set(err, ERROR_UNREACHABLE, "cannot send to the %s: it does not read",
                  ch->acceptor ? "client" : "server");
        return die(ch, err);
    }
    if (buffer_add_u8(&ch->out, flags) && buffer_add_u32(&ch->out, (uint32_t)payload->len) &&
        buffer_add(&ch->out, payload->data, payload->len))
        return true;
    error_memory(err);
    return die(ch, err);
}

/* Wrap a plaintext and put it into the output. */
static bool
send_plain(struct channel *ch, const struct buffer *plain, struct error *err)
{
    struct buffer token;
    bool ok;

    buffer_init(&token, FRAME_MAX - FRAME_HEAD);
    ok = security_wrap(ch->security, plain->data, plain->len, &token, err) || die(ch, err);
    ok = ok && put_frame(ch, FRAME_DATA, &token, err);
    buffer_free(&token);
    return ok;
}

/* The common end of all senders: PLAIN was composed well (COMPOSED), send it and free it. */
static bool
send_composed(struct channel *ch, struct buffer *plain, bool composed, struct error *err)
{
    bool ok;

    if (ch->state == STATE_DEAD) {
        ok = tell_death(ch, err);
    } else if (!channel_established(ch)) {
        ok = error_set(err, ERROR_INTERNAL, "cannot send to the %s: not authenticated yet",
                       ch->acceptor ? "client" : "server");
    } else if (!composed) {
        error_memory(err);
        ok = die(ch, err);
    } else {
        ok = send_plain(ch, plain, err);
    }
    buffer_free_secret(plain);
    return ok;
}

/* Run a step of the handshake on the peer's TOKEN (or none) and put the answer into the output. */
static bool
step(struct channel *ch, const void *token, size_t len, struct error *err)
{
    enum security_state state;
    struct error ignored;
    struct buffer reply;
    bool ok = true;

    buffer_init(&reply, TOKEN_MAX);
    state = security_step(ch->security, token, len, &reply, err);
    if (state == SECURITY_FAILED) {
        /* First the token that tells the peer why, then the end. */
        if (reply.len > 0)
            put_frame(ch, FRAME_CONTEXT, &reply, &ignored);
        ok = die(ch, err);
    } else {
        if (reply.len > 0)
            ok = put_frame(ch, FRAME_CONTEXT, &reply, err);
        if (ok && state == SECURITY_DONE)
            ch->state = STATE_OPEN;
    }
    buffer_free(&reply);
    return ok;
}

struct channel *
channel_new_initiator(gss_name_t target, gss_cred_id_t cred, uint32_t *minor, struct error *err)
{
    struct buffer nothing;
    struct channel *ch;

    if (minor != NULL)
        *minor = 0;
    error_clear(err);
    ch = channel_new(false, security_new_initiator(target, cred, err), err);
    if (ch == NULL)
        return NULL;
    buffer_init(&nothing, 0);
    if (put_frame(ch, FRAME_HELLO, &nothing, err) && step(ch, NULL, 0, err))
        return ch;
    if (minor != NULL)
        *minor = channel_gss_minor(ch);
    channel_free(ch);
    return NULL;
}

static bool
enqueue(struct channel *ch, struct message *msg, struct error *err)
{
    struct queued *q;

    if (ch->waiting >= QUEUE_MAX) {
        error_set(err, ERROR_INTERNAL, "cannot keep a message: too many wait to be taken");
        return die(ch, err);
    }
    q = calloc(1, sizeof(*q));
    if (q == NULL) {
        error_memory(err);
        return die(ch, err);
    }
    q->msg = *msg;
    message_init(msg);
    *ch->last = q;
    ch->last = &q->next;
    ch->waiting++;
    return true;
}

/* Tell an authenticated client CODE and TEXT; then the channel ends with ERR. */
static bool
die_telling(struct channel *ch, uint32_t code, const char *text, const struct error *err)
{
    struct error ignored;

    if (ch->acceptor)
        channel_send_error(ch, code, text, &ignored);
    return die(ch, err);
}

/* A message that the grammar does not let through: answer it, and end if it was malformed. */
static bool
refuse_message(struct channel *ch, const struct message *msg, bool fatal, struct error *err)
{
    if (!ch->acceptor)
        return die_protocol(ch, err, msg->text.data);
    if (fatal) {
        error_set(err, ERROR_UNREACHABLE, "cannot understand the client: %s", msg->text.data);
        return die_telling(ch, msg->code, msg->text.data, err);
    }
    if (msg->type == MESSAGE_VERSION)
        return channel_send_version(ch, err);
    return channel_send_error(ch, msg->code, msg->text.data, err);
}

static bool
take_plain(struct channel *ch, const struct buffer *plain, struct error *err)
{
    struct message msg;
    enum message_verdict verdict;
    bool ok = true;

    verdict = message_read(&ch->reader, plain->data, plain->len, &msg);
    if (verdict == MESSAGE_ANSWERED || verdict == MESSAGE_FATAL) {
        ok = refuse_message(ch, &msg, verdict == MESSAGE_FATAL, err);
    } else if (verdict == MESSAGE_TAKEN && msg.type == MESSAGE_NOOP && ch->acceptor) {
        ok = channel_send_noop(ch, err);
    } else if (verdict == MESSAGE_TAKEN) {
        if (msg.type == MESSAGE_QUIT)
            ch->state = STATE_QUIT;
        ok = enqueue(ch, &msg, err);
    }
    message_free(&msg);
    return ok;
}

static bool
take_data(struct channel *ch, const unsigned char *data, size_t len, struct error *err)
{
    struct buffer plain;
    bool ok;

    buffer_init(&plain, FRAME_MAX);
    if (security_unwrap(ch->security, data, len, &plain, err))
        ok = take_plain(ch, &plain, err);
    else
        ok = die_telling(ch, MESSAGE_E_BAD_TOKEN, "invalid token", err);
    buffer_free_secret(&plain);
    return ok;
}

/* Judge a frame by its head. */
static bool
check_head(struct channel *ch, uint8_t flags, size_t len, struct error *err)
{
    static const struct {
        uint8_t flags;
        size_t min, max;
    } allowed[] = {
        [STATE_HELLO] = { FRAME_HELLO, 0, 0 },
        [STATE_CONTEXT] = { FRAME_CONTEXT, 1, TOKEN_MAX },
        [STATE_OPEN] = { FRAME_DATA, 1, FRAME_MAX - FRAME_HEAD },
    };
    bool wrong = flags != allowed[ch->state].flags;

    if (!wrong && len >= allowed[ch->state].min && len <= allowed[ch->state].max)
        return true;
    if (wrong && ch->state != STATE_OPEN &&
        (flags == (FRAME_HELLO & ~FLAG_PROTOCOL) || flags == FLAG_CONTEXT))
        return die_protocol(ch, err, "it speaks version 1 of remctl");
    if (wrong && ch->state != STATE_OPEN)
        return die_protocol(ch, err, "it does not speak remctl");
    error_set(err, ERROR_UNREACHABLE, "cannot understand the %s: %s",
              ch->acceptor ? "client" : "server",
              wrong ? "wrong flags of a frame" : "wrong length of a frame");
    if (ch->state == STATE_OPEN)
        return die_telling(ch, MESSAGE_E_BAD_TOKEN, "invalid token", err);
    return die(ch, err);
}

static bool
take_frame(struct channel *ch, const unsigned char *data, size_t len, struct error *err)
{
    switch (ch->state) {
    case STATE_HELLO:
        ch->state = STATE_CONTEXT;
        return true;
    case STATE_CONTEXT:
        if (++ch->rounds > ROUNDS_MAX)
            return die_protocol(ch, err, "too many rounds of authentication");
        return step(ch, data, len, err);
    case STATE_OPEN:
        return take_data(ch, data, len, err);
    default:
        return true;
    }
}

/* Take all whole frames out of the input. The buffer is moved once, not for each frame. */
static bool
take_frames(struct channel *ch, struct error *err)
{
    size_t used = 0;
    bool ok = true;

    while (ok && ch->state < STATE_QUIT && ch->in.len - used >= FRAME_HEAD) {
        const unsigned char *data;
        struct cursor c;
        uint8_t flags;
        size_t len;

        cursor_init(&c, ch->in.data + used, ch->in.len - used);
        flags = cursor_u8(&c);
        len = cursor_u32(&c);
        ok = check_head(ch, flags, len, err);
        if (!ok || (data = cursor_bytes(&c, len)) == NULL)
            break;
        used += FRAME_HEAD + len;
        ok = take_frame(ch, data, len, err);
    }
    buffer_consume(&ch->in, used);
    if (ch->state >= STATE_QUIT)
        buffer_reset(&ch->in);
    trim(&ch->in);
    return ok;
}

bool
channel_feed(struct channel *ch, const void *data, size_t len, struct error *err)
{
    error_clear(err);
    if (ch->state == STATE_DEAD)
        return tell_death(ch, err);
    if (ch->state == STATE_QUIT || len == 0)
        return true;
    if (len > CHANNEL_MAX_FEED) {
        error_set(err, ERROR_INTERNAL, "cannot take %zu bytes at once", len);
        return die(ch, err);
    }
    if (!buffer_add(&ch->in, data, len)) {
        error_memory(err);
        return die(ch, err);
    }
    return take_frames(ch, err);
}

bool
channel_wants_input(const struct channel *ch)
{
    return ch->state < STATE_QUIT && ch->waiting == 0 && ch->out.len < CHANNEL_OUTPUT_HIGH;
}

struct buffer *
channel_output(struct channel *ch)
{
    trim(&ch->out);
    return &ch->out;
}

bool
channel_next(struct channel *ch, struct message *msg)
{
    struct queued *q = ch->first;

    message_init(msg);
    if (q == NULL)
        return false;
    *msg = q->msg;
    ch->first = q->next;
    if (ch->first == NULL)
        ch->last = &ch->first;
    ch->waiting--;
    free(q);
    return true;
}

bool
channel_established(const struct channel *ch)
{
    return ch->state == STATE_OPEN || ch->state == STATE_QUIT;
}

const char *
channel_peer(const struct channel *ch)
{
    return security_peer(ch->security);
}

const char *
channel_target(const struct channel *ch)
{
    return security_target(ch->security);
}

uint32_t
channel_expires(const struct channel *ch)
{
    return security_lifetime(ch->security);
}

uint32_t
channel_gss_minor(const struct channel *ch)
{
    return security_minor(ch->security);
}

bool
channel_acquire_acceptor(const char *keytab, gss_cred_id_t *cred, struct error *err)
{
    return security_acquire_acceptor(keytab, cred, err);
}

bool
channel_import_target(const char *host, const char *principal, gss_name_t *name, struct error *err)
{
    return security_import_target(host, principal, name, err);
}

static bool
send_body(struct channel *ch, const struct buffer *body, bool keepalive, struct error *err)
{
    size_t offset = 0;
    bool ok = true;

    while (ok && offset < body->len) {
        struct buffer plain;

        buffer_init(&plain, MESSAGE_MAX_PLAIN);
        ok = send_composed(ch, &plain, message_put_command_part(&plain, body, &offset, keepalive),
                           err);
    }
    return ok;
}

bool
channel_send_command(struct channel *ch, size_t argc, const struct message_string *argv,
                     bool keepalive, struct error *err)
{
    struct buffer body;
    size_t len = 4;
    bool ok;

    error_clear(err);
    for (size_t i = 0; i < argc && len <= MESSAGE_MAX_COMMAND; i++)
        len += argv[i].len > MESSAGE_MAX_COMMAND ? argv[i].len : 4 + argv[i].len;
    if (argc == 0 || argc > MESSAGE_MAX_ARGS || len > MESSAGE_MAX_COMMAND)
        return error_set(err, ERROR_USAGE, "cannot send a command: %s",
                         argc == 0                 ? "it is empty"
                         : argc > MESSAGE_MAX_ARGS ? "too many arguments"
                                                   : "too long");
    buffer_init(&body, MESSAGE_MAX_COMMAND);
    if (message_put_command_body(&body, argc, argv))
        ok = send_body(ch, &body, keepalive, err);
    else
        ok = error_memory(err);
    buffer_free_secret(&body);
    return ok;
}

static bool
send_bare(struct channel *ch, bool (*put)(struct buffer *), struct error *err)
{
    struct buffer plain;

    error_clear(err);
    buffer_init(&plain, 0);
    return send_composed(ch, &plain, put(&plain), err);
}

bool
channel_send_quit(struct channel *ch, struct error *err)
{
    return send_bare(ch, message_put_quit, err);
}

bool
channel_send_noop(struct channel *ch, struct error *err)
{
    return send_bare(ch, message_put_noop, err);
}

bool
channel_send_output(struct channel *ch, enum message_stream stream, const void *data, size_t len,
                    struct error *err)
{
    const unsigned char *p = data;
    bool ok = true;

    error_clear(err);
    while (ok && len > 0) {
        size_t part = len > MESSAGE_MAX_OUTPUT ? MESSAGE_MAX_OUTPUT : len;
        struct buffer plain;

        buffer_init(&plain, 0);
        ok = send_composed(ch, &plain, message_put_output(&plain, (uint8_t)stream, p, part), err);
        p += part;
        len -= part;
    }
    return ok;
}

bool
channel_send_status(struct channel *ch, uint8_t status, struct error *err)
{
    struct buffer plain;

    error_clear(err);
    buffer_init(&plain, 0);
    return send_composed(ch, &plain, message_put_status(&plain, status), err);
}

bool
channel_send_error(struct channel *ch, uint32_t code, const char *text, struct error *err)
{
    struct buffer plain;

    error_clear(err);
    buffer_init(&plain, 0);
    return send_composed(ch, &plain, message_put_error(&plain, code, text), err);
}

bool
channel_send_version(struct channel *ch, struct error *err)
{
    struct buffer plain;

    error_clear(err);
    buffer_init(&plain, 0);
    return send_composed(ch, &plain, message_put_version(&plain, MESSAGE_VERSION_HIGHEST), err);
}
