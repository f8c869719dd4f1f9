/* own_ticket: what it makes, libkrb5 takes for a ticket of a KDC's, with that key and no other. */
#include "common/krb5/keytab.h"
#include "kpropctl/krb5/own_ticket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <krb5.h>

#define CLIENT "host/kdc1.lab.test@LAB.TEST"
#define SERVICE "host/kdc2.lab.test@LAB.TEST"

static char folder[64], keytab[128];

static int
set_up(void **state)
{
    char name[128];
    FILE *f;

    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/kpropctl-ticket-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(keytab, sizeof(keytab), "%s/keytab", folder);
    snprintf(name, sizeof(name), "%s/krb5.conf", folder);
    f = fopen(name, "w");
    fputs("[libdefaults]\ndefault_realm = LAB.TEST\n", f);
    fclose(f);
    setenv("KRB5_CONFIG", name, 1);
    setenv("KRB5CCNAME", "MEMORY:own-ticket", 1);
    setenv("KRB5RCACHENAME", "none:", 1);
    return 0;
}

static int
tear_down(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -r %s", folder);
    return system(command);
}

static struct keytab_keys
make_keys(krb5_context context, unsigned kvno, int enctype)
{
    struct keytab_keys keys = { .kvno = kvno, .count = 1 };
    krb5_keyblock key;

    assert_int_equal(krb5_c_make_random_key(context, enctype, &key), 0);
    keys.keys[0].enctype = enctype;
    keys.keys[0].len = key.length;
    memcpy(keys.keys[0].data, key.contents, key.length);
    krb5_free_keyblock_contents(context, &key);
    return keys;
}

static void
begin_cache(krb5_context context)
{
    krb5_principal client;
    krb5_ccache cache;

    assert_int_equal(krb5_parse_name(context, CLIENT, &client), 0);
    assert_int_equal(krb5_cc_default(context, &cache), 0);
    assert_int_equal(krb5_cc_initialize(context, cache, client), 0);
    krb5_cc_close(context, cache);
    krb5_free_principal(context, client);
}

/* An AP-REQ with the ticket in the cache, as clients make it, read with the keytab, as services do;
 * who the client is, in NAME. */
static krb5_error_code
exchange(krb5_context context, char *name, size_t size)
{
    krb5_creds match, *creds = NULL;
    krb5_auth_context ours = NULL, theirs = NULL;
    krb5_ticket *ticket = NULL;
    krb5_data request = { .length = 0 };
    krb5_keytab kt;
    krb5_ccache cache;
    krb5_error_code code;
    char *text;

    memset(&match, 0, sizeof(match));
    assert_int_equal(krb5_parse_name(context, CLIENT, &match.client), 0);
    assert_int_equal(krb5_parse_name(context, SERVICE, &match.server), 0);
    assert_int_equal(krb5_cc_default(context, &cache), 0);
    assert_int_equal(krb5_get_credentials(context, KRB5_GC_CACHED, cache, &match, &creds), 0);
    assert_int_equal(krb5_mk_req_extended(context, &ours, 0, NULL, creds, &request), 0);
    assert_int_equal(krb5_kt_resolve(context, keytab, &kt), 0);
    code = krb5_rd_req(context, &theirs, &request, match.server, kt, NULL, &ticket);
    if (code == 0) {
        assert_int_equal(krb5_unparse_name(context, ticket->enc_part2->client, &text), 0);
        snprintf(name, size, "%s", text);
        krb5_free_unparsed_name(context, text);
    }
    krb5_free_ticket(context, ticket);
    krb5_auth_con_free(context, ours);
    krb5_auth_con_free(context, theirs);
    krb5_free_data_contents(context, &request);
    krb5_free_creds(context, creds);
    krb5_free_cred_contents(context, &match);
    krb5_kt_close(context, kt);
    krb5_cc_close(context, cache);
    return code;
}

static void
try_key(unsigned kvno, int enctype)
{
    krb5_context context;
    struct keytab_keys keys, other;
    char name[256] = "";
    struct error err;
    bool changed;

    assert_int_equal(krb5_init_context(&context), 0);
    keys = make_keys(context, kvno, enctype);
    other = make_keys(context, kvno, enctype);
    error_clear(&err);
    begin_cache(context);
    if (!own_ticket_make(CLIENT, SERVICE, &keys, &err))
        fail_msg("%s", err.text);
    assert_true(keytab_put(keytab, SERVICE, &keys, &changed, &err));
    assert_int_equal(exchange(context, name, sizeof(name)), 0);
    assert_string_equal(name, CLIENT);
    assert_true(keytab_put(keytab, SERVICE, &other, &changed, &err));
    assert_int_not_equal(exchange(context, name, sizeof(name)), 0);
    krb5_free_context(context);
}

static void
test_ticket(void **state)
{
    (void)state;
    try_key(2, ENCTYPE_AES256_CTS_HMAC_SHA1_96);
    try_key(127, ENCTYPE_AES128_CTS_HMAC_SHA1_96);
    try_key(128, ENCTYPE_AES256_CTS_HMAC_SHA384_192);
    try_key(40000, ENCTYPE_CAMELLIA256_CTS_CMAC);
}

/* A name as long as the format goes, and one that is none. */
static void
test_names(void **state)
{
    struct keytab_keys keys;
    krb5_context context;
    char name[3000] = "host/";
    struct error err;

    (void)state;
    assert_int_equal(krb5_init_context(&context), 0);
    keys = make_keys(context, 2, ENCTYPE_AES256_CTS_HMAC_SHA1_96);
    begin_cache(context);
    error_clear(&err);
    memset(name + 5, 'x', sizeof(name) - 20);
    strcat(name, "@LAB.TEST");
    assert_true(own_ticket_make(name, SERVICE, &keys, &err));
    assert_false(own_ticket_make("a@b@c", SERVICE, &keys, &err));
    assert_non_null(strstr(err.text, "cannot make a ticket for " SERVICE));
    keys.keys[0].enctype = 9999;
    assert_false(own_ticket_make(CLIENT, SERVICE, &keys, &err));
    krb5_free_context(context);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ticket, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_names, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
