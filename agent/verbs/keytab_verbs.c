/* keytab_verbs - see keytab_verbs.h. */
#include "agent/verbs/keytab_verbs.h"

#include "common/krb5/keytab.h"
#include "common/krb5/realm.h"

#include <krb5.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { FILES_MAX = 2 };

/* Whose keys are changed, and where. */
struct subject {
    struct realm *realm;
    const char *principal;
    const char *files[FILES_MAX];
    size_t count;
};

/* Is PRINCIPAL host/NAME@REALM with the name that services of this host take for themselves? */
static bool
is_own(const char *principal, const char *realm)
{
    krb5_context context = NULL;
    krb5_principal own = NULL, asked = NULL;
    bool same = false;

    if (krb5_init_context(&context) != 0)
        return false;
    if (krb5_sname_to_principal(context, NULL, "host", KRB5_NT_SRV_HST, &own) == 0 &&
        krb5_set_principal_realm(context, own, realm) == 0 &&
        krb5_parse_name(context, principal, &asked) == 0)
        same = krb5_principal_compare(context, own, asked);
    krb5_free_principal(context, own);
    krb5_free_principal(context, asked);
    krb5_free_context(context);
    return same;
}

static bool
open_subject(struct subject *s, const struct verb_call *call, struct error *err)
{
    const char *own = call->settings->keytab;

    memset(s, 0, sizeof(*s));
    if (!realm_load(call->argv[0], &s->realm, err))
        return false;
    s->principal = call->argv[1];
    if (!is_own(s->principal, s->realm->name)) {
        error_set(err, ERROR_REFUSED, "cannot change the keys of %.300s: not this host's own of %s",
                  s->principal, s->realm->name);
        return error_hint(err, "What this host calls itself: kpropctl-agent facts, under host");
    }
    s->files[s->count++] = s->realm->keytab;
    if (own != NULL && strncmp(own, "FILE:", 5) == 0)
        own += 5;
    if (own != NULL && strcmp(own, s->realm->keytab) != 0)
        s->files[s->count++] = own;
    return true;
}

static json_t *
file_names(const struct subject *s)
{
    json_t *list = json_array();

    for (size_t i = 0; i < s->count; i++)
        json_array_append_new(list, json_string(s->files[i]));
    return list;
}

bool
keytab_verb_add(const struct verb_call *call, json_t **reply, struct error *err)
{
    /* Ours since the request: nobody reads it after us. */
    char *secret = (char *)(uintptr_t)call->argv[2];
    bool changed = false, one, ok;
    struct keytab_keys keys;
    struct subject s;

    ok = keytab_keys_read(secret, &keys, err);
    explicit_bzero(secret, strlen(secret));
    if (!ok)
        return false;
    ok = open_subject(&s, call, err);
    for (size_t i = 0; ok && i < s.count; i++) {
        ok = keytab_put(s.files[i], s.principal, &keys, &one, err);
        changed = changed || one;
    }
    if (ok)
        *reply = json_pack("{s:b, s:i, s:o}", "changed", changed, "kvno", (int)keys.kvno, "files",
                           file_names(&s));
    keytab_keys_wipe(&keys);
    realm_free(s.realm);
    return ok;
}

bool
keytab_verb_drop(const struct verb_call *call, json_t **reply, struct error *err)
{
    unsigned dropped = 0, one;
    struct subject s;
    char *end;
    long kvno = strtol(call->argv[2], &end, 10);
    bool ok;

    if (*end != '\0' || end == call->argv[2] || kvno < 1 || kvno > 65535)
        return error_set(err, ERROR_USAGE, "cannot drop keys older than '%s': not 1 to 65535",
                         call->argv[2]);
    ok = open_subject(&s, call, err);
    for (size_t i = 0; ok && i < s.count; i++) {
        ok = keytab_drop_older(s.files[i], s.principal, (unsigned)kvno, &one, err);
        dropped += one;
    }
    if (ok)
        *reply = json_pack("{s:b, s:i, s:i, s:o}", "changed", dropped > 0, "kvno", (int)kvno,
                           "dropped", (int)dropped, "files", file_names(&s));
    realm_free(s.realm);
    return ok;
}
