/* acceptor: which keys of a keytab let a peer in, by real tickets. */
#include "agent/daemon/acceptor.h"
#include "agent/service/served.h"
#include "common/remctl/channel.h"
#include "tests/unit/throwaway_realm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define HOST "replica.unit.test"
#define OTHER_REALM "OTHER.TEST"

static struct settings
settings_of(const struct realm *realm, char *keytab, size_t size)
{
    snprintf(keytab, size, "%s/many", realm->folder);
    return (struct settings){ .keytab = keytab,
                              .names = (char *)(uintptr_t)HOST " alias.unit.test" };
}

/* Does a client that asks for TARGET get in? */
static bool
gets_in(const struct acceptor *a, const char *target)
{
    struct channel *server, *client;
    struct buffer *out;
    struct error err;
    gss_name_t name;
    OM_uint32 minor;
    bool in;

    assert_true(channel_import_target(NULL, target, &name, &err));
    client = channel_new_initiator(name, GSS_C_NO_CREDENTIAL, NULL, &err);
    gss_release_name(&minor, &name);
    if (client == NULL)
        fail_msg("%s: %s", target, err.text);
    server = channel_new_acceptor(acceptor_credential(a), &err);
    assert_non_null(server);
    out = channel_output(client);
    in = channel_feed(server, out->data, out->len, &err);
    if (in) {
        assert_true(channel_established(server));
        assert_string_equal(channel_target(server), target);
        assert_true(acceptor_takes(a, channel_target(server)));
    } else {
        assert_null(channel_target(server));
        assert_int_equal((int32_t)channel_gss_minor(server), KRB5KRB_AP_ERR_NOT_US);
    }
    channel_free(client);
    channel_free(server);
    return in;
}

static struct acceptor *
open_acceptor(const struct settings *settings)
{
    struct error err;
    struct acceptor *a = acceptor_new(settings, &err);

    assert_non_null(a);
    if (acceptor_credential(a) == GSS_C_NO_CREDENTIAL)
        fail_msg("%s", err.text);
    return a;
}

/* Principals that others may know the keys of; their keys are in one keytab with ours. */
static const char *const others[] = {
    "HTTP/" HOST,   "host/other.unit.test", "host/" HOST ".evil",      "kadmin/" HOST,
    "host/replica", "hosts/" HOST,          "host/" HOST "/x",         "root/" HOST,
    "host",         "host/localhost",       "host/xreplica.unit.test", "kprop/" HOST,
};

static void
fill_keytab(const struct realm *realm)
{
    assert_true(realm_admin(realm, "ktadd -norandkey -k %s/many " REALM_SERVER, realm->folder));
    assert_true(realm_admin(realm, "addprinc -randkey host/alias.unit.test"));
    assert_true(realm_admin(realm, "ktadd -k %s/many host/alias.unit.test", realm->folder));
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        assert_true(realm_admin(realm, "addprinc -randkey %s", others[i]));
        assert_true(realm_admin(realm, "ktadd -k %s/many %s", realm->folder, others[i]));
    }
}

static void
test_other_keys_open_nothing(void **state)
{
    struct realm *realm = *state;
    char keytab[128], target[200];
    struct settings settings = settings_of(realm, keytab, sizeof(keytab));
    struct acceptor *a;

    fill_keytab(realm);
    a = open_acceptor(&settings);
    assert_true(gets_in(a, REALM_SERVER));
    assert_true(gets_in(a, "host/alias.unit.test@" REALM));
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        snprintf(target, sizeof(target), "%s@" REALM, others[i]);
        if (gets_in(a, target))
            fail_msg("%s opens it", target);
        assert_false(acceptor_takes(a, target));
    }
    acceptor_free(a);
    /* The alias is none of this host's without the setting. */
    settings.names = (char *)(uintptr_t)HOST;
    a = open_acceptor(&settings);
    assert_true(gets_in(a, REALM_SERVER));
    assert_false(gets_in(a, "host/alias.unit.test@" REALM));
    acceptor_free(a);
}

/* libkrb5's own setting for hosts with many names loosens nothing here. */
static void
test_ignore_acceptor_hostname(void **state)
{
    struct realm *realm = *state;
    char keytab[128], config[200];
    struct settings settings = settings_of(realm, keytab, sizeof(keytab));
    struct acceptor *a;

    assert_true(
        realm_write(realm, "more.conf", "[libdefaults]\n ignore_acceptor_hostname = true\n"));
    snprintf(config, sizeof(config), "%s/krb5.conf:%s/more.conf", realm->folder, realm->folder);
    setenv("KRB5_CONFIG", config, 1);
    a = open_acceptor(&settings);
    assert_true(gets_in(a, REALM_SERVER));
    assert_false(gets_in(a, "host/other.unit.test@" REALM));
    assert_false(gets_in(a, "HTTP/" HOST "@" REALM));
    acceptor_free(a);
    realm_export(realm);
}

/* A key that is known as another one: the ticket's own word for its server counts for nothing. */
static void
test_all_versions(void **state)
{
    struct realm *realm = *state;
    char keytab[128];
    struct settings settings = settings_of(realm, keytab, sizeof(keytab));
    struct acceptor *a = open_acceptor(&settings), *b;

    assert_true(gets_in(a, REALM_SERVER));
    assert_false(acceptor_is_stale(a));
    assert_true(realm_admin(realm, "cpw -keepold -randkey " REALM_SERVER));
    assert_true(realm_admin(realm, "ktadd -norandkey -k %s/many " REALM_SERVER, realm->folder));
    assert_true(acceptor_is_stale(a));
    b = open_acceptor(&settings);
    assert_true(gets_in(b, REALM_SERVER)); /* the ticket of the old version is in the cache */
    assert_int_equal(realm_login(realm, REALM_CLIENT, 3600, "cache"), 0);
    assert_true(gets_in(b, REALM_SERVER));
    acceptor_free(a);
    assert_true(gets_in(b, REALM_SERVER)); /* each has a keytab of its own */
    acceptor_free(b);
}

static void
add_foreign_key(const struct realm *realm, const char *principal)
{
    krb5_keytab_entry entry = { .vno = 1 };
    unsigned char key[32] = "known to another realm";
    krb5_context context;
    krb5_keytab keytab;
    char name[128];

    snprintf(name, sizeof(name), "FILE:%s/many", realm->folder);
    entry.key.enctype = ENCTYPE_AES256_CTS_HMAC_SHA1_96;
    entry.key.length = sizeof(key);
    entry.key.contents = key;
    assert_int_equal(krb5_init_context(&context), 0);
    assert_int_equal(krb5_kt_resolve(context, name, &keytab), 0);
    assert_int_equal(krb5_parse_name(context, principal, &entry.principal), 0);
    assert_int_equal(krb5_kt_add_entry(context, keytab, &entry), 0);
    krb5_free_principal(context, entry.principal);
    krb5_kt_close(context, keytab);
    krb5_free_context(context);
}

/* The realm whose stash is here is served, another one by the settings' word alone. */
static void
test_realms(void **state)
{
    static const char foreign[] = "host/" HOST "@" OTHER_REALM;
    struct realm *realm = *state;
    char keytab[128];
    struct settings settings = settings_of(realm, keytab, sizeof(keytab));
    struct acceptor *a;

    add_foreign_key(realm, foreign);
    assert_true(served_shows(&settings, REALM));
    assert_false(served_shows(&settings, OTHER_REALM));
    a = open_acceptor(&settings);
    assert_true(acceptor_takes(a, REALM_SERVER));
    assert_false(acceptor_takes(a, foreign));
    assert_false(acceptor_takes(a, "host/" HOST));
    assert_false(acceptor_takes(a, "host/" HOST "@"));
    assert_false(acceptor_takes(a, NULL));
    acceptor_free(a);
    settings.realms = (char *)(uintptr_t) "X.TEST " OTHER_REALM;
    a = open_acceptor(&settings);
    assert_true(acceptor_takes(a, REALM_SERVER));
    assert_true(acceptor_takes(a, foreign));
    acceptor_free(a);
}

/* Joined to another realm, which is the default one: that serves nobody here. */
static void
test_default_realm_of_others(void **state)
{
    static const char foreign[] = "host/" HOST "@" OTHER_REALM;
    struct realm *realm = *state;
    char keytab[128], config[200];
    struct settings settings = settings_of(realm, keytab, sizeof(keytab));
    struct acceptor *a;

    assert_true(
        realm_write(realm, "first.conf", "[libdefaults]\n default_realm = " OTHER_REALM "\n"));
    snprintf(config, sizeof(config), "%s/first.conf:%s/krb5.conf", realm->folder, realm->folder);
    setenv("KRB5_CONFIG", config, 1);
    a = open_acceptor(&settings);
    assert_false(acceptor_takes(a, foreign));
    assert_true(acceptor_takes(a, REALM_SERVER));
    acceptor_free(a);
    /* Before anything shows what is served, it is the default realm. */
    snprintf(config, sizeof(config), "%s/nothing.conf", realm->folder);
    setenv("KRB5_KDC_PROFILE", config, 1);
    a = open_acceptor(&settings);
    assert_true(acceptor_takes(a, foreign));
    assert_false(acceptor_takes(a, REALM_SERVER));
    acceptor_free(a);
    realm_export(realm);
}

static void
test_nothing_for_us(void **state)
{
    struct realm *realm = *state;
    char keytab[128];
    struct settings settings = settings_of(realm, keytab, sizeof(keytab));
    struct acceptor *a;
    struct error err;

    snprintf(keytab, sizeof(keytab), "%s/http", realm->folder);
    a = acceptor_new(&settings, &err);
    assert_ptr_equal(acceptor_credential(a), GSS_C_NO_CREDENTIAL);
    assert_non_null(strstr(err.text, "cannot read the keytab"));
    assert_false(acceptor_is_stale(a));
    assert_true(
        realm_admin(realm, "ktadd -k %s/http HTTP/" HOST " host/other.unit.test", realm->folder));
    assert_true(acceptor_is_stale(a));
    acceptor_free(a);
    a = acceptor_new(&settings, &err);
    assert_ptr_equal(acceptor_credential(a), GSS_C_NO_CREDENTIAL);
    assert_non_null(strstr(err.text, "it has no key of host/"));
    assert_non_null(strstr(err.hint, "names"));
    acceptor_free(a);
    acceptor_free(NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_other_keys_open_nothing),
        cmocka_unit_test(test_ignore_acceptor_hostname),
        cmocka_unit_test(test_all_versions),
        cmocka_unit_test(test_realms),
        cmocka_unit_test(test_default_realm_of_others),
        cmocka_unit_test(test_nothing_for_us),
    };

    return cmocka_run_group_tests(tests, realm_group_setup, realm_group_teardown);
}
