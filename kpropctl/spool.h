/*
 * spool - the dump of one run: made once, in a private folder, validated while it is written,
 * shared by the children that serve the hosts, and removed at the end of the run.
 */
#ifndef KPC_SPOOL_H
#define KPC_SPOOL_H

#include "common/dump.h"
#include "common/errors.h"
#include "common/realm.h"
#include "kpropctl/configuration.h"

#include <stdbool.h>
#include <stdint.h>

struct spool;

/* What was dumped. */
struct spool_dump {
    char path[4096]; /* the dump, with PATH.dump_ok beside it as kprop wants it */
    int64_t run;     /* in the state database; 0 if that could not be written */
    int64_t generation;
    uint64_t bytes;
    uint64_t principals;
    uint64_t policies;
    char sha256[2 * DUMP_SHA256_SIZE + 1];
    char digest[2 * DIGEST_SIZE + 1];
    char nonce[2 * DIGEST_NONCE_SIZE + 1];
    double seconds;
    bool state_failed;      /* the state database could not be written: */
    char state_error[1024]; /* why */
};

/*
 * Make the private folder of a run for REALM, and remove what killed runs have left; *DEBRIS counts
 * those. Both belong to the caller for the life of the spool. NULL and ERR on failure.
 */
struct spool *spool_open(const struct configuration *configuration, const struct realm *realm,
                         unsigned *debris, struct error *err);

/* End it and remove its folder, in the process that opened it alone; NULL is fine. */
void spool_close(struct spool *spool);

/*
 * The dump of this run, for REASON: made by whichever process asks first, while the others wait.
 * Refused (ERROR_REFUSED) or failed dumps are neither kept nor sent.
 */
bool spool_dump(struct spool *spool, const char *reason, struct spool_dump *dump,
                struct error *err);

/* Bytes that a dump of the database may need on the spool's file system, and those free there. */
bool spool_space(const struct configuration *configuration, const struct realm *realm,
                 uint64_t *needed, uint64_t *available, char *folder, size_t size,
                 struct error *err);

#endif
