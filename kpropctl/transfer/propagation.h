/*
 * propagation - one dump to one replica: announce it, let kprop send it, learn what became of it.
 *
 * Whatever kprop says proves nothing; the replica's own outcome and digest do.
 */
#ifndef KPC_PROPAGATION_H
#define KPC_PROPAGATION_H

#include "common/base/errors.h"
#include "kpropctl/base/configuration.h"
#include "kpropctl/remote/remote.h"
#include "kpropctl/transfer/spool.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct propagation {
    const struct configuration *configuration;
    const char *realm;
    const char *host;    /* canonical */
    const char *from;    /* principal of this primary */
    const char *address; /* numeric: where its agent answered, and kprop has to connect; or NULL */
    const char *keytab;
    struct remote *agent; /* NULL: send blindly, nothing will be verified */
    struct spool *spool;
    struct spool_dump *dump; /* its generation is raised if the replica remembers a greater one */
    double slowest_rate;     /* bytes per second that this replica has shown, or 0 */
    /* The replica knows generation GREATEST, or another content of this number: may this content
     * have a greater one? False with ERR if not. */
    bool (*may_raise)(void *closure, int64_t greatest, struct error *err);
    void (*progress)(void *closure, uint64_t done, uint64_t total, double seconds);
    void *closure;

    /* results */
    double transfer_seconds; /* of kprop, with the load that it waits for */
    json_t *outcome;         /* the loader's, or NULL; the caller's */
    char loading[128];       /* "; a load is still running there …", or "" */
    char detail[4096];       /* what kprop said, and the replica's own log lines */
};

/*
 * Do it. True when the replica's loader says that it has verified exactly this dump, or kprop
 * succeeded where no loader told anything (then p->outcome is NULL, and the digest must decide).
 * False with ERR naming the replica's own reason.
 */
bool propagation_send(struct propagation *p, struct error *err);

/* Seconds after which a transfer of BYTES is given up: configured, or derived from its size and the
 * slowest rate seen (bytes per second, 0: none). */
int propagation_deadline(const struct configuration *configuration, uint64_t bytes, double rate);

#endif
