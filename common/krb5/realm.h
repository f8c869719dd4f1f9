/*
 * realm - what the Kerberos configuration of this host says of a realm: names and paths.
 *
 * Read from krb5.conf and kdc.conf by libkrb5 and libkadm5, so Debian's, RHEL's and anybody's
 * layout come out right; nothing is guessed from the distribution.
 */
#ifndef KPC_REALM_H
#define KPC_REALM_H

#include "common/base/errors.h"

#include <stddef.h>

struct realm {
    char *name;
    char *backend;       /* db_library: "db2", "klmdb", "kldap" */
    char *database;      /* database_name: the path that the backend derives its files from */
    char *stash;         /* key_stash_file */
    char *master_key;    /* "K/M@REALM" */
    char *kdc_conf;      /* KRB5_KDC_PROFILE's first file, or kdc.conf in conf_dir */
    char *conf_dir;      /* compiled in: the folder of kdc.conf and the access lists */
    char *data_dir;      /* compiled in: the folder of databases that nothing names */
    char *kpropd_acl;    /* where kpropd looks without -a */
    char *spool;         /* where kpropd receives without -f: its from_master */
    char *keytab;        /* path of the default keytab, without "FILE:" */
    char **admin_server; /* every value of admin_server, ended by NULL */
    char **kdc;          /* every value of kdc, ended by NULL; NULL if there is none */
    int kdc_port;        /* of kdc_listen or kdc_ports: 88 if it is among them, else the first */
    bool iprop;          /* iprop_enable */
    char *iprop_log;     /* iprop_logfile: the update log; NULL if not known */
    unsigned int iprop_log_entries; /* iprop_ulogsize */
    int iprop_resync_timeout;       /* seconds that kpropd waits for a load */
};

/* Read what is known of realm NAME (NULL: the default realm). Caller frees *OUT with realm_free. */
bool realm_load(const char *name, struct realm **out, struct error *err);
void realm_free(struct realm *realm);

/*
 * The default realm, if there is one, and those that krb5.conf or kdc.conf has a section of
 * [realms] for, each once, into *NAMES, ended by NULL. Caller frees it with realm_free_names.
 */
bool realm_names(char ***names, struct error *err);
void realm_free_names(char **names);

/*
 * The absolute path of a Kerberos program ("kprop", "kdb5_util") in the usual folders into PATH.
 * False, with an error that says what to install, if it is not there.
 */
bool realm_find_program(const char *name, char *path, size_t size, struct error *err);

#endif
