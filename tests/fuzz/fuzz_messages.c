/*
 * fuzz_messages: plaintexts from a peer, in both roles.
 *
 * Input: role u8, then plaintexts with u16 lengths. What is taken is written again and must read
 * the same.
 */
#include "common/remctl/messages.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool ok)
{
    if (!ok)
        abort();
}

static bool
same(const struct message_string *a, const struct message_string *b)
{
    return a->len == b->len && a->data[a->len] == '\0' && b->data[b->len] == '\0' &&
           memcmp(a->data, b->data, a->len) == 0;
}

/* Write the command MSG, part by part, and read it back. */
static void
check_command(const struct message *msg)
{
    struct message_reader reader;
    struct buffer body, plain;
    struct message again;
    size_t offset = 0;

    must(msg->argc >= 1 && msg->argc <= MESSAGE_MAX_ARGS);
    buffer_init(&body, MESSAGE_MAX_COMMAND);
    buffer_init(&plain, MESSAGE_MAX_PLAIN);
    message_reader_init(&reader, true);
    must(message_put_command_body(&body, msg->argc, msg->argv));
    do {
        buffer_reset(&plain);
        must(message_put_command_part(&plain, &body, &offset, msg->keepalive));
        must(message_read(&reader, plain.data, plain.len, &again) ==
             (offset < body.len ? MESSAGE_MORE : MESSAGE_TAKEN));
        if (offset < body.len)
            message_free(&again);
    } while (offset < body.len);
    must(again.argc == msg->argc && again.keepalive == msg->keepalive);
    for (size_t i = 0; i < msg->argc; i++)
        must(same(&msg->argv[i], &again.argv[i]));
    message_free(&again);
    message_reader_free(&reader);
    buffer_free(&plain);
    buffer_free(&body);
}

/* Write the message MSG to an initiator, and read it back. */
static void
check_answer(const struct message *msg)
{
    struct message_reader reader;
    struct message again;
    struct buffer plain;
    bool ok = true;

    buffer_init(&plain, MESSAGE_MAX_PLAIN);
    if (msg->type == MESSAGE_OUTPUT)
        ok = message_put_output(&plain, msg->stream, msg->text.data, msg->text.len);
    else if (msg->type == MESSAGE_STATUS)
        ok = message_put_status(&plain, msg->status);
    else if (msg->type == MESSAGE_VERSION)
        ok = message_put_version(&plain, msg->version);
    else if (msg->type == MESSAGE_NOOP)
        ok = message_put_noop(&plain);
    else
        ok = message_put_error(&plain, msg->code, msg->text.data);
    must(ok);
    message_reader_init(&reader, false);
    must(message_read(&reader, plain.data, plain.len, &again) == MESSAGE_TAKEN);
    must(again.type == msg->type && again.stream == msg->stream && again.code == msg->code &&
         again.status == msg->status && again.version == msg->version);
    if (msg->type == MESSAGE_OUTPUT)
        must(same(&msg->text, &again.text));
    message_free(&again);
    message_reader_free(&reader);
    buffer_free(&plain);
}

static void
take(struct message_reader *reader, const void *plain, size_t len)
{
    struct message msg;
    enum message_verdict verdict;
    void *exact = malloc(len > 0 ? len : 1); /* of exactly its size, for ASan */

    must(exact != NULL);
    if (len > 0)
        memcpy(exact, plain, len);
    verdict = message_read(reader, exact, len, &msg);
    free(exact);
    must(verdict == MESSAGE_MORE ? reader->parts > 0 : reader->parts == 0);
    must(reader->command.len <= MESSAGE_MAX_COMMAND);
    if (verdict == MESSAGE_TAKEN && msg.type == MESSAGE_COMMAND)
        check_command(&msg);
    else if (verdict == MESSAGE_TAKEN && !reader->acceptor)
        check_answer(&msg);
    else if (verdict == MESSAGE_FATAL)
        must(msg.type == MESSAGE_ERROR && msg.text.data != NULL);
    message_free(&msg);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct message_reader reader;
    struct cursor c;

    cursor_init(&c, data, size);
    message_reader_init(&reader, (cursor_u8(&c) & 1) != 0);
    while (!c.failed && c.left > 0) {
        size_t len = cursor_u16(&c);
        const unsigned char *plain;

        if (c.failed)
            break;
        len = len > c.left ? c.left : len;
        plain = cursor_bytes(&c, len);
        take(&reader, plain, len);
    }
    message_reader_free(&reader);
    return 0;
}
