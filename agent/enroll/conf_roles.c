/* conf_roles - see conf_roles.h. */
#include "agent/enroll/conf_roles.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char database_name[] = "database_name";

/* Files of a KDC by their names, as they are where no configuration says otherwise; a * stands for
 * anything. */
static const struct role {
    const char *name;
    const char *relation; /* that may name it; NULL: none */
    const char *why;
} roles[] = {
    { "kpropd.acl", NULL, "it is kpropd's access list" },
    { "kdc.conf", NULL, "it is the KDC's configuration" },
    { "krb5.conf", NULL, "it is Kerberos' configuration" },
    { "stash", NULL, "it is a stash" },
    { ".k5.*", NULL, "it is a stash" },
    { "*.keytab", NULL, "it is a keytab" },
    { "from_master*", NULL, "kpropd receives there" },
    { "*.ulog", NULL, "it is an update log" },
    { "kadm5.acl", "acl_file", "it is kadmind's access list" },
    { "kadm5.dict", "dict_file", "it is a list of words" },
    { "principal", database_name, "it is a database" },
    { "principal.*", database_name, "it is of a database" },
    { "principal~*", database_name, "it is of a database" },
};

bool
conf_roles_follow(const char *path, char *real)
{
    char head[PATH_MAX], *resolved = NULL, *slash;
    int len;

    snprintf(head, sizeof(head), "%s", path);
    while ((resolved = realpath(head, NULL)) == NULL) {
        struct stat st;

        /* A link to what is not there may come to be anything. */
        if (errno != ENOENT || lstat(head, &st) == 0 || (slash = strrchr(head, '/')) == NULL)
            return false;
        *slash = '\0';
        if (slash == head)
            snprintf(head, sizeof(head), "/");
    }
    len = snprintf(real, PATH_MAX, "%s%s", strcmp(resolved, "/") == 0 ? "" : resolved,
                   path + (strcmp(head, "/") == 0 ? 0 : strlen(head)));
    free(resolved);
    return len < PATH_MAX;
}

static const char *
relation_of(const struct conf_relation *r)
{
    return r->names[conf_count(r->names) - 1];
}

/* PATTERN has a * at its beginning, at its end, or none. */
static bool
matches(const char *name, const char *pattern)
{
    size_t len = strlen(name), fixed = strlen(pattern) - 1;

    if (pattern[0] == '*')
        return len >= fixed && strcmp(name + len - fixed, pattern + 1) == 0;
    if (pattern[fixed] == '*')
        return strncmp(name, pattern, fixed) == 0;
    return strcmp(name, pattern) == 0;
}

/* Is PATH the database NAME, or one of its other files? (Its update log may be named apart.) */
static bool
is_of_database(const char *name, const char *path)
{
    static const char *const others[] = { "~", ".ok", ".kadm5", ".mdb", ".lockout", ".kpropctl" };
    size_t len = strlen(name);
    bool is = strcmp(name, path) == 0;

    for (size_t i = 0; strncmp(path, name, len) == 0 && i < sizeof(others) / sizeof(*others); i++)
        is = is || strncmp(path + len, others[i], strlen(others[i])) == 0;
    return is;
}

static bool
clash(const char *real1, const char *relation1, const char *real2, const char *relation2)
{
    if (strcmp(relation1, relation2) == 0)
        return false;
    return strcmp(real1, real2) == 0 ||
           (strcmp(relation1, database_name) == 0 && is_of_database(real1, real2)) ||
           (strcmp(relation2, database_name) == 0 && is_of_database(real2, real1));
}

bool
conf_roles_clash(const char *real1, const struct conf_relation *r1, const char *real2,
                 const struct conf_relation *r2)
{
    return clash(real1, relation_of(r1), real2, relation_of(r2));
}

/* Does what OWN says by NAMES, [section] name { relation }, clash with R's REAL? */
static bool
clashes_with_own(profile_t own, const char *const *names, const char *real,
                 const struct conf_relation *r)
{
    bool other_realm = strcmp(names[0], "realms") == 0 && strcmp(r->names[0], "realms") == 0 &&
                       strcmp(names[1], r->names[1]) != 0 && strcmp(names[2], database_name) == 0 &&
                       strcmp(relation_of(r), database_name) == 0;
    char **values = NULL, there[PATH_MAX];
    bool found = false;

    if (profile_get_values(own, (const char **)(uintptr_t)names, &values) == 0) {
        for (char **v = values; v != NULL && *v != NULL; v++) {
            const char *colon = strchr(*v, ':'), *path = colon == NULL ? *v : colon + 1;

            if (path[0] != '/' || !conf_roles_follow(path, there))
                continue;
            found = found || clash(there, names[2], real, relation_of(r)) ||
                    (other_realm && strcmp(there, real) == 0);
        }
    }
    profile_free_list(values);
    return found;
}

static bool
is_own_of_another(profile_t own, const char *real, const struct conf_relation *r)
{
    static const char *const sections[] = { "realms", "dbmodules" };
    static const char *const relations[] = { database_name,    "acl_file",     "dict_file",
                                             "key_stash_file", "admin_keytab", "iprop_logfile" };
    bool found = false;

    for (size_t i = 0; i < 2; i++) {
        const char *section[] = { sections[i], NULL };
        char **list = NULL;

        if (profile_get_subsection_names(own, section, &list) != 0)
            continue;
        for (char **name = list; name != NULL && *name != NULL; name++) {
            for (size_t k = 0; k < sizeof(relations) / sizeof(*relations); k++) {
                const char *names[] = { sections[i], *name, relations[k], NULL };

                found = found || clashes_with_own(own, names, real, r);
            }
        }
        profile_free_list(list);
    }
    return found;
}

const char *
conf_roles_wrong(const char *real, const struct conf_relation *r, profile_t own)
{
    const char *slash = strrchr(real, '/'), *name = slash == NULL ? real : slash + 1;

    for (size_t i = 0; i < sizeof(roles) / sizeof(*roles); i++) {
        const struct role *role = &roles[i];

        if (matches(name, role->name) &&
            (role->relation == NULL || strcmp(role->relation, relation_of(r)) != 0))
            return role->why;
    }
    return own != NULL && is_own_of_another(own, real, r) ? "this host has it for something else"
                                                          : NULL;
}
