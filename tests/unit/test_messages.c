/* messages: the grammar, table by table, for both roles. */
#include "common/remctl/messages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct row {
    const char *plain;
    size_t len;
    enum message_verdict verdict;
    enum message_type type;
    uint32_t code;
};

/* Read one plaintext as ACCEPTOR or not from memory of exactly its size, so that ASan sees a read
 * past its end. */
static void
check_row(bool acceptor, const struct row *row)
{
    struct message_reader reader;
    struct message msg;
    void *exact = malloc(row->len > 0 ? row->len : 1);

    assert_non_null(exact);
    memcpy(exact, row->plain, row->len);
    message_reader_init(&reader, acceptor);
    assert_int_equal(message_read(&reader, exact, row->len, &msg), row->verdict);
    assert_int_equal(msg.type, row->type);
    assert_int_equal(msg.code, row->code);
    message_free(&msg);
    message_reader_free(&reader);
    free(exact);
}

#define ROW(text, verdict, type, code)                                                             \
    {                                                                                              \
        text, sizeof(text) - 1, verdict, type, code                                                \
    }
#define FATAL(text, code) ROW(text, MESSAGE_FATAL, MESSAGE_ERROR, code)

static void
test_to_acceptor(void **state)
{
    static const struct row rows[] = {
        FATAL("", MESSAGE_E_BAD_TOKEN),
        FATAL("\2", MESSAGE_E_BAD_TOKEN),
        ROW("\2\2", MESSAGE_TAKEN, MESSAGE_QUIT, 0),
        FATAL("\2\2x", MESSAGE_E_BAD_TOKEN),
        ROW("\3\7", MESSAGE_TAKEN, MESSAGE_NOOP, 0),
        ROW("\1\1\1\0", MESSAGE_ANSWERED, MESSAGE_VERSION, 0),
        ROW("\2\0", MESSAGE_ANSWERED, MESSAGE_ERROR, MESSAGE_E_UNKNOWN_MESSAGE),
        ROW("\2\x08", MESSAGE_ANSWERED, MESSAGE_ERROR, MESSAGE_E_UNKNOWN_MESSAGE),
        ROW("\2\xff", MESSAGE_ANSWERED, MESSAGE_ERROR, MESSAGE_E_UNKNOWN_MESSAGE),
        ROW("\2\4\0", MESSAGE_ANSWERED, MESSAGE_ERROR, MESSAGE_E_UNKNOWN_MESSAGE),
        FATAL("\2\1\1", MESSAGE_E_BAD_COMMAND),
        FATAL("\2\1\1\0", MESSAGE_E_BAD_COMMAND),
        FATAL("\2\1\1\0\0\0\0", MESSAGE_E_BAD_COMMAND),
        FATAL("\2\1\1\4\0\0\0\1\0\0\0\0", MESSAGE_E_BAD_COMMAND),
        FATAL("\2\1\1\2\0\0\0\1\0\0\0\0", MESSAGE_E_BAD_COMMAND),
        FATAL("\2\1\1\3\0\0\0\1\0\0\0\0", MESSAGE_E_BAD_COMMAND),
        ROW("\2\1\1\1\0", MESSAGE_MORE, MESSAGE_COMMAND, 0),
        ROW("\2\1\1\0\0\0\0\0", MESSAGE_ANSWERED, MESSAGE_ERROR, MESSAGE_E_UNKNOWN_COMMAND),
        ROW("\2\1\1\0\0\0\0\x41", MESSAGE_ANSWERED, MESSAGE_ERROR, MESSAGE_E_TOO_MANY_ARGS),
        ROW("\2\1\1\0\xff\xff\xff\xff", MESSAGE_ANSWERED, MESSAGE_ERROR, MESSAGE_E_TOO_MANY_ARGS),
        FATAL("\2\1\1\0\0\0\0\2\0\0\0\1x", MESSAGE_E_BAD_COMMAND),
        FATAL("\2\1\1\0\0\0\0\1\xff\xff\xff\xffx", MESSAGE_E_BAD_COMMAND),
        FATAL("\2\1\1\0\0\0\0\1\0\0\0\1xy", MESSAGE_E_BAD_COMMAND),
        ROW("\2\1\0\0\0\0\0\1\0\0\0\1x", MESSAGE_TAKEN, MESSAGE_COMMAND, 0),
        ROW("\3\1\1\0\0\0\0\1\0\0\0\0", MESSAGE_TAKEN, MESSAGE_COMMAND, 0),
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        check_row(true, &rows[i]);
}

static void
test_to_initiator(void **state)
{
    static const struct row rows[] = {
        FATAL("", MESSAGE_E_BAD_TOKEN),
        FATAL("\1\4\0", MESSAGE_E_BAD_TOKEN),
        FATAL("\2\1\1\0\0\0\0\1\0\0\0\0", MESSAGE_E_UNKNOWN_MESSAGE),
        FATAL("\2\2", MESSAGE_E_UNKNOWN_MESSAGE),
        FATAL("\2\3\1\0\0\0", MESSAGE_E_BAD_TOKEN),
        FATAL("\2\3\0\0\0\0\0", MESSAGE_E_BAD_TOKEN),
        FATAL("\2\3\3\0\0\0\0", MESSAGE_E_BAD_TOKEN),
        FATAL("\2\3\1\0\0\0\2x", MESSAGE_E_BAD_TOKEN),
        FATAL("\2\3\1\0\0\0\1xy", MESSAGE_E_BAD_TOKEN),
        ROW("\2\3\2\0\0\0\1x", MESSAGE_TAKEN, MESSAGE_OUTPUT, 0),
        ROW("\2\3\1\0\0\0\0", MESSAGE_TAKEN, MESSAGE_OUTPUT, 0),
        FATAL("\2\4", MESSAGE_E_BAD_TOKEN),
        FATAL("\2\4\0\0", MESSAGE_E_BAD_TOKEN),
        ROW("\2\4\xff", MESSAGE_TAKEN, MESSAGE_STATUS, 0),
        FATAL("\2\5\0\0\0\6\0\0\0", MESSAGE_E_BAD_TOKEN),
        FATAL("\2\5\0\0\0\6\0\0\0\2x", MESSAGE_E_BAD_TOKEN),
        ROW("\2\5\0\0\0\6\0\0\0\2no", MESSAGE_TAKEN, MESSAGE_ERROR, 6),
        FATAL("\2\6", MESSAGE_E_BAD_TOKEN),
        ROW("\2\6\3", MESSAGE_TAKEN, MESSAGE_VERSION, 0),
        ROW("\3\7", MESSAGE_TAKEN, MESSAGE_NOOP, 0),
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        check_row(false, &rows[i]);
}

#define READ(reader, text, msg) message_read(reader, text, sizeof(text) - 1, msg)

static void
test_continuation(void **state)
{
    struct message_reader reader;
    struct message msg;

    (void)state;
    message_reader_init(&reader, true);
    assert_int_equal(READ(&reader, "\2\1\0\1\0\0", &msg), MESSAGE_MORE);
    assert_int_equal(READ(&reader, "\2\1\0\2\0\1\0\0\0\2a", &msg), MESSAGE_MORE);
    assert_int_equal(READ(&reader, "\2\1\1\2", &msg), MESSAGE_MORE);
    assert_int_equal(READ(&reader, "\2\1\1\3b", &msg), MESSAGE_TAKEN);
    assert_int_equal(msg.argc, 1);
    assert_true(msg.keepalive);
    assert_string_equal(msg.argv[0].data, "ab");
    message_free(&msg);

    /* A QUIT in the middle drops what came; another first part, or any other message, is wrong. */
    assert_int_equal(READ(&reader, "\2\1\1\1\0\0", &msg), MESSAGE_MORE);
    assert_int_equal(READ(&reader, "\2\2", &msg), MESSAGE_TAKEN);
    assert_int_equal(msg.type, MESSAGE_QUIT);
    assert_int_equal(READ(&reader, "\2\1\1\1\0\0", &msg), MESSAGE_MORE);
    assert_int_equal(READ(&reader, "\2\1\1\1\0\0", &msg), MESSAGE_FATAL);
    message_free(&msg);
    assert_int_equal(READ(&reader, "\2\1\1\1\0\0", &msg), MESSAGE_MORE);
    assert_int_equal(READ(&reader, "\3\7", &msg), MESSAGE_FATAL);
    assert_int_equal(msg.code, MESSAGE_E_UNEXPECTED_MESSAGE);
    message_free(&msg);
    message_reader_free(&reader);
}

static void
test_too_many_parts(void **state)
{
    struct message_reader reader;
    struct message msg;

    (void)state;
    message_reader_init(&reader, true);
    assert_int_equal(READ(&reader, "\2\1\1\1\0", &msg), MESSAGE_MORE);
    for (int i = 2; i <= MESSAGE_MAX_PARTS; i++)
        assert_int_equal(READ(&reader, "\2\1\1\2\0", &msg), MESSAGE_MORE);
    assert_int_equal(READ(&reader, "\2\1\1\2\0", &msg), MESSAGE_FATAL);
    assert_int_equal(msg.code, MESSAGE_E_TOO_MUCH_DATA);
    message_free(&msg);
    message_reader_free(&reader);
}

static void
test_too_much_data(void **state)
{
    char *part = calloc(1, MESSAGE_MAX_PLAIN + 1);
    enum message_verdict verdict = MESSAGE_MORE;
    struct message_reader reader;
    struct message msg;
    int parts = 0;

    (void)state;
    assert_non_null(part);
    message_reader_init(&reader, true);
    memcpy(part, "\2\1\1\1", 4);
    assert_int_equal(message_read(&reader, part, MESSAGE_MAX_PLAIN + 1, &msg), MESSAGE_FATAL);
    assert_int_equal(msg.code, MESSAGE_E_TOO_MUCH_DATA);
    message_free(&msg);
    while (verdict == MESSAGE_MORE) {
        assert_true(reader.command.len <= MESSAGE_MAX_COMMAND);
        verdict = message_read(&reader, part, MESSAGE_MAX_PLAIN, &msg);
        part[3] = 2;
        parts++;
    }
    assert_int_equal(verdict, MESSAGE_FATAL);
    assert_int_equal(msg.code, MESSAGE_E_TOO_MUCH_DATA);
    assert_int_equal(parts, 17);
    assert_null(reader.command.data);
    message_free(&msg);
    message_reader_free(&reader);
    free(part);
}

/* What is written is what the protocol says, byte by byte. */
static void
test_written_bytes(void **state)
{
    static const struct message_string argv[] = { { "ab", 2 }, { "", 0 } };
    struct buffer out, body;
    size_t offset = 0;

    (void)state;
    buffer_init(&out, 0);
    buffer_init(&body, 0);
    assert_true(message_put_output(&out, 2, "x", 1) && message_put_status(&out, 255) &&
                message_put_error(&out, 6, "no") && message_put_version(&out, 3) &&
                message_put_quit(&out) && message_put_noop(&out));
    assert_int_equal(out.len, 8 + 3 + 12 + 3 + 2 + 2);
    assert_memory_equal(out.data,
                        "\2\3\2\0\0\0\1x"
                        "\2\4\xff"
                        "\2\5\0\0\0\6\0\0\0\2no"
                        "\2\6\3"
                        "\2\2"
                        "\3\7",
                        out.len);
    buffer_reset(&out);
    assert_true(message_put_command_body(&body, 2, argv));
    assert_true(message_put_command_part(&out, &body, &offset, true));
    assert_int_equal(offset, body.len);
    assert_int_equal(out.len, 4 + 4 + 4 + 2 + 4);
    assert_memory_equal(out.data, "\2\1\1\0\0\0\0\2\0\0\0\2ab\0\0\0\0", out.len);
    assert_false(message_put_command_body(&body, 0, argv));
    assert_false(message_put_command_body(&body, MESSAGE_MAX_ARGS + 1, argv));
    assert_false(message_put_output(&out, 1, "", MESSAGE_MAX_OUTPUT + 1));
    buffer_free(&out);
    buffer_free(&body);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_to_acceptor),   cmocka_unit_test(test_to_initiator),
        cmocka_unit_test(test_continuation),  cmocka_unit_test(test_too_many_parts),
        cmocka_unit_test(test_too_much_data), cmocka_unit_test(test_written_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
