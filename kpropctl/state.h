/*
 * state - what the primary knows: replicas, runs, and what became of each, in one SQLite file.
 *
 * The only use of SQLite. A rollback journal, so that readers need no right to write; every change
 * is one transaction, so that a crash or a full disk leaves no half record. Generations grow: the
 * next is above all that was ever recorded here or seen on a replica.
 */
#ifndef KPC_STATE_H
#define KPC_STATE_H

#include "common/digest.h"
#include "common/errors.h"

#include <stdbool.h>
#include <stdint.h>

struct state;

/* Open the state database in folder DIR, creating both unless READ_ONLY. NULL and ERR
 * (ERROR_INTERNAL) on failure; a missing one is a failure for READ_ONLY. */
struct state *state_open(const char *dir, bool read_only, struct error *err);
void state_close(struct state *state);

/* One dump, to be sent to one or more replicas. */
struct state_run {
    int64_t id; /* filled by state_run_begin */
    int64_t generation;
    const char *realm;
    const char *reason; /* "setup", "propagate", … */
    uint64_t principals;
    uint64_t policies;
    uint64_t bytes;
    char sha256[65];
    char digest[2 * DIGEST_SIZE + 1];
    char nonce[2 * DIGEST_NONCE_SIZE + 1];
    double dump_seconds;
};

/* Record a dump as a new generation, above all others of its realm: fills id and generation. */
bool state_run_begin(struct state *state, struct state_run *run, struct error *err);

/* What became of a run on one replica. */
struct state_outcome {
    int64_t run;
    int64_t
        generation; /* as the replica has it: above the run's where it remembered a greater one */
    const char *realm;
    const char *host;
    const char *result;      /* "verified", "unchanged", "sent", "failed" */
    const char *error;       /* or NULL */
    double transfer_seconds; /* kprop, with the load it waits for */
    double load_seconds;
    double verify_seconds;
};

bool state_outcome_record(struct state *state, const struct state_outcome *outcome,
                          struct error *err);

/* Remember HOST as a replica of REALM. *NEW tells whether it was not one before. */
bool state_replica_record(struct state *state, const char *realm, const char *host, bool *is_new,
                          struct error *err);
bool state_replica_known(struct state *state, const char *realm, const char *host, bool *known,
                         struct error *err);

/* The content that HOST was last seen to hold. */
struct state_content {
    int64_t generation; /* 0: never seen to hold anything */
    char nonce[2 * DIGEST_NONCE_SIZE + 1];
    char digest[2 * DIGEST_SIZE + 1];
};

bool state_last_verified(struct state *state, const char *realm, const char *host,
                         struct state_content *content, struct error *err);

#endif
