/* profile_text - see profile_text.h. */
#include "kpropctl/enroll/profile_text.h"

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

/* The text at work. */
enum text { CLIENT_TEXT, KDC_TEXT };

/* What a [realms] section says to clients alone, and to KDCs alone: either file may have both, as
 * krb5 reads them as one. */
static const char of_clients[] =
    " admin_server auth_to_local auth_to_local_names default_domain"
    " disable_encrypted_timestamp http_anchors kdc kpasswd_server"
    " krb524_server master_kdc primary_kdc sitename v4_instance_convert"
    " v4_realm ";
static const char of_kdcs[] =
    " acl_file admin_keytab database_module database_name"
    " default_principal_expiration default_principal_flags dict_file"
    " disable_pac encrypted_challenge_indicator host_based_services"
    " kadmind_listen kadmind_port kdc_listen kdc_ports"
    " kdc_tcp_listen kdc_tcp_listen_backlog kdc_tcp_ports key_stash_file"
    " kpasswd_listen kpasswd_port master_key_name master_key_type max_life"
    " max_renewable_life no_host_referral reject_bad_transit"
    " restrict_anonymous_to_tgt spake_preauth_indicator supported_enctypes ";
static const char kdc_sections[] = " dbdefaults dbmodules kdcdefaults ";

/* NAMES has a blank before and behind each. */
static bool
is_among(const char *names, const char *name)
{
    size_t len = strlen(name);

    for (const char *p = strstr(names, name); len > 0 && p != NULL; p = strstr(p + 1, name)) {
        if (p[-1] == ' ' && p[len] == ' ')
            return true;
    }
    return false;
}

/* Does NAME in the section PATH belong to TEXT? */
static bool
belongs(enum text text, const char *const *path, size_t depth, const char *name)
{
    if (depth == 0)
        return text == KDC_TEXT || !is_among(kdc_sections, name);
    if (depth != 2 || strcmp(path[0], "realms") != 0)
        return true;
    /* Whether a host fetches increments is a matter between it and its kadmind: a kpropd that
     * does takes no dump of ours. */
    if (strncmp(name, "iprop_", strlen("iprop_")) == 0)
        return false;
    return !is_among(text == KDC_TEXT ? of_clients : of_kdcs, name);
}

/* Is VALUES[I] not among those before it? */
static bool
is_new(char *const *values, size_t i)
{
    for (size_t j = 0; j < i; j++) {
        if (strcmp(values[j], values[i]) == 0)
            return false;
    }
    return true;
}

static bool add_section(profile_t profile, const char **path, size_t depth, enum text text,
                        struct buffer *out, struct error *err);

static bool
add_relations(profile_t profile, const char **path, size_t depth, enum text text,
              struct buffer *out, struct error *err)
{
    char **names = NULL, **values;
    long code = profile_get_relation_names(profile, path, &names);

    for (size_t i = 0; code == 0 && names != NULL && names[i] != NULL; i++) {
        if (!belongs(text, path, depth, names[i]))
            continue;
        path[depth] = names[i];
        path[depth + 1] = NULL;
        values = NULL;
        code = profile_get_values(profile, path, &values);
        for (size_t j = 0; code == 0 && values != NULL && values[j] != NULL; j++) {
            if (!is_new(values, j))
                continue;
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

static bool
add_subsections(profile_t profile, const char **path, size_t depth, enum text text,
                struct buffer *out, struct error *err)
{
    char **names = NULL;
    long code = profile_get_subsection_names(profile, path, &names);
    bool ok = true;

    for (size_t i = 0; code == 0 && ok && names != NULL && names[i] != NULL; i++) {
        /* Each file may have a section of that name: to the library they are one. */
        if (!belongs(text, path, depth, names[i]) || !is_new(names, i))
            continue;
        path[depth] = names[i];
        path[depth + 1] = NULL;
        ok = add_section(profile, path, depth + 1, text, out, err);
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
add_section(profile_t profile, const char **path, size_t depth, enum text text, struct buffer *out,
            struct error *err)
{
    bool ok;

    if (depth >= DEPTH)
        return error_set(err, ERROR_USAGE, "cannot read krb5.conf: section %s is in %d others",
                         path[depth - 1], DEPTH);
    if (depth > 0)
        open_section(path[depth - 1], depth, out);
    ok = (depth == 0 || add_relations(profile, path, depth, text, out, err)) &&
         add_subsections(profile, path, depth, text, out, err);
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
    ok = code == 0 ? add_section(profile, path, 0, CLIENT_TEXT, out, err) : failed(code, err);
    profile_release(profile);
    krb5_free_context(context);
    return ok && fits(out, "krb5.conf", err);
}

/* [SECTION] NAME alone. */
static bool
add_one(profile_t profile, const char *section, const char *name, struct buffer *out,
        struct error *err)
{
    const char *path[DEPTH + 2] = { section, name, NULL };

    open_section(section, 1, out);
    return add_section(profile, path, 2, KDC_TEXT, out, err);
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
           add_section(profile, path, 1, KDC_TEXT, out, err);
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
    ok = code == 0 ? add_one(profile, "realms", realm, out, err) &&
                         (!says_something(profile, "dbmodules", module) ||
                          add_one(profile, "dbmodules", module, out, err)) &&
                         add_top(profile, "dbdefaults", out, err) &&
                         add_top(profile, "kdcdefaults", out, err)
                   : failed(code, err);
    profile_release_string(module);
    profile_release(profile);
    krb5_free_context(context);
    return ok && fits(out, "kdc.conf", err);
}
