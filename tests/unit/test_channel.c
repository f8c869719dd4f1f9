/* channel: both ends over real GSS contexts, through memory, against a KDC of the test's own. */
#include "common/channel.h"
#include "tests/unit/throwaway_realm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

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
    assert_in_range(channel_expires(p.client), 3000, 3600);
    assert_in_range(channel_expires(p.server), 3000, 3610);

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

static int
group_setup(void **state)
{
    static struct realm realm;

    *state = &realm;
    return realm_up(&realm) ? 0 : -1;
}

static int
group_teardown(void **state)
{
    realm_down(*state);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
