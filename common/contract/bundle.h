/*
 * bundle - all that a bare host needs to become a replica, as one stream of bytes: what `kpropctl
 * enroll` writes and `kpropctl-agent enroll` reads. The format is described in docs/bundle.md.
 *
 * It holds keys. It comes over a channel that the administrator trusts, so its digest is there to
 * see damage, not to prove an origin.
 */
#ifndef KPC_BUNDLE_H
#define KPC_BUNDLE_H

#include "common/base/buffers.h"
#include "common/base/errors.h"

#include <stdbool.h>
#include <stddef.h>

/* The bounds of a bundle, and of each part. */
#define BUNDLE_MAX (4u << 20)
#define BUNDLE_PART_MAX (1u << 20)

/* In the order in which they are written. */
enum bundle_part {
    BUNDLE_REALM,      /* a line: the realm's name */
    BUNDLE_HOST,       /* a line: the host that it is for, as in its principal */
    BUNDLE_PRIMARY,    /* a line: the primary's principal, "host/kdc1.example.org@EXAMPLE.ORG" */
    BUNDLE_CREATED,    /* a line: when, seconds since 1970 in decimal */
    BUNDLE_DATA_DIR,   /* a line: the primary's default folder of KDC data */
    BUNDLE_CONF_DIR,   /* a line: the primary's default folder of kdc.conf and ACLs */
    BUNDLE_KEYTAB,     /* a keytab file (version 0x502) with the host's principal alone */
    BUNDLE_KRB5_CONF,  /* text: the primary's krb5.conf, its includes resolved */
    BUNDLE_KDC_CONF,   /* text: what kdc.conf says for the realm, in its syntax */
    BUNDLE_KPROPD_ACL, /* text: lines of kpropd.acl */
    BUNDLE_AGENT_ACL,  /* text: lines of the agent's ACL */
    BUNDLE_STASH,      /* the stash file of the master key; the only part that may be missing */
    BUNDLE_PARTS
};

struct bundle {
    struct buffer parts[BUNDLE_PARTS]; /* a part that is missing is empty */
};

/* Make B empty. */
void bundle_init(struct bundle *b);

/* Overwrite and free what is in B; B is as after bundle_init. */
void bundle_free(struct bundle *b);

/* Put a copy of LEN bytes in place of PART. Errors: too long for a part, or not what such a part
 * may hold (a line, a text). */
bool bundle_set(struct bundle *b, enum bundle_part part, const void *data, size_t len,
                struct error *err);

/* PART as a string inside B; "" if it is missing. */
const char *bundle_string(struct bundle *b, enum bundle_part part);

/* The name of PART in the format, in docs/bundle.md and in errors. */
const char *bundle_part_name(enum bundle_part part);

/* Append B as bytes to OUT (initialised by the caller). All parts but the stash must be there. */
bool bundle_write(struct bundle *b, struct buffer *out, struct error *err);

/*
 * Read exactly one bundle out of LEN bytes into *OUT (initialised; freed by the caller in any
 * case). What is truncated, altered, followed by more, of another version, has a part twice, an
 * unknown one or one too few is ERROR_REFUSED with a text that says which, and leaves *OUT empty.
 */
bool bundle_read(const void *data, size_t len, struct bundle *out, struct error *err);

#endif
