/*
 * enrollment - the bundle that makes a bare host ready to become a replica.
 */
#ifndef KPC_ENROLLMENT_H
#define KPC_ENROLLMENT_H

#include "common/contract/bundle.h"
#include "common/krb5/realm.h"
#include "kpropctl/krb5/names.h"
#include "kpropctl/krb5/principals.h"

#include <stdbool.h>

struct enrollment {
    const struct realm *realm;
    const struct names *primary; /* this host */
    const struct names *replica;
    struct principals *principals;
    bool with_stash; /* the master key goes along */
};

/*
 * Fill OUT (initialised; ended by bundle_free in any case): the replica's present keys, which its
 * principal must have, and this host's configuration of the realm. Changes nothing and writes no
 * file.
 */
bool enrollment_bundle(const struct enrollment *enrollment, struct bundle *out, struct error *err);

#endif
