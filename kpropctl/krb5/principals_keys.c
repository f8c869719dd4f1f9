/* principals_keys - the keys of a principal: their age, new ones, and the end of old ones. */
#include "kpropctl/krb5/principals_session.h"

#include <errno.h>
#include <kdb.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* The longest life that kdc.conf gives a ticket. */
static krb5_error_code
realm_life(struct principals *p, int64_t *seconds)
{
    kadm5_config_params in = { .mask = KADM5_CONFIG_REALM, .realm = p->realm->name }, params;
    krb5_error_code code = kadm5_get_config_params(p->context, 1, &in, &params);

    *seconds = 24 * 3600;
    if (code != 0)
        return code;
    if (params.mask & KADM5_CONFIG_MAX_LIFE)
        *seconds = (int64_t)params.max_life;
    kadm5_free_config_params(p->context, &params);
    return 0;
}

bool
principals_age(struct principals *p, const char *name, struct principals_age *age,
               struct error *err)
{
    kadm5_principal_ent_rec entry;
    krb5_principal principal = NULL;
    krb5_error_code code;

    memset(age, 0, sizeof(*age));
    code = krb5_parse_name(p->context, name, &principal);
    if (code == 0)
        code = kadm5_get_principal(p->handle, principal, &entry,
                                   KADM5_PRINCIPAL_NORMAL_MASK | KADM5_KEY_DATA);
    krb5_free_principal(p->context, principal);
    if (code != 0)
        return principals_failed(p, code, "look up principal", name, err);
    age->kvno = age->oldest = (int)entry.kvno;
    for (int i = 0; i < entry.n_key_data; i++) {
        if (entry.key_data[i].key_data_kvno < age->oldest)
            age->oldest = entry.key_data[i].key_data_kvno;
    }
    age->changed_at = (int64_t)(uint32_t)entry.last_pwd_change;
    code = realm_life(p, &age->longest_life);
    if (entry.max_life > 0 && entry.max_life < age->longest_life)
        age->longest_life = entry.max_life;
    kadm5_free_principal_ent(p->handle, &entry);
    return code == 0 || principals_failed(p, code, "read kdc.conf for", p->realm->name, err);
}

static bool
has_enctype(const struct keytab_keys *keys, int enctype)
{
    for (size_t i = 0; i < keys->count; i++) {
        if (keys->keys[i].enctype == enctype)
            return true;
    }
    return false;
}

/* Those of the highest version below LIMIT; salts do not matter to random keys. */
static void
take_newest(const kadm5_key_data *data, int count, unsigned limit, struct keytab_keys *keys)
{
    for (int i = 0; i < count; i++) {
        if ((unsigned)data[i].kvno > keys->kvno && (unsigned)data[i].kvno < limit)
            keys->kvno = (unsigned)data[i].kvno;
    }
    for (int i = 0; i < count && keys->count < KEYTAB_KEYS_MAX; i++) {
        const krb5_keyblock *key = &data[i].key;
        struct keytab_key *to = &keys->keys[keys->count];

        if ((unsigned)data[i].kvno != keys->kvno || key->length > sizeof(to->data) ||
            has_enctype(keys, key->enctype))
            continue;
        to->enctype = key->enctype;
        to->len = key->length;
        memcpy(to->data, key->contents, key->length);
        keys->count++;
    }
}

bool
principals_keys_below(struct principals *p, const char *name, unsigned kvno,
                      struct keytab_keys *keys, struct error *err)
{
    krb5_principal principal = NULL;
    kadm5_key_data *data = NULL;
    krb5_error_code code;
    int count = 0;

    memset(keys, 0, sizeof(*keys));
    code = krb5_parse_name(p->context, name, &principal);
    if (code == 0)
        code = kadm5_get_principal_keys(p->handle, principal, 0, &data, &count);
    krb5_free_principal(p->context, principal);
    if (code != 0)
        return principals_failed(p, code, "read the keys of", name, err);
    take_newest(data, count, kvno, keys);
    kadm5_free_kadm5_key_data(p->context, count, data);
    return true;
}

bool
principals_keys(struct principals *p, const char *name, struct keytab_keys *keys, struct error *err)
{
    return principals_keys_below(p, name, UINT_MAX, keys, err) &&
           (keys->count > 0 ||
            error_set(err, ERROR_FAILED, "cannot read the keys of %s: it has none", name));
}

bool
principals_invent(struct principals *p, const char *name, struct keytab_keys *keys,
                  struct error *err)
{
    krb5_error_code code = 0;

    if (!principals_keys(p, name, keys, err))
        return false;
    keys->kvno++;
    for (size_t i = 0; i < keys->count && code == 0; i++) {
        krb5_keyblock key;

        code = krb5_c_make_random_key(p->context, keys->keys[i].enctype, &key);
        if (code != 0)
            break;
        keys->keys[i].len = key.length;
        memcpy(keys->keys[i].data, key.contents, key.length);
        krb5_free_keyblock_contents(p->context, &key);
    }
    if (code == 0)
        return true;
    keytab_keys_wipe(keys);
    return principals_failed(p, code, "make new keys for", name, err);
}

/* The master key that is in use now: borrowed from the context. */
static krb5_error_code
active_master_key(struct principals *p, krb5_kvno *kvno, krb5_keyblock **key)
{
    krb5_actkvno_node *list = NULL;
    krb5_principal name = NULL;
    krb5_error_code code = krb5_parse_name(p->context, p->realm->master_key, &name);

    if (code == 0)
        code = krb5_dbe_fetch_act_key_list(p->context, name, &list);
    if (code == 0)
        code = krb5_dbe_find_act_mkey(p->context, list, kvno, key);
    krb5_dbe_free_actkvno_list(p->context, list);
    krb5_free_principal(p->context, name);
    return code;
}

/* OLD, under master key FROM, as a copy under master key TO. */
static krb5_error_code
encrypt_again(krb5_context context, const krb5_keyblock *from, const krb5_keyblock *to,
              const krb5_key_data *old, krb5_key_data *copy)
{
    krb5_keyblock key = { .contents = NULL };
    krb5_keysalt salt = { .data.data = NULL };
    krb5_error_code code = krb5_dbe_decrypt_key_data(context, from, old, &key, &salt);

    if (code == 0)
        code = krb5_dbe_encrypt_key_data(context, to, &key, old->key_data_ver > 1 ? &salt : NULL,
                                         old->key_data_kvno, copy);
    krb5_free_keyblock_contents(context, &key);
    free(salt.data.data);
    return code;
}

static void
free_key_data(krb5_key_data *data, int count)
{
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < data[i].key_data_ver; j++) {
            if (data[i].key_data_contents[j] != NULL)
                explicit_bzero(data[i].key_data_contents[j], data[i].key_data_length[j]);
            free(data[i].key_data_contents[j]);
        }
    }
    free(data);
}

/* KEYS, then those of ENTRY, all under the master key that is in use now. */
static krb5_error_code
put_before(struct principals *p, krb5_db_entry *entry, struct keytab_keys *keys)
{
    krb5_keyblock *from, *to;
    krb5_kvno master;
    int count = 0, total = (int)keys->count + entry->n_key_data;
    krb5_key_data *all = calloc((size_t)total, sizeof(*all));
    krb5_error_code code = all == NULL ? ENOMEM : active_master_key(p, &master, &to);

    if (code == 0)
        code = krb5_dbe_find_mkey(p->context, entry, &from);
    for (size_t i = 0; code == 0 && i < keys->count; i++, count++) {
        krb5_keyblock key = { .enctype = keys->keys[i].enctype,
                              .length = (unsigned)keys->keys[i].len,
                              .contents = keys->keys[i].data };

        code = krb5_dbe_encrypt_key_data(p->context, to, &key, NULL, (int)keys->kvno, &all[count]);
    }
    for (int i = 0; code == 0 && i < entry->n_key_data; i++, count++)
        code = encrypt_again(p->context, from, to, &entry->key_data[i], &all[count]);
    if (code == 0)
        code = krb5_dbe_update_mkvno(p->context, entry, master);
    if (code != 0) {
        free_key_data(all, total);
        return code;
    }
    free_key_data(entry->key_data, entry->n_key_data);
    entry->key_data = all;
    entry->n_key_data = (krb5_int16)total;
    return 0;
}

/* As a change of keys by kadmin: when and by whom; a policy's period until the next one begins. */
static krb5_error_code
stamp(struct principals *p, krb5_db_entry *entry)
{
    krb5_timestamp now, before = 0;
    krb5_principal by = NULL;
    krb5_error_code code = krb5_timeofday(p->context, &now);

    if (code == 0)
        code = krb5_dbe_lookup_last_pwd_change(p->context, entry, &before);
    if (code == 0 && entry->pw_expiration != 0)
        entry->pw_expiration = before == 0 ? 0 : now + (entry->pw_expiration - before);
    if (code == 0)
        code = krb5_dbe_update_last_pwd_change(p->context, entry, now);
    if (code == 0)
        code = krb5_parse_name(p->context, "kpropctl/admin", &by);
    if (code == 0)
        code = krb5_dbe_update_mod_princ_data(p->context, entry, now, by);
    krb5_free_principal(p->context, by);
    entry->fail_auth_count = 0;
    entry->mask = KADM5_KEY_DATA | KADM5_TL_DATA | KADM5_FAIL_AUTH_COUNT | KADM5_PW_EXPIRATION |
                  KADM5_LAST_PWD_CHANGE | KADM5_MOD_TIME | KADM5_MOD_NAME;
    return code;
}

/*
 * By libkdb5, since libkadm5srv has no way: up to krb5 1.21 kadm5_setkey_principal_4 forgets the
 * keys that it was told to keep (svr_principal.c: n_new_key_data does not count them).
 */
bool
principals_add_keys(struct principals *p, const char *name, const struct keytab_keys *keys,
                    struct error *err)
{
    struct keytab_keys copy = *keys; /* a keyblock is not const */
    krb5_principal principal = NULL;
    krb5_db_entry *entry = NULL;
    krb5_error_code code;
    int newest = 0;

    if (!principals_log(p, err)) {
        keytab_keys_wipe(&copy);
        return false;
    }
    code = krb5_parse_name(p->context, name, &principal);
    if (code == 0)
        code = krb5_db_get_principal(p->context, principal, 0, &entry);
    for (int i = 0; code == 0 && i < entry->n_key_data; i++) {
        if (entry->key_data[i].key_data_kvno > newest)
            newest = entry->key_data[i].key_data_kvno;
    }
    if (code == 0 && newest >= (int)keys->kvno)
        code = KADM5_SETKEY_BAD_KVNO;
    if (code == 0)
        code = put_before(p, entry, &copy);
    if (code == 0)
        code = stamp(p, entry);
    if (code == 0)
        code = krb5_db_put_principal(p->context, entry);
    krb5_db_free_principal(p->context, entry);
    krb5_free_principal(p->context, principal);
    keytab_keys_wipe(&copy);
    if (code != KADM5_SETKEY_BAD_KVNO)
        return code == 0 || principals_failed(p, code, "set the new keys of", name, err);
    error_set(err, ERROR_FAILED, "cannot set the new keys of %s: somebody else just did", name);
    return error_hint(err, "if the keytab there lacks that key: kpropctl enroll");
}

bool
principals_drop_older(struct principals *p, const char *name, int kvno, struct error *err)
{
    krb5_principal principal = NULL;
    krb5_error_code code;

    if (!principals_log(p, err))
        return false;
    code = krb5_parse_name(p->context, name, &principal);
    if (code == 0)
        code = kadm5_purgekeys(p->handle, principal, kvno);
    krb5_free_principal(p->context, principal);
    return code == 0 || principals_failed(p, code, "drop the old keys of", name, err);
}
