/* errors - see errors.h. Texts are cut at the size of their fields, never overrun. */
#include "common/base/errors.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void
error_clear(struct error *err)
{
    err->code = ERROR_NONE;
    err->text[0] = '\0';
    err->hint[0] = '\0';
}

bool
error_set(struct error *err, int code, const char *fmt, ...)
{
    char text[sizeof(err->text)];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    err->code = code;
    memcpy(err->text, text, sizeof(text));
    err->hint[0] = '\0';
    return false;
}

bool
error_hint(struct error *err, const char *fmt, ...)
{
    char hint[sizeof(err->hint)];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(hint, sizeof(hint), fmt, ap);
    va_end(ap);
    memcpy(err->hint, hint, sizeof(hint));
    return false;
}

bool
error_prefix(struct error *err, const char *fmt, ...)
{
    char text[sizeof(err->text)];
    size_t len;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    len = strlen(text);
    snprintf(text + len, sizeof(text) - len, ": %s", err->text);
    memcpy(err->text, text, sizeof(text));
    return false;
}

bool
error_errno(struct error *err, int code, int errnum, const char *fmt, ...)
{
    char text[sizeof(err->text)];
    size_t len;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    len = strlen(text);
    snprintf(text + len, sizeof(text) - len, ": %s", strerror(errnum));
    err->code = code;
    memcpy(err->text, text, sizeof(text));
    err->hint[0] = '\0';
    return false;
}

bool
error_memory(struct error *err)
{
    return error_set(err, ERROR_INTERNAL, "out of memory");
}
