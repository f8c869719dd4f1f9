/* digest_kdb - see digest_kdb.h. The same canonical form as common/dump makes from a line. */
#include "common/kdb/digest_kdb.h"

#include <string.h>

/* Add a list that must have COUNT members; what a record says of itself is not taken on trust. */
static void
add_tl_data(struct digest *d, const krb5_tl_data *tl, krb5_int16 count)
{
    for (; tl != NULL; tl = tl->tl_data_next, count--)
        digest_tl(d, tl->tl_data_type, tl->tl_data_contents, tl->tl_data_length);
    if (count != 0)
        digest_fail(d);
}

static void
add_keys(struct digest *d, const krb5_db_entry *entry)
{
    for (krb5_int16 i = 0; i < entry->n_key_data; i++) {
        const krb5_key_data *key = &entry->key_data[i];

        if (key->key_data_ver < 0 || key->key_data_ver > KRB5_KDB_V1_KEY_DATA_ARRAY) {
            digest_fail(d);
            return;
        }
        digest_key(d, key->key_data_ver, key->key_data_kvno);
        for (krb5_int16 j = 0; j < key->key_data_ver; j++)
            digest_key_part(d, key->key_data_type[j], key->key_data_contents[j],
                            key->key_data_length[j]);
    }
}

bool
digest_principal_entry(struct digest *d, krb5_context context, const krb5_db_entry *entry)
{
    char *name = NULL;

    if (krb5_unparse_name(context, entry->princ, &name) != 0) {
        digest_fail(d);
        return false;
    }
    digest_principal(d, name, strlen(name), (uint32_t)entry->attributes, (uint32_t)entry->max_life,
                     (uint32_t)entry->max_renewable_life, (uint32_t)entry->expiration,
                     (uint32_t)entry->pw_expiration);
    krb5_free_unparsed_name(context, name);
    add_tl_data(d, entry->tl_data, entry->n_tl_data);
    add_keys(d, entry);
    digest_e_data(d, entry->e_data, entry->e_length);
    return digest_end(d);
}

bool
digest_policy_entry(struct digest *d, const osa_policy_ent_rec *policy)
{
    const char *keysalts = policy->allowed_keysalts;
    struct digest_policy fields = {
        .name = policy->name,
        .pw_min_life = policy->pw_min_life,
        .pw_max_life = policy->pw_max_life,
        .pw_min_length = policy->pw_min_length,
        .pw_min_classes = policy->pw_min_classes,
        .pw_history_num = policy->pw_history_num,
        .pw_max_fail = policy->pw_max_fail,
        .pw_failcnt_interval = policy->pw_failcnt_interval,
        .pw_lockout_duration = policy->pw_lockout_duration,
        .attributes = policy->attributes,
        .max_life = policy->max_life,
        .max_renewable_life = policy->max_renewable_life,
        .allowed_keysalts = keysalts,
        .allowed_keysalts_len = keysalts != NULL ? strlen(keysalts) : 0,
    };

    if (policy->name == NULL) {
        digest_fail(d);
        return false;
    }
    fields.name_len = strlen(policy->name);
    digest_policy(d, &fields);
    add_tl_data(d, policy->tl_data, policy->n_tl_data);
    return digest_end(d);
}
