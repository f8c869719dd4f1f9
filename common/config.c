/* config - see config.h. */
#include "common/config.h"

#include <errno.h>
#include <krb5.h>
#include <limits.h>
#include <profile.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *
field(void *settings, const struct config_key *key)
{
    return (char *)settings + key->offset;
}

static const struct config_key *
find_key(const struct config_key *keys, const char *name)
{
    for (; keys->name != NULL; keys++) {
        if (strcmp(keys->name, name) == 0)
            return keys;
    }
    return NULL;
}

static bool
bad_value(const char *path, const char *name, const char *value, const char *expected,
          struct error *err)
{
    return error_set(err, ERROR_USAGE, "%s: bad value '%s' for '%s': expected %s", path, value,
                     name, expected);
}

static bool
set_number(const struct config_key *key, long value, const char *text, const char *path,
           void *settings, struct error *err)
{
    if (value < key->min || value > key->max) {
        return error_set(err, ERROR_USAGE, "%s: bad value '%s' for '%s': expected %d to %d%s", path,
                         text, key->name, key->min, key->max,
                         key->type == CONFIG_DURATION ? " seconds" : "");
    }
    *(int *)field(settings, key) = (int)value;
    return true;
}

static bool
set_string(const struct config_key *key, const char *value, void *settings, struct error *err)
{
    char *copy = strdup(value), **slot = field(settings, key);

    if (copy == NULL)
        return error_memory(err);
    free(*slot);
    *slot = copy;
    return true;
}

static bool
parse_boolean(const char *text, bool *value)
{
    static const char *const words[] = { "n", "no",  "false", "off", "nil", "0",
                                         "y", "yes", "true",  "on",  "t",   "1" };

    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *value = i >= 6;
            return true;
        }
    }
    return false;
}

static bool
set_value(const struct config_key *key, const char *value, const char *path, void *settings,
          struct error *err)
{
    krb5_deltat delta;
    char *end;
    long number;

    switch (key->type) {
    case CONFIG_STRING:
        return set_string(key, value, settings, err);
    case CONFIG_PATH:
        if (value[0] != '/')
            return bad_value(path, key->name, value, "an absolute path", err);
        return set_string(key, value, settings, err);
    case CONFIG_INTEGER:
        errno = 0;
        number = strtol(value, &end, 10);
        if (*value == '\0' || *end != '\0' || errno != 0)
            return bad_value(path, key->name, value, "a whole number", err);
        return set_number(key, number, value, path, settings, err);
    case CONFIG_DURATION:
        if (krb5_string_to_deltat((char *)(uintptr_t)value, &delta) != 0)
            return bad_value(path, key->name, value, "a duration such as 30s, 5m or 1h", err);
        return set_number(key, delta, value, path, settings, err);
    case CONFIG_BOOLEAN:
        if (!parse_boolean(value, field(settings, key)))
            return bad_value(path, key->name, value, "yes or no", err);
        return true;
    }
    return error_set(err, ERROR_INTERNAL, "%s: unknown type of '%s'", path, key->name);
}

/* One name of the section: it must be known, a relation, and given once. */
static bool
load_key(profile_t profile, const char *path, const char *section, const char *name,
         const struct config_key *keys, void *settings, struct error *err)
{
    const char *names[] = { section, name, NULL };
    const struct config_key *key = find_key(keys, name);
    char **values = NULL;
    bool ok;

    if (key == NULL)
        return error_set(err, ERROR_USAGE, "%s: unknown key '%s' in [%s]", path, name, section);
    if (profile_get_values(profile, names, &values) != 0 || values == NULL || values[0] == NULL)
        ok = error_set(err, ERROR_USAGE, "%s: key '%s' in [%s] has no value", path, name, section);
    else if (values[1] != NULL)
        ok =
            error_set(err, ERROR_USAGE, "%s: key '%s' in [%s] is given twice", path, name, section);
    else
        ok = set_value(key, values[0], path, settings, err);
    profile_free_list(values);
    return ok;
}

static bool
load_sections(profile_t profile, const char *path, const char *section,
              const struct config_key *keys, void *settings, struct error *err)
{
    const char *top[] = { NULL }, *inside[] = { section, NULL };
    char **names = NULL;
    bool ok = true;

    if (profile_get_relation_names(profile, top, &names) == 0 && names != NULL && names[0] != NULL)
        ok = error_set(err, ERROR_USAGE, "%s: key '%s' stands before any section", path, names[0]);
    profile_free_list(names);
    names = NULL;
    if (ok && profile_get_subsection_names(profile, top, &names) == 0 && names != NULL) {
        for (char **p = names; ok && *p != NULL; p++) {
            if (strcmp(*p, section) != 0)
                ok = error_set(err, ERROR_USAGE, "%s: unknown section [%s]: expected [%s]", path,
                               *p, section);
        }
    }
    profile_free_list(names);
    names = NULL;
    if (ok && profile_get_subsection_names(profile, inside, &names) == 0 && names != NULL &&
        names[0] != NULL)
        ok = error_set(err, ERROR_USAGE, "%s: unknown key '%s' in [%s]", path, names[0], section);
    profile_free_list(names);
    names = NULL;
    if (ok && profile_get_relation_names(profile, inside, &names) == 0 && names != NULL) {
        for (char **p = names; ok && *p != NULL; p++)
            ok = load_key(profile, path, section, *p, keys, settings, err);
    }
    profile_free_list(names);
    return ok;
}

/* krb5's text for CODE, without its own "while" and "filename" frills. */
static void
profile_error(long code, const char *path, struct error *err)
{
    krb5_context context = NULL;
    const char *text;

    if (krb5_init_context_profile(NULL, 0, &context) != 0)
        context = NULL;
    text = krb5_get_error_message(context, (krb5_error_code)code);
    error_set(err, ERROR_USAGE, "cannot read configuration file %s: %s", path, text);
    krb5_free_error_message(context, text);
    krb5_free_context(context);
}

bool
config_load(const char *path, bool required, const char *section, const struct config_key *keys,
            void *settings, struct error *err)
{
    const_profile_filespec_t files[] = { path, NULL };
    profile_t profile = NULL;
    long code;
    bool ok;

    if (access(path, F_OK) != 0 && errno == ENOENT && !required)
        return true;
    code = profile_init(files, &profile);
    if (code != 0) {
        profile_error(code, path, err);
        return false;
    }
    ok = load_sections(profile, path, section, keys, settings, err);
    profile_release(profile);
    return ok;
}

void
config_free(const struct config_key *keys, void *settings)
{
    for (; keys->name != NULL; keys++) {
        char **slot = field(settings, keys);

        if (keys->type != CONFIG_STRING && keys->type != CONFIG_PATH)
            continue;
        free(*slot);
        *slot = NULL;
    }
}
