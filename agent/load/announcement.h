/*
 * announcement - what the primary says of the dump that it is about to send: the loader takes no
 * other one while it is pending. One per realm, in the agent's state folder.
 */
#ifndef KPC_AGENT_ANNOUNCEMENT_H
#define KPC_AGENT_ANNOUNCEMENT_H

#include "common/base/errors.h"
#include "common/kdb/digest.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct announcement {
    uint64_t generation;
    unsigned char sha256[32]; /* of the dump */
    unsigned char nonce[DIGEST_NONCE_SIZE];
    unsigned char digest[DIGEST_SIZE]; /* of its content under nonce */
    uint64_t size;                     /* bytes of the dump */
    uint64_t principals;
    uint64_t policies;
    char from[256]; /* who announced it */
    int64_t announced_at;
    int64_t expires_at; /* seconds since the epoch; not pending any more from then on */
    bool live;          /* its content was seen in the live database since: announcement_seen */
};

/*
 * Take an announcement from OBJECT, as `announce` is given it. The times become this host's: now,
 * and as much later as `expires_at` is after `announced_at` (a minute to a day; an hour if they are
 * missing). FROM overrides the object's.
 */
bool announcement_parse(const json_t *object, const char *from, struct announcement *a,
                        struct error *err);

/*
 * Make A the pending announcement of REALM, and its generation the greatest known. ERROR_REFUSED
 * when a greater one is known already, or another content by the same number: an older dump never
 * replaces a newer one, and a number is of one content.
 */
bool announcement_store(const char *state, const char *realm, const struct announcement *a,
                        struct error *err);

/* The pending announcement, *FOUND false if there is none or it has expired. */
bool announcement_read(const char *state, const char *realm, struct announcement *a, bool *found,
                       struct error *err);

/*
 * The live database's content under NONCE was found to be DIGEST. If that is what is announced, it
 * came past our loader, which would keep others out for it until it expires: from now on it reads
 * as live, until it is announced again.
 */
bool announcement_seen(const char *state, const char *realm, const unsigned char *nonce,
                       const unsigned char *digest, struct error *err);

/*
 * A was loaded, and is to be the last good one: what was it before, if of another dump (*OTHER),
 * becomes the previous one (REALM.last_good.1).
 */
bool announcement_make_way(const char *state, const char *realm, const struct announcement *a,
                           bool *other, struct error *err);

/* It was loaded: keep it as the last good one (REALM.last_good, with LOADED_AT), none is pending.
 */
bool announcement_done(const char *state, const char *realm, const struct announcement *a,
                       struct error *err);

/* What is known of the last verified load, or the one before it, as an object of the same keys with
 * "loaded_at", owned by the caller; NULL if there is none. */
json_t *announcement_last_good(const char *state, const char *realm, bool previous);

/* OBJECT, one of those, as it was announced. */
bool announcement_of_last_good(const json_t *object, struct announcement *a, struct error *err);

/* The greatest generation ever announced for REALM; 0 if none. */
uint64_t announcement_greatest(const char *state, const char *realm);

#endif
