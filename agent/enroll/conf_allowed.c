/* conf_allowed - see conf_allowed.h. Which relations there are: krb5.conf(5), kdc.conf(5). */
#include "agent/enroll/conf_allowed.h"

#include <string.h>

/* Both hosts must find the same names, and allow the same keys. */
const struct conf_allowed conf_krb5_defaults[] = {
    { "allow_des3", CONF_SINGLE, CONF_PLAIN },
    { "allow_rc4", CONF_SINGLE, CONF_PLAIN },
    { "allow_weak_crypto", CONF_SINGLE, CONF_PLAIN },
    { "dns_canonicalize_hostname", CONF_SINGLE, CONF_PLAIN },
    { "permitted_enctypes", CONF_SINGLE, CONF_PLAIN },
    { "rdns", CONF_SINGLE, CONF_PLAIN },
    { NULL, CONF_SINGLE, CONF_PLAIN },
};

/* Not auth_to_local and auth_to_local_names: they say who may log in here, and in which order. Not
 * the anchors: they are files. */
const struct conf_allowed conf_krb5_realm[] = {
    { "admin_server", CONF_SINGLE, CONF_PLAIN },
    { "default_domain", CONF_SINGLE, CONF_PLAIN },
    { "disable_encrypted_timestamp", CONF_SINGLE, CONF_PLAIN },
    { "kdc", CONF_LIST, CONF_PLAIN },
    { "kpasswd_server", CONF_LIST, CONF_PLAIN },
    { "master_kdc", CONF_LIST, CONF_PLAIN },
    { "primary_kdc", CONF_LIST, CONF_PLAIN },
    { "sitename", CONF_LIST, CONF_PLAIN },
    { NULL, CONF_SINGLE, CONF_PLAIN },
};

const struct conf_allowed conf_kdc_defaults[] = {
    { "host_based_services", CONF_OURS, CONF_PLAIN },
    { "kdc_listen", CONF_OURS, CONF_LISTEN },
    { "kdc_max_dgram_reply_size", CONF_OURS, CONF_PLAIN },
    { "kdc_ports", CONF_OURS, CONF_LISTEN },
    { "kdc_tcp_listen", CONF_OURS, CONF_LISTEN },
    { "kdc_tcp_listen_backlog", CONF_OURS, CONF_PLAIN },
    { "kdc_tcp_ports", CONF_OURS, CONF_LISTEN },
    { "no_host_referral", CONF_OURS, CONF_PLAIN },
    { "restrict_anonymous_to_tgt", CONF_OURS, CONF_PLAIN },
    { NULL, CONF_OURS, CONF_PLAIN },
};

/* Not key_stash_file: where the stash is, this host says. Not pkinit_*: they name files and a
 * PKCS #11 library. Not iprop_*: they make another kind of replica. A file that is there already
 * stays where it is. */
const struct conf_allowed conf_kdc_realm[] = {
    { "acl_file", CONF_OURS, CONF_FILE },
    { "database_module", CONF_SINGLE, CONF_PLAIN },
    { "database_name", CONF_OURS, CONF_DATABASE },
    { "default_principal_expiration", CONF_SINGLE, CONF_PLAIN },
    { "default_principal_flags", CONF_SINGLE, CONF_PLAIN },
    { "dict_file", CONF_OURS, CONF_FILE },
    { "disable_pac", CONF_SINGLE, CONF_PLAIN },
    { "encrypted_challenge_indicator", CONF_SINGLE, CONF_PLAIN },
    { "host_based_services", CONF_SINGLE, CONF_PLAIN },
    { "kadmind_listen", CONF_OURS, CONF_LISTEN },
    { "kadmind_port", CONF_SINGLE, CONF_PLAIN },
    { "kdc_listen", CONF_OURS, CONF_LISTEN },
    { "kdc_ports", CONF_SINGLE, CONF_LISTEN },
    { "kdc_tcp_listen", CONF_OURS, CONF_LISTEN },
    { "kdc_tcp_listen_backlog", CONF_SINGLE, CONF_PLAIN },
    { "kdc_tcp_ports", CONF_SINGLE, CONF_LISTEN },
    { "kpasswd_listen", CONF_OURS, CONF_LISTEN },
    { "kpasswd_port", CONF_SINGLE, CONF_PLAIN },
    { "master_key_name", CONF_SINGLE, CONF_PLAIN },
    { "master_key_type", CONF_SINGLE, CONF_PLAIN },
    { "max_life", CONF_SINGLE, CONF_PLAIN },
    { "max_renewable_life", CONF_SINGLE, CONF_PLAIN },
    { "no_host_referral", CONF_SINGLE, CONF_PLAIN },
    { "reject_bad_transit", CONF_SINGLE, CONF_PLAIN },
    { "restrict_anonymous_to_tgt", CONF_SINGLE, CONF_PLAIN },
    { "spake_preauth_indicator", CONF_SINGLE, CONF_PLAIN },
    { "supported_enctypes", CONF_SINGLE, CONF_PLAIN },
    { NULL, CONF_SINGLE, CONF_PLAIN },
};

/* Not [dbmodules] db_module_dir, a folder of libraries; nor what LDAP needs: a replica of it is no
 * business of kprop's. */
const struct conf_allowed conf_kdc_module[] = {
    { "database_name", CONF_OURS, CONF_DATABASE },
    { "db_library", CONF_SINGLE, CONF_LIBRARY },
    { "disable_last_success", CONF_SINGLE, CONF_PLAIN },
    { "disable_lockout", CONF_SINGLE, CONF_PLAIN },
    { "mapsize", CONF_SINGLE, CONF_PLAIN },
    { "max_readers", CONF_SINGLE, CONF_PLAIN },
    { "nosync", CONF_SINGLE, CONF_PLAIN },
    { "unlockiter", CONF_SINGLE, CONF_PLAIN },
    { NULL, CONF_SINGLE, CONF_PLAIN },
};

bool
conf_want_allowed(struct conf_wanted *wanted, profile_t profile, const char *const *section,
                  const struct conf_allowed *list, struct error *err)
{
    const char *names[] = { section[0], section[1], NULL, NULL };
    const char **last = &names[section[1] == NULL ? 1 : 2];
    bool ok = true;

    for (; ok && list->relation != NULL; list++) {
        *last = list->relation;
        ok = conf_want(wanted, profile, names, list->rule, err);
    }
    return ok;
}

enum conf_kind
conf_kind_of(const struct conf_relation *r)
{
    const struct conf_allowed *list = strcmp(r->names[0], "dbmodules") == 0     ? conf_kdc_module
                                      : strcmp(r->names[0], "kdcdefaults") == 0 ? conf_kdc_defaults
                                                                                : conf_kdc_realm;
    const char *own = r->names[conf_count(r->names) - 1];

    while (list->relation != NULL && strcmp(list->relation, own) != 0)
        list++;
    return list->kind;
}

bool
conf_is_domain(const char *name)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789-_.";

    return *name != '\0' && name[strspn(name, allowed)] == '\0';
}
