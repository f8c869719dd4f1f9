/* krb5_conf - see krb5_conf.h. Which relations there are: krb5.conf(5), kdc.conf(5). */
#include "agent/krb5_conf.h"
#include "common/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where Debian's krb5-config has what it makes /etc/krb5.conf of. */
#define DEBIAN_TEMPLATE "/usr/share/kerberos-configs/krb5.conf.template"

static bool
is_one_of(const char *name, const char *const *list)
{
    for (; *list != NULL; list++) {
        if (strcmp(name, *list) == 0)
            return true;
    }
    return false;
}

static enum conf_rule
krb5_rule(const char *relation)
{
    static const char *const lists[] = { "kdc",          "primary_kdc",
                                         "master_kdc",   "auth_to_local",
                                         "http_anchors", "pkinit_anchors",
                                         "pkinit_pool",  "kpasswd_server",
                                         "sitename",     NULL };

    return is_one_of(relation, lists) ? CONF_LIST : CONF_SINGLE;
}

/* Both hosts must find the same names, and allow the same keys. */
static const char *const alike[] = {
    "allow_weak_crypto",         "allow_rc4", "allow_des3", "permitted_enctypes",
    "dns_canonicalize_hostname", "rdns",      NULL
};

static bool
want_libdefaults(struct conf_wanted *wanted, profile_t bundle, const char *realm,
                 enum conf_rule rule, struct error *err)
{
    const char *names[] = { "libdefaults", "default_realm", NULL };
    char *value = NULL;
    bool ok = true;

    if (profile_get_string(bundle, names[0], names[1], NULL, NULL, &value) == 0 && value != NULL &&
        strcmp(value, realm) == 0)
        ok = conf_want(wanted, bundle, names, rule, err);
    profile_release_string(value);
    for (size_t i = 0; ok && alike[i] != NULL; i++) {
        names[1] = alike[i];
        ok = conf_want(wanted, bundle, names, rule, err);
    }
    return ok;
}

static bool
want_domains(struct conf_wanted *wanted, profile_t bundle, const char *realm, struct error *err)
{
    const char *names[] = { "domain_realm", NULL, NULL };
    char **domains = NULL;
    bool ok = true;

    if (profile_get_relation_names(bundle, names, &domains) != 0)
        return true;
    for (char **p = domains; ok && p != NULL && *p != NULL; p++) {
        char *value = NULL;

        names[1] = *p;
        if (profile_get_string(bundle, names[0], *p, NULL, NULL, &value) == 0 && value != NULL &&
            strcmp(value, realm) == 0)
            ok = conf_want(wanted, bundle, names, CONF_SINGLE, err);
        profile_release_string(value);
    }
    profile_free_list(domains);
    return ok;
}

/* Debian's postinst writes these two lines itself; the rest is the template's. */
static bool
is_packagers_line(const char *line, size_t len)
{
    while (len > 0 && (*line == ' ' || *line == '\t')) {
        line++;
        len--;
    }
    return len == 0 || (len >= 13 && memcmp(line, "default_realm", 13) == 0) ||
           (len >= 4 && memcmp(line, "rdns", 4) == 0);
}

/* The next line of TEXT from *AT that the template decides; false at the end. */
static bool
next_line(const struct buffer *text, size_t *at, const char **line, size_t *len)
{
    while (*at < text->len) {
        const char *begin = (const char *)text->data + *at;
        const char *end = memchr(begin, '\n', text->len - *at);

        *line = begin;
        *len = end == NULL ? text->len - *at : (size_t)(end - begin);
        *at += *len + 1;
        if (!is_packagers_line(*line, *len))
            return true;
    }
    return false;
}

/* Is PATH what its package has written, by nobody changed? */
static bool
is_untouched(const char *path, const char *template)
{
    struct buffer here, there;
    struct error ignored;
    const char *a, *b;
    size_t at_a = 0, at_b = 0, len_a, len_b;
    bool same, more_a, more_b;

    buffer_init(&here, 1u << 20);
    buffer_init(&there, 1u << 20);
    same = file_read(path, &here, &ignored) && file_read(template, &there, &ignored);
    while (same) {
        more_a = next_line(&here, &at_a, &a, &len_a);
        more_b = next_line(&there, &at_b, &b, &len_b);
        if (!more_a || !more_b) {
            same = more_a == more_b;
            break;
        }
        same = len_a == len_b && memcmp(a, b, len_a) == 0;
    }
    buffer_free(&here);
    buffer_free(&there);
    return same;
}

static bool
need_realm(const struct conf_wanted *wanted, const char *what, const char *realm, struct error *err)
{
    for (size_t i = 0; i < wanted->count; i++) {
        if (strcmp(wanted->list[i].names[0], "realms") == 0)
            return true;
    }
    error_set(err, ERROR_REFUSED, "cannot take %s: it says nothing of realm %s", what, realm);
    return error_hint(err,
                      "give the primary's krb5.conf a section [realms] %s = { kdc = … "
                      "admin_server = … }, then run `kpropctl enroll` again",
                      realm);
}

bool
krb5_conf_plan(const char *path, const char *template, const char *text, const char *realm,
               bool replace, struct conf_plan *plan, struct error *err)
{
    static const char what[] = "the bundle's krb5.conf";
    const char *section[] = { "realms", realm, NULL };
    struct conf_wanted wanted = { NULL, 0 };
    enum conf_rule rule = CONF_SINGLE;
    profile_t bundle;
    bool ok;
    int fd;

    memset(plan, 0, sizeof(*plan));
    if (!conf_open_text(what, text, strlen(text), true, &bundle, &fd, err))
        return false;
    if (is_untouched(path, template != NULL ? template : DEBIAN_TEMPLATE))
        rule = CONF_YIELDS;
    ok = want_libdefaults(&wanted, bundle, realm, rule, err) &&
         conf_want_below(&wanted, bundle, section, krb5_rule, err) &&
         want_domains(&wanted, bundle, realm, err) && need_realm(&wanted, what, realm, err) &&
         conf_merge(path, &wanted, replace, plan, err);
    if (ok && plan->result == CONF_NEW) {
        buffer_reset(&plan->text);
        ok = buffer_add_string(&plan->text, text) || error_memory(err);
    }
    conf_wanted_free(&wanted);
    conf_close(bundle, fd);
    return ok;
}

/* A file that is there already stays where it is. */
static enum conf_rule
kdc_rule(const char *relation)
{
    static const char *const paths[] = { "database_name",  "acl_file",       "key_stash_file",
                                         "dict_file",      "admin_keytab",   "iprop_logfile",
                                         "kadmind_listen", "kpasswd_listen", "iprop_listen",
                                         "kdc_listen",     "kdc_tcp_listen", NULL };

    return is_one_of(relation, paths) ? CONF_OURS : CONF_SINGLE;
}

static enum conf_rule
always_ours(const char *relation)
{
    (void)relation;
    return CONF_OURS;
}

/* Is PATH in FOLDER? Then the rest of it, with its slash. */
static const char *
below(const char *path, const char *folder)
{
    size_t len = strlen(folder);

    return strncmp(path, folder, len) == 0 && path[len] == '/' ? path + len : NULL;
}

/* On RHEL both folders are one: then the file's kind decides where it goes. */
static bool
move_path(char **value, const char *relation, const struct kdc_folders *primary,
          const struct kdc_folders *here, struct error *err)
{
    const char *in_data = below(*value, primary->data_dir);
    const char *in_conf = below(*value, primary->conf_dir);
    bool is_conf = strcmp(relation, "acl_file") == 0 || strcmp(relation, "key_stash_file") == 0 ||
                   strcmp(relation, "admin_keytab") == 0 || strcmp(relation, "dict_file") == 0;
    char *moved;

    if (in_data != NULL && in_conf != NULL)
        *(is_conf ? &in_data : &in_conf) = NULL;
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
move_paths(struct conf_wanted *wanted, const struct kdc_folders *primary,
           const struct kdc_folders *here, struct error *err)
{
    bool ok = true;

    for (size_t i = 0; ok && i < wanted->count; i++) {
        struct conf_relation *r = &wanted->list[i];
        size_t depth = 0;

        while (r->names[depth + 1] != NULL)
            depth++;
        for (char **value = r->values; ok && *value != NULL; value++)
            ok = move_path(value, r->names[depth], primary, here, err);
    }
    return ok;
}

/* Does an entry of VALUE name an address that is not every host's? */
static bool
names_address(const char *value)
{
    static const char *const everywhere[] = { "*", "0.0.0.0", "[::]", "::" };
    static const char between[] = ", \t";

    for (size_t len; *(value += strspn(value, between)) != '\0'; value += len) {
        bool harmless;

        len = strcspn(value, between);
        harmless = strspn(value, "0123456789") == len;
        for (size_t i = 0; !harmless && i < sizeof(everywhere) / sizeof(*everywhere); i++) {
            size_t n = strlen(everywhere[i]);

            harmless = strncmp(value, everywhere[i], n) == 0 && (len == n || value[n] == ':');
        }
        if (!harmless)
            return true;
    }
    return false;
}

/* The addresses on which the primary listens are its own: with them no KDC would start here. */
static bool
is_its_own(const char *relation, char *const *values)
{
    static const char *const relations[] = { "kdc_listen",     "kdc_tcp_listen",
                                             "kdc_ports",      "kdc_tcp_ports",
                                             "kadmind_listen", "kpasswd_listen",
                                             "iprop_listen",   NULL };

    for (; is_one_of(relation, relations) && *values != NULL; values++) {
        if (names_address(*values))
            return true;
    }
    return false;
}

/* The section of [dbmodules] that is the realm's: named by database_module, else as the realm. */
static bool
want_module(struct conf_wanted *wanted, profile_t bundle, const char *realm, struct error *err)
{
    const char *names[] = { "dbmodules", NULL, NULL };
    char *module = NULL;
    bool ok;

    if (profile_get_string(bundle, "realms", realm, "database_module", realm, &module) != 0)
        return error_memory(err);
    names[1] = module;
    ok = conf_want_below(wanted, bundle, names, kdc_rule, err);
    profile_release_string(module);
    return ok;
}

bool
kdc_conf_plan(const char *path, const char *text, const char *realm,
              const struct kdc_folders *primary, const struct kdc_folders *here, bool replace,
              struct conf_plan *plan, struct error *err)
{
    const char *section[] = { "realms", realm, NULL }, *defaults[] = { "kdcdefaults", NULL };
    const char *db[] = { "dbdefaults", NULL };
    struct conf_wanted wanted = { NULL, 0 };
    profile_t bundle;
    bool ok;
    int fd;

    memset(plan, 0, sizeof(*plan));
    if (!conf_open_text("the bundle's kdc.conf", text, strlen(text), true, &bundle, &fd, err))
        return false;
    ok = conf_want_below(&wanted, bundle, defaults, always_ours, err) &&
         conf_want_below(&wanted, bundle, section, kdc_rule, err) &&
         conf_want_below(&wanted, bundle, db, always_ours, err) &&
         want_module(&wanted, bundle, realm, err) && move_paths(&wanted, primary, here, err);
    conf_leave_out(&wanted, is_its_own);
    ok = ok && conf_merge(path, &wanted, replace, plan, err);
    conf_wanted_free(&wanted);
    conf_close(bundle, fd);
    return ok;
}
