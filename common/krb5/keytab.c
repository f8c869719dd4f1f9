/* keytab - see keytab.h. */
#include "common/krb5/keytab.h"

#include "common/base/files.h"
#include "common/krb5/keytab_file.h"
#include "common/krb5/keytab_merge.h"

#include <errno.h>
#include <fcntl.h>
#include <krb5.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KVNO_MAX = 65535 };

void
keytab_keys_wipe(struct keytab_keys *keys)
{
    explicit_bzero(keys, sizeof(*keys));
}

bool
keytab_keys_write(const struct keytab_keys *keys, struct buffer *out)
{
    char hex[2 * KEYTAB_KEY_BYTES + 1];
    bool ok = buffer_printf(out, "%u", keys->kvno);

    for (size_t i = 0; ok && i < keys->count; i++) {
        hex_encode(keys->keys[i].data, keys->keys[i].len, hex);
        ok = buffer_printf(out, " %d:%s", keys->keys[i].enctype, hex);
    }
    explicit_bzero(hex, sizeof(hex));
    return ok;
}

/* A number of 1 to MAX at *TEXT, followed by END; moves *TEXT behind that. */
static bool
read_number(const char **text, long max, char end, long *value)
{
    char *stop;

    if (**text < '1' || **text > '9')
        return false;
    *value = strtol(*text, &stop, 10);
    if (*value > max || (*stop != end && (end != ' ' || *stop != '\0')))
        return false;
    *text = *stop == '\0' ? stop : stop + 1;
    return true;
}

static bool
read_key(const char **text, struct keytab_key *key)
{
    size_t digits;
    char hex[2 * KEYTAB_KEY_BYTES + 1];
    long enctype;
    bool ok;

    if (!read_number(text, INT_MAX, ':', &enctype))
        return false;
    digits = strcspn(*text, " ");
    if (digits == 0 || digits % 2 != 0 || digits >= sizeof(hex))
        return false;
    key->enctype = (int)enctype;
    key->len = digits / 2;
    memcpy(hex, *text, digits);
    hex[digits] = '\0';
    ok = hex_decode(hex, key->data, key->len);
    explicit_bzero(hex, sizeof(hex));
    *text += digits;
    if (**text == ' ')
        (*text)++;
    return ok;
}

bool
keytab_keys_read(const char *text, struct keytab_keys *keys, struct error *err)
{
    long kvno = 0;
    bool ok;

    memset(keys, 0, sizeof(*keys));
    ok = read_number(&text, KVNO_MAX, ' ', &kvno);
    keys->kvno = (unsigned)kvno;
    while (ok && *text != '\0') {
        ok = keys->count < KEYTAB_KEYS_MAX && read_key(&text, &keys->keys[keys->count]);
        for (size_t i = 0; ok && i < keys->count; i++)
            ok = keys->keys[i].enctype != keys->keys[keys->count].enctype;
        keys->count++;
    }
    if (ok && keys->count > 0)
        return true;
    keytab_keys_wipe(keys);
    return error_set(err, ERROR_USAGE,
                     "cannot read the keys: not a version and keys as 'ENCTYPE:HEX'");
}

/* One keytab at work, its content in memory. */
struct work {
    const char *file; /* as the caller names it */
    int lock;         /* of it, or -1 where there is none */
    struct stat before;
    krb5_context context;
    krb5_principal principal;
    struct keytab_memory memory;
};

static bool
failed(const struct work *w, krb5_error_code code, struct error *err)
{
    const char *text = krb5_get_error_message(w->context, code);

    error_set(err, ERROR_FAILED, "cannot change keytab %s: %s", w->file, text);
    krb5_free_error_message(w->context, text);
    return false;
}

static void
end(struct work *w)
{
    if (w->context != NULL)
        keytab_memory_close(w->context, &w->memory);
    krb5_free_principal(w->context, w->principal);
    krb5_free_context(w->context);
    if (w->lock >= 0)
        close(w->lock);
}

/* Lock FILE and take its content for changes to PRINCIPAL. */
static bool
begin(struct work *w, const char *file, const char *principal, struct error *err)
{
    struct buffer content;
    krb5_error_code code;
    bool ok;

    memset(w, 0, sizeof(*w));
    w->file = file;
    w->memory.fd = w->lock = -1;
    if (krb5_init_context(&w->context) != 0)
        return error_set(err, ERROR_USAGE, "cannot read krb5.conf");
    code = krb5_parse_name(w->context, principal, &w->principal);
    if (code != 0)
        return failed(w, code, err);
    w->lock = keytab_lock(file, KEYTAB_LOCK_MS, err);
    if (w->lock < 0 && errno != ENOENT)
        return false;
    error_clear(err);
    if (w->lock >= 0)
        file_forget_beside(file);
    buffer_init(&content, KEYTAB_MAX);
    ok = (w->lock < 0 || (file_read(file, &content, err) && fstat(w->lock, &w->before) == 0)) &&
         keytab_memory_open(w->context, &content, &w->memory, err);
    buffer_free_secret(&content);
    return ok;
}

/* Whoever waited for the lock has the old file open, and writes into that. */
static bool
take_late(struct work *w, struct error *err)
{
    struct flock unlock = { .l_type = F_UNLCK, .l_whence = SEEK_SET };
    char old[64];
    size_t late;

    if (w->lock < 0)
        return true;
    snprintf(old, sizeof(old), "/proc/self/fd/%d", w->lock);
    if (fcntl(w->lock, F_OFD_SETLK, &unlock) != 0)
        return error_errno(err, ERROR_INTERNAL, errno, "cannot unlock keytab %s", w->file);
    return keytab_merge_late(w->file, old, &w->before, &late, err);
}

/* Put what is in memory in the place of the file. */
static bool
install(struct work *w, struct error *err)
{
    mode_t mode = w->lock < 0 ? 0600 : w->before.st_mode & 07777;
    struct buffer content;
    bool ok;

    buffer_init(&content, KEYTAB_MAX);
    ok = keytab_memory_read(&w->memory, &content, err) &&
         file_replace(w->file, content.data, content.len, mode, err) && take_late(w, err);
    buffer_free_secret(&content);
    return ok;
}

/* What entries of the principal are asked about. */
enum which { VERSION_IS, VERSION_BELOW, VERSION_ABOVE };

static bool
concerns(const struct work *w, const krb5_keytab_entry *entry, enum which which, unsigned kvno)
{
    if (!krb5_principal_compare(w->context, entry->principal, w->principal))
        return false;
    return which == VERSION_IS      ? entry->vno == kvno
           : which == VERSION_BELOW ? entry->vno < kvno
                                    : entry->vno > kvno;
}

static bool
is_one_of(const krb5_keyblock *key, const struct keytab_keys *keys)
{
    for (size_t i = 0; keys != NULL && i < keys->count; i++) {
        if (key->enctype == keys->keys[i].enctype && key->length == keys->keys[i].len &&
            memcmp(key->contents, keys->keys[i].data, key->length) == 0)
            return true;
    }
    return false;
}

/*
 * Look at the entries that concern us: how many there are, how many of them are among KEYS (or
 * NULL), and one of them in FOUND (or NULL; freed by the caller if COUNT is not 0).
 */
static bool
look(struct work *w, enum which which, unsigned kvno, const struct keytab_keys *keys,
     unsigned *count, unsigned *same, krb5_keytab_entry *found, struct error *err)
{
    krb5_keytab_entry entry;
    krb5_kt_cursor cursor;
    krb5_error_code code = krb5_kt_start_seq_get(w->context, w->memory.keytab, &cursor);

    *count = *same = 0;
    if (code != 0)
        return failed(w, code, err);
    while ((code = krb5_kt_next_entry(w->context, w->memory.keytab, &entry, &cursor)) == 0) {
        if (concerns(w, &entry, which, kvno)) {
            *same += is_one_of(&entry.key, keys);
            if ((*count)++ == 0 && found != NULL) {
                *found = entry;
                continue;
            }
        }
        krb5_free_keytab_entry_contents(w->context, &entry);
    }
    krb5_kt_end_seq_get(w->context, w->memory.keytab, &cursor);
    return code == KRB5_KT_END || failed(w, code, err);
}

/* Remove the entries that concern us, one after the other: none may be open for reading then. */
static bool
remove_entries(struct work *w, enum which which, unsigned kvno, unsigned *removed,
               struct error *err)
{
    krb5_keytab_entry entry;
    krb5_error_code code;
    unsigned count, same;

    for (*removed = 0;; (*removed)++) {
        if (!look(w, which, kvno, NULL, &count, &same, &entry, err)) {
            if (count > 0)
                krb5_free_keytab_entry_contents(w->context, &entry);
            return false;
        }
        if (count == 0)
            return true;
        code = krb5_kt_remove_entry(w->context, w->memory.keytab, &entry);
        krb5_free_keytab_entry_contents(w->context, &entry);
        if (code != 0)
            return failed(w, code, err);
    }
}

static bool
add_key(struct work *w, unsigned kvno, const struct keytab_key *key, struct error *err)
{
    unsigned char contents[KEYTAB_KEY_BYTES];
    krb5_keytab_entry entry;
    krb5_error_code code;
    size_t bytes, length;

    if (!krb5_c_valid_enctype(key->enctype) ||
        krb5_c_keylengths(w->context, key->enctype, &bytes, &length) != 0 || length != key->len)
        return error_set(err, ERROR_USAGE,
                         "cannot change keytab %s: no key of encryption type %d has %zu bytes here",
                         w->file, key->enctype, key->len);
    memset(&entry, 0, sizeof(entry));
    memcpy(contents, key->data, key->len);
    entry.principal = w->principal;
    entry.vno = kvno;
    entry.key = (krb5_keyblock){ .enctype = key->enctype,
                                 .length = (unsigned)key->len,
                                 .contents = contents };
    code = krb5_timeofday(w->context, &entry.timestamp);
    if (code == 0)
        code = krb5_kt_add_entry(w->context, w->memory.keytab, &entry);
    explicit_bzero(contents, sizeof(contents));
    return code == 0 || failed(w, code, err);
}

bool
keytab_put(const char *file, const char *principal, const struct keytab_keys *keys, bool *changed,
           struct error *err)
{
    unsigned count, same;
    struct work w;
    bool ok;

    *changed = false;
    ok = begin(&w, file, principal, err) &&
         look(&w, VERSION_IS, keys->kvno, keys, &count, &same, NULL, err);
    if (ok && (count != keys->count || same != count)) {
        ok = remove_entries(&w, VERSION_IS, keys->kvno, &count, err);
        for (size_t i = 0; ok && i < keys->count; i++)
            ok = add_key(&w, keys->kvno, &keys->keys[i], err);
        *changed = ok = ok && install(&w, err);
    }
    end(&w);
    return ok;
}

/* Remove WHICH entries, if there is one of KVNO itself. */
static bool
drop(const char *file, const char *principal, enum which which, unsigned kvno, unsigned *dropped,
     struct error *err)
{
    unsigned count, same;
    struct work w;
    bool ok;

    *dropped = 0;
    ok = begin(&w, file, principal, err) &&
         look(&w, VERSION_IS, kvno, NULL, &count, &same, NULL, err);
    if (ok && count == 0)
        ok = error_set(err, ERROR_REFUSED,
                       "cannot drop keys from keytab %s: it has no kvno %u of %s", file, kvno,
                       principal);
    if (ok && remove_entries(&w, which, kvno, dropped, err))
        ok = *dropped == 0 || install(&w, err);
    else
        ok = false;
    end(&w);
    return ok;
}

bool
keytab_drop_older(const char *file, const char *principal, unsigned kvno, unsigned *dropped,
                  struct error *err)
{
    return drop(file, principal, VERSION_BELOW, kvno, dropped, err);
}

bool
keytab_drop_newer(const char *file, const char *principal, unsigned kvno, unsigned *dropped,
                  struct error *err)
{
    return drop(file, principal, VERSION_ABOVE, kvno, dropped, err);
}
