/* acceptor - see acceptor.h. */
#include "agent/daemon/acceptor.h"

#include "agent/enroll/enroll_paths.h"
#include "agent/service/served.h"
#include "common/base/log.h"
#include "common/contract/refusals.h"
#include "common/krb5/realm.h"
#include "common/remctl/channel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    ENTRIES_MAX = 4096, /* of the keytab */
    REALMS_MAX = 32,    /* of its keys for this host */
    WATCHED_MAX = 8 + 2 * REALMS_MAX,
    TOLD_MAX = 8, /* lines about keys that open nothing */
    NAME_SIZE = 1100,
};

/* A file, and what it was when it was looked at; all 0 when it was missing. */
struct watched {
    char *path;
    struct stat seen;
};

struct acceptor {
    const struct settings *settings; /* until acceptor_new returns */
    krb5_context context;
    krb5_keytab memory; /* our entries */
    size_t taken, left; /* entries of the keytab: in memory, and not */
    gss_cred_id_t cred;
    char hostname[OWN_NAME_SIZE];
    struct own_names names;
    char *realms[REALMS_MAX + 1]; /* served, ended by NULL */
    struct watched watched[WATCHED_MAX];
    size_t watched_count;
};

/* --- what is looked at --- */

static void
look(const char *path, struct stat *st)
{
    if (stat(path, st) != 0)
        memset(st, 0, sizeof(*st));
}

static bool
same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* From before it is read, so that what is written meanwhile counts as a change. */
static void
watch(struct acceptor *a, const char *path)
{
    struct watched *w = &a->watched[a->watched_count];

    for (size_t i = 0; path != NULL && i < a->watched_count; i++) {
        if (strcmp(a->watched[i].path, path) == 0)
            return;
    }
    if (path == NULL || path[0] != '/' || a->watched_count == WATCHED_MAX ||
        (w->path = strdup(path)) == NULL)
        return;
    look(path, &w->seen);
    a->watched_count++;
}

static void
watch_realm(struct acceptor *a, const char *name)
{
    struct realm *realm = NULL;
    struct error ignored;

    if (!realm_load(name, &realm, &ignored))
        return;
    watch(a, realm->kdc_conf);
    watch(a, realm->kpropd_acl);
    watch(a, realm->stash);
    realm_free(realm);
}

bool
acceptor_is_stale(const struct acceptor *a)
{
    char hostname[OWN_NAME_SIZE] = "";
    struct stat st;

    gethostname(hostname, sizeof(hostname) - 1);
    if (strcmp(hostname, a->hostname) != 0)
        return true;
    for (size_t i = 0; i < a->watched_count; i++) {
        look(a->watched[i].path, &st);
        if (!same_file(&st, &a->watched[i].seen))
            return true;
    }
    return false;
}

/* --- realms --- */

static bool
is_among(char *const *list, const char *word)
{
    for (; *list != NULL; list++) {
        if (strcmp(*list, word) == 0)
            return true;
    }
    return false;
}

/* Append WORD to LIST, which has room for REALMS_MAX; false if memory is short. */
static bool
add_once(char **list, const char *word)
{
    size_t n = 0;

    if (is_among(list, word))
        return true;
    while (list[n] != NULL)
        n++;
    if (n == REALMS_MAX)
        return true;
    list[n] = strdup(word);
    list[n + 1] = NULL;
    return list[n] != NULL;
}

/*
 * Of the realms FOUND in the keytab those that are served here. Before a host has become a replica
 * nothing shows which: then it is the default realm, as for whom to let in (acl_permits).
 */
static bool
take_realms(struct acceptor *a, char *const *found)
{
    struct realm *realm = NULL;
    struct error ignored;
    bool ok = true;

    for (size_t i = 0; found[i] != NULL; i++)
        watch_realm(a, found[i]);
    for (size_t i = 0; ok && found[i] != NULL; i++) {
        if (served_shows(a->settings, found[i]))
            ok = add_once(a->realms, found[i]);
    }
    if (ok && a->realms[0] == NULL && realm_load(NULL, &realm, &ignored))
        ok = add_once(a->realms, realm->name);
    realm_free(realm);
    return ok;
}

/* --- principals --- */

static bool
data_is(const krb5_data *data, const char *text)
{
    return data->length == strlen(text) && memcmp(data->data, text, data->length) == 0;
}

enum acceptor_verdict
acceptor_judge(krb5_const_principal principal, const struct own_names *names, char *const *realms)
{
    if (principal->length != 2 || !data_is(&principal->data[0], "host"))
        return ACCEPTOR_OTHER_SERVICE;
    if (!own_names_has(names, principal->data[1].data, principal->data[1].length))
        return ACCEPTOR_OTHER_HOST;
    for (; realms != NULL && *realms != NULL; realms++) {
        if (data_is(&principal->realm, *realms))
            return ACCEPTOR_OURS;
    }
    return realms == NULL ? ACCEPTOR_OURS : ACCEPTOR_OTHER_REALM;
}

bool
acceptor_takes(const struct acceptor *a, const char *target)
{
    krb5_principal principal = NULL;
    bool ours;

    if (target == NULL ||
        krb5_parse_name_flags(a->context, target, KRB5_PRINCIPAL_PARSE_REQUIRE_REALM, &principal) !=
            0)
        return false;
    ours = acceptor_judge(principal, &a->names, a->realms) == ACCEPTOR_OURS;
    krb5_free_principal(a->context, principal);
    return ours;
}

/* --- the keytab --- */

/* The keytab that counts, malloced: "FILE:PATH", or what else libkrb5 knows. */
static char *
keytab_name(struct acceptor *a)
{
    char name[NAME_SIZE] = "", *full;

    if (a->settings->keytab == NULL)
        return krb5_kt_default_name(a->context, name, sizeof(name)) == 0 ? strdup(name) : NULL;
    return asprintf(&full, "FILE:%s", a->settings->keytab) < 0 ? NULL : full;
}

static bool
krb5_failed(struct acceptor *a, krb5_error_code code, struct error *err)
{
    const char *text = krb5_get_error_message(a->context, code);

    error_set(err, ERROR_FAILED, "cannot read the keytab: %s", text);
    krb5_free_error_message(a->context, text);
    return false;
}

typedef bool entry_function(struct acceptor *a, krb5_keytab_entry *entry, void *arg);

/* Call FUNCTION with each entry of KEYTAB. */
static bool
for_each(struct acceptor *a, const char *name, entry_function *function, void *arg,
         struct error *err)
{
    krb5_keytab keytab = NULL;
    krb5_kt_cursor cursor;
    krb5_keytab_entry entry;
    krb5_error_code code = krb5_kt_resolve(a->context, name, &keytab);
    bool ok = true;

    if (code == 0)
        code = krb5_kt_start_seq_get(a->context, keytab, &cursor);
    if (code == 0) {
        for (size_t i = 0; ok && i < ENTRIES_MAX; i++) {
            code = krb5_kt_next_entry(a->context, keytab, &entry, &cursor);
            if (code != 0)
                break;
            ok = function(a, &entry, arg);
            krb5_free_keytab_entry_contents(a->context, &entry);
        }
        krb5_kt_end_seq_get(a->context, keytab, &cursor);
    }
    if (code != 0 && code != KRB5_KT_END)
        ok = krb5_failed(a, code, err);
    else if (!ok)
        error_memory(err);
    if (keytab != NULL)
        krb5_kt_close(a->context, keytab);
    return ok;
}

/* The realm of a key for this host into ARG. */
static bool
note_realm(struct acceptor *a, krb5_keytab_entry *entry, void *arg)
{
    const krb5_data *realm = &entry->principal->realm;
    char *name;
    bool ok;

    if (acceptor_judge(entry->principal, &a->names, NULL) != ACCEPTOR_OURS)
        return true;
    name = strndup(realm->data, realm->length);
    ok = name != NULL && add_once(arg, name);
    free(name);
    return ok;
}

/* A key of host/ that opens nothing, and what would change that. TOLD: of which it has been told.
 */
static bool
tell(struct acceptor *a, krb5_const_principal principal, enum acceptor_verdict why, char **told)
{
    const krb5_data *host = &principal->data[1], *realm = &principal->realm;
    char *name = NULL;
    size_t n = 0;
    bool ok = true;

    while (told[n] != NULL)
        n++;
    if (n >= TOLD_MAX || krb5_unparse_name(a->context, principal, &name) != 0)
        return true;
    if (!is_among(told, name)) {
        ok = add_once(told, name);
        if (why == ACCEPTOR_OTHER_HOST)
            log_notice("the key of %s opens nothing: %.*s is no name of this host; if it is one: "
                       "names = %.*s in agent.conf",
                       name, (int)host->length, host->data, (int)host->length, host->data);
        else
            log_notice("the key of %s opens nothing: this host serves no realm %.*s; if it does: "
                       "realms = %.*s in agent.conf",
                       name, (int)realm->length, realm->data, (int)realm->length, realm->data);
    }
    krb5_free_unparsed_name(a->context, name);
    return ok;
}

/* Our entries go to the keytab in memory, all versions of their keys. */
static bool
take_entry(struct acceptor *a, krb5_keytab_entry *entry, void *arg)
{
    enum acceptor_verdict verdict = acceptor_judge(entry->principal, &a->names, a->realms);

    if (verdict == ACCEPTOR_OURS) {
        a->taken++;
        return krb5_kt_add_entry(a->context, a->memory, entry) == 0;
    }
    a->left++;
    return verdict == ACCEPTOR_OTHER_SERVICE || tell(a, entry->principal, verdict, arg);
}

static void
free_words(char **list)
{
    for (char **p = list; *p != NULL; p++)
        free(*p);
    memset(list, 0, (REALMS_MAX + 1) * sizeof(*list));
}

/* What is missing in keytab NAME. */
static bool
nothing_for_us(const struct acceptor *a, const char *name, struct error *err)
{
    const struct refusal_names names = { .realm = a->realms[0], .replica = a->hostname };
    char ways[sizeof(err->hint)];

    error_set(err, ERROR_FAILED,
              "cannot use the keytab %s: it has no key of host/%s in a realm that this host serves "
              "(%s)%s",
              name, a->names.count > 0 ? a->names.list[0] : a->hostname,
              a->realms[0] != NULL ? a->realms[0] : "none",
              a->left > 0 ? "; what it has opens nothing here" : "");
    return error_hint(err, "%s", refusal_ways(REFUSAL_FOREIGN_KEY, &names, ways, sizeof(ways)));
}

static bool
fill(struct acceptor *a, struct error *err)
{
    char memory[64], *found[REALMS_MAX + 1] = { NULL }, *told[REALMS_MAX + 1] = { NULL };
    char *name = keytab_name(a);
    bool ok = false;

    if (name == NULL) {
        error_memory(err);
        goto cleanup;
    }
    watch(a, strncmp(name, "FILE:", 5) == 0 ? name + 5 : name);
    /* Of this process alone, and of this acceptor: two may be there while one replaces the other.
     */
    snprintf(memory, sizeof(memory), "MEMORY:acceptor-%p", (void *)a);
    if (!for_each(a, name, note_realm, found, err))
        goto cleanup;
    if (!take_realms(a, found) || krb5_kt_resolve(a->context, memory, &a->memory) != 0) {
        error_memory(err);
        goto cleanup;
    }
    ok = for_each(a, name, take_entry, told, err) &&
         (a->taken > 0 || nothing_for_us(a, name, err)) &&
         channel_acquire_acceptor(memory, &a->cred, err);

cleanup:
    free_words(found);
    free_words(told);
    free(name);
    return ok;
}

struct acceptor *
acceptor_new(const struct settings *settings, struct error *err)
{
    struct acceptor *a = calloc(1, sizeof(*a));
    char *krb5_conf = enroll_krb5_conf();

    error_clear(err);
    if (a == NULL || krb5_conf == NULL) {
        error_memory(err);
        goto failed;
    }
    a->settings = settings;
    a->cred = GSS_C_NO_CREDENTIAL;
    gethostname(a->hostname, sizeof(a->hostname) - 1);
    watch(a, OWN_NAMES_HOSTS);
    watch(a, OWN_NAMES_RESOLV);
    watch(a, krb5_conf);
    own_names_read(settings->names, &a->names);
    if (krb5_init_context(&a->context) != 0)
        error_set(err, ERROR_FAILED, "cannot read the keytab: krb5.conf cannot be read");
    else if (!fill(a, err))
        a->cred = GSS_C_NO_CREDENTIAL;
    a->settings = NULL;
    free(krb5_conf);
    return a;

failed:
    free(krb5_conf);
    free(a);
    return NULL;
}

void
acceptor_free(struct acceptor *a)
{
    OM_uint32 minor;

    if (a == NULL)
        return;
    gss_release_cred(&minor, &a->cred);
    if (a->memory != NULL)
        krb5_kt_close(a->context, a->memory); /* the last one: its keys are wiped and gone */
    free_words(a->realms);
    for (size_t i = 0; i < a->watched_count; i++)
        free(a->watched[i].path);
    krb5_free_context(a->context);
    free(a);
}

gss_cred_id_t
acceptor_credential(const struct acceptor *a)
{
    return a->cred;
}
