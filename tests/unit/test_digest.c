/* digest: known answers (from tests/lib/digest_reference.py), order, and what makes it fail. */
#include "common/kdb/digest.h"
#include "common/kdb/digest_kdb.h"

#include "common/base/buffers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NONE "0000000000000000000000000000000000000000000000000000000000000000"
#define PLAIN "c08ca5ad8566397c7cef58143fa1cf1b10b77657f183eb9ab3fd1223cf2f2365"
#define FULL "1f2c82bbb706e167d4874ae2a2c64a268635fce9f45d65ef252d12ffc7557675"
#define EASY "a374bdc3b6a51ff58af560e301b9b50dff6438d119ac64f909f9c51b583b20bc"
#define HARD "c0466a367638ceac3280f86eaf8830c1803942405c658d06818f2d99631598dd"
#define ALL "43745063694b09860eecfc4893a9ff11168aee535bf3438964b317d851d55373"
#define CARRY "25672dd117508e4806f00f18901101b94ca647876b50544f148edbe150224288"

static struct digest *
make(void)
{
    unsigned char nonce[DIGEST_NONCE_SIZE];
    struct digest *d;

    for (size_t i = 0; i < sizeof(nonce); i++)
        nonce[i] = (unsigned char)i;
    d = digest_new(nonce);
    assert_non_null(d);
    return d;
}

/* D's value is HEX; D is freed. */
static void
expect(struct digest *d, const char *hex)
{
    unsigned char out[DIGEST_SIZE];
    char text[2 * DIGEST_SIZE + 1];

    assert_true(digest_value(d, out));
    hex_encode(out, sizeof(out), text);
    assert_string_equal(text, hex);
    digest_free(d);
}

static void
plain(struct digest *d)
{
    digest_principal(d, "a@R", 3, 128, 36000, 604800, 0, 0);
    assert_true(digest_end(d));
}

static void
full(struct digest *d, bool turned)
{
    const char *name = "host/x\\/y\\@z\\tq@EXAMPLE.COM";
    unsigned char one[62], two[62];

    memset(one, 1, sizeof(one));
    memset(two, 2, sizeof(two));
    digest_principal(d, name, strlen(name), 0xffffffff, 0x80000000, 0x80000000, 0xffffffff, 1);
    digest_tl(d, 1, "\x78\x56\x34\x12", 4);
    digest_tl(d, -5, NULL, 0);
    digest_tl(d, 11, "k\0v", 4);
    if (!turned) {
        digest_key(d, 1, 1);
        digest_key_part(d, 18, one, sizeof(one));
    }
    digest_key(d, 2, 3);
    digest_key_part(d, 18, two, sizeof(two));
    digest_key_part(d, 4, "salt", 4);
    digest_key(d, 1, 3);
    digest_key_part(d, -9, "", 0);
    digest_key(d, 0, 2);
    if (turned) {
        digest_key(d, 1, 1);
        digest_key_part(d, 18, one, sizeof(one));
    }
    digest_e_data(d, "extra", 5);
    assert_true(digest_end(d));
}

static void
easy(struct digest *d, const char *keysalts)
{
    struct digest_policy policy = { .name = "default", .name_len = 7 };

    policy.allowed_keysalts = keysalts;
    policy.allowed_keysalts_len = keysalts != NULL ? strlen(keysalts) : 0;
    digest_policy(d, &policy);
    assert_true(digest_end(d));
}

static void
hard(struct digest *d, bool turned)
{
    static const struct digest_policy policy = {
        "hard", 4, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0xffffffff, "aes256-cts:normal", 17,
    };
    static const struct {
        int16_t type;
        const char *data;
    } tls[] = { { 300, "b" }, { 300, "a" }, { 256, "" }, { -1, "zz" } };
    size_t n = sizeof(tls) / sizeof(tls[0]);

    digest_policy(d, &policy);
    for (size_t i = 0; i < n; i++) {
        size_t at = turned ? n - 1 - i : i;

        digest_tl(d, tls[at].type, tls[at].data, strlen(tls[at].data));
    }
    assert_true(digest_end(d));
}

static void
test_vectors(void **state)
{
    struct digest *d = make();

    (void)state;
    expect(d, NONE);
    d = make();
    plain(d);
    expect(d, PLAIN);
    d = make();
    full(d, false);
    expect(d, FULL);
    d = make();
    full(d, true);
    expect(d, FULL);
    d = make();
    easy(d, NULL);
    expect(d, EASY);
    d = make();
    easy(d, "-");
    expect(d, EASY);
    d = make();
    hard(d, false);
    expect(d, HARD);
    d = make();
    hard(d, true);
    expect(d, HARD);
}

static void
test_sum(void **state)
{
    struct digest *d = make();

    (void)state;
    hard(d, true);
    full(d, false);
    easy(d, NULL);
    plain(d);
    assert_int_equal(digest_principals(d), 2);
    assert_int_equal(digest_policies(d), 2);
    expect(d, ALL);
    d = make();
    for (int i = 0; i < 1000; i++)
        plain(d);
    assert_int_equal(digest_principals(d), 1000);
    expect(d, CARRY);
}

static void
assert_failed(struct digest *d)
{
    unsigned char out[DIGEST_SIZE];

    digest_principal(d, "a@R", 3, 0, 0, 0, 0, 0);
    assert_false(digest_end(d));
    memset(out, 1, sizeof(out));
    assert_false(digest_value(d, out));
    assert_int_equal(out[0] | out[31], 0);
    digest_free(d);
}

static void
test_failure_sticks(void **state)
{
    struct digest *d = make();
    size_t len = DIGEST_RECORD_MAX;
    char *much = calloc(1, len);

    (void)state;
    assert_non_null(much);
    digest_principal(d, "a@R", 3, 0, 0, 0, 0, 0);
    digest_tl(d, 1, much, len);
    assert_false(digest_end(d));
    assert_failed(d);
    free(much);
    d = make();
    plain(d);
    digest_fail(d);
    assert_failed(d);
    digest_free(NULL);
}

/* Entries of libkdb5 give the same as the calls above; those that contradict themselves fail. */
static void
test_entries(void **state)
{
    krb5_octet one[62], two[62];
    krb5_tl_data string = { NULL, 11, 4, (krb5_octet[]){ 'k', 0, 'v', 0 } };
    krb5_tl_data none = { &string, -5, 0, NULL };
    krb5_tl_data changed = { &none, 1, 4, (krb5_octet[]){ 0x78, 0x56, 0x34, 0x12 } };
    krb5_key_data keys[] = {
        { 1, 1, { 18 }, { 62 }, { one } },
        { 2, 3, { 18, 4 }, { 62, 4 }, { two, (krb5_octet[]){ 's', 'a', 'l', 't' } } },
        { 1, 3, { -9 }, { 0 }, { NULL } },
        { 0, 2, { 7, 7 }, { 9, 9 }, { NULL } },
    };
    krb5_db_entry entry = { .len = 99,
                            .attributes = -1,
                            .max_life = INT32_MIN,
                            .max_renewable_life = INT32_MIN,
                            .expiration = -1,
                            .pw_expiration = 1,
                            .last_success = 5,
                            .last_failed = 6,
                            .fail_auth_count = 7,
                            .n_tl_data = 3,
                            .n_key_data = 4,
                            .e_length = 5,
                            .e_data = (krb5_octet[]){ 'e', 'x', 't', 'r', 'a' },
                            .tl_data = &changed,
                            .key_data = keys };
    struct digest *d = make();
    krb5_context context;

    (void)state;
    memset(one, 1, sizeof(one));
    memset(two, 2, sizeof(two));
    assert_int_equal(krb5_init_context(&context), 0);
    assert_int_equal(krb5_parse_name(context, "host/x\\/y\\@z\\tq@EXAMPLE.COM", &entry.princ), 0);
    assert_true(digest_principal_entry(d, context, &entry));
    expect(d, FULL);
    d = make();
    entry.n_tl_data = 2;
    assert_false(digest_principal_entry(d, context, &entry));
    assert_failed(d);
    d = make();
    entry.n_tl_data = 3;
    keys[2].key_data_ver = 3;
    assert_false(digest_principal_entry(d, context, &entry));
    assert_failed(d);
    d = make();
    keys[2].key_data_ver = 1;
    keys[2].key_data_length[0] = 1;
    assert_false(digest_principal_entry(d, context, &entry));
    assert_failed(d);
    krb5_free_principal(context, entry.princ);
    krb5_free_context(context);
}

static void
test_policy_entries(void **state)
{
    krb5_tl_data tl4 = { NULL, 300, 1, (krb5_octet[]){ 'b' } };
    krb5_tl_data tl3 = { &tl4, 300, 1, (krb5_octet[]){ 'a' } };
    krb5_tl_data tl2 = { &tl3, 256, 0, NULL };
    krb5_tl_data tl1 = { &tl2, -1, 2, (krb5_octet[]){ 'z', 'z' } };
    char name[] = "hard", keysalts[] = "aes256-cts:normal";
    osa_policy_ent_rec policy = {
        3, name, 1, 2, 3, 4, 5, 77, 6, 7, 8, 9, 10, -1, keysalts, 4, &tl1
    };
    struct digest *d = make();

    (void)state;
    assert_true(digest_policy_entry(d, &policy));
    expect(d, HARD);
    d = make();
    policy.n_tl_data = 5;
    assert_false(digest_policy_entry(d, &policy));
    assert_failed(d);
}

/* The second sum is what a digest under that nonce alone would be, and does not touch the first. */
static void
test_second_nonce(void **state)
{
    static const unsigned char first[DIGEST_NONCE_SIZE] = { 1 }, second[DIGEST_NONCE_SIZE] = { 2 };
    struct digest *both = digest_new(first), *alone = digest_new(second), *one = digest_new(first);
    struct digest *all[3] = { both, alone, one };
    unsigned char a[DIGEST_SIZE], b[DIGEST_SIZE];

    (void)state;
    assert_false(digest_also_value(one, a));
    digest_also(both, second);
    for (int i = 0; i < 3; i++) {
        for (uint32_t n = 0; n < 50; n++) {
            digest_principal(all[i], "a@B", 3, n, 0, 0, 0, 0);
            assert_true(digest_end(all[i]));
        }
    }
    assert_true(digest_value(both, a) && digest_value(one, b));
    assert_memory_equal(a, b, DIGEST_SIZE);
    assert_true(digest_also_value(both, a) && digest_value(alone, b));
    assert_memory_equal(a, b, DIGEST_SIZE);
    digest_also(both, second); /* a third is refused */
    assert_false(digest_value(both, a));
    for (int i = 0; i < 3; i++)
        digest_free(all[i]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),        cmocka_unit_test(test_sum),
        cmocka_unit_test(test_failure_sticks), cmocka_unit_test(test_entries),
        cmocka_unit_test(test_policy_entries), cmocka_unit_test(test_second_nonce),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
