/*
 * acceptor - with which keys the daemon lets peers in: those of host/ of this host, in the realms
 * that it serves, and no other key of the keytab.
 *
 * A keytab may hold what others know too: a web server's HTTP/, the key of a cluster's other host,
 * that of a realm whose KDCs are elsewhere. Whoever knows a key can forge a ticket for it in any
 * client's name. So the credentials are of a keytab in memory with our entries alone.
 */
#ifndef KPC_AGENT_ACCEPTOR_H
#define KPC_AGENT_ACCEPTOR_H

#include "agent/base/own_names.h"
#include "agent/base/settings.h"
#include "common/base/errors.h"

#include <gssapi/gssapi.h>
#include <krb5.h>
#include <stdbool.h>

struct acceptor;

/*
 * Read the keytab of SETTINGS and acquire credentials of what it has for us. There is an acceptor
 * even if there are none: it says so in ERR, and acceptor_credential is GSS_C_NO_CREDENTIAL. Logged
 * is each key of host/ that opens nothing, with the setting that would let it. NULL if memory is
 * short. Never asks a resolver.
 */
struct acceptor *acceptor_new(const struct settings *settings, struct error *err);

/* Release the credentials: no handshake may be under way with them. NULL is fine. */
void acceptor_free(struct acceptor *acceptor);

/* Has any file that acceptor_new looked at, or this host's name, changed since? */
bool acceptor_is_stale(const struct acceptor *acceptor);

/* Borrowed. */
gss_cred_id_t acceptor_credential(const struct acceptor *acceptor);

/* May a ticket for TARGET ("host/NAME@REALM") open a session? */
bool acceptor_takes(const struct acceptor *acceptor, const char *target);

/* Why a principal of the keytab opens a session, or does not. */
enum acceptor_verdict {
    ACCEPTOR_OURS,
    ACCEPTOR_OTHER_SERVICE, /* it is not host/NAME@REALM */
    ACCEPTOR_OTHER_HOST,    /* of none of NAMES */
    ACCEPTOR_OTHER_REALM,   /* of none of REALMS */
};

/* Judge PRINCIPAL; REALMS (NULL: any) is ended by NULL. */
enum acceptor_verdict acceptor_judge(krb5_const_principal principal, const struct own_names *names,
                                     char *const *realms);

#endif
