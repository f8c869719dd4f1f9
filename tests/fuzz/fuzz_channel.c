/*
 * fuzz_channel: the frames and the states of both roles, over security that is none.
 *
 * The functions of security.h are defined here, so that the linker takes these and not the ones
 * over GSS-API: no program has a channel without encryption.
 *
 * Input: role u8, then pieces with u16 lengths that the peer sends. The length's top bit: the
 * output is taken before; the next: something is sent before.
 */
#include "common/remctl/channel.h"
#include "common/remctl/security.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct security {
    bool done;
    bool expired;
    bool initiator;
    unsigned steps;
};

static void
must(bool ok)
{
    if (!ok)
        abort();
}

struct security *
security_new_acceptor(gss_cred_id_t cred, struct error *err)
{
    (void)cred;
    (void)err;
    return calloc(1, sizeof(struct security));
}

struct security *
security_new_initiator(gss_name_t target, gss_cred_id_t cred, struct error *err)
{
    struct security *sec = security_new_acceptor(cred, err);

    (void)target;
    if (sec != NULL)
        sec->initiator = true;
    return sec;
}

void
security_free(struct security *sec)
{
    free(sec);
}

/* What the token's first byte says: fail, with an answer or without, go on, or be done. */
enum security_state
security_step(struct security *sec, const void *token, size_t len, struct buffer *reply,
              struct error *err)
{
    const unsigned char *p = token;

    error_clear(err);
    must(++sec->steps <= 5 && !sec->done);
    if (len == 0) {
        must(sec->initiator && sec->steps == 1 && buffer_add(reply, "first", 5));
        return SECURITY_CONTINUE;
    }
    if (p[0] != 'f' && p[0] != 'd')
        must(buffer_add(reply, p, len));
    if (p[0] == 'F' || p[0] == 'f') {
        error_set(err, ERROR_UNREACHABLE, "cannot authenticate");
        return SECURITY_FAILED;
    }
    sec->done = p[0] == 'D' || p[0] == 'd';
    return sec->done ? SECURITY_DONE : SECURITY_CONTINUE;
}

bool
security_wrap(struct security *sec, const void *plain, size_t len, struct buffer *out,
              struct error *err)
{
    must(sec->done && len <= MESSAGE_MAX_PLAIN);
    if (sec->expired)
        return error_set(err, ERROR_UNREACHABLE, "expired");
    return buffer_add_u8(out, 0) && buffer_add(out, plain, len);
}

bool
security_unwrap(struct security *sec, const void *token, size_t len, struct buffer *plain,
                struct error *err)
{
    const unsigned char *p = token;

    must(sec->done && len > 0);
    sec->expired = p[0] == 2;
    if (p[0] == 1 || p[0] == 2)
        return error_set(err, ERROR_UNREACHABLE, "bad token");
    return buffer_add(plain, p + 1, len - 1);
}

const char *
security_peer(const struct security *sec)
{
    return sec->done ? "peer" : NULL;
}

const char *
security_target(const struct security *sec)
{
    return sec->done ? "server" : NULL;
}

uint32_t
security_lifetime(const struct security *sec)
{
    return sec->done && !sec->expired ? 60 : 0;
}

uint32_t
security_minor(const struct security *sec)
{
    (void)sec;
    return 0;
}

bool
security_acquire_acceptor(const char *keytab, gss_cred_id_t *cred, struct error *err)
{
    (void)keytab;
    (void)cred;
    return error_set(err, ERROR_INTERNAL, "no credentials here");
}

bool
security_import_target(const char *host, const char *principal, gss_name_t *name, struct error *err)
{
    (void)host;
    (void)principal;
    (void)name;
    return error_set(err, ERROR_INTERNAL, "no names here");
}

/* The output must be whole frames. */
static void
take_output(struct channel *ch)
{
    struct buffer *out = channel_output(ch);
    struct cursor c;

    must(out->len <= CHANNEL_OUTPUT_MAX);
    cursor_init(&c, out->data, out->len);
    while (c.left > 0) {
        uint8_t flags = cursor_u8(&c);

        must(flags == 0x51 || flags == 0x42 || flags == 0x44);
        cursor_bytes(&c, cursor_u32(&c));
        must(!c.failed);
    }
    buffer_consume(out, out->len);
}

static void
send_something(struct channel *ch, bool acceptor)
{
    static const char text[] = "some text";
    struct message_string arg = { text, sizeof(text) };
    struct error err;

    if (acceptor) {
        channel_send_output(ch, MESSAGE_STDOUT, text, sizeof(text), &err);
        channel_send_status(ch, 0, &err);
    } else {
        channel_send_command(ch, 1, &arg, true, &err);
        channel_send_noop(ch, &err);
    }
}

static void
take_messages(struct channel *ch, bool acceptor)
{
    struct message msg;

    while (channel_next(ch, &msg)) {
        if (acceptor)
            must(msg.type == MESSAGE_COMMAND || msg.type == MESSAGE_QUIT);
        else
            must(msg.type != MESSAGE_COMMAND && msg.type != MESSAGE_QUIT);
        for (size_t i = 0; i < msg.argc; i++)
            must(msg.argv[i].data[msg.argv[i].len] == '\0');
        message_free(&msg);
    }
}

static void
feed_pieces(struct channel *ch, bool acceptor, struct cursor *c)
{
    struct error err, again;

    while (!c->failed && c->left > 0) {
        uint16_t head = cursor_u16(c);
        size_t len = head & 0x3fff;
        bool alive;

        if (c->failed)
            break;
        len = len > c->left ? c->left : len;
        if ((head & 0x8000) != 0)
            take_output(ch);
        if ((head & 0x4000) != 0)
            send_something(ch, acceptor);
        alive = channel_feed(ch, cursor_bytes(c, len), len, &err);
        take_messages(ch, acceptor);
        if (!alive) { /* and so it stays */
            must(err.code != ERROR_NONE && err.text[0] != '\0' && !channel_wants_input(ch));
            must(!channel_feed(ch, "x", 1, &again) && !channel_established(ch));
            must(!channel_send_noop(ch, &again));
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct channel *ch;
    struct cursor c;
    struct error err;
    bool acceptor;

    cursor_init(&c, data, size);
    acceptor = (cursor_u8(&c) & 1) != 0;
    ch = acceptor ? channel_new_acceptor(GSS_C_NO_CREDENTIAL, &err)
                  : channel_new_initiator(GSS_C_NO_NAME, GSS_C_NO_CREDENTIAL, NULL, &err);
    must(ch != NULL);
    feed_pieces(ch, acceptor, &c);
    take_output(ch);
    channel_free(ch);
    return 0;
}
