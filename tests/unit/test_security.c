/* security: who is let in and what is let through, by real tickets, good and bad. */
#include "common/remctl/channel.h"
#include "tests/unit/throwaway_realm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <gssapi/gssapi_krb5.h>

#include <cmocka.h>

#include "between.h"

#define ALL_FLAGS                                                                                  \
    (GSS_C_MUTUAL_FLAG | GSS_C_CONF_FLAG | GSS_C_INTEG_FLAG | GSS_C_REPLAY_FLAG |                  \
     GSS_C_SEQUENCE_FLAG)

static void
move(struct channel *from, struct channel *to)
{
    struct buffer *out = channel_output(from);
    struct error err;

    if (!channel_feed(to, out->data, out->len, &err))
        fail_msg("%s", err.text);
    buffer_consume(out, out->len);
}

/* Its channel borrows the credential. */
struct server {
    struct channel *ch;
    gss_cred_id_t cred;
};

static void
server_open(struct server *server, const char *keytab)
{
    struct error err;

    if (!channel_acquire_acceptor(keytab, &server->cred, &err))
        fail_msg("%s", err.text);
    server->ch = channel_new_acceptor(server->cred, &err);
    assert_non_null(server->ch);
}

static void
server_close(struct server *server)
{
    OM_uint32 minor;

    channel_free(server->ch);
    gss_release_cred(&minor, &server->cred);
}

static struct channel *
new_client(const char *principal, uint32_t *minor, struct error *err)
{
    gss_name_t name;
    struct channel *ch;
    OM_uint32 ignored;

    if (!channel_import_target(NULL, principal, &name, err))
        fail_msg("%s", err->text);
    ch = channel_new_initiator(name, GSS_C_NO_CREDENTIAL, minor, err);
    gss_release_name(&ignored, &name);
    return ch;
}

/* The client asks for PRINCIPAL, the server has KEYTAB: the server refuses for the reason MINOR,
 * and the client learns it as SEEN. */
static void
refused(const char *principal, const char *keytab, krb5_error_code minor, krb5_error_code seen)
{
    struct channel *client;
    struct server server;
    struct buffer *out;
    struct error err;

    server_open(&server, keytab);
    client = new_client(principal, NULL, &err);
    if (client == NULL)
        fail_msg("%s", err.text);
    out = channel_output(client);
    assert_false(channel_feed(server.ch, out->data, out->len, &err));
    print_message("server: %s\n", err.text);
    assert_int_equal((int32_t)channel_gss_minor(server.ch), minor);
    out = channel_output(server.ch);
    assert_true(out->len > 5);
    assert_int_equal(out->data[0], 0x42);
    assert_false(channel_feed(client, out->data, out->len, &err));
    print_message("client: %s\n", err.text);
    assert_int_equal((int32_t)channel_gss_minor(client), seen);
    channel_free(client);
    server_close(&server);
}

static void
test_stale_key(void **state)
{
    struct realm *realm = *state;
    char keytab[128];

    snprintf(keytab, sizeof(keytab), "FILE:%s/stale", realm->folder);
    assert_true(realm_admin(realm, "addprinc -randkey host/stale.unit.test"));
    assert_true(realm_admin(realm, "ktadd -k %s host/stale.unit.test", keytab));
    assert_true(realm_admin(realm, "cpw -randkey host/stale.unit.test"));
    refused("host/stale.unit.test@" REALM, keytab, KRB5KRB_AP_ERR_BADKEYVER,
            KRB5KRB_AP_ERR_BADKEYVER);
}

/* The same kvno with another key: the principal was deleted and made anew. */
static void
test_other_key(void **state)
{
    struct realm *realm = *state;
    char keytab[128];

    snprintf(keytab, sizeof(keytab), "FILE:%s/other", realm->folder);
    assert_true(realm_admin(realm, "addprinc -randkey host/other.unit.test"));
    assert_true(realm_admin(realm, "ktadd -norandkey -k %s host/other.unit.test", keytab));
    assert_true(realm_admin(realm, "delprinc -force host/other.unit.test"));
    assert_true(realm_admin(realm, "addprinc -randkey host/other.unit.test"));
    refused("host/other.unit.test@" REALM, keytab, KRB5KRB_AP_ERR_BAD_INTEGRITY,
            KRB5KRB_AP_ERR_BAD_INTEGRITY);
}

static void
test_no_key(void **state)
{
    struct realm *realm = *state;
    char keytab[128];

    snprintf(keytab, sizeof(keytab), "FILE:%s/stale", realm->folder);
    refused(REALM_SERVER, keytab, KRB5KRB_AP_ERR_NOT_US, KRB5KRB_AP_ERR_NOT_US);
}

static void
test_clock_skew(void **state)
{
    struct channel *client;
    struct server server;
    struct buffer *out;
    struct error err;

    (void)state;
    server_open(&server, NULL);
    client = new_client(REALM_SERVER, NULL, &err);
    assert_non_null(client);
    sleep(4); /* clockskew is 2 in this realm */
    out = channel_output(client);
    assert_false(channel_feed(server.ch, out->data, out->len, &err));
    assert_int_equal((int32_t)channel_gss_minor(server.ch), KRB5KRB_AP_ERR_SKEW);
    out = channel_output(server.ch);
    assert_false(channel_feed(client, out->data, out->len, &err));
    print_message("client: %s\n", err.text);
    assert_int_equal((int32_t)channel_gss_minor(client), KRB5KRB_AP_ERR_SKEW);
    channel_free(client);
    server_close(&server);
}

/* A token seen before is a replay. */
static void
test_replayed_token(void **state)
{
    struct server server, again;
    struct channel *client;
    struct buffer *out;
    struct error err;

    (void)state;
    server_open(&server, NULL);
    server_open(&again, NULL);
    client = new_client(REALM_SERVER, NULL, &err);
    assert_non_null(client);
    out = channel_output(client);
    assert_true(channel_feed(server.ch, out->data, out->len, &err));
    assert_false(channel_feed(again.ch, out->data, out->len, &err));
    assert_int_equal((int32_t)channel_gss_minor(again.ch), KRB5KRB_AP_ERR_REPEAT);
    channel_free(client);
    server_close(&server);
    server_close(&again);
}

static void
test_no_ticket(void **state)
{
    struct realm *realm = *state;
    char cache[128];
    struct error err;
    uint32_t minor;

    snprintf(cache, sizeof(cache), "FILE:%s/nowhere", realm->folder);
    setenv("KRB5CCNAME", cache, 1);
    setenv("KRB5_CLIENT_KTNAME", "FILE:/nonexistent", 1);
    assert_null(new_client(REALM_SERVER, &minor, &err));
    print_message("%d: %s\n", (int32_t)minor, err.text);
    assert_int_equal((int32_t)minor, KRB5_CC_NOTFOUND);
    assert_int_equal(realm_login(realm, REALM_CLIENT, 3600, "cache"), 0);

    assert_null(new_client("host/nobody.unit.test@" REALM, &minor, &err));
    print_message("%d: %s\n", (int32_t)minor, err.text);
    assert_int_equal((int32_t)minor, KRB5KDC_ERR_S_PRINCIPAL_UNKNOWN);

    assert_int_equal(realm_login(realm, REALM_CLIENT, 1, "old"), 0);
    sleep(4);
    assert_null(new_client(REALM_SERVER, &minor, &err));
    print_message("%d: %s\n", (int32_t)minor, err.text);
    assert_int_equal((int32_t)minor, KRB5KRB_AP_ERR_TKT_EXPIRED);
    assert_int_equal(realm_login(realm, REALM_CLIENT, 3600, "cache"), 0);
}

static void
test_no_keytab(void **state)
{
    gss_cred_id_t cred;
    struct error err;

    (void)state;
    assert_false(channel_acquire_acceptor("FILE:/nonexistent/keytab", &cred, &err));
    print_message("%s\n", err.text);
    assert_ptr_equal(cred, GSS_C_NO_CREDENTIAL);
    assert_non_null(strstr(err.text, "/nonexistent/keytab"));
}

/* Both ends stop when the ticket ends, whichever way the messages go. */
static void
test_expiry(void **state)
{
    struct realm *realm = *state;
    struct channel *client;
    struct server server;
    struct buffer held;
    struct error err;

    server_open(&server, NULL);
    assert_int_equal(realm_login(realm, REALM_CLIENT, 2, "short"), 0);
    client = new_client(REALM_SERVER, NULL, &err);
    if (client == NULL)
        fail_msg("%s", err.text);
    move(client, server.ch);
    move(server.ch, client);
    assert_true(channel_send_noop(client, &err));
    buffer_init(&held, 0);
    assert_true(buffer_add(&held, channel_output(client)->data, channel_output(client)->len));
    assert_between(channel_expires(client), 1, 2);
    assert_between(channel_expires(server.ch), 1, 5); /* an acceptor adds the clock skew */
    sleep(5);
    assert_int_equal(channel_expires(client), 0);
    assert_int_equal(channel_expires(server.ch), 0);
    assert_false(channel_send_noop(client, &err));
    assert_non_null(strstr(err.text, "expired"));
    assert_false(channel_feed(server.ch, held.data, held.len, &err));
    assert_non_null(strstr(err.text, "expired"));
    assert_int_equal(channel_output(server.ch)->len, 0);
    buffer_free(&held);
    channel_free(client);
    server_close(&server);
    assert_int_equal(realm_login(realm, REALM_CLIENT, 3600, "cache"), 0);
}

/* A client made by hand from GSS-API, which may do what ours never does. */
struct raw {
    gss_ctx_id_t ctx;
    struct server server;
    struct error err;
    bool alive;
};

static void
raw_send(struct raw *raw, uint8_t flags, const void *data, size_t len)
{
    struct buffer frame;

    buffer_init(&frame, 0);
    buffer_add_u8(&frame, flags);
    buffer_add_u32(&frame, (uint32_t)len);
    assert_true(buffer_add(&frame, data, len));
    raw->alive = channel_feed(raw->server.ch, frame.data, frame.len, &raw->err);
    buffer_free(&frame);
}

static void
raw_open(struct raw *raw, OM_uint32 flags)
{
    struct buffer *out;
    gss_buffer_desc token = GSS_C_EMPTY_BUFFER, answer;
    gss_name_t name;
    OM_uint32 minor;

    memset(raw, 0, sizeof(*raw));
    raw->ctx = GSS_C_NO_CONTEXT;
    server_open(&raw->server, NULL);
    assert_true(channel_import_target(NULL, REALM_SERVER, &name, &raw->err));
    gss_init_sec_context(&minor, GSS_C_NO_CREDENTIAL, &raw->ctx, name, gss_mech_krb5, flags, 0,
                         NULL, GSS_C_NO_BUFFER, NULL, &token, NULL, NULL);
    assert_true(token.length > 0);
    raw_send(raw, 0x51, "", 0);
    raw_send(raw, 0x42, token.value, token.length);
    gss_release_buffer(&minor, &token);
    out = channel_output(raw->server.ch);
    if (raw->alive && out->len > 5) {
        answer.value = out->data + 5;
        answer.length = out->len - 5;
        gss_init_sec_context(&minor, GSS_C_NO_CREDENTIAL, &raw->ctx, name, gss_mech_krb5, flags, 0,
                             NULL, &answer, NULL, &token, NULL, NULL);
        gss_release_buffer(&minor, &token);
        buffer_reset(out);
    }
    gss_release_name(&minor, &name);
}

static void
raw_close(struct raw *raw)
{
    OM_uint32 minor;

    gss_delete_sec_context(&minor, &raw->ctx, GSS_C_NO_BUFFER);
    server_close(&raw->server);
}

static void
raw_wrap(struct raw *raw, int encrypt, const void *plain, size_t len)
{
    gss_buffer_desc in = { len, (void *)(uintptr_t)plain }, token;
    OM_uint32 minor;

    assert_int_equal(gss_wrap(&minor, raw->ctx, encrypt, GSS_C_QOP_DEFAULT, &in, NULL, &token),
                     GSS_S_COMPLETE);
    raw_send(raw, 0x44, token.value, token.length);
    gss_release_buffer(&minor, &token);
}

/* The type of the one message that the server put into its output, and its code if an ERROR. */
static int
raw_answer(struct raw *raw, uint32_t *code)
{
    struct buffer *out = channel_output(raw->server.ch);
    gss_buffer_desc in, plain;
    OM_uint32 minor;
    int type, encrypted;

    *code = 0;
    if (out->len < 5)
        return -1;
    in.value = out->data + 5;
    in.length = out->len - 5;
    assert_int_equal(gss_unwrap(&minor, raw->ctx, &in, &plain, &encrypted, NULL), GSS_S_COMPLETE);
    assert_true(encrypted);
    type = ((unsigned char *)plain.value)[1];
    if (type == MESSAGE_ERROR)
        *code = ((unsigned char *)plain.value)[5];
    gss_release_buffer(&minor, &plain);
    buffer_reset(out);
    return type;
}

static void
test_flags_required(void **state)
{
    static const OM_uint32 flags[] = { GSS_C_MUTUAL_FLAG, GSS_C_REPLAY_FLAG, GSS_C_SEQUENCE_FLAG };
    struct raw raw;

    (void)state;
    raw_open(&raw, ALL_FLAGS);
    assert_true(raw.alive);
    assert_true(channel_established(raw.server.ch));
    raw_close(&raw);
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        raw_open(&raw, ALL_FLAGS & ~flags[i]);
        assert_false(raw.alive);
        assert_false(channel_established(raw.server.ch));
        assert_null(channel_peer(raw.server.ch));
        assert_int_equal(channel_output(raw.server.ch)->len, 0);
        raw_close(&raw);
    }
    raw_open(&raw, ALL_FLAGS | GSS_C_DCE_STYLE);
    assert_false(raw.alive);
    raw_close(&raw);
}

static void
test_not_encrypted(void **state)
{
    struct raw raw;
    uint32_t code;

    (void)state;
    raw_open(&raw, ALL_FLAGS);
    raw_wrap(&raw, 0, "\3\7", 2);
    assert_false(raw.alive);
    assert_string_equal(raw.err.text, "cannot accept a message: it is not encrypted");
    assert_int_equal(raw_answer(&raw, &code), MESSAGE_ERROR);
    assert_int_equal(code, MESSAGE_E_BAD_TOKEN);
    raw_close(&raw);
}

/* Plaintexts that crashed the reference server, or should be answered otherwise. */
static void
test_odd_messages(void **state)
{
    static const struct {
        const char *plain;
        size_t len;
        bool alive;
        int type;
        uint32_t code;
    } rows[] = {
        { "", 0, false, MESSAGE_ERROR, MESSAGE_E_BAD_TOKEN },
        { "\2", 1, false, MESSAGE_ERROR, MESSAGE_E_BAD_TOKEN },
        { "\2\1", 2, false, MESSAGE_ERROR, MESSAGE_E_BAD_COMMAND },
        { "\2\1\1\0", 4, false, MESSAGE_ERROR, MESSAGE_E_BAD_COMMAND },
        { "\2\1\1\0\0\0\0\1", 8, false, MESSAGE_ERROR, MESSAGE_E_BAD_COMMAND },
        { "\2\1\1\0\0\0\0\0", 8, true, MESSAGE_ERROR, MESSAGE_E_UNKNOWN_COMMAND },
        { "\2\1\1\0\0\0\0\x41", 8, true, MESSAGE_ERROR, MESSAGE_E_TOO_MANY_ARGS },
        { "\2\x63", 2, true, MESSAGE_ERROR, MESSAGE_E_UNKNOWN_MESSAGE },
        { "\2\3\1\0\0\0\0", 7, true, MESSAGE_ERROR, MESSAGE_E_UNKNOWN_MESSAGE },
        { "\4\1", 2, true, MESSAGE_VERSION, 0 },
        { "\3\7", 2, true, MESSAGE_NOOP, 0 },
    };
    struct raw raw;
    uint32_t code;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        raw_open(&raw, ALL_FLAGS);
        raw_wrap(&raw, 1, rows[i].plain, rows[i].len);
        assert_int_equal(raw.alive, rows[i].alive);
        assert_int_equal(raw_answer(&raw, &code), rows[i].type);
        assert_int_equal(code, rows[i].code);
        if (rows[i].alive) { /* the stream is still in step */
            raw_wrap(&raw, 1, "\3\7", 2);
            assert_true(raw.alive);
            assert_int_equal(raw_answer(&raw, &code), MESSAGE_NOOP);
        }
        raw_close(&raw);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stale_key),      cmocka_unit_test(test_other_key),
        cmocka_unit_test(test_no_key),         cmocka_unit_test(test_clock_skew),
        cmocka_unit_test(test_replayed_token), cmocka_unit_test(test_no_ticket),
        cmocka_unit_test(test_no_keytab),      cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_flags_required), cmocka_unit_test(test_not_encrypted),
        cmocka_unit_test(test_odd_messages),
    };

    return cmocka_run_group_tests(tests, realm_group_setup, realm_group_teardown);
}
