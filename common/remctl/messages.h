/*
 * messages - the grammar of remctl's protocol version 2 and 3, below the encryption.
 *
 * Plaintext in, messages out, and back; no I/O and no GSS-API. A message is `version u8 | type u8 |
 * body`, at most 65,536 bytes; a command may be continued over several. Malformed input is an
 * answer with remctl's own error code, never a crash.
 */
#ifndef KPC_MESSAGES_H
#define KPC_MESSAGES_H

#include "common/base/buffers.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MESSAGE_MAX_PLAIN 65536     /* bytes of one plaintext */
#define MESSAGE_MAX_OUTPUT 65529    /* bytes of output in one message: the above without its head */
#define MESSAGE_MAX_COMMAND 1048576 /* bytes of a whole command, lengths included, heads not */
#define MESSAGE_MAX_ARGS 64
#define MESSAGE_MAX_PARTS 32 /* messages that one command may be spread over */
#define MESSAGE_VERSION_HIGHEST 3

enum message_type {
    MESSAGE_NONE = 0,
    MESSAGE_COMMAND = 1, /* to the acceptor */
    MESSAGE_QUIT = 2,    /* to the acceptor; the last message */
    MESSAGE_OUTPUT = 3,  /* to the initiator, like all that follow */
    MESSAGE_STATUS = 4,
    MESSAGE_ERROR = 5,
    MESSAGE_VERSION = 6, /* the peer does not support the version of our message */
    MESSAGE_NOOP = 7,    /* to the initiator: the answer to its own (the acceptor echoes inside) */
};

/* remctl's codes in MESSAGE_ERROR. */
enum message_error {
    MESSAGE_E_INTERNAL = 1,
    MESSAGE_E_BAD_TOKEN = 2,
    MESSAGE_E_UNKNOWN_MESSAGE = 3,
    MESSAGE_E_BAD_COMMAND = 4,
    MESSAGE_E_UNKNOWN_COMMAND = 5,
    MESSAGE_E_ACCESS = 6,
    MESSAGE_E_TOO_MANY_ARGS = 7,
    MESSAGE_E_TOO_MUCH_DATA = 8,
    MESSAGE_E_UNEXPECTED_MESSAGE = 9,
    MESSAGE_E_NO_HELP = 10,
};

enum message_stream { MESSAGE_STDOUT = 1, MESSAGE_STDERR = 2 };

/* LEN bytes, which may hold NULs; in a message that was read a NUL that does not count follows. */
struct message_string {
    const char *data;
    size_t len;
};

struct message {
    enum message_type type;
    bool keepalive;              /* COMMAND: do not close after the answer */
    size_t argc;                 /* COMMAND: at least 1 */
    struct message_string *argv; /* COMMAND: argc of them */
    uint8_t stream;              /* OUTPUT: enum message_stream */
    uint8_t status;              /* STATUS: exit status */
    uint8_t version;             /* VERSION: the highest that the peer supports */
    uint32_t code;               /* ERROR: enum message_error, or any other */
    struct message_string text;  /* OUTPUT: the bytes; ERROR: for people */
    void *storage;               /* what the strings point into; NULL if not the message's own */
    size_t storage_size;         /* wiped when it is freed: arguments may be secrets */
};

/* Make MSG empty. A message that was given out is released with message_free (which leaves it
 * empty, and does nothing to an empty one). */
void message_init(struct message *msg);
void message_free(struct message *msg);

/* True if S holds no NUL, so that S.data may be used as a C string. */
bool message_string_plain(const struct message_string *s);

/* Puts continued commands together: one for each connection and direction. */
struct message_reader {
    bool acceptor; /* reads what clients send; else what servers send */
    unsigned parts;
    struct buffer command;
};

void message_reader_init(struct message_reader *reader, bool acceptor);
void message_reader_free(struct message_reader *reader);

enum message_verdict {
    MESSAGE_TAKEN,    /* MSG is the message */
    MESSAGE_MORE,     /* part of a command, kept until the rest comes */
    MESSAGE_ANSWERED, /* not acceptable: MSG (ERROR or VERSION) says so to the peer, who may go on
                       */
    MESSAGE_FATAL,    /* malformed: MSG (ERROR) says so to the peer, and the connection must end */
};

/* Read one plaintext of LEN bytes. MSG (emptied first) is the caller's to free whatever the
 * verdict. As initiator every verdict but MESSAGE_TAKEN means that the server is broken. */
enum message_verdict message_read(struct message_reader *reader, const void *plain, size_t len,
                                  struct message *msg);

/*
 * Append one plaintext to OUT; false if it does not fit there. TEXT of an error longer than
 * MESSAGE_MAX_ERROR bytes is cut; DATA of output is at most MESSAGE_MAX_OUTPUT bytes.
 */
#define MESSAGE_MAX_ERROR 4096
bool message_put_output(struct buffer *out, uint8_t stream, const void *data, size_t len);
bool message_put_status(struct buffer *out, uint8_t status);
bool message_put_error(struct buffer *out, uint32_t code, const char *text);
bool message_put_version(struct buffer *out, uint8_t highest);
bool message_put_quit(struct buffer *out);
bool message_put_noop(struct buffer *out);

/* The whole body of a command (argc and arguments) into BODY, from which message_put_part takes
 * plaintexts. False if ARGC is 0 or above MESSAGE_MAX_ARGS, or BODY does not hold it. */
bool message_put_command_body(struct buffer *body, size_t argc, const struct message_string *argv);

/* Append the plaintext of the next part of BODY (from *OFFSET, which moves on) to OUT. */
bool message_put_command_part(struct buffer *out, const struct buffer *body, size_t *offset,
                              bool keepalive);

#endif
