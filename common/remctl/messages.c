/* messages - see messages.h. Each type of message is a row that says who may read it, and how. */
#include "common/remctl/messages.h"

#include <stdlib.h>
#include <string.h>

#define COMMAND_HEAD 4 /* version, type, keepalive, continue */

enum { CONTINUE_WHOLE = 0, CONTINUE_FIRST = 1, CONTINUE_MIDDLE = 2, CONTINUE_LAST = 3 };

void
message_init(struct message *msg)
{
    memset(msg, 0, sizeof(*msg));
}

void
message_free(struct message *msg)
{
    if (msg == NULL)
        return;
    free(msg->argv);
    if (msg->storage != NULL)
        explicit_bzero(msg->storage, msg->storage_size);
    free(msg->storage);
    message_init(msg);
}

bool
message_string_plain(const struct message_string *s)
{
    return s->len == 0 || memchr(s->data, '\0', s->len) == NULL;
}

void
message_reader_init(struct message_reader *reader, bool acceptor)
{
    reader->acceptor = acceptor;
    reader->parts = 0;
    buffer_init(&reader->command, MESSAGE_MAX_COMMAND);
}

void
message_reader_free(struct message_reader *reader)
{
    buffer_free_secret(&reader->command);
    reader->parts = 0;
}

/* Turn MSG into the ERROR that answers what was read. TEXT is a literal. */
static enum message_verdict
reject(struct message *msg, enum message_verdict verdict, uint32_t code, const char *text)
{
    message_free(msg);
    msg->type = MESSAGE_ERROR;
    msg->code = code;
    msg->text.data = text;
    msg->text.len = strlen(text);
    return verdict;
}

/* The rest of C is a length and exactly so many bytes: a copy of them becomes MSG's text. */
static enum message_verdict
read_text(struct cursor *c, struct message *msg)
{
    size_t len = cursor_u32(c);
    const unsigned char *p = cursor_bytes(c, len);
    char *copy;

    if (!cursor_done(c))
        return reject(msg, MESSAGE_FATAL, MESSAGE_E_BAD_TOKEN, "malformed length in message");
    copy = malloc(len + 1);
    if (copy == NULL)
        return reject(msg, MESSAGE_FATAL, MESSAGE_E_INTERNAL, "out of memory");
    if (len > 0)
        memcpy(copy, p, len);
    copy[len] = '\0';
    msg->storage = copy;
    msg->storage_size = len + 1;
    msg->text.data = copy;
    msg->text.len = len;
    return MESSAGE_TAKEN;
}

static enum message_verdict
read_output(struct message_reader *reader, struct cursor *c, struct message *msg)
{
    (void)reader;
    msg->stream = cursor_u8(c);
    if (msg->stream != MESSAGE_STDOUT && msg->stream != MESSAGE_STDERR)
        return reject(msg, MESSAGE_FATAL, MESSAGE_E_BAD_TOKEN, "unknown stream in output");
    return read_text(c, msg);
}

static enum message_verdict
read_error(struct message_reader *reader, struct cursor *c, struct message *msg)
{
    (void)reader;
    msg->code = cursor_u32(c);
    return read_text(c, msg);
}

static enum message_verdict
read_status(struct message_reader *reader, struct cursor *c, struct message *msg)
{
    (void)reader;
    msg->status = cursor_u8(c);
    if (!cursor_done(c))
        return reject(msg, MESSAGE_FATAL, MESSAGE_E_BAD_TOKEN, "malformed status message");
    return MESSAGE_TAKEN;
}

static enum message_verdict
read_version(struct message_reader *reader, struct cursor *c, struct message *msg)
{
    (void)reader;
    msg->version = cursor_u8(c);
    if (!cursor_done(c))
        return reject(msg, MESSAGE_FATAL, MESSAGE_E_BAD_TOKEN, "malformed version message");
    return MESSAGE_TAKEN;
}

/* QUIT and NOOP. QUIT drops a command of which the rest has not come. */
static enum message_verdict
read_bare(struct message_reader *reader, struct cursor *c, struct message *msg)
{
    message_reader_free(reader);
    if (!cursor_done(c))
        return reject(msg, MESSAGE_FATAL, MESSAGE_E_BAD_TOKEN, "bytes after the end of a message");
    return MESSAGE_TAKEN;
}

/* Split the body that MSG's storage holds into arguments. Each is followed by the first byte of the
 * next length, or by the spare byte of the buffer: there a NUL is put, once all is read. */
static enum message_verdict
split_arguments(struct message *msg, size_t len)
{
    unsigned char *base = msg->storage;
    struct cursor c;
    size_t argc;

    cursor_init(&c, base, len);
    argc = cursor_u32(&c);
    if (c.failed)
        return reject(msg, MESSAGE_FATAL, MESSAGE_E_BAD_COMMAND, "command without arguments count");
    if (argc == 0)
        return reject(msg, MESSAGE_ANSWERED, MESSAGE_E_UNKNOWN_COMMAND, "unknown command");
    if (argc > MESSAGE_MAX_ARGS)
        return reject(msg, MESSAGE_ANSWERED, MESSAGE_E_TOO_MANY_ARGS, "too many arguments");
    msg->argv = calloc(argc, sizeof(*msg->argv));
    if (msg->argv == NULL)
        return reject(msg, MESSAGE_FATAL, MESSAGE_E_INTERNAL, "out of memory");
    for (size_t i = 0; i < argc; i++) {
        msg->argv[i].len = cursor_u32(&c);
        msg->argv[i].data = (const char *)cursor_bytes(&c, msg->argv[i].len);
    }
    if (!cursor_done(&c))
        return reject(msg, MESSAGE_FATAL, MESSAGE_E_BAD_COMMAND, "malformed arguments of command");
    for (size_t i = 0; i < argc; i++)
        base[(size_t)(msg->argv[i].data - (const char *)base) + msg->argv[i].len] = '\0';
    msg->argc = argc;
    return MESSAGE_TAKEN;
}

static enum message_verdict
read_command(struct message_reader *reader, struct cursor *c, struct message *msg)
{
    struct buffer *body = &reader->command;
    bool open = reader->parts > 0;
    uint8_t how;
    size_t len;

    msg->keepalive = cursor_u8(c) != 0;
    how = cursor_u8(c);
    if (c->failed)
        return reject(msg, MESSAGE_FATAL, MESSAGE_E_BAD_COMMAND, "command too short");
    if (how > CONTINUE_LAST || open != (how == CONTINUE_MIDDLE || how == CONTINUE_LAST))
        return reject(msg, MESSAGE_FATAL, MESSAGE_E_BAD_COMMAND, "bad continuation of command");
    if (++reader->parts > MESSAGE_MAX_PARTS || c->left > MESSAGE_MAX_COMMAND - body->len)
        return reject(msg, MESSAGE_FATAL, MESSAGE_E_TOO_MUCH_DATA, "too much data in command");
    if (!buffer_add(body, c->p, c->left))
        return reject(msg, MESSAGE_FATAL, MESSAGE_E_INTERNAL, "out of memory");
    if (how == CONTINUE_FIRST || how == CONTINUE_MIDDLE)
        return MESSAGE_MORE;

    msg->storage = body->data;
    msg->storage_size = body->cap;
    len = body->len;
    message_reader_init(reader, reader->acceptor);
    return split_arguments(msg, len);
}

struct row {
    bool to_acceptor;
    bool to_initiator;
    enum message_verdict (*read)(struct message_reader *, struct cursor *, struct message *);
};

static const struct row rows[] = {
    [MESSAGE_COMMAND] = { true, false, read_command },
    [MESSAGE_QUIT] = { true, false, read_bare },
    [MESSAGE_OUTPUT] = { false, true, read_output },
    [MESSAGE_STATUS] = { false, true, read_status },
    [MESSAGE_ERROR] = { false, true, read_error },
    [MESSAGE_VERSION] = { false, true, read_version },
    [MESSAGE_NOOP] = { true, true, read_bare },
};

static enum message_verdict
read_message(struct message_reader *reader, struct cursor *c, struct message *msg)
{
    uint8_t version = cursor_u8(c);
    uint8_t type = cursor_u8(c);
    const struct row *row = type < sizeof(rows) / sizeof(rows[0]) ? &rows[type] : &rows[0];

    if (c->failed)
        return reject(msg, MESSAGE_FATAL, MESSAGE_E_BAD_TOKEN, "message too short");
    if (version != 2 && version != 3) {
        if (!reader->acceptor)
            return reject(msg, MESSAGE_FATAL, MESSAGE_E_BAD_TOKEN, "unknown version of message");
        msg->type = MESSAGE_VERSION;
        msg->version = MESSAGE_VERSION_HIGHEST;
        return MESSAGE_ANSWERED;
    }
    if (reader->parts > 0 && type != MESSAGE_COMMAND && type != MESSAGE_QUIT)
        return reject(msg, MESSAGE_FATAL, MESSAGE_E_UNEXPECTED_MESSAGE,
                      "unexpected message inside a command");
    if (!(reader->acceptor ? row->to_acceptor : row->to_initiator))
        return reject(msg, reader->acceptor ? MESSAGE_ANSWERED : MESSAGE_FATAL,
                      MESSAGE_E_UNKNOWN_MESSAGE, "unknown message");
    msg->type = (enum message_type)type;
    return row->read(reader, c, msg);
}

enum message_verdict
message_read(struct message_reader *reader, const void *plain, size_t len, struct message *msg)
{
    enum message_verdict verdict;
    struct cursor c;

    message_init(msg);
    cursor_init(&c, plain, len);
    if (len > MESSAGE_MAX_PLAIN)
        verdict = reject(msg, MESSAGE_FATAL, MESSAGE_E_TOO_MUCH_DATA, "message too long");
    else
        verdict = read_message(reader, &c, msg);
    if (verdict != MESSAGE_MORE)
        message_reader_free(reader);
    return verdict;
}

static bool
put_head(struct buffer *out, uint8_t version, enum message_type type)
{
    return buffer_add_u8(out, version) && buffer_add_u8(out, (uint8_t)type);
}

bool
message_put_output(struct buffer *out, uint8_t stream, const void *data, size_t len)
{
    return len <= MESSAGE_MAX_OUTPUT && put_head(out, 2, MESSAGE_OUTPUT) &&
           buffer_add_u8(out, stream) && buffer_add_u32(out, (uint32_t)len) &&
           buffer_add(out, data, len);
}

bool
message_put_status(struct buffer *out, uint8_t status)
{
    return put_head(out, 2, MESSAGE_STATUS) && buffer_add_u8(out, status);
}

bool
message_put_error(struct buffer *out, uint32_t code, const char *text)
{
    size_t len = strnlen(text, MESSAGE_MAX_ERROR);

    return put_head(out, 2, MESSAGE_ERROR) && buffer_add_u32(out, code) &&
           buffer_add_u32(out, (uint32_t)len) && buffer_add(out, text, len);
}

bool
message_put_version(struct buffer *out, uint8_t highest)
{
    return put_head(out, 2, MESSAGE_VERSION) && buffer_add_u8(out, highest);
}

bool
message_put_quit(struct buffer *out)
{
    return put_head(out, 2, MESSAGE_QUIT);
}

bool
message_put_noop(struct buffer *out)
{
    return put_head(out, 3, MESSAGE_NOOP);
}

bool
message_put_command_body(struct buffer *body, size_t argc, const struct message_string *argv)
{
    if (argc == 0 || argc > MESSAGE_MAX_ARGS || !buffer_add_u32(body, (uint32_t)argc))
        return false;
    for (size_t i = 0; i < argc; i++) {
        if (argv[i].len > MESSAGE_MAX_COMMAND || !buffer_add_u32(body, (uint32_t)argv[i].len) ||
            !buffer_add(body, argv[i].data, argv[i].len))
            return false;
    }
    return true;
}

bool
message_put_command_part(struct buffer *out, const struct buffer *body, size_t *offset,
                         bool keepalive)
{
    size_t left = body->len - *offset;
    size_t len = left > MESSAGE_MAX_PLAIN - COMMAND_HEAD ? MESSAGE_MAX_PLAIN - COMMAND_HEAD : left;
    bool first = *offset == 0, last = len == left;
    uint8_t how =
        first ? (last ? CONTINUE_WHOLE : CONTINUE_FIRST) : (last ? CONTINUE_LAST : CONTINUE_MIDDLE);

    if (!put_head(out, 2, MESSAGE_COMMAND) || !buffer_add_u8(out, keepalive ? 1 : 0) ||
        !buffer_add_u8(out, how) || !buffer_add(out, body->data + *offset, len))
        return false;
    *offset += len;
    return true;
}
