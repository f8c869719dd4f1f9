/*
 * names - what this host makes of the name of another: addresses, reverse name, and the principal
 * that krb5 derives, which both sides of kprop must agree on.
 */
#ifndef KPC_NAMES_H
#define KPC_NAMES_H

#include "common/base/errors.h"

#include <stdbool.h>
#include <stddef.h>

struct names {
    char host[256];      /* as krb5 canonicalises it */
    char address[64];    /* the first address, numeric */
    unsigned addresses;  /* how many there are */
    char reverse[256];   /* the name of that address, or "" */
    char principal[512]; /* host/NAME@REALM as krb5_sname_to_principal(3) derives it, as kprop does
                          */
    bool local;          /* the address is one of this host's own */
};

/* True for what may be a host name or an address: letters, digits, dots, dashes, colons; no leading
 * dash. */
bool names_valid(const char *host);

/*
 * Look HOST up for REALM (NULL HOST: this host's own name, as kprop finds it). May block on DNS.
 * ERROR_UNREACHABLE when it does not resolve.
 */
bool names_look_up(const char *host, const char *realm, struct names *names, struct error *err);

/*
 * The same of a replica that is recorded as RECORDED: what is under that name now has to be that
 * host, whatever aliases and reverse names say, and its principal is of the recorded name.
 * ERROR_REFUSED where the name leads to another host.
 */
bool names_look_up_recorded(const char *recorded, const char *realm, struct names *names,
                            struct error *err);

/* Does krb5 make the name HOST of ASKED, by its forward name at least? */
bool names_mean(const char *asked, const char *host, const char *realm);

/*
 * The text of a krb5.conf with which a program takes host names as they are, asking neither DNS nor
 * reverse names, when it is read before all others. False where such a program would not come to
 * OWN, the principal of this host in REALM, by itself: it is not then to be used.
 */
bool names_plain_layer(const char *realm, const char *own, char *text, size_t size);

/* The files that libkrb5 reads here, as KRB5_CONFIG lists them. */
const char *names_krb5_conf(void);

/* True if HOST has no other address than ADDRESS. */
bool names_lead_to(const char *host, const char *address);

/*
 * Can the host that the user called ASKED be a replica of this one? ERROR_REFUSED when it is this
 * host itself, ERROR_FAILED when its principal would have a short name.
 */
bool names_suit_replica(const struct names *names, const char *asked, struct error *err);

/* True if any address of HOST is one of this host. */
bool names_is_local(const char *host);

#endif
