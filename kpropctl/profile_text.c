/* profile_text - see profile_text.h. */
#include "kpropctl/profile_text.h"

#include <kadm5/admin.h>
#include <krb5.h>
#include <profile.h>
#include <stdio.h>
#include <string.h>

/* Sections within each other; krb5 itself knows three. */
enum { DEPTH = 6 };

static bool
failed(long code, struct error *err)
{
    const char *text = krb5_get_error_message(NULL, (krb5_error_code)code);

    error_set(err, ERROR_USAGE, "cannot read krb5.conf and kdc.conf: %s", text);
    krb5_free_error_message(NULL, text);
    return false;
}

/* The end of a list, or a section that is not there. */
static bool
no_more(long code)
{
    return code == 0 || code == PROF_NO_RELATION || code == PROF_NO_SECTION;
}

static void
indent(struct buffer *out, size_t depth)
{
    for (size_t i = 0; i < depth; i++)
        buffer_add_string(out, "    ");
}

/* What a relation's value would lose or become without quotes. */
static bool
needs_quotes(const char *value)
{
    size_t len = strlen(value);

    return len == 0 || strchr(" \t", value[0]) != NULL || strchr(" \t", value[len - 1]) != NULL ||
           strpbrk(value, "\"\n\t\b") != NULL || value[0] == '{';
}

static void
add_value(struct buffer *out, const char *value)
{
    static const char plain[] = "\"\\\n\t\b", letters[] = "\"\\ntb";

    if (!needs_quotes(value)) {
        buffer_add_string(out, value);
        return;
    }
    buffer_add_u8(out, '"');
    for (const char *p = value; *p != '\0'; p++) {
        const char *special = strchr(plain, *p);

        if (special != NULL)
            buffer_add_u8(out, '\\');
        buffer_add_u8(out, (uint8_t)(special != NULL ? letters[special - plain] : *p));
    }
    buffer_add_u8(out, '"');
}

/* What a [realms] section says to clients alone: it comes with krb5.conf. */
static bool
is_for_clients(const char *name)
{
    static const char *const names[] = { "admin_server",
                                         "auth_to_local",
                                         "auth_to_local_names",
                                         "default_domain",
                                         "disable_encrypted_timestamp",
                                         "http_anchors",
                                         "kdc",
                                         "kpasswd_server",
                                         "krb524_server",
                                         "master_kdc",
                                         "primary_kdc",
                                         "sitename",
                                         "v4_instance_convert",
                                         "v4_realm" };

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (strcmp(names[i], name) == 0)
            return true;
    }
    return false;
}

/* Which of a section's names are wanted. */
enum wanted { ALL, NO_CLIENTS, NO_SECTIONS };

static bool add_section(profile_t profile, const char **path, size_t depth, enum wanted wanted,
                        struct buffer *out, struct error *err);

static bool
add_relations(profile_t profile, const char **path, size_t depth, enum wanted wanted,
              struct buffer *out, struct error *err)
{
    char **names = NULL, **values;
    long code = profile_get_relation_names(profile, path, &names);

    for (size_t i = 0; code == 0 && names != NULL && names[i] != NULL; i++) {
        if (wanted == NO_CLIENTS && is_for_clients(names[i]))
            continue;
        path[depth] = names[i];
        path[depth + 1] = NULL;
        values = NULL;
        code = profile_get_values(profile, path, &values);
        for (size_t j = 0; code == 0 && values != NULL && values[j] != NULL; j++) {
            indent(out, depth);
            buffer_printf(out, "%s = ", names[i]);
            add_value(out, values[j]);
            buffer_add_u8(out, '\n');
        }
        profile_free_list(values);
    }
    path[depth] = NULL;
    profile_free_list(names);
    return no_more(code) || failed(code, err);
}

/* Files of a profile may each have a section of the same name: to the library they are one. */
static bool
is_new(char *const *names, size_t i)
{
    for (size_t j = 0; j < i; j++) {
        if (strcmp(names[j], names[i]) == 0)
            return false;
    }
    return true;
}

static bool
add_subsections(profile_t profile, const char **path, size_t depth, enum wanted wanted,
                struct buffer *out, struct error *err)
{
    char **names = NULL;
    long code = profile_get_subsection_names(profile, path, &names);
    bool ok = true;

    for (size_t i = 0; code == 0 && ok && names != NULL && names[i] != NULL; i++) {
        if ((wanted == NO_CLIENTS && is_for_clients(names[i])) || !is_new(names, i))
            continue;
        path[depth] = names[i];
        path[depth + 1] = NULL;
        ok = add_section(profile, path, depth + 1, ALL, out, err);
    }
    path[depth] = NULL;
    profile_free_list(names);
    return ok && (no_more(code) || failed(code, err));
}

static void
open_section(const char *name, size_t depth, struct buffer *out)
{
    indent(out, depth - 1);
    buffer_printf(out, depth == 1 ? "[%s]\n" : "%s = {\n", name);
}

/* The section PATH, DEPTH names deep. */
static bool
add_section(profile_t profile, const char **path, size_t depth, enum wanted wanted,
            struct buffer *out, struct error *err)
{
    bool ok;

    if (depth >= DEPTH)
        return error_set(err, ERROR_USAGE, "cannot read krb5.conf: section %s is in %d others",
                         path[depth - 1], DEPTH);
    if (depth > 0)
        open_section(path[depth - 1], depth, out);
    ok = (depth == 0 || add_relations(profile, path, depth, wanted, out, err)) &&
         (wanted == NO_SECTIONS || add_subsections(profile, path, depth, wanted, out, err));
    if (depth > 1) {
        indent(out, depth - 1);
        buffer_add_string(out, "}\n");
    }
    return ok;
}

static bool
fits(const struct buffer *out, const char *file, struct error *err)
{
    return !out->failed || error_set(err, ERROR_REFUSED,
                                     "cannot send %s: it is longer than the %zu bytes that a "
                                     "bundle takes",
                                     file, out->max);
}

bool
profile_text_client(struct buffer *out, struct error *err)
{
    const char *path[DEPTH + 2] = { NULL };
    krb5_context context = NULL;
    profile_t profile = NULL;
    long code = krb5_init_context(&context);
    bool ok;

    if (code == 0)
        code = krb5_get_profile(context, &profile);
    ok = code == 0 ? add_section(profile, path, 0, ALL, out, err) : failed(code, err);
    profile_release(profile);
    krb5_free_context(context);
    return ok && fits(out, "krb5.conf", err);
}

/* [SECTION] NAME alone. */
static bool
add_one(profile_t profile, const char *section, const char *name, enum wanted wanted,
        struct buffer *out, struct error *err)
{
    const char *path[DEPTH + 2] = { section, name, NULL };

    open_section(section, 1, out);
    return add_section(profile, path, 2, wanted, out, err);
}

/* Is anything said in [SECTION] NAME, or with NAME NULL in [SECTION] itself? */
static bool
says_something(profile_t profile, const char *section, const char *name)
{
    const char *path[] = { section, name, NULL };
    char **names = NULL;
    bool found =
        profile_get_relation_names(profile, path, &names) == 0 && names != NULL && names[0] != NULL;

    profile_free_list(names);
    return found;
}

/* What stands in [SECTION] itself. */
static bool
add_top(profile_t profile, const char *section, struct buffer *out, struct error *err)
{
    const char *path[DEPTH + 2] = { section, NULL };

    return !says_something(profile, section, NULL) ||
           add_section(profile, path, 1, NO_SECTIONS, out, err);
}

bool
profile_text_kdc(const char *realm, struct buffer *out, struct error *err)
{
    krb5_context context = NULL;
    profile_t profile = NULL;
    char *module = NULL;
    long code = kadm5_init_krb5_context(&context);
    bool ok;

    if (code == 0)
        code = krb5_get_profile(context, &profile);
    /* What libkdb5 takes when nothing is said is a section with the realm's name. */
    if (code == 0)
        code = profile_get_string(profile, "realms", realm, "database_module", realm, &module);
    ok = code == 0 ? add_one(profile, "realms", realm, NO_CLIENTS, out, err) &&
                         (!says_something(profile, "dbmodules", module) ||
                          add_one(profile, "dbmodules", module, ALL, out, err)) &&
                         add_top(profile, "dbdefaults", out, err) &&
                         add_top(profile, "kdcdefaults", out, err)
                   : failed(code, err);
    profile_release_string(module);
    profile_release(profile);
    krb5_free_context(context);
    return ok && fits(out, "kdc.conf", err);
}
