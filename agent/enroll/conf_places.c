/* conf_places - see conf_places.h. */
#include "agent/enroll/conf_places.h"

#include "agent/enroll/conf_allowed.h"
#include "agent/enroll/conf_roles.h"
#include "common/contract/refusals.h"
#include "common/host/process.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The system's lists of words, which RHEL's kdc.conf names as it comes: kadmind only reads them. */
#define WORDS_FOLDER "/usr/share/dict"

/* --- from the primary's folders to ours --- */

/* Is PATH in FOLDER? Then the rest of it, with its slash. */
static const char *
below(const char *path, const char *folder)
{
    size_t len = strlen(folder);

    return strncmp(path, folder, len) == 0 && path[len] == '/' ? path + len : NULL;
}

/* On RHEL both folders are one: then the file's kind decides where it goes. */
static bool
move_path(char **value, enum conf_kind kind, const struct kdc_folders *primary,
          const struct kdc_folders *here, struct error *err)
{
    const char *in_data = below(*value, primary->data_dir);
    const char *in_conf = below(*value, primary->conf_dir);
    char *moved;

    if (in_data != NULL && in_conf != NULL)
        *(kind == CONF_FILE ? &in_data : &in_conf) = NULL;
    if (in_data == NULL && in_conf == NULL)
        return true;
    if (asprintf(&moved, "%s%s", in_data != NULL ? here->data_dir : here->conf_dir,
                 in_data != NULL ? in_data : in_conf) < 0)
        return error_memory(err);
    free(*value);
    *value = moved;
    return true;
}

static bool
is_path(enum conf_kind kind)
{
    return kind == CONF_FILE || kind == CONF_DATABASE;
}

bool
conf_places_move(struct conf_wanted *wanted, const struct kdc_folders *primary,
                 const struct kdc_folders *here, struct error *err)
{
    bool ok = true;

    for (size_t i = 0; ok && i < wanted->count; i++) {
        struct conf_relation *r = &wanted->list[i];
        enum conf_kind kind = conf_kind_of(r);

        for (char **value = r->values; ok && is_path(kind) && *value != NULL; value++)
            ok = move_path(value, kind, primary, here, err);
    }
    return ok;
}

/* --- is a path ours? --- */

/* What a check of one relation needs. */
struct place {
    const struct conf_relation *relation;
    enum conf_kind kind;
    profile_t own;
    const struct kdc_folders *here;
    char real[PATH_MAX]; /* the path at work, its links followed */
};

/* Absolute, of plain characters (libkrb5 expands some others), without "//", "." and "..". */
static bool
is_plain(const char *path)
{
    const char *p = path;

    if (*p != '/' || strlen(path) >= PATH_MAX)
        return false;
    for (; *p != '\0'; p++) {
        if ((unsigned char)*p <= ' ' || *p == 0x7f || strchr("%\"\\$`'*?", *p) != NULL)
            return false;
    }
    for (p = path; *p != '\0';) {
        size_t len = strcspn(++p, "/");

        if (len == 0 || (len == 1 && p[0] == '.') || (len == 2 && p[0] == '.' && p[1] == '.'))
            return false;
        p += len;
    }
    return true;
}

static bool
is_below(const char *real, const char *folder)
{
    char resolved[PATH_MAX];

    return conf_roles_follow(folder, resolved) && below(real, resolved) != NULL;
}

/* Is REAL right in the folder that FILE is in? */
static bool
is_beside(const char *real, const char *file)
{
    char resolved[PATH_MAX], *slash;
    const char *rest;

    if (!is_plain(file) || !conf_roles_follow(file, resolved) ||
        (slash = strrchr(resolved, '/')) == resolved)
        return false;
    *slash = '\0';
    rest = below(real, resolved);
    return rest != NULL && strchr(rest + 1, '/') == NULL;
}

/* Does one of the own values of [SECTION] NAME { RELATION } lie in REAL's folder? */
static bool
own_file_beside(const struct place *place, const char *section, const char *name,
                const char *relation)
{
    const char *names[] = { section, name, relation, NULL };
    char **values = NULL;
    bool found = false;

    if (profile_get_values(place->own, names, &values) == 0) {
        for (char **p = values; p != NULL && *p != NULL; p++)
            found = found || is_beside(place->real, *p);
    }
    profile_free_list(values);
    return found;
}

/* Does this host's own kdc.conf name such a file in the same folder, for any realm? */
static bool
is_named(const struct place *place)
{
    static const char *const databases[] = { "database_name", NULL };
    static const char *const files[] = { "acl_file", "dict_file", "database_name", NULL };
    static const char *const sections[] = { "realms", "dbmodules" };
    bool found = false;

    for (size_t i = 0; place->own != NULL && i < 2; i++) {
        const char *path[] = { sections[i], NULL };
        char **list = NULL;

        if (profile_get_subsection_names(place->own, path, &list) != 0)
            continue;
        for (char **name = list; name != NULL && *name != NULL; name++) {
            for (const char *const *r = place->kind == CONF_DATABASE ? databases : files;
                 *r != NULL; r++)
                found = found || own_file_beside(place, sections[i], *name, *r);
        }
        profile_free_list(list);
    }
    return found;
}

/* What is already there under a database's name must be one. */
static const char *
wrong_database(const char *real)
{
    char ok[PATH_MAX + 4];

    snprintf(ok, sizeof(ok), "%s.ok", real);
    return access(real, F_OK) == 0 && access(ok, F_OK) != 0 ? "what is there is no database" : NULL;
}

/* Why the path VALUE must not come here; NULL: it may. */
static const char *
wrong_path(struct place *place, const char *value)
{
    bool database = place->kind == CONF_DATABASE;
    const char *why;

    if (!is_plain(value))
        return "it is no plain path";
    if (!conf_roles_follow(value, place->real))
        return "its links cannot be followed";
    if (!is_below(place->real, place->here->data_dir) &&
        (database ||
         (!is_below(place->real, place->here->conf_dir) && !is_below(place->real, WORDS_FOLDER))) &&
        !is_named(place))
        return "it is outside of this host's folders";
    if ((why = conf_roles_wrong(place->real, place->relation, place->own)) != NULL)
        return why;
    return database ? wrong_database(place->real) : NULL;
}

static const char *
wrong_library(const char *value)
{
    return strcmp(value, "db2") == 0 || strcmp(value, "klmdb") == 0 ? NULL
                                                                    : "it is neither db2 nor klmdb";
}

/* Does the host's own file have RELATION: with any value, if the host's stands; else with VALUE? */
static bool
is_own(const struct place *place, const char *value)
{
    char **values = NULL;
    bool own = false;

    if (place->own != NULL &&
        profile_get_values(place->own, (const char **)(uintptr_t)place->relation->names, &values) ==
            0)
        own = values != NULL && values[0] != NULL &&
              (place->relation->rule == CONF_OURS || strcmp(values[0], value) == 0);
    profile_free_list(values);
    return own;
}

static bool
refuse(const struct place *place, const char *value, const char *why, const char *path,
       struct error *err)
{
    char *const *names = place->relation->names;
    enum refusal_id id = place->kind == CONF_LIBRARY ? REFUSAL_BUNDLE_LIBRARY : REFUSAL_BUNDLE_PATH;
    char ways[sizeof(err->hint)], clean[256], host[256] = "";
    const struct refusal_names words = { .replica = host, .realm = names[1] };

    gethostname(host, sizeof(host) - 1);
    text_clean(value, strlen(value), clean, sizeof(clean));
    error_set(err, ERROR_REFUSED, "cannot take the bundle's `%s = %s` of [%s] %s: %s", names[2],
              clean, names[0], names[1], why);
    return error_hint(err, "%s. The line, for [%s] %s in %s: %s = %s",
                      refusal_ways(id, &words, ways, sizeof(ways)), names[0], names[1], path,
                      names[2], clean);
}

/* Of the relations before the I-th of WANTED, is there one of another role that has its file? */
static const char *
wrong_pair(const struct conf_wanted *wanted, size_t i, profile_t own, const char *real)
{
    char earlier[PATH_MAX];

    for (size_t j = 0; j < i; j++) {
        const struct conf_relation *r = &wanted->list[j];
        const struct place place = { .relation = r, .own = own };

        if (is_path(conf_kind_of(r)) && !is_own(&place, r->values[0]) &&
            conf_roles_follow(r->values[0], earlier) &&
            conf_roles_clash(earlier, r, real, &wanted->list[i]))
            return "the bundle has it for something else, too";
    }
    return NULL;
}

bool
conf_places_check(const struct conf_wanted *wanted, profile_t own, const char *path,
                  const struct kdc_folders *here, struct error *err)
{
    for (size_t i = 0; i < wanted->count; i++) {
        const struct conf_relation *r = &wanted->list[i];
        struct place place = { .relation = r, .kind = conf_kind_of(r), .own = own, .here = here };

        if (!is_path(place.kind) && place.kind != CONF_LIBRARY)
            continue;
        for (char **value = r->values; *value != NULL; value++) {
            const char *why =
                place.kind == CONF_LIBRARY ? wrong_library(*value) : wrong_path(&place, *value);

            if (why == NULL && place.kind != CONF_LIBRARY)
                why = wrong_pair(wanted, i, own, place.real);
            if (why != NULL && !is_own(&place, *value))
                return refuse(&place, *value, why, path, err);
        }
    }
    return true;
}
