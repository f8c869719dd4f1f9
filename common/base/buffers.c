/* buffers - see buffers.h. */
#include "common/base/buffers.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
buffer_init(struct buffer *b, size_t max)
{
    memset(b, 0, sizeof(*b));
    b->max = max;
}

void
buffer_free(struct buffer *b)
{
    free(b->data);
    buffer_init(b, b->max);
}

void
buffer_free_secret(struct buffer *b)
{
    if (b->data != NULL)
        explicit_bzero(b->data, b->cap);
    buffer_free(b);
}

void
buffer_reset(struct buffer *b)
{
    b->len = 0;
    b->failed = false;
}

/* Grow so that NEED bytes and a NUL fit. The old bytes are wiped: a buffer may hold a secret. */
static bool
grow(struct buffer *b, size_t need)
{
    size_t cap = b->cap ? b->cap : 256;
    unsigned char *data;

    while (cap < need + 1) {
        if (cap > SIZE_MAX / 2)
            return false;
        cap *= 2;
    }
    if (b->max != 0 && cap > b->max + 1)
        cap = b->max + 1;
    data = malloc(cap);
    if (data == NULL)
        return false;
    if (b->data != NULL) {
        memcpy(data, b->data, b->len);
        explicit_bzero(b->data, b->cap);
        free(b->data);
    }
    b->data = data;
    b->cap = cap;
    return true;
}

unsigned char *
buffer_reserve(struct buffer *b, size_t len)
{
    size_t need;

    if (b->failed)
        return NULL;
    need = b->len + len;
    if (need < b->len || need == SIZE_MAX || (b->max != 0 && need > b->max) ||
        (need + 1 > b->cap && !grow(b, need))) {
        b->failed = true;
        return NULL;
    }
    return b->data + b->len;
}

bool
buffer_add(struct buffer *b, const void *data, size_t len)
{
    unsigned char *p = buffer_reserve(b, len);

    if (p == NULL)
        return false;
    if (len > 0)
        memcpy(p, data, len);
    b->len += len;
    return true;
}

bool
buffer_add_string(struct buffer *b, const char *s)
{
    return buffer_add(b, s, strlen(s));
}

bool
buffer_add_u8(struct buffer *b, uint8_t v)
{
    return buffer_add(b, &v, 1);
}

bool
buffer_add_u32(struct buffer *b, uint32_t v)
{
    unsigned char p[4] = { (unsigned char)(v >> 24), (unsigned char)(v >> 16),
                           (unsigned char)(v >> 8), (unsigned char)v };

    return buffer_add(b, p, sizeof(p));
}

bool
buffer_printf(struct buffer *b, const char *fmt, ...)
{
    unsigned char *p;
    va_list ap;
    int len;

    va_start(ap, fmt);
    len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (len < 0 || (p = buffer_reserve(b, (size_t)len)) == NULL) {
        b->failed = true;
        return false;
    }
    va_start(ap, fmt);
    vsnprintf((char *)p, (size_t)len + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)len;
    return true;
}

void
buffer_consume(struct buffer *b, size_t len)
{
    if (len > b->len)
        len = b->len;
    if (len == 0)
        return;
    memmove(b->data, b->data + len, b->len - len);
    b->len -= len;
}

const char *
buffer_string(struct buffer *b)
{
    if (b->failed || b->data == NULL)
        return "";
    b->data[b->len] = '\0';
    return (const char *)b->data;
}

void
cursor_init(struct cursor *c, const void *data, size_t len)
{
    c->p = data;
    c->left = len;
    c->failed = false;
}

const unsigned char *
cursor_bytes(struct cursor *c, size_t len)
{
    const unsigned char *p = c->p;

    if (c->failed || len > c->left) {
        c->failed = true;
        return NULL;
    }
    c->p += len;
    c->left -= len;
    return p;
}

uint8_t
cursor_u8(struct cursor *c)
{
    const unsigned char *p = cursor_bytes(c, 1);

    return p == NULL ? 0 : p[0];
}

uint16_t
cursor_u16(struct cursor *c)
{
    const unsigned char *p = cursor_bytes(c, 2);

    return p == NULL ? 0 : (uint16_t)(p[0] << 8 | p[1]);
}

uint32_t
cursor_u32(struct cursor *c)
{
    const unsigned char *p = cursor_bytes(c, 4);

    return p == NULL ? 0 : (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

bool
cursor_done(const struct cursor *c)
{
    return !c->failed && c->left == 0;
}

void
hex_encode(const void *data, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *p = data;

    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
    out[2 * len] = '\0';
}

static int
hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool
hex_decode(const char *text, void *out, size_t len)
{
    unsigned char *p = out;

    for (size_t i = 0; i < len; i++) {
        int high = hex_value(text[2 * i]);
        int low = high < 0 ? -1 : hex_value(text[2 * i + 1]);

        if (low < 0)
            return false;
        p[i] = (unsigned char)(high << 4 | low);
    }
    return text[2 * len] == '\0';
}
