/*
 * kprop - run kprop: one dump to one host, to no other than is meant.
 *
 * kprop would ask the resolver twice more, for the principal and for the address. It is told to
 * take the name as it is, and its connection is held to one address.
 */
#ifndef KPC_KPROP_H
#define KPC_KPROP_H

#include "common/base/errors.h"
#include "common/base/subprocess.h"
#include "kpropctl/base/configuration.h"

#include <stdbool.h>
#include <stdint.h>

struct kprop {
    const struct configuration *configuration;
    const char *realm;
    const char *client;  /* the principal of this primary, which kprop has to come to by itself */
    const char *host;    /* the replica, as its principal has it */
    const char *address; /* numeric: the only one that it may connect to; NULL: where HOST leads */
    const char *keytab;
    const char *dump; /* PATH; the folder is private, and may take a file beside it */
    uint64_t bytes;   /* of it */
    int seconds;      /* after which it is given up */
    void (*progress)(void *closure, uint64_t done, uint64_t total, double seconds);
    void *closure;
};

/*
 * Run it to its end. False with ERR only where it was not started: also where this system cannot
 * hold it to the address, and HOST leads to others too (ERROR_REFUSED). RESULT is the caller's, to
 * be freed in any case; what kprop said is in its err.
 */
bool kprop_run(const struct kprop *kprop, struct subprocess_result *result, struct error *err);

#endif
