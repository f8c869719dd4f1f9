/*
 * buffers - a growing, bounded buffer of bytes, and a cursor that reads bytes.
 *
 * Both remember their first failure, so that code which writes or reads a run of fields checks
 * once, at its end. Integers are big-endian.
 */
#ifndef KPC_BUFFERS_H
#define KPC_BUFFERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer {
    unsigned char *data;
    size_t len;
    size_t cap;
    size_t max;  /* never grows beyond this many bytes; 0 means no bound */
    bool failed; /* out of memory, or past max: nothing was added since */
};

/* Make B empty with room for at most MAX bytes (0: unbounded). Nothing is allocated yet. */
void buffer_init(struct buffer *b, size_t max);

/* Release B's memory, overwriting it first if SECRET data may be in it; B is as after buffer_init.
 */
void buffer_free(struct buffer *b);
void buffer_free_secret(struct buffer *b);

/* Forget the content and a failure, keep the memory. */
void buffer_reset(struct buffer *b);

/* Append; false (and b->failed) if it does not fit. */
bool buffer_add(struct buffer *b, const void *data, size_t len);
bool buffer_add_string(struct buffer *b, const char *s);
bool buffer_add_u8(struct buffer *b, uint8_t v);
bool buffer_add_u32(struct buffer *b, uint32_t v);
bool buffer_printf(struct buffer *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Room for LEN more bytes at the end, to be counted by b->len += n; NULL if it does not fit. */
unsigned char *buffer_reserve(struct buffer *b, size_t len);

/* Remove the first LEN bytes (at most b->len). */
void buffer_consume(struct buffer *b, size_t len);

/* The content as a string: a NUL is kept behind it that does not count. "" after a failure. */
const char *buffer_string(struct buffer *b);

struct cursor {
    const unsigned char *p;
    size_t left;
    bool failed; /* something was read past the end; every later read gives 0 or NULL */
};

void cursor_init(struct cursor *c, const void *data, size_t len);
uint8_t cursor_u8(struct cursor *c);
uint16_t cursor_u16(struct cursor *c);
uint32_t cursor_u32(struct cursor *c);

/* LEN bytes inside the cursor's data (not a copy), or NULL. */
const unsigned char *cursor_bytes(struct cursor *c, size_t len);

/* True when all was read, and nothing past the end. */
bool cursor_done(const struct cursor *c);

/* Hexadecimal in lower case with a NUL; OUT has room for 2 * LEN + 1. */
void hex_encode(const void *data, size_t len, char *out);

/* Exactly 2 * LEN hexadecimal digits of TEXT (then its end) into OUT; false if it is anything else.
 */
bool hex_decode(const char *text, void *out, size_t len);

#endif
