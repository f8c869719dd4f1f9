/* config - see config.h. */
#include "common/krb5/config.h"

#include "common/base/buffers.h"

#include <errno.h>
#include <krb5.h>
#include <limits.h>
#include <profile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORDS_MAX = 64 * 1024 };

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
    if (settings != NULL)
        *(int *)field(settings, key) = (int)value;
    return true;
}

static bool
set_string(const struct config_key *key, const char *value, void *settings, struct error *err)
{
    char *copy, **slot;

    if (settings == NULL)
        return true;
    copy = strdup(value);
    slot = field(settings, key);
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

/* "refuse or accept" of such words. */
static void
list_words(const char *const *words, char *text, size_t size)
{
    text[0] = '\0';
    for (const char *const *word = words; *word != NULL; word++) {
        size_t used = strlen(text);

        snprintf(text + used, size - used, "%s%s",
                 word == words     ? ""
                 : word[1] == NULL ? " or "
                                   : ", ",
                 *word);
    }
}

static bool
set_choice(const struct config_key *key, const char *value, const char *path, void *settings,
           struct error *err)
{
    char expected[256];

    for (int i = 0; key->words[i] != NULL; i++) {
        if (strcmp(key->words[i], value) != 0)
            continue;
        if (settings != NULL)
            *(int *)field(settings, key) = i;
        return true;
    }
    list_words(key->words, expected, sizeof(expected));
    return bad_value(path, key->name, value, expected, err);
}

/* With SETTINGS NULL the value is only checked. */
static bool
set_value(const struct config_key *key, const char *value, const char *path, void *settings,
          struct error *err)
{
    krb5_deltat delta;
    char *end;
    long number;
    bool flag;

    switch (key->type) {
    case CONFIG_STRING:
    case CONFIG_WORDS:
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
    case CONFIG_CHOICE:
        return set_choice(key, value, path, settings, err);
    case CONFIG_DURATION:
        if (krb5_string_to_deltat((char *)(uintptr_t)value, &delta) != 0)
            return bad_value(path, key->name, value, "a duration such as 30s, 5m or 1h", err);
        return set_number(key, delta, value, path, settings, err);
    case CONFIG_BOOLEAN:
        if (!parse_boolean(value, &flag))
            return bad_value(path, key->name, value, "yes or no", err);
        if (settings != NULL)
            *(bool *)field(settings, key) = flag;
        return true;
    }
    return error_set(err, ERROR_INTERNAL, "%s: unknown type of '%s'", path, key->name);
}

/* A place in the file: a section, or a realm's subsection of it. */
struct place {
    profile_t profile;
    const char *path;
    const char *section;
    const char *realm; /* or NULL */
};

/* The place's names ended by NAME (or by the place itself) for the profile API. */
static void
place_names(const struct place *place, const char *name, const char *names[4])
{
    size_t n = 0;

    names[n++] = place->section;
    if (place->realm != NULL)
        names[n++] = place->realm;
    if (name != NULL)
        names[n++] = name;
    names[n] = NULL;
}

/* VALUES with blanks between as the value of KEY. */
static bool
set_words(const struct config_key *key, char *const *values, const char *path, void *settings,
          struct error *err)
{
    struct buffer all;
    bool ok;

    buffer_init(&all, WORDS_MAX);
    for (; *values != NULL; values++)
        buffer_printf(&all, "%s%s", all.len > 0 ? " " : "", *values);
    ok = all.failed ? error_set(err, ERROR_USAGE, "%s: '%s' is too long", path, key->name)
                    : set_value(key, buffer_string(&all), path, settings, err);
    buffer_free(&all);
    return ok;
}

/* One key of the place: it must be known, a relation, and given once if it has one value. */
static bool
load_key(const struct place *place, const char *name, const struct config_key *keys, void *settings,
         struct error *err)
{
    const struct config_key *key = find_key(keys, name);
    const char *names[4], *where = place->realm != NULL ? place->realm : place->section;
    char **values = NULL;
    bool ok;

    place_names(place, name, names);
    if (key == NULL)
        return error_set(err, ERROR_USAGE, "%s: unknown key '%s' in [%s]", place->path, name,
                         where);
    if (profile_get_values(place->profile, names, &values) != 0 || values == NULL ||
        values[0] == NULL)
        ok = error_set(err, ERROR_USAGE, "%s: key '%s' in [%s] has no value", place->path, name,
                       where);
    else if (key->type == CONFIG_WORDS)
        ok = set_words(key, values, place->path, settings, err);
    else if (values[1] != NULL)
        ok = error_set(err, ERROR_USAGE, "%s: key '%s' in [%s] is given twice", place->path, name,
                       where);
    else
        ok = set_value(key, values[0], place->path, settings, err);
    profile_free_list(values);
    return ok;
}

static bool
load_keys(const struct place *place, const struct config_key *keys, void *settings,
          struct error *err)
{
    const char *names[4];
    char **list = NULL;
    bool ok = true;

    place_names(place, NULL, names);
    if (profile_get_relation_names(place->profile, names, &list) == 0 && list != NULL) {
        for (char **p = list; ok && *p != NULL; p++)
            ok = load_key(place, *p, keys, settings, err);
    }
    profile_free_list(list);
    return ok;
}

/* All subsections, read into nothing: so a bad value is told at once, whatever realm is served. */
static bool
check_realms(const struct place *section, const struct config_key *keys, struct error *err)
{
    const char *names[4];
    char **realms = NULL, **inside = NULL;
    bool ok = true;

    place_names(section, NULL, names);
    if (profile_get_subsection_names(section->profile, names, &realms) != 0 || realms == NULL)
        return true;
    for (char **p = realms; ok && *p != NULL; p++) {
        struct place realm = { section->profile, section->path, section->section, *p };

        if (find_key(keys, *p) != NULL) {
            ok = error_set(err, ERROR_USAGE, "%s: key '%s' in [%s] needs a value, not { }",
                           section->path, *p, section->section);
            break;
        }
        ok = load_keys(&realm, keys, NULL, err);
        place_names(&realm, NULL, names);
        if (ok && profile_get_subsection_names(section->profile, names, &inside) == 0 &&
            inside != NULL && inside[0] != NULL)
            ok = error_set(err, ERROR_USAGE, "%s: unknown key '%s' in [%s]", section->path,
                           inside[0], *p);
        profile_free_list(inside);
        inside = NULL;
    }
    profile_free_list(realms);
    return ok;
}

static bool
check_sections(const struct place *section, struct error *err)
{
    const char *top[] = { NULL };
    char **names = NULL;
    bool ok = true;

    if (profile_get_relation_names(section->profile, top, &names) == 0 && names != NULL &&
        names[0] != NULL)
        ok = error_set(err, ERROR_USAGE, "%s: key '%s' stands before any section", section->path,
                       names[0]);
    profile_free_list(names);
    names = NULL;
    if (ok && profile_get_subsection_names(section->profile, top, &names) == 0 && names != NULL) {
        for (char **p = names; ok && *p != NULL; p++) {
            if (strcmp(*p, section->section) != 0)
                ok = error_set(err, ERROR_USAGE, "%s: unknown section [%s]: expected [%s]",
                               section->path, *p, section->section);
        }
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

static bool
open_profile(const char *path, profile_t *profile, struct error *err)
{
    const_profile_filespec_t files[] = { path, NULL };
    long code = profile_init(files, profile);

    if (code == 0)
        return true;
    profile_error(code, path, err);
    return false;
}

bool
config_load(const char *path, bool required, const char *section, const struct config_key *keys,
            void *settings, struct error *err)
{
    struct place place = { NULL, path, section, NULL };
    bool ok;

    if (access(path, F_OK) != 0 && errno == ENOENT && !required)
        return true;
    if (!open_profile(path, &place.profile, err))
        return false;
    ok = check_sections(&place, err) && check_realms(&place, keys, err) &&
         load_keys(&place, keys, settings, err);
    profile_release(place.profile);
    return ok;
}

bool
config_load_realm(const char *path, const char *section, const char *realm,
                  const struct config_key *keys, void *settings, struct error *err)
{
    struct place place = { NULL, path, section, realm };
    bool ok;

    if (access(path, F_OK) != 0 && errno == ENOENT)
        return true;
    if (!open_profile(path, &place.profile, err))
        return false;
    ok = load_keys(&place, keys, settings, err);
    profile_release(place.profile);
    return ok;
}

void
config_free(const struct config_key *keys, void *settings)
{
    for (; keys->name != NULL; keys++) {
        char **slot = field(settings, keys);

        if (keys->type != CONFIG_STRING && keys->type != CONFIG_WORDS && keys->type != CONFIG_PATH)
            continue;
        free(*slot);
        *slot = NULL;
    }
}
