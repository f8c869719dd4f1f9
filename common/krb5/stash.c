/* stash - see stash.h. */
#include "common/krb5/stash.h"

#include "common/base/buffers.h"

#include <errno.h>
#include <krb5.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

void
stash_wipe(struct stash_keys *keys)
{
    explicit_bzero(keys, sizeof(*keys));
}

static bool
take(krb5_context context, const krb5_keytab_entry *entry, krb5_const_principal master,
     struct stash_keys *keys)
{
    struct stash_key *key = &keys->keys[keys->count];

    if (!krb5_principal_compare(context, entry->principal, master) ||
        keys->count == STASH_KEYS_MAX || entry->key.length > sizeof(key->data))
        return false;
    key->kvno = entry->vno;
    key->enctype = entry->key.enctype;
    key->len = entry->key.length;
    memcpy(key->data, entry->key.contents, key->len);
    keys->count++;
    return true;
}

static krb5_error_code
read_entries(krb5_context context, krb5_keytab keytab, krb5_const_principal master,
             struct stash_keys *keys)
{
    krb5_keytab_entry entry;
    krb5_kt_cursor cursor;
    krb5_error_code code = krb5_kt_start_seq_get(context, keytab, &cursor);
    bool good = true;

    if (code != 0)
        return code;
    while (good && (code = krb5_kt_next_entry(context, keytab, &entry, &cursor)) == 0) {
        good = take(context, &entry, master, keys);
        krb5_free_keytab_entry_contents(context, &entry);
    }
    krb5_kt_end_seq_get(context, keytab, &cursor);
    if (!good || keys->count == 0)
        return KRB5_KT_NOTFOUND;
    return code == KRB5_KT_END ? 0 : code;
}

static bool
look(const char *file, struct error *err)
{
    struct stat st;

    if (stat(file, &st) != 0)
        return error_errno(err, ERROR_FAILED, errno, "cannot read stash %s", file);
    if (!S_ISREG(st.st_mode) || st.st_size > STASH_MAX)
        return error_set(err, ERROR_FAILED, "cannot read stash %s: no file of at most %d bytes",
                         file, STASH_MAX);
    return true;
}

bool
stash_read(const char *file, const char *master_key, struct stash_keys *keys, struct error *err)
{
    krb5_context context = NULL;
    krb5_principal master = NULL;
    krb5_keytab keytab = NULL;
    krb5_error_code code;
    char name[4096 + 8];
    const char *text;

    memset(keys, 0, sizeof(*keys));
    if (!look(file, err))
        return false;
    if (krb5_init_context(&context) != 0)
        return error_set(err, ERROR_USAGE, "cannot read krb5.conf");
    snprintf(name, sizeof(name), "FILE:%s", file);
    code = krb5_parse_name(context, master_key, &master);
    if (code == 0)
        code = krb5_kt_resolve(context, name, &keytab);
    if (code == 0)
        code = read_entries(context, keytab, master, keys);
    if (code == KRB5_KT_NOTFOUND) {
        error_set(err, ERROR_FAILED, "cannot read stash %s: it is not of %s alone", file,
                  master_key);
    } else if (code != 0) {
        text = krb5_get_error_message(context, code);
        error_set(err, ERROR_FAILED, "cannot read stash %s: %s", file, text);
        krb5_free_error_message(context, text);
        error_hint(err, "'kdb5_util stash' on the primary writes it in today's format");
    }
    if (code != 0)
        stash_wipe(keys);
    if (keytab != NULL)
        krb5_kt_close(context, keytab);
    krb5_free_principal(context, master);
    krb5_free_context(context);
    return code == 0;
}

unsigned
stash_newest(const struct stash_keys *keys)
{
    unsigned newest = 0;

    for (size_t i = 0; i < keys->count; i++) {
        if (keys->keys[i].kvno > newest)
            newest = keys->keys[i].kvno;
    }
    return newest;
}

bool
stash_mark(const unsigned char *nonce, const struct stash_key *key, char *mark)
{
    unsigned char text[STASH_KEY_BYTES + 8], sum[EVP_MAX_MD_SIZE];
    unsigned int len = 0;

    for (int i = 0; i < 4; i++) {
        text[i] = (unsigned char)(key->kvno >> (8 * i));
        text[4 + i] = (unsigned char)((unsigned)key->enctype >> (8 * i));
    }
    memcpy(text + 8, key->data, key->len);
    if (HMAC(EVP_sha256(), nonce, STASH_NONCE_SIZE, text, 8 + key->len, sum, &len) == NULL)
        len = 0;
    explicit_bzero(text, sizeof(text));
    mark[0] = '\0';
    if (len == 32)
        hex_encode(sum, len, mark);
    return len == 32;
}
