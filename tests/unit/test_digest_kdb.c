/*
 * digest_kdb: what the decoder makes of a real dump is what libkdb5 hands out of the database that
 * is loaded from it, and stays so while people log in.
 */
#include "common/base/buffers.h"
#include "common/base/files.h"
#include "common/kdb/digest_kdb.h"
#include "common/kdb/dump.h"
#include "tests/unit/throwaway_realm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <kadm5/admin.h>

static struct realm realm;
static const unsigned char nonce[DIGEST_NONCE_SIZE] = "any bytes will do";

struct content {
    uint64_t principals;
    uint64_t policies;
    char digest[2 * DIGEST_SIZE + 1];
};

struct walk {
    struct digest *digest;
    krb5_context context;
    bool failed;
};

static int
see_principal(krb5_pointer arg, krb5_db_entry *entry)
{
    struct walk *walk = arg;

    walk->failed |= !digest_principal_entry(walk->digest, walk->context, entry);
    return 0;
}

static void
see_policy(void *arg, osa_policy_ent_t policy)
{
    struct walk *walk = arg;

    walk->failed |= !digest_policy_entry(walk->digest, policy);
}

/* The content of database NAME in the realm's folder, by libkdb5. */
static struct content
walk_database(const char *name)
{
    struct walk walk = { digest_new(nonce), NULL, false };
    unsigned char sum[DIGEST_SIZE];
    struct content content;
    char path[160];
    char *args[] = { path, NULL };

    snprintf(path, sizeof(path), "dbname=%s/%s", realm.folder, name);
    assert_non_null(walk.digest);
    assert_int_equal(kadm5_init_krb5_context(&walk.context), 0);
    assert_int_equal(krb5_db_open(walk.context, args, KRB5_KDB_OPEN_RO | KRB5_KDB_SRV_TYPE_OTHER),
                     0);
    assert_int_equal(krb5_db_iterate(walk.context, NULL, see_principal, &walk, 0), 0);
    assert_int_equal(krb5_db_iter_policy(walk.context, NULL, see_policy, &walk), 0);
    assert_false(walk.failed);
    assert_int_equal(krb5_db_fini(walk.context), 0);
    krb5_free_context(walk.context);
    assert_true(digest_value(walk.digest, sum));
    hex_encode(sum, sizeof(sum), content.digest);
    content.principals = digest_principals(walk.digest);
    content.policies = digest_policies(walk.digest);
    digest_free(walk.digest);
    return content;
}

/* Dump database NAME to file OUT. */
static void
dump_database(const char *name, const char *out, const char *option)
{
    char path[128], file[128];
    const char *argv[] = {
        "/usr/sbin/kdb5_util", "-r", REALM, "-d", path, "dump", file, NULL, NULL
    };

    realm_path(&realm, name, path, sizeof(path));
    realm_path(&realm, out, file, sizeof(file));
    if (option != NULL) {
        argv[6] = option;
        argv[7] = file;
    }
    assert_true(realm_run(&realm, argv));
}

static void
load_database(const char *name, const char *in)
{
    char path[128], file[128];
    const char *argv[] = { "/usr/sbin/kdb5_util", "-r", REALM, "-d", path, "load", file, NULL };

    realm_path(&realm, name, path, sizeof(path));
    realm_path(&realm, in, file, sizeof(file));
    assert_true(realm_run(&realm, argv));
}

static void
read_dump(const char *name, struct buffer *text)
{
    struct error err;
    char path[128];

    buffer_init(text, 0);
    assert_true(file_read(realm_path(&realm, name, path, sizeof(path)), text, &err));
}

/* The content of dump NAME, by the decoder. */
static struct content
decode_dump(const char *name, struct dump_info *info)
{
    struct dump *d = dump_new(REALM, NULL, nonce);
    struct content content;
    struct buffer text;
    struct error err;
    bool ok;

    assert_non_null(d);
    read_dump(name, &text);
    ok = dump_feed(d, text.data, text.len, &err) && dump_finish(d, info, &err);
    if (!ok)
        fail_msg("%s", err.text);
    buffer_free(&text);
    dump_free(d);
    hex_encode(info->digest, DIGEST_SIZE, content.digest);
    content.principals = info->principals;
    content.policies = info->policies;
    return content;
}

static void
assert_same(const struct content *a, const struct content *b)
{
    assert_string_equal(a->digest, b->digest);
    assert_int_equal(a->principals, b->principals);
    assert_int_equal(a->policies, b->policies);
}

/* A second implementation, in Python, agrees. */
static void
assert_reference(const char *name, const struct content *content)
{
    char hex[2 * DIGEST_NONCE_SIZE + 1], path[128], expected[160];
    const char *argv[] = { "/usr/bin/python3", TEST_SOURCE_DIR "/lib/digest_reference.py", hex,
                           path, NULL };
    struct subprocess_result result;
    struct error err;

    if (access(argv[0], X_OK) != 0)
        return;
    hex_encode(nonce, sizeof(nonce), hex);
    realm_path(&realm, name, path, sizeof(path));
    snprintf(expected, sizeof(expected), "%llu %llu %s\n", (unsigned long long)content->principals,
             (unsigned long long)content->policies, content->digest);
    assert_true(subprocess_run(argv, NULL, 20000, &result, &err));
    assert_true(subprocess_succeeded(&result));
    assert_string_equal(buffer_string(&result.out), expected);
    subprocess_result_free(&result);
}

/* What kadmin can make: all a policy's fields, old keys kept, string attributes, odd names. */
static int
set_up(void **state)
{
    static const char *const queries[] = {
        "addpol -maxlife 10d -minlife 1h -minlength 8 -minclasses 2 -history 5 -maxfailure 3 "
        "-failurecountinterval 60 -lockoutduration 100 -allowedkeysalts "
        "aes256-cts:normal,aes128-cts:normal full",
        "addpol plain",
        "addprinc -pw alice-password +requires_preauth -policy full alice",
        "cpw -keepold -pw other-Password1 alice",
        "cpw -keepold -pw third-Password2 alice",
        "cpw -pw fourth-Password3 alice",
        "setstr alice session_enctypes aes256-cts",
        "setstr alice require_auth \"otp radius\"",
        "modprinc -unlock alice",
        "addprinc -randkey -e aes256-cts:normal,aes128-cts:normal,camellia256-cts:normal multi",
        "addprinc -nokey nokey",
        "addprinc -randkey -expire 2037-01-01 -pwexpire 2036-01-01 -maxlife 1h expires",
        "addprinc -randkey -expire 2090-01-01 later",
        "addprinc -randkey +lockdown_keys -allow_tix locked",
        "addprinc -randkey \"a b\\@c/d\\\\e\"",
        "addprinc -randkey x\xc3\xbcy",
        "addprinc -randkey \"tail \"",
        "addprinc -randkey krbtgt/OTHER.TEST",
        "modprinc +requires_preauth " REALM_CLIENT,
    };

    (void)state;
    if (!realm_up(&realm))
        return -1;
    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++)
        if (!realm_admin(&realm, "%s", queries[i]))
            return -1;
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    realm_down(&realm);
    return 0;
}

static void
test_real_dump(void **state)
{
    struct content live, dump, loaded;
    struct dump_info info;

    (void)state;
    dump_database("principal", "dump", NULL);
    dump = decode_dump("dump", &info);
    assert_int_equal(info.version, 7);
    assert_true(info.has_master_key && info.has_krbtgt);
    assert_string_equal(info.realm, REALM);
    assert_int_equal(dump.policies, 2);
    live = walk_database("principal");
    assert_same(&dump, &live);
    load_database("replica", "dump");
    loaded = walk_database("replica");
    assert_same(&dump, &loaded);
    assert_reference("dump", &dump);
}

/* How often a dump says that NAME failed to log in, or -1. */
static int
failures(const char *dump, const char *name)
{
    char start[100];
    struct buffer text;
    const char *at;
    int count = -1;

    read_dump(dump, &text);
    snprintf(start, sizeof(start), "\t%s@" REALM "\t", name);
    at = strstr(buffer_string(&text), start);
    if (at != NULL)
        sscanf(at + strlen(start), "%*d\t%*d\t%*d\t%*u\t%*u\t%*u\t%*u\t%d", &count);
    buffer_free(&text);
    return count;
}

/* What a KDC writes at logins does not count, on either side; what an administrator writes does. */
static void
test_logins(void **state)
{
    struct content before, after;
    struct dump_info first, second;

    (void)state;
    dump_database("principal", "before", NULL);
    before = decode_dump("before", &first);
    assert_int_equal(realm_login(&realm, REALM_CLIENT, 60, "cache2"), 0);
    assert_true(realm_run(&realm, (const char *[]){ "/bin/sh", "-c",
                                                    "echo wrong | kinit alice >/dev/null 2>&1; "
                                                    "test $? = 1",
                                                    NULL }));
    dump_database("principal", "after", NULL);
    assert_int_equal(failures("before", "alice"), 0);
    assert_int_equal(failures("after", "alice"), 1);
    after = decode_dump("after", &second);
    assert_same(&before, &after);
    assert_memory_not_equal(first.sha256, second.sha256, DUMP_SHA256_SIZE);
    after = walk_database("principal");
    assert_same(&before, &after);
    assert_true(realm_admin(&realm, "modprinc -unlock locked"));
    after = walk_database("principal");
    assert_string_not_equal(before.digest, after.digest);
    before = after;
    assert_true(realm_admin(&realm, "modpol -minlength 9 plain"));
    after = walk_database("principal");
    assert_string_not_equal(before.digest, after.digest);
}

/* Older formats leave out what they do not know: the decoder agrees with the load of that dump. */
static void
test_older_formats(void **state)
{
    static const char *const options[] = { "-r18", "-r13", "-b7" };

    (void)state;
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        struct content dump, loaded;
        struct dump_info info;

        dump_database("principal", "old", options[i]);
        dump = decode_dump("old", &info);
        assert_int_equal(info.version, 6 - i);
        load_database("replica", "old");
        loaded = walk_database("replica");
        assert_same(&dump, &loaded);
        assert_reference("old", &dump);
    }
}

/* What no kadmin makes but a dump can hold, between the principals and the policies of a real one.
 */
#define CRAFTED                                                                                    \
    "princ\t38\t14\t0\t0\t0\tbare@UNIT.TEST\t-1\t-2147483648\t2147483647\t4294967295\t2147483648"  \
    "\t4294967295\t7\t4294967295\t-1;\n"                                                           \
    "princ\t38\t13\t3\t5\t0\todd@UNIT.TEST\t0\t1\t2\t3\t4\t5\t6\t7\t-1\t0\t-1\t1792\t4\t01020304"  \
    "\t1792\t4\tAABBCCDD\t1\t2\t18\t2\t0202\t1\t9\t-18\t0\t-1\t0\t65535\t2\t2\t17\t1\tff\t-7\t0"   \
    "\t-1\t2\t9\t0\t3\t010203\t3\t1\t04\t-1;\n"
#define CRAFTED_POLICIES                                                                           \
    "policy\tzz-full\t4294967295\t-1\t3\t4\t5\t99\t7\t8\t9\t10\t11\t-12\t"                         \
    "aes256-cts:normal\t4\t300\t1\tbb\t300\t1\taa\t-5\t0\t-1\t256\t2\t0102\n"                      \
    "policy\tzz-old\t1\t2\t3\t4\t5\t6\t7\t8\t9\n"

/* The records above in a real dump, as file NAME of the realm's folder. */
static void
make_crafted(const char *name)
{
    struct buffer text;
    const char *policies;
    char *crafted;

    dump_database("principal", "dump", NULL);
    read_dump("dump", &text);
    policies = strstr(buffer_string(&text), "\npolicy\t");
    assert_non_null(policies);
    policies++;
    assert_true(asprintf(&crafted, "%.*s%s%s%s", (int)(policies - (char *)text.data),
                         (char *)text.data, CRAFTED, policies, CRAFTED_POLICIES) > 0);
    assert_true(realm_write(&realm, name, crafted));
    free(crafted);
    buffer_free(&text);
}

static void
test_crafted(void **state)
{
    struct content dump, loaded, again;
    struct dump_info info;

    (void)state;
    make_crafted("crafted");
    dump = decode_dump("crafted", &info);
    load_database("replica", "crafted");
    loaded = walk_database("replica");
    assert_same(&dump, &loaded);
    /* libkdb5 sorts keys, its policies' TL data come out turned, and turned back the next time */
    for (int i = 0; i < 2; i++) {
        dump_database("replica", "again", NULL);
        again = decode_dump("again", &info);
        assert_same(&dump, &again);
        assert_reference("again", &again);
        load_database("replica", "again");
        loaded = walk_database("replica");
        assert_same(&dump, &loaded);
    }
}

static bool
is_accepted(const struct buffer *text)
{
    struct dump *d = dump_new(REALM, NULL, NULL);
    struct error err;
    bool ok;

    assert_non_null(d);
    ok = dump_feed(d, text->data, text->len, &err) && dump_finish(d, NULL, &err);
    dump_free(d);
    return ok;
}

/* Whatever byte is changed: what the decoder accepts, kdb5_util loads, and to the same content. */
static void
test_accepted_loads_same(void **state)
{
    static const char bytes[] = "\t\n\v ;-0123456789abcdefAFxyzK/M@\\\r\x80";
    uint32_t random = 20261122;
    struct buffer text;

    (void)state;
    make_crafted("crafted");
    read_dump("crafted", &text);
    for (int accepted = 0; accepted < 60;) {
        struct content dump, loaded;
        struct dump_info info;
        unsigned char *at, old;

        random = random * 1664525 + 1013904223;
        at = &text.data[(random >> 8) % text.len];
        random = random * 1664525 + 1013904223;
        old = *at;
        *at = (unsigned char)bytes[(random >> 8) % (sizeof(bytes) - 1)];
        if (*at != old && is_accepted(&text)) {
            accepted++;
            assert_true(realm_write(&realm, "changed", buffer_string(&text)));
            dump = decode_dump("changed", &info);
            load_database("replica", "changed");
            loaded = walk_database("replica");
            assert_same(&dump, &loaded);
        }
        *at = old;
    }
    buffer_free(&text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_real_dump),           cmocka_unit_test(test_logins),
        cmocka_unit_test(test_older_formats),       cmocka_unit_test(test_crafted),
        cmocka_unit_test(test_accepted_loads_same),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
