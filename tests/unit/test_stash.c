/* stash: its keys are read, what is none is refused, and marks tell keys apart and nothing else. */
#include "common/krb5/keytab.h"
#include "common/krb5/stash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MASTER "K/M@LAB.TEST"

static char file[64];

static int
set_up(void **state)
{
    (void)state;
    snprintf(file, sizeof(file), "/tmp/kpropctl-stash-%d", (int)getpid());
    unlink(file);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    unlink(file);
    return 0;
}

/* A stash is a keytab. */
static void
put(const char *principal, unsigned kvno, unsigned char fill)
{
    struct keytab_keys keys = { .kvno = kvno, .count = 1 };
    struct error err;
    bool changed;

    keys.keys[0].enctype = 18;
    keys.keys[0].len = 32;
    memset(keys.keys[0].data, fill, 32);
    error_clear(&err);
    if (!keytab_put(file, principal, &keys, &changed, &err))
        fail_msg("%s", err.text);
}

static bool
reads(struct stash_keys *keys)
{
    struct error err;

    error_clear(&err);
    return stash_read(file, MASTER, keys, &err);
}

static void
test_read(void **state)
{
    struct stash_keys keys;

    (void)state;
    assert_false(reads(&keys));
    put(MASTER, 1, 0xa);
    put(MASTER, 2, 0xb);
    assert_true(reads(&keys));
    assert_int_equal(keys.count, 2);
    assert_int_equal(stash_newest(&keys), 2);
    stash_wipe(&keys);
    assert_int_equal(stash_newest(&keys), 0);
    put("host/kdc2.lab.test@LAB.TEST", 1, 0xc);
    assert_false(reads(&keys));
    assert_int_equal(keys.count, 0);
}

static void
test_other_realm(void **state)
{
    struct stash_keys keys;

    (void)state;
    put("K/M@OTHER.TEST", 1, 0xa);
    assert_false(reads(&keys));
}

static void
test_damaged(void **state)
{
    static const char *const contents[] = { "", "x", "\x05\x02", "\x05\x01garbage garbage" };
    struct stash_keys keys;
    char big[STASH_MAX + 1];

    (void)state;
    for (size_t i = 0; i < sizeof(contents) / sizeof(*contents); i++) {
        FILE *f = fopen(file, "w");

        fputs(contents[i], f);
        fclose(f);
        assert_false(reads(&keys));
    }
    memset(big, 5, sizeof(big));
    assert_int_equal(truncate(file, 0), 0);
    FILE *f = fopen(file, "w");
    fwrite(big, 1, sizeof(big), f);
    fclose(f);
    assert_false(reads(&keys));
}

static void
test_mark(void **state)
{
    unsigned char nonce[STASH_NONCE_SIZE] = { 1 };
    struct stash_key key = { .kvno = 1, .enctype = 18, .len = 32, .data = { 7 } }, other = key;
    char a[STASH_MARK_SIZE], b[STASH_MARK_SIZE];

    (void)state;
    assert_true(stash_mark(nonce, &key, a) && stash_mark(nonce, &other, b));
    assert_int_equal(strlen(a), STASH_MARK_SIZE - 1);
    assert_string_equal(a, b);
    other.data[31] = 1;
    assert_true(stash_mark(nonce, &other, b));
    assert_string_not_equal(a, b);
    other = key;
    other.kvno = 2;
    assert_true(stash_mark(nonce, &other, b));
    assert_string_not_equal(a, b);
    nonce[0] = 2;
    assert_true(stash_mark(nonce, &key, b));
    assert_string_not_equal(a, b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_realm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged, set_up, tear_down),
        cmocka_unit_test(test_mark),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
