/* channel: both ends over real GSS contexts, through memory, against a KDC of the test's own. */
#include "common/remctl/channel.h"
#include "tests/unit/throwaway_realm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "between.h"

struct pair {
    struct channel *client, *server;
    gss_cred_id_t cred;
    gss_name_t target;
};

/* Move at most LEN bytes that wait in FROM to TO; false if TO dies of them. */
static bool
move(struct channel *from, struct channel *to, size_t len, struct error *err)
{
    struct buffer *out = channel_output(from);
    size_t n = out->len < len ? out->len : len;
    bool ok = channel_feed(to, out->data, n, err);

    buffer_consume(out, n);
    return ok;
}

/* Carry everything both ways until nothing waits, in pieces of STEP bytes. */
static void
carry(struct pair *p, size_t step)
{
    struct error err;

    while (channel_output(p->client)->len + channel_output(p->server)->len > 0) {
        if (!move(p->client, p->server, step, &err) || !move(p->server, p->client, step, &err))
            fail_msg("%s", err.text);
    }
}

static void
pair_open(struct pair *p)
{
    struct error err;

    memset(p, 0, sizeof(*p));
    if (!channel_acquire_acceptor(NULL, &p->cred, &err) ||
        !channel_import_target(NULL, REALM_SERVER, &p->target, &err))
        fail_msg("%s", err.text);
    p->server = channel_new_acceptor(p->cred, &err);
    assert_non_null(p->server);
    p->client = channel_new_initiator(p->target, GSS_C_NO_CREDENTIAL, NULL, &err);
    if (p->client == NULL)
        fail_msg("%s", err.text);
}

static void
pair_establish(struct pair *p, size_t step)
{
    pair_open(p);
    carry(p, step);
    assert_true(channel_established(p->client));
    assert_true(channel_established(p->server));
}

static void
pair_close(struct pair *p)
{
    OM_uint32 minor;

    channel_free(p->client);
    channel_free(p->server);
    gss_release_cred(&minor, &p->cred);
    gss_release_name(&minor, &p->target);
}

static void
test_round_trip(void **state)
{
    static const struct message_string argv[] = { { "kpropctl", 8 }, { "a\0b", 3 }, { "", 0 } };
    struct message msg;
    struct error err;
    struct pair p;

    (void)state;
    pair_establish(&p, CHANNEL_MAX_FEED);
    assert_string_equal(channel_peer(p.client), REALM_SERVER);
    assert_string_equal(channel_peer(p.server), REALM_CLIENT);
    assert_between(channel_expires(p.client), 3000, 3600);
    assert_between(channel_expires(p.server), 3000, 3610);

    assert_true(channel_send_command(p.client, 3, argv, true, &err));
    carry(&p, CHANNEL_MAX_FEED);
    assert_false(channel_wants_input(p.server));
    assert_true(channel_next(p.server, &msg));
    assert_int_equal(msg.type, MESSAGE_COMMAND);
    assert_true(msg.keepalive);
    assert_int_equal(msg.argc, 3);
    assert_string_equal(msg.argv[0].data, "kpropctl");
    assert_memory_equal(msg.argv[1].data, "a\0b", 4);
    assert_false(message_string_plain(&msg.argv[1]));
    assert_string_equal(msg.argv[2].data, "");
    message_free(&msg);
    assert_false(channel_next(p.server, &msg));
    assert_true(channel_wants_input(p.server));

    assert_true(channel_send_output(p.server, MESSAGE_STDOUT, "text", 4, &err));
    assert_true(channel_send_status(p.server, 7, &err));
    carry(&p, CHANNEL_MAX_FEED);
    assert_true(channel_next(p.client, &msg));
    assert_int_equal(msg.type, MESSAGE_OUTPUT);
    assert_int_equal(msg.stream, MESSAGE_STDOUT);
    assert_string_equal(msg.text.data, "text");
    message_free(&msg);
    assert_true(channel_next(p.client, &msg));
    assert_int_equal(msg.type, MESSAGE_STATUS);
    assert_int_equal(msg.status, 7);
    message_free(&msg);
    pair_close(&p);
}

static void
test_single_bytes(void **state)
{
    struct message msg;
    struct error err;
    struct pair p;

    (void)state;
    pair_establish(&p, 1);
    assert_true(channel_send_output(p.server, MESSAGE_STDERR, "x", 1, &err));
    carry(&p, 1);
    assert_true(channel_next(p.client, &msg));
    assert_int_equal(msg.stream, MESSAGE_STDERR);
    message_free(&msg);
    pair_close(&p);
}

/* A command as long as may be, in 17 parts, and output that has to be split. */
static void
test_long(void **state)
{
    size_t len = MESSAGE_MAX_COMMAND - 2 * 4 - 4 - 3, got = 0;
    struct message_string argv[2] = { { "abc", 3 }, { NULL, len } };
    char *text = malloc(len + 1);
    struct message msg;
    struct error err;
    struct pair p;

    (void)state;
    assert_non_null(text);
    memset(text, 'y', len + 1);
    argv[1].data = text;
    pair_establish(&p, CHANNEL_MAX_FEED);
    assert_true(channel_send_command(p.client, 2, argv, false, &err));
    carry(&p, 40000);
    assert_true(channel_next(p.server, &msg));
    assert_int_equal(msg.argc, 2);
    assert_false(msg.keepalive);
    assert_int_equal(msg.argv[1].len, len);
    assert_memory_equal(msg.argv[1].data, text, len);
    message_free(&msg);

    argv[1].len++;
    assert_false(channel_send_command(p.client, 2, argv, false, &err));
    assert_int_equal(err.code, ERROR_USAGE);
    assert_true(channel_send_noop(p.client, &err));

    assert_true(channel_send_output(p.server, MESSAGE_STDOUT, text, 200000, &err));
    carry(&p, 40000);
    while (channel_next(p.client, &msg)) {
        if (msg.type == MESSAGE_OUTPUT) {
            assert_between(msg.text.len, 1, MESSAGE_MAX_OUTPUT);
            got += msg.text.len;
        }
        message_free(&msg);
    }
    assert_int_equal(got, 200000);
    free(text);
    pair_close(&p);
}

static void
test_noop_and_quit(void **state)
{
    static const struct message_string argv[] = { { "x", 1 } };
    struct message msg;
    struct error err;
    struct pair p;

    (void)state;
    pair_establish(&p, CHANNEL_MAX_FEED);
    assert_true(channel_send_noop(p.client, &err));
    carry(&p, CHANNEL_MAX_FEED);
    assert_false(channel_next(p.server, &msg));
    assert_true(channel_next(p.client, &msg));
    assert_int_equal(msg.type, MESSAGE_NOOP);
    message_free(&msg);
    assert_true(channel_send_quit(p.client, &err));
    assert_true(channel_send_command(p.client, 1, argv, true, &err));
    carry(&p, CHANNEL_MAX_FEED);
    assert_true(channel_next(p.server, &msg));
    assert_int_equal(msg.type, MESSAGE_QUIT);
    message_free(&msg);
    assert_false(channel_next(p.server, &msg));
    assert_false(channel_wants_input(p.server));
    assert_true(channel_feed(p.server, "junk", 4, &err));
    assert_true(channel_send_status(p.server, 0, &err));
    pair_close(&p);
}

static void
test_output_is_bounded(void **state)
{
    char *text = calloc(1, CHANNEL_OUTPUT_MAX);
    struct error err;
    struct pair p;

    (void)state;
    assert_non_null(text);
    pair_establish(&p, CHANNEL_MAX_FEED);
    assert_true(channel_send_output(p.server, MESSAGE_STDOUT, text, CHANNEL_OUTPUT_HIGH, &err));
    assert_false(channel_wants_input(p.server));
    assert_false(channel_send_output(p.server, MESSAGE_STDOUT, text, CHANNEL_OUTPUT_MAX, &err));
    assert_int_equal(err.code, ERROR_UNREACHABLE);
    assert_between(channel_output(p.server)->len, CHANNEL_OUTPUT_HIGH, CHANNEL_OUTPUT_MAX);
    assert_false(channel_send_status(p.server, 0, &err));
    assert_string_equal(err.text, "cannot send to the client: it does not read");
    free(text);
    pair_close(&p);
}

static void
test_not_established(void **state)
{
    struct error err;
    struct pair p;

    (void)state;
    pair_open(&p);
    assert_false(channel_send_status(p.server, 0, &err));
    assert_null(channel_peer(p.server));
    assert_int_equal(channel_expires(p.server), 0);
    carry(&p, CHANNEL_MAX_FEED);
    assert_true(channel_send_status(p.server, 0, &err));
    pair_close(&p);
}

/* The bytes of a first contact, and what an acceptor says of each. */
static void
test_bad_handshakes(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *text;
    } rows[] = {
        { "\x11\0\0\0\0", 5, "cannot understand the client: it speaks version 1 of remctl" },
        { "GET / HTTP/1.1\r\n", 16, "cannot understand the client: it does not speak remctl" },
        { "\x51\0\0\0\1", 5, "cannot understand the client: wrong length of a frame" },
        { "\x51\0\0\0\0\x51\0\0\0\0", 10,
          "cannot understand the client: it does not speak remctl" },
        { "\x51\0\0\0\0\x02\0\0\0\1", 10,
          "cannot understand the client: it speaks version 1 of remctl" },
        { "\x51\0\0\0\0\x42\0\0\0\0", 10, "cannot understand the client: wrong length of a frame" },
        { "\x51\0\0\0\0\x42\0\1\0\1", 10, "cannot understand the client: wrong length of a frame" },
        { "\x51\0\0\0\0\x42\xff\xff\xff\xff", 10,
          "cannot understand the client: wrong length of a frame" },
        { "\x51\0\0\0\0\x44\0\0\0\1", 10,
          "cannot understand the client: it does not speak remctl" },
        /* a bare AP-REQ, and SPNEGO */
        { "\x51\0\0\0\0\x42\0\0\0\2\x6e\x00", 12,
          "cannot authenticate the client: the mechanism is not krb5" },
        { "\x51\0\0\0\0\x42\0\0\0\x0c\x60\x0a\x06\x06\x2b\x06\x01\x05\x05\x02\xa0\x00", 22,
          "cannot authenticate the client: the mechanism is not krb5" },
    };
    struct error err;
    struct pair p;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        pair_open(&p);
        assert_false(channel_feed(p.server, rows[i].bytes, rows[i].len, &err));
        assert_string_equal(err.text, rows[i].text);
        assert_int_equal(err.code, ERROR_UNREACHABLE);
        assert_int_equal(channel_output(p.server)->len, 0);
        assert_false(channel_feed(p.server, "", 0, &err));
        assert_string_equal(err.text, rows[i].text);
        pair_close(&p);
    }
}

/* A server that answers without the PROTOCOL bit, or with something else. */
static void
test_bad_server(void **state)
{
    struct error err;
    struct pair p;

    (void)state;
    pair_open(&p);
    assert_false(channel_feed(p.client, "\x02\0\0\0\1x", 6, &err));
    assert_string_equal(err.text, "cannot understand the server: it speaks version 1 of remctl");
    pair_close(&p);
    pair_open(&p);
    assert_false(channel_feed(p.client, "SSH-2.0-", 8, &err));
    assert_string_equal(err.text, "cannot understand the server: it does not speak remctl");
    pair_close(&p);
}

/* What the client makes of the ERROR that must wait in the server's output. */
static void
expect_error(struct pair *p, uint32_t code)
{
    struct message msg;
    struct error err;

    assert_true(channel_output(p->server)->len > 0);
    assert_true(move(p->server, p->client, SIZE_MAX, &err));
    assert_true(channel_next(p->client, &msg));
    assert_int_equal(msg.type, MESSAGE_ERROR);
    assert_int_equal(msg.code, code);
    message_free(&msg);
}

enum attack { FLIP, REPEAT, DROP, SWAP, FLAGS, LENGTH };

static void
attack(enum attack how)
{
    struct buffer *out;
    struct error err;
    unsigned char copy[2048];
    size_t one;
    struct pair p;

    pair_establish(&p, CHANNEL_MAX_FEED);
    out = channel_output(p.client);
    assert_true(channel_send_noop(p.client, &err));
    one = out->len;
    assert_true(channel_send_noop(p.client, &err));
    assert_int_equal(out->len, 2 * one);
    assert_true(2 * one <= sizeof(copy));
    memcpy(copy, out->data, out->len);
    buffer_reset(out);
    if (how == FLIP)
        copy[one - 1] ^= 1;
    else if (how == REPEAT)
        memcpy(copy + one, copy, one);
    else if (how == DROP)
        memcpy(copy, copy + one, one);
    else if (how == SWAP) {
        unsigned char keep[1024];

        memcpy(keep, copy, one);
        memcpy(copy, copy + one, one);
        memcpy(copy + one, keep, one);
    } else if (how == FLAGS)
        copy[0] = 0x04;
    else
        memcpy(copy + 1, "\x00\x0f\xff\xfc", 4);
    assert_false(channel_feed(p.server, copy, 2 * one, &err));
    assert_int_equal(err.code, ERROR_UNREACHABLE);
    print_message("%d: %s\n", how, err.text);
    if (how == REPEAT) { /* the first of the two was good, and answered */
        struct message msg;

        assert_true(move(p.server, p.client, one, &err));
        assert_true(channel_next(p.client, &msg));
        assert_int_equal(msg.type, MESSAGE_NOOP);
        message_free(&msg);
    }
    expect_error(&p, MESSAGE_E_BAD_TOKEN);
    assert_false(channel_established(p.server));
    pair_close(&p);
}

static void
test_attacks(void **state)
{
    (void)state;
    for (int how = FLIP; how <= LENGTH; how++)
        attack((enum attack)how);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_single_bytes),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_noop_and_quit),
        cmocka_unit_test(test_output_is_bounded),
        cmocka_unit_test(test_not_established),
        cmocka_unit_test(test_bad_handshakes),
        cmocka_unit_test(test_bad_server),
        cmocka_unit_test(test_attacks),
    };

    return cmocka_run_group_tests(tests, realm_group_setup, realm_group_teardown);
}
