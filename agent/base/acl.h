/*
 * acl - who may ask the agent for what: files in remctl's syntax, default deny.
 *
 * A line is a principal, `princ:PRINCIPAL`, `file:PATH` or `include PATH` (a file, or a folder of
 * files whose names are of letters, digits, - and _), or `deny:` before any of them; `#` begins a
 * comment line. The first line that matches decides within a file; in a folder a denial counts
 * before a permission. Other than in remctl, a fault anywhere in what is read denies, also behind a
 * line that matched, and so does a principal without a realm, which could never match.
 */
#ifndef KPC_AGENT_ACL_H
#define KPC_AGENT_ACL_H

#include "agent/base/settings.h"
#include "common/base/errors.h"

#include <stdbool.h>
#include <stddef.h>

enum acl_right { ACL_READ, ACL_CHANGE };

enum acl_answer { ACL_NO_MATCH, ACL_PERMIT, ACL_DENY };

/* How a line that includes PATH is answered; false with ERR for a fault. */
typedef bool acl_include(void *arg, const char *path, enum acl_answer *answer, struct error *err);

/*
 * What TEXT (LEN bytes of file NAME) says of PRINCIPAL. False with ERR ("FILE:LINE: …") if TEXT
 * is malformed, or INCLUDE, called with ARG for each included path, failed.
 */
bool acl_evaluate(const char *name, const char *text, size_t len, const char *principal,
                  acl_include *include, void *arg, enum acl_answer *answer, struct error *err);

/* The same for the file or folder PATH, following what it includes. */
bool acl_evaluate_path(const char *path, const char *principal, enum acl_answer *answer,
                       struct error *err);

/*
 * May PEER use RIGHT? As settings.acl says (its right to change implies that to read), or for
 * reading settings.acl_read; without an acl, host/ + the default realm's admin_server alone. May
 * block (files, krb5.conf). Every reason to deny that lies in the configuration is logged.
 */
bool acl_permits(const struct settings *settings, const char *peer, enum acl_right right);

/*
 * The principal host/ADMIN_SERVER@REALM for the values of admin_server (NULL-ended, or NULL) into
 * NAME. False, with ERR saying what to configure, if there is not exactly one, or it is an address.
 */
bool acl_primary(char *const *admin_server, const char *realm, char *name, size_t size,
                 struct error *err);

#endif
