/* keytab - see keytab.h. */
#include "common/keytab.h"

#include "common/files.h"

#include <errno.h>
#include <fcntl.h>
#include <krb5.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 1 << 20, KVNO_MAX = 65535 };

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

/* One keytab at work. */
struct work {
    const char *file; /* as the caller names it */
    char *target;     /* what it is behind links; malloced */
    char temp[PATH_MAX];
    struct stat before; /* of target; all 0 where there is none */
    krb5_context context;
    krb5_principal principal;
    krb5_keytab keytab; /* of temp */
};

static bool
failed(const struct work *w, krb5_error_code code, struct error *err)
{
    const char *text = krb5_get_error_message(w->context, code);

    error_set(err, ERROR_FAILED, "cannot change keytab %s: %s", w->file, text);
    krb5_free_error_message(w->context, text);
    return false;
}

/* TARGET's content, or the version alone that begins an empty keytab, into TEMP: root's, 0600. */
static bool
copy_aside(struct work *w, struct error *err)
{
    static const unsigned char empty[] = { 5, 2 };
    struct buffer content;
    struct error missing;
    bool ok = true;
    int fd;

    buffer_init(&content, FILE_MAX);
    if (!file_read(w->target, &content, &missing) && errno != ENOENT) {
        *err = missing;
        buffer_free_secret(&content);
        return false;
    }
    if (content.len == 0)
        ok = buffer_add(&content, empty, sizeof(empty));
    unlink(w->temp);
    fd = open(w->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    ok = ok && fd >= 0 && write(fd, content.data, content.len) == (ssize_t)content.len;
    if (!ok)
        error_errno(err, ERROR_INTERNAL, errno, "cannot write %s", w->temp);
    if (fd >= 0)
        close(fd);
    buffer_free_secret(&content);
    return ok;
}

static bool
name_target(struct work *w, struct error *err)
{
    const char *slash;

    w->target = realpath(w->file, NULL);
    if (w->target == NULL && errno == ENOENT)
        w->target = strdup(w->file);
    slash = w->target == NULL ? NULL : strrchr(w->target, '/');
    if (slash == NULL)
        return error_set(err, ERROR_FAILED, "cannot change keytab %s: no path of a file", w->file);
    if (stat(w->target, &w->before) != 0)
        memset(&w->before, 0, sizeof(w->before));
    if (snprintf(w->temp, sizeof(w->temp), "%.*s/.%s.kpropctl", (int)(slash - w->target), w->target,
                 slash + 1) < (int)sizeof(w->temp))
        return true;
    return error_set(err, ERROR_FAILED, "cannot change keytab %s: name too long", w->file);
}

static void
end(struct work *w)
{
    if (w->keytab != NULL)
        krb5_kt_close(w->context, w->keytab);
    krb5_free_principal(w->context, w->principal);
    krb5_free_context(w->context);
    if (w->temp[0] != '\0')
        unlink(w->temp);
    free(w->target);
}

/* Open a copy of FILE for changes to PRINCIPAL. */
static bool
begin(struct work *w, const char *file, const char *principal, struct error *err)
{
    char name[PATH_MAX + 8];
    krb5_error_code code;

    memset(w, 0, sizeof(*w));
    w->file = file;
    if (krb5_init_context(&w->context) != 0)
        return error_set(err, ERROR_USAGE, "cannot read krb5.conf");
    code = krb5_parse_name(w->context, principal, &w->principal);
    if (code != 0)
        return failed(w, code, err);
    if (!name_target(w, err) || !copy_aside(w, err))
        return false;
    snprintf(name, sizeof(name), "FILE:%s", w->temp);
    code = krb5_kt_resolve(w->context, name, &w->keytab);
    return code == 0 || failed(w, code, err);
}

static bool
unchanged(const struct work *w)
{
    struct stat now;

    if (stat(w->target, &now) != 0)
        return errno == ENOENT && w->before.st_ino == 0;
    return now.st_ino == w->before.st_ino && now.st_dev == w->before.st_dev &&
           now.st_size == w->before.st_size && now.st_mtim.tv_sec == w->before.st_mtim.tv_sec &&
           now.st_mtim.tv_nsec == w->before.st_mtim.tv_nsec;
}

/* Put the copy in the place of the file, unless somebody else has written that meanwhile. */
static bool
install(struct work *w, struct error *err)
{
    const struct stat *st = &w->before;
    krb5_error_code code = krb5_kt_close(w->context, w->keytab);

    w->keytab = NULL;
    if (code != 0)
        return failed(w, code, err);
    if (st->st_ino != 0 && ((st->st_uid != geteuid() || st->st_gid != getegid())
                                ? chown(w->temp, st->st_uid, st->st_gid)
                                : 0) != 0)
        return error_errno(err, ERROR_INTERNAL, errno, "cannot give %s to its owner", w->temp);
    if (chmod(w->temp, st->st_ino != 0 ? st->st_mode & 07777 : 0600) != 0)
        return error_errno(err, ERROR_INTERNAL, errno, "cannot protect %s", w->temp);
    if (!file_sync(w->temp, err))
        return false;
    if (!unchanged(w)) {
        error_set(err, ERROR_UNREACHABLE, "cannot change keytab %s: somebody else just did",
                  w->file);
        return error_hint(err, "try again");
    }
    if (rename(w->temp, w->target) != 0)
        return error_errno(err, ERROR_INTERNAL, errno, "cannot replace keytab %s", w->file);
    w->temp[0] = '\0';
    return file_sync_folder_of(w->target, err);
}

/* What entries of the principal are asked about. */
enum which { VERSION_IS, VERSION_BELOW };

static bool
concerns(const struct work *w, const krb5_keytab_entry *entry, enum which which, unsigned kvno)
{
    return krb5_principal_compare(w->context, entry->principal, w->principal) &&
           (which == VERSION_IS ? entry->vno == kvno : entry->vno < kvno);
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
    krb5_error_code code = krb5_kt_start_seq_get(w->context, w->keytab, &cursor);

    *count = *same = 0;
    if (code != 0)
        return failed(w, code, err);
    while ((code = krb5_kt_next_entry(w->context, w->keytab, &entry, &cursor)) == 0) {
        if (concerns(w, &entry, which, kvno)) {
            *same += is_one_of(&entry.key, keys);
            if ((*count)++ == 0 && found != NULL) {
                *found = entry;
                continue;
            }
        }
        krb5_free_keytab_entry_contents(w->context, &entry);
    }
    krb5_kt_end_seq_get(w->context, w->keytab, &cursor);
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
        code = krb5_kt_remove_entry(w->context, w->keytab, &entry);
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
        code = krb5_kt_add_entry(w->context, w->keytab, &entry);
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

bool
keytab_drop_older(const char *file, const char *principal, unsigned kvno, unsigned *dropped,
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
    if (ok && remove_entries(&w, VERSION_BELOW, kvno, dropped, err))
        ok = *dropped == 0 || install(&w, err);
    else
        ok = false;
    end(&w);
    return ok;
}
