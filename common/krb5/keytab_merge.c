/* keytab_merge - see keytab_merge.h. */
#include "common/krb5/keytab_merge.h"

#include "common/base/files.h"
#include "common/krb5/keytab_file.h"

#include <errno.h>
#include <fcntl.h>
#include <krb5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ADD_MAX = 4096 };

static bool
krb5_failed(krb5_context context, krb5_error_code code, int kind, const char *what,
            struct error *err)
{
    const char *text = krb5_get_error_message(context, code);

    error_set(err, kind, "cannot %s: %s", what, text);
    krb5_free_error_message(context, text);
    return false;
}

/* Entries of one keytab, in its order. */
struct entries {
    krb5_keytab_entry *list;
    size_t count;
};

static void
entries_free(krb5_context context, struct entries *e)
{
    for (size_t i = 0; i < e->count; i++)
        krb5_free_keytab_entry_contents(context, &e->list[i]); /* wipes the key */
    free(e->list);
    *e = (struct entries){ 0 };
}

static krb5_error_code
entries_push(struct entries *e, const krb5_keytab_entry *entry)
{
    krb5_keytab_entry *list = reallocarray(e->list, e->count + 1, sizeof(*list));

    if (list == NULL)
        return ENOMEM;
    e->list = list;
    e->list[e->count++] = *entry;
    return 0;
}

/* Read all of KEYTAB, what it is for errors of KIND. */
static bool
entries_read(krb5_context context, krb5_keytab keytab, const char *what, int kind,
             struct entries *e, struct error *err)
{
    krb5_keytab_entry entry;
    krb5_kt_cursor cursor;
    krb5_error_code code = krb5_kt_start_seq_get(context, keytab, &cursor);

    if (code == 0) {
        while ((code = krb5_kt_next_entry(context, keytab, &entry, &cursor)) == 0) {
            code = entries_push(e, &entry);
            if (code == 0)
                continue;
            krb5_free_keytab_entry_contents(context, &entry);
            break;
        }
        krb5_kt_end_seq_get(context, keytab, &cursor);
    }
    return code == KRB5_KT_END || krb5_failed(context, code, kind, what, err);
}

static bool
same_place(krb5_context context, const krb5_keytab_entry *a, const krb5_keytab_entry *b)
{
    return a->vno == b->vno && a->key.enctype == b->key.enctype &&
           krb5_principal_compare(context, a->principal, b->principal);
}

static bool
same_key(const krb5_keytab_entry *a, const krb5_keytab_entry *b)
{
    return a->key.length == b->key.length &&
           memcmp(a->key.contents, b->key.contents, a->key.length) == 0;
}

/* Is this a keytab to its last byte? libkrb5 takes one that ends within an entry for a shorter one.
 * (A length below 0 is a hole.) */
static bool
is_whole(const struct buffer *keytab)
{
    struct cursor c;

    cursor_init(&c, keytab->data, keytab->len);
    if (cursor_u16(&c) != 0x0502)
        return false;
    while (c.left > 0 && !c.failed) {
        int64_t len = (int32_t)cursor_u32(&c);

        cursor_bytes(&c, (size_t)(len < 0 ? -len : len));
    }
    return cursor_done(&c);
}

/* Are all entries of ADD of PRINCIPAL, and are there any, and not too many? */
static bool
check_added(krb5_context context, const struct entries *add, const char *principal,
            struct error *err)
{
    krb5_principal wanted = NULL;
    char *name = NULL;
    bool ok = true;

    if (add->count == 0 || add->count > ADD_MAX)
        return error_set(err, ERROR_REFUSED, "cannot merge keytabs: the new one has %zu entries",
                         add->count);
    if (principal == NULL)
        return true;
    if (krb5_parse_name(context, principal, &wanted) != 0)
        return error_set(err, ERROR_REFUSED, "cannot take '%s' for a principal", principal);
    for (size_t i = 0; ok && i < add->count; i++) {
        if (krb5_principal_compare(context, add->list[i].principal, wanted))
            continue;
        if (krb5_unparse_name(context, add->list[i].principal, &name) != 0)
            name = NULL;
        ok = error_set(err, ERROR_REFUSED,
                       "cannot merge keytabs: the new one has a key of %s, not of %s alone",
                       name == NULL ? "another principal" : name, principal);
        krb5_free_unparsed_name(context, name);
    }
    krb5_free_principal(context, wanted);
    return ok;
}

/* Put NEW into KEYTAB, whose entries OLD were. */
static krb5_error_code
merge_entry(krb5_context context, krb5_keytab keytab, const struct entries *old,
            krb5_keytab_entry *new, struct keytab_merged *merged)
{
    size_t there = 0, same = 0;
    krb5_error_code code = 0;

    for (size_t i = 0; i < old->count; i++) {
        if (!same_place(context, &old->list[i], new))
            continue;
        there++;
        same += same_key(&old->list[i], new) ? 1 : 0;
    }
    merged->kept -= there;
    if (there > 0 && same == there) {
        merged->present++;
        return 0;
    }
    for (size_t i = 0; code == 0 && i < there; i++)
        code = krb5_kt_remove_entry(context, keytab, new);
    if (code == 0)
        code = krb5_kt_add_entry(context, keytab, new);
    if (there > 0)
        merged->replaced++;
    else
        merged->added++;
    return code;
}

/* Does one of the entries before I have its place? Then that one counts. */
static bool
repeated(krb5_context context, const struct entries *e, size_t i)
{
    for (size_t j = 0; j < i; j++) {
        if (same_place(context, &e->list[j], &e->list[i]))
            return true;
    }
    return false;
}

static bool
merge_all(krb5_context context, const struct entries *old, const struct entries *add,
          const struct keytab_memory *into, struct keytab_merged *merged, struct error *err)
{
    krb5_error_code code = 0;

    merged->kept = old->count;
    for (size_t i = 0; code == 0 && i < add->count; i++) {
        if (!repeated(context, add, i))
            code = merge_entry(context, into->keytab, old, &add->list[i], merged);
    }
    return code == 0 || krb5_failed(context, code, ERROR_FAILED, "merge keytabs", err);
}

bool
keytab_merge(const struct buffer *old, const struct buffer *add, const char *principal,
             struct buffer *out, struct keytab_merged *merged, struct error *err)
{
    struct keytab_memory into = { .fd = -1 }, from = { .fd = -1 };
    struct entries was = { 0 }, new = { 0 };
    krb5_context context = NULL;
    bool ok;

    *merged = (struct keytab_merged){ 0 };
    if (krb5_init_context(&context) != 0)
        return error_set(err, ERROR_USAGE, "cannot read krb5.conf");
    ok = (is_whole(add) ||
          error_set(err, ERROR_REFUSED, "cannot read the new keytab: it is none, or cut off")) &&
         keytab_memory_open(context, add, &from, err) &&
         entries_read(context, from.keytab, "read the new keytab", ERROR_REFUSED, &new, err) &&
         check_added(context, &new, principal, err) &&
         keytab_memory_open(context, old, &into, err) &&
         entries_read(context, into.keytab, "read the old keytab", ERROR_FAILED, &was, err) &&
         merge_all(context, &was, &new, &into, merged, err) && keytab_memory_read(&into, out, err);
    entries_free(context, &was);
    entries_free(context, &new);
    keytab_memory_close(context, &into);
    keytab_memory_close(context, &from);
    krb5_free_context(context);
    return ok;
}

/* The entries that OLD alone has, to PATH, whose lock is held. */
static bool
merge_into(const char *path, const char *old, size_t *late, struct error *err)
{
    struct buffer there, here, both;
    struct keytab_merged merged;
    struct stat st;
    bool ok;

    buffer_init(&there, KEYTAB_MAX);
    buffer_init(&here, KEYTAB_MAX);
    buffer_init(&both, KEYTAB_MAX);
    ok = file_read(old, &there, err) && file_read(path, &here, err) &&
         keytab_merge(&there, &here, NULL, &both, &merged, err);
    if (ok && stat(path, &st) != 0)
        ok = error_errno(err, ERROR_FAILED, errno, "cannot look at keytab %s", path);
    if (ok && merged.kept > 0) {
        ok = file_replace(path, both.data, both.len, st.st_mode & 07777, err);
        *late = ok ? merged.kept : 0;
    }
    buffer_free_secret(&there);
    buffer_free_secret(&here);
    buffer_free_secret(&both);
    return ok;
}

bool
keytab_merge_late(const char *path, const char *old, const struct stat *seen, size_t *late,
                  struct error *err)
{
    static const struct timespec nap = { 0, 50 * 1000 * 1000 };
    int lock = -1, old_lock;
    struct stat st;
    bool ok;

    *late = 0;
    /* Those who wait for the old one's lock come first: then it is ours, and they have written. */
    nanosleep(&nap, NULL);
    old_lock = keytab_lock(old, KEYTAB_LOCK_MS, err);
    if (old_lock < 0)
        return false;
    ok = fstat(old_lock, &st) == 0 ||
         error_errno(err, ERROR_FAILED, errno, "cannot look at keytab %s", old);
    if (ok && (st.st_size != seen->st_size || st.st_mtim.tv_sec != seen->st_mtim.tv_sec ||
               st.st_mtim.tv_nsec != seen->st_mtim.tv_nsec)) {
        lock = keytab_lock(path, KEYTAB_LOCK_MS, err);
        ok = lock >= 0 && merge_into(path, old, late, err);
    }
    if (lock >= 0)
        close(lock);
    close(old_lock);
    return ok;
}
