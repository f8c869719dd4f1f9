/*
 * spool - the dump of one run: made once, in a private folder, validated while it is written,
 * shared by the children that serve the hosts, and removed at the end of the run.
 */
#ifndef KPC_SPOOL_H
#define KPC_SPOOL_H

#include "common/base/errors.h"
#include "common/kdb/dump.h"
#include "common/krb5/realm.h"
#include "kpropctl/base/configuration.h"

#include <stdbool.h>
#include <stdint.h>

struct spool;

/* The content of the database, and its dump once that is made. */
struct spool_dump {
    char path[4096];    /* the dump, with PATH.dump_ok beside it as kprop wants it; "": none made */
    int64_t generation; /* a guess if the state database could not be used */
    bool untouched;     /* nobody has written the database since this generation was dumped */
    bool same_content;  /* dumped, and only what is not replicated had changed */
    uint64_t bytes;
    uint64_t principals;
    uint64_t policies;
    char sha256[2 * DUMP_SHA256_SIZE + 1]; /* of the dump */
    char digest[2 * DIGEST_SIZE + 1];
    char nonce[2 * DIGEST_NONCE_SIZE + 1];
    double seconds;
    bool state_failed;      /* the state database could not be used: */
    char state_error[1024]; /* why */
};

struct spool_options {
    bool force;        /* dump even an untouched database */
    bool allow_shrink; /* a dump with far fewer entries than the last one is meant so */
};

/*
 * Make the private folder of a run for REALM, and remove what killed runs have left; *DEBRIS counts
 * those. Both belong to the caller for the life of the spool. NULL and ERR on failure.
 */
struct spool *spool_open(const struct configuration *configuration, const struct realm *realm,
                         const struct spool_options *options, unsigned *debris, struct error *err);

/* End it and remove its folder, in the process that opened it alone; NULL is fine. */
void spool_close(struct spool *spool);

/*
 * What the database holds: of an untouched one by memory, else by dumping it, once for all
 * processes of the run: the first that asks does it while the others wait. Refused (ERROR_REFUSED)
 * or failed dumps are neither kept nor sent.
 */
bool spool_content(struct spool *spool, struct spool_dump *dump, struct error *err);

/* The same, with the dump itself made in any case. */
bool spool_file(struct spool *spool, struct spool_dump *dump, struct error *err);

/* What this run has made so far, or knows of an untouched database; generation 0 if nothing. */
void spool_look(struct spool *spool, struct spool_dump *dump);

/*
 * One host of the run has told the greatest generation that its agent knows (0: none, or it cannot
 * be asked): what is dumped from then on has a number above it. Once for each host.
 */
void spool_heard(struct spool *spool, int64_t greatest);

/* Wait until HOSTS have, so that one content gets one number, at most SECONDS: the greatest. */
int64_t spool_hear_all(struct spool *spool, size_t hosts, int seconds);

/*
 * The greatest number that a replica is believed. One that is out of its mind would else take all
 * numbers from all: what is sent next must be greater everywhere, and at the end there is none.
 */
#define SPOOL_GENERATION_RAISED INT64_C(1000000000000)

/*
 * A replica remembers a generation of LEAST or more: give DUMP's content a number above that, here
 * as well. Where the state database cannot be used that is false, and DUMP has its number all the
 * same; above SPOOL_GENERATION_RAISED it is false (ERROR_REFUSED) with DUMP as it was.
 */
bool spool_raise(struct spool *spool, int64_t least, struct spool_dump *dump, struct error *err);

/* How many folders of killed runs are there, which the next run will remove. Needs root. */
unsigned spool_debris(const struct configuration *configuration);

/* Bytes that a dump of the database may need on the spool's file system, and those free there. */
bool spool_space(const struct configuration *configuration, const struct realm *realm,
                 uint64_t *needed, uint64_t *available, char *folder, size_t size,
                 struct error *err);

#endif
