/*
 * outcome - what became of a load, written by the loader and told by the agent.
 *
 * kpropd tells the primary only that a load failed, and often not even that; this file has the
 * reason. One per realm, in the agent's state folder.
 */
#ifndef KPC_AGENT_OUTCOME_H
#define KPC_AGENT_OUTCOME_H

#include "common/base/errors.h"
#include "common/kdb/digest.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Plain data without pointers: the loader's two processes share it. */
struct outcome {
    uint64_t generation; /* of the announcement; 0 without one */
    bool announced;
    bool loaded;   /* the live database is now that of this dump */
    bool verified; /* and was announced, and its content is what was announced */
    char stage[16];
    char error[1024]; /* "" if loaded */
    char hint[1024];
    char refusal[32]; /* the row of common/contract/refusals.h that refused it, or "" */
    char left[16]; /* what a failed load left in the database's place, as seen after it: untouched,
                      written (the same files), replaced, missing, none (as before), or "" */
    char note[1024]; /* what else there is to tell, as leftovers of a killed load; or "" */
    char kdb5_util_stderr[2048];
    uint64_t principals;
    uint64_t policies;
    uint64_t carried; /* principals whose lockout state was carried over */
    uint64_t bytes;   /* of the dump */
    unsigned char nonce[DIGEST_NONCE_SIZE];
    unsigned char digest[DIGEST_SIZE]; /* of the database as loaded, under nonce */
    unsigned char sha256[32];          /* of the dump */
    char identity[512]; /* of the database's files as promoted (common/kdb/backend.h), "" if not
                           known */
    bool has_digest;
    bool has_sha256;
    bool proved;    /* the staged database was walked and is that of the dump (not in the file) */
    double started; /* seconds since the epoch */
    double finished;
    double validate; /* seconds that each stage took */
    double load;
    double verify;
    double promote;
    int pid;
};

/* Write the outcome of REALM into state folder STATE. */
bool outcome_write(const char *state, const char *realm, const struct outcome *outcome,
                   struct error *err);

/* The outcome of REALM as an object (owned by the caller), or NULL: no load yet (ERR without a
 * code), or the file cannot be read. */
json_t *outcome_read(const char *state, const char *realm, struct error *err);

/* Forget the outcome of REALM if it is of GENERATION, which is to be sent again. */
void outcome_forget(const char *state, const char *realm, uint64_t generation);

/* STATE/REALM.SUFFIX into NAME; refuses a realm that is no plain file name. */
bool outcome_file_name(const char *state, const char *realm, const char *suffix, char *name,
                       size_t size, struct error *err);

/* Write OBJECT to the file NAME, 0600. */
bool outcome_write_json(const char *name, const json_t *object, struct error *err);

/* The JSON object in the file NAME, owned by the caller; NULL with errno ENOENT if there is none.
 */
json_t *outcome_read_json(const char *name, struct error *err);

/* LEN bytes in hexadecimal as a new JSON string. */
json_t *outcome_hex(const void *data, size_t len);

#endif
