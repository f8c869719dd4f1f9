/*
 * enroll_paths - where a realm's files are on this host by a configuration that is not yet in
 * force.
 */
#ifndef KPC_AGENT_ENROLL_PATHS_H
#define KPC_AGENT_ENROLL_PATHS_H

#include "common/base/buffers.h"
#include "common/base/errors.h"

#include <jansson.h>
#include <stdbool.h>

/*
 * What a realm_load of REALM would say if krb5.conf had the content KRB5_CONF and kdc.conf KDC_CONF
 * (NULL: what they have): an object of strings "conf_dir", "data_dir", "kdc_conf", "kpropd_acl",
 * "stash", "master_key", "backend", "database", "spool", "keytab", and "lets_in", the principal
 * that the agent lets in without an access list (null: none). Owned by the caller. Asked in a
 * child, whose environment names files in memory, and which loads no plugin that any file names.
 */
bool enroll_paths_read(const char *realm, const struct buffer *krb5_conf,
                       const struct buffer *kdc_conf, json_t **paths, struct error *err);

/* The krb5.conf that counts first: of KRB5_CONFIG, or /etc/krb5.conf; freed by the caller. */
char *enroll_krb5_conf(void);

#endif
