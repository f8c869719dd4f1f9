/* kpropd_acl - see kpropd_acl.h. What kpropd takes for a match is in its authorized_principal(). */
#include "agent/service/kpropd_acl.h"

#include "common/base/buffers.h"
#include "common/base/files.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* kpropd reads lines into 1,024 bytes; a longer principal would never be matched. */
enum { MAX_FILE = 1 << 20, MAX_PRINCIPAL = 1000 };

/* Read FILE into TEXT; a missing one is empty. */
static bool
read_lines(const char *file, struct buffer *text, bool *exists, struct error *err)
{
    *exists = true;
    if (file_read(file, text, err))
        return true;
    if (errno != ENOENT)
        return false;
    error_clear(err);
    *exists = false;
    return true;
}

/* The length of the line at P, without its newline. */
static size_t
line_length(const char *p, const char *end)
{
    const char *newline = memchr(p, '\n', (size_t)(end - p));

    return (size_t)((newline == NULL ? end : newline) - p);
}

bool
kpropd_acl_read(const char *file, bool *exists, json_t **entries, struct error *err)
{
    struct buffer text;
    const char *p, *end;
    size_t len;

    *entries = NULL;
    buffer_init(&text, MAX_FILE);
    if (!read_lines(file, &text, exists, err)) {
        buffer_free(&text);
        return false;
    }
    *entries = json_array();
    p = buffer_string(&text);
    for (end = p + text.len; p < end; p += len + 1) {
        len = line_length(p, end);
        if (len > 0 && *p != '#')
            json_array_append_new(*entries, json_stringn(p, len));
    }
    buffer_free(&text);
    return true;
}

bool
kpropd_acl_lists(const char *text, size_t len, const char *principal)
{
    const char *end = text + len;
    size_t size, name = strlen(principal);

    for (const char *p = text; p < end; p += size + 1) {
        bool blank = true;

        size = line_length(p, end);
        if (size < name || memcmp(p, principal, name) != 0)
            continue;
        for (size_t i = name; i < size && blank; i++)
            blank = isspace((unsigned char)p[i]);
        if (blank)
            return true;
    }
    return false;
}

bool
kpropd_acl_add(const char *file, const char *principal, bool *changed, struct error *err)
{
    struct buffer text;
    struct stat st;
    bool exists, ok = false;

    *changed = false;
    buffer_init(&text, MAX_FILE + MAX_PRINCIPAL + 2);
    if (strlen(principal) > MAX_PRINCIPAL)
        return error_set(err, ERROR_USAGE, "cannot add a principal of more than %d bytes",
                         MAX_PRINCIPAL);
    if (!read_lines(file, &text, &exists, err))
        goto cleanup;
    if (kpropd_acl_lists(buffer_string(&text), text.len, principal)) {
        ok = true;
        goto cleanup;
    }
    if (text.len > 0 && text.data[text.len - 1] != '\n')
        buffer_add_u8(&text, '\n');
    if (!buffer_add_string(&text, principal) || !buffer_add_u8(&text, '\n')) {
        error_set(err, ERROR_FAILED, "cannot add to %s: file too large", file);
        goto cleanup;
    }
    ok = file_replace(file, text.data, text.len,
                      exists && stat(file, &st) == 0 ? st.st_mode & 07777 : 0644, err);
    *changed = ok;

cleanup:
    buffer_free(&text);
    return ok;
}
