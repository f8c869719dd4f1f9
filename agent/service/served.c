/* served - see served.h. */
#include "agent/service/served.h"

#include "agent/base/own_names.h"
#include "agent/service/kpropd_acl.h"
#include "common/krb5/realm.h"

#include <jansson.h>
#include <krb5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool
acl_names_realm(const char *file, const char *realm)
{
    json_t *entries = NULL, *entry;
    struct error ignored;
    bool exists, found = false;
    size_t i;

    if (!kpropd_acl_read(file, &exists, &entries, &ignored))
        return false;
    json_array_foreach(entries, i, entry)
    {
        const char *line = json_string_value(entry), *at = line == NULL ? NULL : strchr(line, '@');

        found = found || (at != NULL && strncmp(at + 1, realm, strlen(realm)) == 0 &&
                          strchr(" \t\r", at[1 + strlen(realm)]) != NULL);
    }
    json_decref(entries);
    return found;
}

/* Is FILE a stash, in krb5's format of today, with a key of MASTER_KEY? */
static bool
stash_is_of(const char *file, const char *master_key)
{
    krb5_context context = NULL;
    krb5_principal wanted = NULL;
    krb5_keytab stash = NULL;
    krb5_keytab_entry entry;
    char *name = NULL;
    bool found = false;

    memset(&entry, 0, sizeof(entry));
    if (access(file, R_OK) == 0 && asprintf(&name, "FILE:%s", file) > 0 &&
        krb5_init_context(&context) == 0 && krb5_parse_name(context, master_key, &wanted) == 0 &&
        krb5_kt_resolve(context, name, &stash) == 0) {
        found = krb5_kt_get_entry(context, stash, wanted, 0, 0, &entry) == 0;
        if (found)
            krb5_free_keytab_entry_contents(context, &entry);
        krb5_kt_close(context, stash);
    }
    krb5_free_principal(context, wanted);
    krb5_free_context(context);
    free(name);
    return found;
}

bool
served_shows(const struct settings *settings, const char *name)
{
    struct realm *realm = NULL;
    struct error ignored;
    bool served;

    if (own_names_listed(settings->realms, name))
        return true;
    if (!realm_load(name, &realm, &ignored))
        return false;
    served =
        acl_names_realm(realm->kpropd_acl, name) || stash_is_of(realm->stash, realm->master_key);
    realm_free(realm);
    return served;
}

/* One more of LIST in TEXT, cut where that is full. */
static void
add_realm(char *text, size_t size, const char *name, size_t name_len)
{
    size_t len = strlen(text);

    snprintf(text + len, size - len, "%s%.*s", len == 0 ? "" : ", ", (int)name_len, name);
}

static bool
refuse(const struct settings *settings, char *const *names, const char *realm, const char *verb,
       struct error *err)
{
    const char *listed = settings->realms == NULL ? "" : settings->realms;
    char serves[200] = "";

    for (; *(listed += strspn(listed, ", \t\n")) != '\0'; listed += strcspn(listed, ", \t\n"))
        add_realm(serves, sizeof(serves), listed, strcspn(listed, ", \t\n"));
    for (; *names != NULL; names++)
        add_realm(serves, sizeof(serves), *names, strlen(*names));
    error_set(err, ERROR_USAGE, "cannot run %s: realm %s is none of this host's (%s)", verb, realm,
              serves[0] == '\0' ? "it has none" : serves);
    return error_hint(err, "Realms are of capital letters as a rule; one that is to be served here "
                           "needs a section in [realms] of krb5.conf");
}

bool
served_check(const struct settings *settings, const char *realm, const char *verb,
             struct error *err)
{
    char **names;
    bool known = false;

    if (served_shows(settings, realm))
        return true;
    if (!realm_names(&names, err))
        return false;
    for (size_t i = 0; !known && names[i] != NULL; i++)
        known = strcmp(names[i], realm) == 0;
    if (!known)
        refuse(settings, names, realm, verb, err);
    realm_free_names(names);
    return known;
}
