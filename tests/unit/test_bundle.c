/* bundle: what is written is read; and every kind of damage is refused, with its own words. */
#include "common/contract/bundle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/sha.h>

#include <cmocka.h>

#define TOTAL_AT 20 /* where the length of all stands */
#define COUNT_AT 24
#define FIRST_AT 25 /* the first part: u8 5, "realm", u32 8, "LAB.TEST" */

static void
set(struct bundle *b, enum bundle_part part, const char *text)
{
    struct error err;

    assert_true(bundle_set(b, part, text, strlen(text), &err));
}

static void
fill(struct bundle *b)
{
    bundle_init(b);
    set(b, BUNDLE_REALM, "LAB.TEST");
    set(b, BUNDLE_HOST, "kdc2.lab.test");
    set(b, BUNDLE_PRIMARY, "host/kdc1.lab.test@LAB.TEST");
    set(b, BUNDLE_CREATED, "1795000000");
    set(b, BUNDLE_DATA_DIR, "/var/lib/krb5kdc");
    set(b, BUNDLE_CONF_DIR, "/etc/krb5kdc");
    set(b, BUNDLE_KEYTAB, "\x05\x02");
    set(b, BUNDLE_KRB5_CONF, "[realms]\n\tLAB.TEST = {\n\t}\n");
    set(b, BUNDLE_KDC_CONF, "[realms]\n");
    set(b, BUNDLE_KPROPD_ACL, "host/kdc1.lab.test@LAB.TEST\n");
    set(b, BUNDLE_AGENT_ACL, "host/kdc1.lab.test@LAB.TEST\n");
}

static void
write_it(struct buffer *out)
{
    struct bundle b;
    struct error err;

    fill(&b);
    buffer_init(out, 0);
    assert_true(bundle_write(&b, out, &err));
    bundle_free(&b);
}

/* After an alteration that only a liar would make: the digest is made to fit again. */
static void
reseal(struct buffer *b)
{
    uint32_t total = (uint32_t)b->len;

    for (int i = 0; i < 4; i++)
        b->data[TOTAL_AT + i] = (unsigned char)(total >> (24 - 8 * i));
    SHA256(b->data, b->len - 32, b->data + b->len - 32);
}

static void
assert_refused(const void *data, size_t len, const char *why)
{
    struct bundle b;
    struct error err;

    bundle_init(&b);
    error_clear(&err);
    assert_false(bundle_read(data, len, &b, &err));
    assert_int_equal(err.code, ERROR_REFUSED);
    if (strstr(err.text, why) == NULL)
        fail_msg("'%s' does not say '%s'", err.text, why);
    assert_string_not_equal(err.hint, "");
    for (int i = 0; i < BUNDLE_PARTS; i++)
        assert_int_equal(b.parts[i].len, 0);
    bundle_free(&b);
}

static void
test_round(void **state)
{
    struct buffer bytes;
    struct bundle b;
    struct error err;

    (void)state;
    for (int stash = 0; stash < 2; stash++) {
        fill(&b);
        if (stash)
            assert_true(bundle_set(&b, BUNDLE_STASH, "\0\1\2", 3, &err));
        buffer_init(&bytes, 0);
        assert_true(bundle_write(&b, &bytes, &err));
        bundle_free(&b);
        assert_true(bundle_read(bytes.data, bytes.len, &b, &err));
        assert_string_equal(bundle_string(&b, BUNDLE_HOST), "kdc2.lab.test");
        assert_string_equal(bundle_string(&b, BUNDLE_KDC_CONF), "[realms]\n");
        assert_int_equal(b.parts[BUNDLE_STASH].len, stash ? 3 : 0);
        bundle_free(&b);
        buffer_free(&bytes);
    }
}

static void
test_nothing_is_missing(void **state)
{
    struct buffer out;
    struct bundle b;
    struct error err;

    (void)state;
    for (int i = 0; i < BUNDLE_STASH; i++) {
        fill(&b);
        buffer_reset(&b.parts[i]);
        buffer_init(&out, 0);
        error_clear(&err);
        assert_false(bundle_write(&b, &out, &err));
        assert_non_null(strstr(err.text, bundle_part_name((enum bundle_part)i)));
        buffer_free(&out);
        bundle_free(&b);
    }
}

static void
test_truncated(void **state)
{
    struct buffer bytes;

    (void)state;
    write_it(&bytes);
    assert_refused("", 0, "nothing to read");
    for (size_t len = 1; len < bytes.len; len++)
        assert_refused(bytes.data, len, "cut off");
    buffer_free(&bytes);
}

static void
test_every_altered_byte(void **state)
{
    struct buffer bytes;
    struct bundle b;
    struct error err;

    (void)state;
    write_it(&bytes);
    for (size_t i = 0; i < bytes.len; i++) {
        for (int bit = 0; bit < 8; bit++) {
            bytes.data[i] ^= (unsigned char)(1 << bit);
            bundle_init(&b);
            assert_false(bundle_read(bytes.data, bytes.len, &b, &err));
            bundle_free(&b);
            bytes.data[i] ^= (unsigned char)(1 << bit);
        }
    }
    buffer_free(&bytes);
}

static void
test_repeated(void **state)
{
    struct buffer bytes;
    size_t len;

    (void)state;
    write_it(&bytes);
    len = bytes.len;
    assert_non_null(buffer_reserve(&bytes, len));
    memcpy(bytes.data + len, bytes.data, len);
    assert_refused(bytes.data, 2 * len, "something follows");
    assert_refused(bytes.data, len + 1, "something follows");
    buffer_free(&bytes);
}

static void
test_other_version(void **state)
{
    struct buffer bytes;

    (void)state;
    write_it(&bytes);
    bytes.data[19] = 2;
    reseal(&bytes);
    assert_refused(bytes.data, bytes.len, "version 2");
    assert_refused("#!/bin/sh\necho", 14, "does not begin");
    buffer_free(&bytes);
}

/* A digest that fits does not make it good. */
static void
test_liars(void **state)
{
    struct buffer bytes;

    (void)state;
    write_it(&bytes);
    bytes.data[FIRST_AT + 1] = 'R';
    reseal(&bytes);
    assert_refused(bytes.data, bytes.len, "does not know");
    bytes.data[FIRST_AT + 1] = 'r';
    bytes.data[COUNT_AT]++;
    reseal(&bytes);
    assert_refused(bytes.data, bytes.len, "longer than it is");
    bytes.data[COUNT_AT] -= 2;
    reseal(&bytes);
    assert_refused(bytes.data, bytes.len, "more in it");
    bytes.data[COUNT_AT]++;
    bytes.data[FIRST_AT + 6] = 0x7f;
    reseal(&bytes);
    assert_refused(bytes.data, bytes.len, "longer than it is");
    bytes.data[FIRST_AT + 6] = 0;
    bytes.data[FIRST_AT + 10] = '\n';
    reseal(&bytes);
    assert_refused(bytes.data, bytes.len, "control characters");
    buffer_free(&bytes);
}

/* Leave out the first part, or write it twice. */
static void
test_parts_once(void **state)
{
    const size_t part = 1 + 5 + 4 + 8;
    struct buffer bytes;

    (void)state;
    write_it(&bytes);
    memmove(bytes.data + FIRST_AT, bytes.data + FIRST_AT + part, bytes.len - FIRST_AT - part);
    bytes.len -= part;
    bytes.data[COUNT_AT]--;
    reseal(&bytes);
    assert_refused(bytes.data, bytes.len, "'realm' is missing");
    buffer_free(&bytes);

    write_it(&bytes);
    assert_non_null(buffer_reserve(&bytes, part));
    memmove(bytes.data + FIRST_AT + part, bytes.data + FIRST_AT, bytes.len - FIRST_AT);
    bytes.len += part;
    bytes.data[COUNT_AT]++;
    reseal(&bytes);
    assert_refused(bytes.data, bytes.len, "twice");
    buffer_free(&bytes);
}

static void
test_bounds(void **state)
{
    char *big = calloc(1, BUNDLE_PART_MAX + 1);
    struct bundle b;
    struct error err;

    (void)state;
    assert_non_null(big);
    bundle_init(&b);
    assert_true(bundle_set(&b, BUNDLE_KEYTAB, big, BUNDLE_PART_MAX, &err));
    assert_false(bundle_set(&b, BUNDLE_KEYTAB, big, BUNDLE_PART_MAX + 1, &err));
    assert_false(bundle_set(&b, BUNDLE_KRB5_CONF, "a\0b", 3, &err));
    assert_false(bundle_set(&b, BUNDLE_HOST, "kdc2\n", 5, &err));
    bundle_free(&b);
    free(big);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round),     cmocka_unit_test(test_nothing_is_missing),
        cmocka_unit_test(test_truncated), cmocka_unit_test(test_every_altered_byte),
        cmocka_unit_test(test_repeated),  cmocka_unit_test(test_other_version),
        cmocka_unit_test(test_liars),     cmocka_unit_test(test_parts_once),
        cmocka_unit_test(test_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
