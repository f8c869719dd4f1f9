/* buffers: the bound holds, failures stick, a cursor never reads past its end. */
#include "common/base/buffers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void
test_bound(void **state)
{
    struct buffer b;

    (void)state;
    buffer_init(&b, 5);
    assert_true(buffer_add(&b, "abc", 3));
    assert_false(buffer_add(&b, "def", 3));
    assert_true(b.failed);
    assert_false(buffer_add(&b, "d", 1));
    assert_int_equal(b.len, 3);
    buffer_reset(&b);
    assert_true(buffer_printf(&b, "%d", 12345));
    assert_string_equal(buffer_string(&b), "12345");
    assert_false(buffer_printf(&b, "x"));
    assert_string_equal(buffer_string(&b), "");
    buffer_free(&b);
}

static void
test_consume(void **state)
{
    struct buffer b;

    (void)state;
    buffer_init(&b, 0);
    for (int i = 0; i < 1000; i++)
        buffer_add_u32(&b, (uint32_t)i);
    buffer_consume(&b, 4 * 998);
    assert_int_equal(b.len, 8);
    assert_int_equal(b.data[3], 998 & 255);
    buffer_consume(&b, 100);
    assert_int_equal(b.len, 0);
    buffer_free(&b);
}

static void
test_cursor(void **state)
{
    static const unsigned char data[] = { 1, 0, 2, 0, 0, 0, 3, 'a' };
    struct cursor c;

    (void)state;
    cursor_init(&c, data, sizeof(data));
    assert_int_equal(cursor_u8(&c), 1);
    assert_int_equal(cursor_u16(&c), 2);
    assert_int_equal(cursor_u32(&c), 3);
    assert_false(cursor_done(&c));
    assert_null(cursor_bytes(&c, 2));
    assert_true(c.failed);
    assert_int_equal(cursor_u8(&c), 0);
    assert_false(cursor_done(&c));
}

static void
test_hex(void **state)
{
    unsigned char bytes[3];
    char text[7];

    (void)state;
    assert_true(hex_decode("00fFa1", bytes, 3));
    hex_encode(bytes, 3, text);
    assert_string_equal(text, "00ffa1");
    assert_false(hex_decode("00ffa", bytes, 3));
    assert_false(hex_decode("00ffa1b", bytes, 3));
    assert_false(hex_decode("00fga1", bytes, 3));
    assert_false(hex_decode("", bytes, 1));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_consume),
        cmocka_unit_test(test_cursor),
        cmocka_unit_test(test_hex),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
