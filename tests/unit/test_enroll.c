/* enroll_paths and enroll_stash: a configuration that is not in force, and what is a stash. */
#include "agent/enroll/enroll_paths.h"
#include "agent/enroll/enroll_stash.h"

#include <krb5.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char KRB5[] =
    "[libdefaults]\n default_realm = NEW.TEST\n"
    " default_keytab_name = FILE:/elsewhere/keytab\n[realms]\n NEW.TEST = {\n"
    "  kdc = kdc1.new.test\n  admin_server = kdc1.new.test\n }\n";
static const char KDC[] = "[realms]\n NEW.TEST = {\n  database_name = /elsewhere/principal\n"
                          "  key_stash_file = /elsewhere/stash\n }\n";

static const char *
text_of(const json_t *paths, const char *key)
{
    const char *text = json_string_value(json_object_get(paths, key));

    return text == NULL ? "" : text;
}

static void
expect(const struct buffer *krb5, const struct buffer *kdc, const char *database, const char *stash)
{
    struct error err;
    json_t *paths;

    assert_true(enroll_paths_read("NEW.TEST", krb5, kdc, &paths, &err));
    assert_string_equal(text_of(paths, "keytab"), "/elsewhere/keytab");
    assert_string_equal(text_of(paths, "lets_in"), "host/kdc1.new.test@NEW.TEST");
    assert_string_equal(text_of(paths, "master_key"), "K/M@NEW.TEST");
    if (database != NULL)
        assert_string_equal(text_of(paths, "database"), database);
    if (stash != NULL)
        assert_string_equal(text_of(paths, "stash"), stash);
    assert_int_equal(text_of(paths, "kdc_conf")[0], '/');
    json_decref(paths);
}

static void
test_paths(void **state)
{
    struct buffer krb5, kdc, broken;
    struct error err;
    json_t *paths;

    (void)state;
    buffer_init(&krb5, 4096);
    buffer_init(&kdc, 4096);
    buffer_init(&broken, 4096);
    assert_true(buffer_add_string(&krb5, KRB5) && buffer_add_string(&kdc, KDC));
    assert_true(buffer_add_string(&broken, "[realms\n"));
    expect(&krb5, NULL, NULL, NULL);
    expect(&krb5, &kdc, "/elsewhere/principal", "/elsewhere/stash");
    error_clear(&err);
    assert_false(enroll_paths_read("NEW.TEST", &broken, NULL, &paths, &err));
    assert_null(paths);
    assert_int_not_equal(err.text[0], '\0');
    /* This process has its own configuration still. */
    assert_null(getenv("KRB5_CONFIG"));
    buffer_free(&krb5);
    buffer_free(&kdc);
    buffer_free(&broken);
}

/* A library that leaves a file "loaded" in FOLDER when it is loaded. */
static void
make_module(const char *folder, char *module, size_t size)
{
    char command[256], source[64];
    FILE *file;

    snprintf(module, size, "%s/evil.so", folder);
    snprintf(source, sizeof(source), "%s/evil.c", folder);
    file = fopen(source, "w");
    assert_non_null(file);
    fprintf(file,
            "#include <fcntl.h>\n__attribute__((constructor)) static void f(void)\n"
            "{ open(\"%s/loaded\", O_CREAT | O_WRONLY, 0600); }\n",
            folder);
    fclose(file);
    snprintf(command, sizeof(command), "cc -shared -fPIC -o %s %s", module, source);
    assert_int_equal(system(command), 0);
}

/* Planning loads no plugin, whichever way a file names it. */
static void
test_no_plugins(void **state)
{
    static const char *const ways[] = {
        "[plugins]\n hostrealm = {\n  module = evil:@\n }\n",
        "[plugins]*\n hostrealm = {\n  module* = evil:@\n  enable_only = evil\n }\n",
        "[plugins]\n ccselect = {\n  module = evil:@\n }\n localauth = {\n  module = evil:@\n "
        "}\n",
        "[libdefaults]\n plugin_base_dir = @\n[plugins]\n hostrealm = {\n  module = "
        "evil:evil.so\n }\n",
    };
    char folder[] = "/tmp/test_enroll.XXXXXX", module[64], loaded[64], command[128];
    struct buffer krb5;
    struct error err;
    json_t *paths;

    (void)state;
    assert_non_null(mkdtemp(folder));
    make_module(folder, module, sizeof(module));
    snprintf(loaded, sizeof(loaded), "%s/loaded", folder);
    for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
        const char *what = strstr(ways[i], "plugin_base_dir") != NULL ? folder : module;

        buffer_init(&krb5, 4096);
        for (const char *c = ways[i]; *c != '\0'; c++) {
            if (*c == '@')
                buffer_add_string(&krb5, what);
            else
                buffer_add_u8(&krb5, (uint8_t)*c);
        }
        assert_true(buffer_add_string(&krb5, KRB5));
        assert_true(enroll_paths_read("NEW.TEST", &krb5, NULL, &paths, &err));
        assert_string_equal(text_of(paths, "lets_in"), "host/kdc1.new.test@NEW.TEST");
        if (access(loaded, F_OK) == 0)
            fail_msg("loaded by:\n%s", buffer_string(&krb5));
        json_decref(paths);
        buffer_free(&krb5);
    }
    snprintf(command, sizeof(command), "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

static void
test_krb5_conf(void **state)
{
    static const struct {
        const char *list, *first;
    } cases[] = { { NULL, "/etc/krb5.conf" },
                  { "", "/etc/krb5.conf" },
                  { "/a/krb5.conf", "/a/krb5.conf" },
                  { "/a/krb5.conf:/b/krb5.conf", "/a/krb5.conf" } };
    char *path;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        if (cases[i].list == NULL)
            unsetenv("KRB5_CONFIG");
        else
            setenv("KRB5_CONFIG", cases[i].list, 1);
        path = enroll_krb5_conf();
        assert_string_equal(path, cases[i].first);
        free(path);
    }
    unsetenv("KRB5_CONFIG");
}

static bool
is_stash(const void *data, size_t len)
{
    struct buffer stash;
    struct error err;
    bool answer;

    buffer_init(&stash, 4096);
    assert_true(buffer_add(&stash, data, len));
    error_clear(&err);
    answer = enroll_stash_check(&stash, "K/M@NEW.TEST", &err);
    assert_int_equal(err.code, answer ? ERROR_NONE : ERROR_REFUSED);
    buffer_free(&stash);
    return answer;
}

/* A keytab with a key of PRINCIPAL, as kdb5_util stash writes it. */
static size_t
keytab_of(const char *principal, unsigned char *out, size_t size)
{
    char name[] = "/tmp/kpropctl-stash-XXXXXX", full[64];
    krb5_keytab_entry entry = { .vno = 1 };
    unsigned char key[32] = "key";
    krb5_context context;
    krb5_keytab keytab;
    FILE *file;
    size_t len;

    close(mkstemp(name));
    unlink(name);
    snprintf(full, sizeof(full), "FILE:%s", name);
    entry.key.enctype = ENCTYPE_AES256_CTS_HMAC_SHA1_96;
    entry.key.length = sizeof(key);
    entry.key.contents = key;
    assert_int_equal(krb5_init_context(&context), 0);
    assert_int_equal(krb5_kt_resolve(context, full, &keytab), 0);
    assert_int_equal(krb5_parse_name(context, principal, &entry.principal), 0);
    assert_int_equal(krb5_kt_add_entry(context, keytab, &entry), 0);
    krb5_free_principal(context, entry.principal);
    krb5_kt_close(context, keytab);
    krb5_free_context(context);
    file = fopen(name, "r");
    assert_non_null(file);
    len = fread(out, 1, size, file);
    fclose(file);
    unlink(name);
    return len;
}

static void
test_stash(void **state)
{
    unsigned char data[512], old[sizeof(uint16_t) + sizeof(uint32_t) + 32] = { 18 };
    uint32_t length = 32;
    size_t len;

    (void)state;
    len = keytab_of("K/M@NEW.TEST", data, sizeof(data));
    assert_true(is_stash(data, len));
    assert_false(is_stash(data, len - 1));
    len = keytab_of("K/M@OTHER.TEST", data, sizeof(data));
    assert_false(is_stash(data, len));
    memcpy(old + sizeof(uint16_t), &length, sizeof(length));
    assert_true(is_stash(old, sizeof(old)));
    assert_false(is_stash(old, sizeof(old) - 1));
    old[0] = 17; /* its keys have 16 bytes */
    assert_false(is_stash(old, sizeof(old)));
    old[0] = 99; /* nobody knows it */
    assert_false(is_stash(old, sizeof(old)));
    old[0] = 0;
    assert_false(is_stash(old, sizeof(old)));
    assert_false(is_stash("no stash at all", 15));
    assert_false(is_stash("x", 1));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_no_plugins),
        cmocka_unit_test(test_krb5_conf),
        cmocka_unit_test(test_stash),
    };

    unsetenv("KRB5_CONFIG");
    unsetenv("KRB5_KDC_PROFILE");
    unsetenv("KRB5_KTNAME");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
