/*
 * realm - see realm.h.
 *
 * The only use of libkadm5 outside kpropctl/krb5/principals.c, for its reading of kdc.conf alone:
 * where kdc.conf is, and the defaults that were compiled in, are known to nobody else. Those
 * defaults come out of asking for a realm that cannot exist.
 */
#include "common/krb5/realm.h"

#include <kadm5/admin.h>
#include <krb5.h>
#include <profile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool
krb5_failed(krb5_context context, krb5_error_code code, const char *what, struct error *err)
{
    const char *text = krb5_get_error_message(context, code);

    error_set(err, ERROR_USAGE, "cannot %s: %s", what, text);
    krb5_free_error_message(context, text);
    return false;
}

/* [SECTION] NAME { KEY }, or NULL; freed by the caller. */
static char *
get_string(profile_t profile, const char *section, const char *name, const char *key)
{
    const char *names[] = { section, name, key, NULL };
    char **values = NULL, *value = NULL;

    if (profile_get_values(profile, names, &values) == 0 && values != NULL && values[0] != NULL)
        value = strdup(values[0]);
    profile_free_list(values);
    return value;
}

static char *
copy_or_null(const char *s)
{
    return s == NULL ? NULL : strdup(s);
}

/* NAME in the folder of PATH. */
static char *
beside(const char *path, const char *name)
{
    const char *slash = path == NULL ? NULL : strrchr(path, '/');
    char *result;

    if (slash == NULL)
        return NULL;
    if (asprintf(&result, "%.*s/%s", (int)(slash - path), path, name) < 0)
        return NULL;
    return result;
}

static char *
folder_of(const char *path)
{
    const char *slash = path == NULL ? NULL : strrchr(path, '/');

    return slash == NULL || slash == path ? NULL : strndup(path, (size_t)(slash - path));
}

/* As kadm5_init_krb5_context: a list of files, of which the first counts most. */
static char *
kdc_conf_path(const char *default_acl)
{
    const char *list = secure_getenv("KRB5_KDC_PROFILE");

    if (list != NULL && list[0] == '/')
        return strndup(list, strcspn(list, ":"));
    return beside(default_acl, "kdc.conf");
}

/* db2 is what libkdb5 takes when nothing is said; the module's section is named as the realm is. */
static bool
read_database(profile_t profile, const char *dbname, struct realm *realm)
{
    char *module = get_string(profile, "realms", realm->name, "database_module");
    const char *section = module != NULL ? module : realm->name;

    realm->backend = get_string(profile, "dbmodules", section, "db_library");
    if (realm->backend == NULL)
        realm->backend = strdup("db2");
    realm->database = get_string(profile, "dbmodules", section, "database_name");
    if (realm->database == NULL)
        realm->database = copy_or_null(dbname);
    free(module);
    return realm->backend != NULL && realm->database != NULL;
}

/* 88 if LIST ("750,88", "10.0.0.1:88 [::]:88") has it, else its first port, else 0. */
static int
pick_port(char *list)
{
    char *save = NULL;
    int first = 0;

    for (char *word = strtok_r(list, ", \t", &save); word != NULL;
         word = strtok_r(NULL, ", \t", &save)) {
        char *colon = strrchr(word, ':'), *end;
        long port = strtol(colon != NULL ? colon + 1 : word, &end, 10);

        if (*end != '\0' || port < 1 || port > 65535)
            continue;
        if (port == 88)
            return 88;
        if (first == 0)
            first = (int)port;
    }
    return first;
}

/* The realm's own setting counts before [kdcdefaults], kdc_listen before the older kdc_ports. */
static int
read_kdc_port(profile_t profile, const char *realm)
{
    static const char *const keys[] = { "kdc_listen", "kdc_ports" };
    int port = 0;

    for (int i = 0; i < 4 && port == 0; i++) {
        char *value = i < 2 ? get_string(profile, "realms", realm, keys[i])
                            : get_string(profile, "kdcdefaults", keys[i - 2], NULL);

        if (value != NULL)
            port = pick_port(value);
        free(value);
    }
    return port == 0 ? 88 : port;
}

/* Without key_stash_file, libkdb5 takes .k5.REALM in the folder of the other KDC files. */
static char *
default_stash(const char *acl_file, const char *realm)
{
    char name[300];

    snprintf(name, sizeof(name), ".k5.%s", realm);
    return beside(acl_file, name);
}

static void
read_params(const kadm5_config_params *params, const char *default_acl, struct realm *realm)
{
    realm->stash = params->stash_file != NULL ? strdup(params->stash_file)
                                              : default_stash(default_acl, realm->name);
    realm->iprop = (params->mask & KADM5_CONFIG_IPROP_ENABLED) && params->iprop_enabled;
    realm->iprop_log = copy_or_null(params->iprop_logfile);
    realm->iprop_log_entries = params->iprop_ulogsize;
    realm->iprop_resync_timeout = params->iprop_resync_timeout;
    if (realm->iprop_resync_timeout <= 0)
        realm->iprop_resync_timeout = 300;
    if (asprintf(&realm->master_key, "%s@%s", params->mkey_name != NULL ? params->mkey_name : "K/M",
                 realm->name) < 0)
        realm->master_key = NULL;
}

static bool
read_keytab(krb5_context context, struct realm *realm)
{
    char name[1024];

    if (krb5_kt_default_name(context, name, sizeof(name)) != 0)
        return false;
    realm->keytab = strdup(strncmp(name, "FILE:", 5) == 0 ? name + 5 : name);
    return realm->keytab != NULL;
}

static bool
read_all(krb5_context context, struct realm *realm, struct error *err)
{
    static char impossible[] = "KPROPCTL.INVALID";
    const char *admin[] = { "realms", realm->name, "admin_server", NULL };
    const char *kdc[] = { "realms", realm->name, "kdc", NULL };
    kadm5_config_params in = { .mask = KADM5_CONFIG_REALM, .realm = realm->name }, params, defaults;
    profile_t profile = NULL;
    krb5_error_code code;
    bool ok;

    memset(&params, 0, sizeof(params));
    memset(&defaults, 0, sizeof(defaults));
    code = kadm5_get_config_params(context, 1, &in, &params);
    if (code == 0) {
        in.realm = impossible;
        code = kadm5_get_config_params(context, 1, &in, &defaults);
    }
    if (code == 0)
        code = krb5_get_profile(context, &profile);
    if (code != 0) {
        krb5_failed(context, code, "read krb5.conf and kdc.conf", err);
        ok = false;
        goto cleanup;
    }
    read_params(&params, defaults.acl_file, realm);
    realm->conf_dir = folder_of(defaults.acl_file);
    realm->data_dir = folder_of(defaults.dbname);
    realm->kdc_conf = kdc_conf_path(defaults.acl_file);
    realm->kpropd_acl = beside(defaults.acl_file, "kpropd.acl");
    realm->spool = beside(defaults.dbname, "from_master");
    realm->kdc_port = read_kdc_port(profile, realm->name);
    if (profile_get_values(profile, admin, &realm->admin_server) != 0)
        realm->admin_server = NULL;
    if (profile_get_values(profile, kdc, &realm->kdc) != 0)
        realm->kdc = NULL;
    ok = read_database(profile, params.dbname, realm) && read_keytab(context, realm) &&
         realm->stash != NULL && realm->master_key != NULL && realm->kpropd_acl != NULL &&
         realm->spool != NULL && realm->conf_dir != NULL && realm->data_dir != NULL &&
         realm->kdc_conf != NULL;
    if (!ok)
        error_memory(err);

cleanup:
    kadm5_free_config_params(context, &params);
    kadm5_free_config_params(context, &defaults);
    profile_release(profile);
    return ok;
}

bool
realm_load(const char *name, struct realm **out, struct error *err)
{
    struct realm *realm = calloc(1, sizeof(*realm));
    krb5_context context = NULL;
    char *default_realm = NULL;
    krb5_error_code code;
    bool ok = false;

    *out = NULL;
    if (realm == NULL)
        return error_memory(err);
    code = kadm5_init_krb5_context(&context);
    if (code != 0) {
        krb5_failed(NULL, code, "read krb5.conf and kdc.conf", err);
        goto cleanup;
    }
    if (name == NULL && (code = krb5_get_default_realm(context, &default_realm)) != 0) {
        krb5_failed(context, code, "tell the default realm", err);
        error_hint(err, "set default_realm in krb5.conf, or name the realm with -r");
        goto cleanup;
    }
    realm->name = strdup(name != NULL ? name : default_realm);
    if (realm->name == NULL) {
        error_memory(err);
        goto cleanup;
    }
    ok = read_all(context, realm, err);

cleanup:
    if (context != NULL) {
        krb5_free_default_realm(context, default_realm);
        krb5_free_context(context);
    }
    if (ok)
        *out = realm;
    else
        realm_free(realm);
    return ok;
}

void
realm_free(struct realm *realm)
{
    if (realm == NULL)
        return;
    free(realm->name);
    free(realm->backend);
    free(realm->database);
    free(realm->stash);
    free(realm->master_key);
    free(realm->kdc_conf);
    free(realm->conf_dir);
    free(realm->data_dir);
    free(realm->kpropd_acl);
    free(realm->spool);
    free(realm->iprop_log);
    free(realm->keytab);
    profile_free_list(realm->admin_server);
    profile_free_list(realm->kdc);
    free(realm);
}

/* FIRST (or NULL) and what else is in LIST (or NULL), copied; NULL if memory is short. */
static char **
copy_names(const char *first, char *const *list)
{
    size_t n = 0;
    char **names;

    while (list != NULL && list[n] != NULL)
        n++;
    names = calloc(n + 2, sizeof(*names));
    if (names == NULL)
        return NULL;
    n = 0;
    if (first != NULL && (names[n++] = strdup(first)) == NULL)
        goto failed;
    for (; list != NULL && *list != NULL; list++) {
        if (first != NULL && strcmp(*list, first) == 0)
            continue;
        if ((names[n++] = strdup(*list)) == NULL)
            goto failed;
    }
    return names;

failed:
    realm_free_names(names);
    return NULL;
}

bool
realm_names(char ***names, struct error *err)
{
    const char *section[] = { "realms", NULL };
    krb5_context context = NULL;
    profile_t profile = NULL;
    char *default_realm = NULL, **list = NULL;
    krb5_error_code code;

    *names = NULL;
    code = kadm5_init_krb5_context(&context);
    if (code == 0)
        code = krb5_get_profile(context, &profile);
    if (code != 0) {
        krb5_failed(context, code, "read krb5.conf and kdc.conf", err);
        goto cleanup;
    }
    if (krb5_get_default_realm(context, &default_realm) != 0)
        default_realm = NULL;
    if (profile_get_subsection_names(profile, section, &list) != 0)
        list = NULL;
    *names = copy_names(default_realm, list);
    if (*names == NULL)
        error_memory(err);

cleanup:
    profile_free_list(list);
    profile_release(profile);
    if (context != NULL) {
        krb5_free_default_realm(context, default_realm);
        krb5_free_context(context);
    }
    return *names != NULL;
}

void
realm_free_names(char **names)
{
    for (size_t i = 0; names != NULL && names[i] != NULL; i++)
        free(names[i]);
    free(names);
}

/* Debian's package of the program alone: a wrong one may stop a daemon that it conflicts with. */
static const char *
package_of(const char *program)
{
    if (strcmp(program, "kprop") == 0)
        return "krb5-admin-server";
    return strcmp(program, "kpropd") == 0 ? "krb5-kpropd" : "krb5-kdc";
}

bool
realm_find_program(const char *name, char *path, size_t size, struct error *err)
{
    static const char *const folders[] = { "/usr/sbin", "/usr/bin", "/sbin", "/usr/local/sbin",
                                           "/usr/lib/mit/sbin" };

    for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
        if (snprintf(path, size, "%s/%s", folders[i], name) < (int)size && access(path, X_OK) == 0)
            return true;
    }
    path[0] = '\0';
    error_set(err, ERROR_FAILED, "cannot find %s in /usr/sbin and the like", name);
    return error_hint(err, "install MIT Kerberos' server programs (Debian: %s; RHEL: krb5-server)",
                      package_of(name));
}
