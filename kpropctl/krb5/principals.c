/* principals - see principals.h. What changes keys is in principals_keys.c. */
#include "kpropctl/krb5/principals_session.h"

#include "kpropctl/krb5/keytab_bytes.h"
#include "kpropctl/krb5/update_log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

bool
principals_failed(const struct principals *p, krb5_error_code code, const char *verb,
                  const char *object, struct error *err)
{
    const char *text = krb5_get_error_message(p->context, code);

    error_set(err, ERROR_FAILED, "cannot %s %s: %s", verb, object, text);
    krb5_free_error_message(p->context, text);
    return false;
}

/* The text names the database; the hint depends on whether it is missing or does not open. */
static void
explain_open(const struct realm *realm, krb5_error_code code, struct error *err)
{
    if (access(realm->stash, R_OK) != 0)
        error_hint(err, "the stash file %s is missing: 'kdb5_util stash' writes it anew",
                   realm->stash);
    else if (code == ENOENT)
        error_hint(err, "run kpropctl on the primary KDC, where kadmind runs; 'kdb5_util create' "
                        "makes a new realm");
    else
        error_hint(err, "the stash %s must be of the database %s: try kdb5_util list_mkeys",
                   realm->stash, realm->database);
}

struct principals *
principals_open(const struct realm *realm, struct error *err)
{
    struct principals *p = calloc(1, sizeof(*p));
    kadm5_config_params params = { .mask = KADM5_CONFIG_REALM, .realm = realm->name };
    static char password[] = "", service[] = KADM5_ADMIN_SERVICE, client[] = "kpropctl/admin";
    static const struct rlimit no_core = { 0, 0 };
    krb5_error_code code;

    /* From now on there are keys in memory. */
    setrlimit(RLIMIT_CORE, &no_core);
    if (p == NULL || kadm5_init_krb5_context(&p->context) != 0) {
        free(p);
        error_memory(err);
        return NULL;
    }
    p->realm = realm;
    code = krb5_set_default_realm(p->context, realm->name);
    if (code == 0)
        code =
            kadm5_init_with_password(p->context, client, password, service, &params,
                                     KADM5_STRUCT_VERSION, KADM5_API_VERSION_2, NULL, &p->handle);
    if (code != 0) {
        principals_failed(p, code, "open the database of realm", realm->name, err);
        explain_open(realm, code, err);
        principals_close(p);
        return NULL;
    }
    return p;
}

bool
principals_log(struct principals *p, struct error *err)
{
    krb5_error_code code;

    if (p->logged || !p->realm->iprop)
        return true;
    if (!update_log_whole(p->realm, err))
        return false;
    code = kadm5_init_iprop(p->handle, NULL);
    if (code != 0) {
        principals_failed(p, code, "write to the update log of realm", p->realm->name, err);
        return error_hint(err,
                          "incremental propagation is on (iprop_enable), and a change outside of "
                          "its log would never reach its replicas. If the log is damaged: rm %s; "
                          "systemctl restart krb5-admin-server",
                          p->realm->iprop_log == NULL ? "IPROP_LOGFILE" : p->realm->iprop_log);
    }
    p->logged = true;
    return true;
}

void
principals_close(struct principals *p)
{
    if (p == NULL)
        return;
    if (p->handle != NULL)
        kadm5_destroy(p->handle);
    krb5_free_context(p->context);
    free(p);
}

bool
principals_kvno(struct principals *p, const char *name, int *kvno, struct error *err)
{
    kadm5_principal_ent_rec entry;
    krb5_principal principal = NULL;
    krb5_error_code code;

    *kvno = 0;
    memset(&entry, 0, sizeof(entry));
    code = krb5_parse_name(p->context, name, &principal);
    if (code == 0)
        code = kadm5_get_principal(p->handle, principal, &entry, KADM5_KVNO);
    krb5_free_principal(p->context, principal);
    if (code == KADM5_UNK_PRINC)
        return true;
    if (code != 0)
        return principals_failed(p, code, "look up principal", name, err);
    *kvno = (int)entry.kvno;
    kadm5_free_principal_ent(p->handle, &entry);
    return true;
}

bool
principals_create(struct principals *p, const char *name, struct error *err)
{
    kadm5_principal_ent_rec entry;
    krb5_error_code code;

    if (!principals_log(p, err))
        return false;
    memset(&entry, 0, sizeof(entry));
    code = krb5_parse_name(p->context, name, &entry.principal);
    if (code == 0)
        code = kadm5_create_principal_3(p->handle, &entry, KADM5_PRINCIPAL, 0, NULL, NULL);
    krb5_free_principal(p->context, entry.principal);
    if (code != 0 && code != KADM5_DUP)
        return principals_failed(p, code, "create principal", name, err);
    return true;
}

bool
principals_rekey(struct principals *p, const char *name, struct error *err)
{
    krb5_principal principal = NULL;
    krb5_error_code code;

    if (!principals_log(p, err))
        return false;
    code = krb5_parse_name(p->context, name, &principal);
    if (code == 0)
        code = kadm5_randkey_principal_3(p->handle, principal, FALSE, 0, NULL, NULL, NULL);
    krb5_free_principal(p->context, principal);
    return code == 0 || principals_failed(p, code, "change the keys of", name, err);
}

/* A type that the entry has twice, with different salts, is the same key for a keytab. */
static bool
add_keys(krb5_const_principal principal, const kadm5_key_data *keys, int count, struct buffer *out)
{
    bool ok = keytab_bytes_begin(out);

    for (int i = 0; ok && i < count; i++) {
        bool again = false;

        for (int j = 0; j < i && !again; j++)
            again = keys[j].kvno == keys[i].kvno && keys[j].key.enctype == keys[i].key.enctype;
        if (!again)
            ok = keytab_bytes_add(out, principal, keys[i].kvno, (uint32_t)time(NULL), &keys[i].key);
    }
    return ok;
}

bool
principals_keytab(struct principals *p, const char *name, struct buffer *out, struct error *err)
{
    krb5_principal principal = NULL;
    kadm5_key_data *keys = NULL;
    krb5_error_code code;
    int count = 0;
    bool ok = false;

    code = krb5_parse_name(p->context, name, &principal);
    if (code == 0)
        code = kadm5_get_principal_keys(p->handle, principal, 0, &keys, &count);
    if (code != 0)
        principals_failed(p, code, "read the keys of", name, err);
    else if (count == 0)
        error_set(err, ERROR_FAILED, "cannot read the keys of %s: it has none", name);
    else
        ok = add_keys(principal, keys, count, out) || error_memory(err);
    if (keys != NULL)
        kadm5_free_kadm5_key_data(p->context, count, keys);
    krb5_free_principal(p->context, principal);
    return ok;
}

/* The key of ENCTYPE and KVNO in the keytab: 1 the same as KEY, 0 another, -1 not there. */
static int
compare_entry(krb5_context context, krb5_keytab kt, krb5_principal principal,
              const kadm5_key_data *data)
{
    krb5_keytab_entry entry;
    int same;

    if (krb5_kt_get_entry(context, kt, principal, data->kvno, data->key.enctype, &entry) != 0)
        return -1;
    same = entry.key.length == data->key.length &&
           memcmp(entry.key.contents, data->key.contents, data->key.length) == 0;
    krb5_free_keytab_entry_contents(context, &entry);
    return same;
}

/* The KDC encrypts with the first key of the highest version, so that one must be in the keytab. */
static enum keytab_state
compare_keys(krb5_context context, krb5_keytab kt, krb5_principal principal,
             const kadm5_key_data *keys, int count, const char *name, const char *file,
             struct error *err)
{
    krb5_keytab_entry any;
    const kadm5_key_data *first = NULL;
    krb5_error_code code;
    int same, newest;

    for (int i = 0; i < count; i++) {
        if (first == NULL || keys[i].kvno > first->kvno)
            first = &keys[i];
    }
    code = krb5_kt_get_entry(context, kt, principal, 0, 0, &any);
    if (code == ENOENT || code == EACCES) {
        error_errno(err, ERROR_FAILED, (int)code, "cannot read keytab %s", file);
        return KEYTAB_UNREADABLE;
    }
    if (code != 0 || first == NULL) {
        error_set(err, ERROR_FAILED, "keytab %s has no key of %s", file, name);
        return KEYTAB_MISSING;
    }
    same = compare_entry(context, kt, principal, first);
    newest = (int)any.vno;
    krb5_free_keytab_entry_contents(context, &any);
    if (newest > (int)first->kvno) {
        error_set(err, ERROR_FAILED,
                  "keytab %s holds kvno %d of %s, which is of another database: this one has kvno "
                  "%d",
                  file, newest, name, (int)first->kvno);
        return KEYTAB_NEWER;
    }
    if (same == 1)
        return KEYTAB_CURRENT;
    if (same == 0)
        error_set(err, ERROR_FAILED,
                  "keytab %s holds kvno %d of %s, but another key than the database", file,
                  (int)first->kvno, name);
    else
        error_set(err, ERROR_FAILED, "keytab %s holds kvno %d of %s, the database has kvno %d",
                  file, newest, name, (int)first->kvno);
    return same == 0 ? KEYTAB_WRONG : KEYTAB_STALE;
}

bool
principals_match_keytab(struct principals *p, const char *name, const char *keytab,
                        enum keytab_state *state, struct error *err)
{
    krb5_principal principal = NULL;
    krb5_keytab kt = NULL;
    kadm5_key_data *keys = NULL;
    int count = 0;
    krb5_error_code code;
    bool ok = false;

    *state = KEYTAB_UNREADABLE;
    code = krb5_parse_name(p->context, name, &principal);
    if (code == 0)
        code = kadm5_get_principal_keys(p->handle, principal, 0, &keys, &count);
    if (code == 0)
        code = krb5_kt_resolve(p->context, keytab, &kt);
    if (code != 0) {
        principals_failed(p, code, "read the keys of", name, err);
        goto cleanup;
    }
    *state = compare_keys(p->context, kt, principal, keys, count, name, keytab, err);
    ok = true;

cleanup:
    if (keys != NULL)
        kadm5_free_kadm5_key_data(p->context, count, keys);
    if (kt != NULL)
        krb5_kt_close(p->context, kt);
    krb5_free_principal(p->context, principal);
    return ok;
}
