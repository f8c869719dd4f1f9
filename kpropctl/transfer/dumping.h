/*
 * dumping - one dump of the live database into a file of our own, validated while it is written.
 */
#ifndef KPC_DUMPING_H
#define KPC_DUMPING_H

#include "common/base/errors.h"
#include "common/kdb/dump.h"
#include "common/krb5/realm.h"
#include "kpropctl/base/configuration.h"

#include <stdbool.h>

struct dumping {
    const unsigned char *nonce; /* DIGEST_NONCE_SIZE bytes */
    const unsigned char *also;  /* a second one, or NULL */
};

/*
 * Dump REALM with kdb5_util to PATH (0600), with PATH.dump_ok behind it, and tell what is in it.
 * The counts are held against a snapshot of the live database: a dump cut between two records is
 * seen by nothing else. On failure there is no PATH; ERROR_REFUSED means that the dump is whole, or
 * seems so, and must not be sent.
 */
bool dumping_make(const struct configuration *configuration, const struct realm *realm,
                  const struct dumping *dumping, const char *path, struct dump_info *info,
                  struct error *err);

#endif
