/* krb5_conf - see krb5_conf.h. Which relations there are: krb5.conf(5), kdc.conf(5). */
#include "agent/enroll/krb5_conf.h"
#include "agent/enroll/conf_allowed.h"
#include "common/base/files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where Debian's krb5-config has what it makes /etc/krb5.conf of. */
#define DEBIAN_TEMPLATE "/usr/share/kerberos-configs/krb5.conf.template"

static bool
want_libdefaults(struct conf_wanted *wanted, profile_t bundle, const char *realm,
                 enum conf_rule rule, struct error *err)
{
    const char *names[] = { "libdefaults", "default_realm", NULL }, *section[] = { names[0], NULL };
    size_t first = wanted->count;
    char *value = NULL;
    bool ok = true;

    if (profile_get_string(bundle, names[0], names[1], NULL, NULL, &value) == 0 && value != NULL &&
        strcmp(value, realm) == 0)
        ok = conf_want(wanted, bundle, names, rule, err);
    profile_release_string(value);
    ok = ok && conf_want_allowed(wanted, bundle, section, conf_krb5_defaults, err);
    for (size_t i = first; i < wanted->count; i++)
        wanted->list[i].rule = rule;
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
        if (conf_is_domain(*p) &&
            profile_get_string(bundle, names[0], *p, NULL, NULL, &value) == 0 && value != NULL &&
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
         conf_want_allowed(&wanted, bundle, section, conf_krb5_realm, err) &&
         want_domains(&wanted, bundle, realm, err) && need_realm(&wanted, what, realm, err) &&
         conf_merge(path, &wanted, replace, plan, err);
    conf_wanted_free(&wanted);
    conf_close(bundle, fd);
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
is_its_own(const struct conf_relation *r)
{
    for (char *const *value = r->values; *value != NULL; value++) {
        if (conf_kind_of(r) == CONF_LISTEN && names_address(*value))
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
    ok = conf_want_allowed(wanted, bundle, names, conf_kdc_module, err);
    profile_release_string(module);
    return ok;
}

/* The kdc.conf that is here, for what it names itself; *OWN is NULL where there is none. */
static bool
open_own(const char *path, profile_t *own, struct error *err)
{
    const_profile_filespec_t files[] = { path, NULL };
    long code;

    *own = NULL;
    if (access(path, F_OK) != 0 && errno == ENOENT)
        return true;
    code = profile_init(files, own);
    if (code == 0)
        return true;
    *own = NULL;
    return conf_failed(path, code, err);
}

bool
kdc_conf_plan(const char *path, const char *text, const char *realm,
              const struct kdc_folders *primary, const struct kdc_folders *here, bool replace,
              struct conf_plan *plan, struct error *err)
{
    const char *section[] = { "realms", realm, NULL }, *defaults[] = { "kdcdefaults", NULL };
    struct conf_wanted wanted = { NULL, 0 };
    profile_t bundle, own = NULL;
    bool ok;
    int fd;

    memset(plan, 0, sizeof(*plan));
    if (!conf_open_text("the bundle's kdc.conf", text, strlen(text), true, &bundle, &fd, err))
        return false;
    ok = conf_want_allowed(&wanted, bundle, defaults, conf_kdc_defaults, err) &&
         conf_want_allowed(&wanted, bundle, section, conf_kdc_realm, err) &&
         want_module(&wanted, bundle, realm, err) &&
         conf_places_move(&wanted, primary, here, err) && open_own(path, &own, err) &&
         conf_places_check(&wanted, own, path, here, err);
    conf_leave_out(&wanted, is_its_own);
    ok = ok && conf_merge(path, &wanted, replace, plan, err);
    if (own != NULL)
        profile_release(own);
    conf_wanted_free(&wanted);
    conf_close(bundle, fd);
    return ok;
}
