/*
 * dump - an incremental decoder of the output of `kdb5_util dump`, without I/O.
 *
 * Bytes go in as they come, in any slicing; what comes out is whether they are a whole dump that
 * `kdb5_util load` will turn into exactly the same content, its counts, its SHA-256 and its digest.
 * It is stricter than kdb5_util load, which takes a dump cut between two records for a whole one,
 * spins for ever on one cut in its last two bytes, and changes or loses some records in silence.
 * What it cannot see is a dump cut between records: counts and digest of the source tell.
 *
 * Memory is bounded by DUMP_LINE_MAX. Errors name the line and the principal or policy, never a
 * key. A duplicate name is not noticed.
 */
#ifndef KPC_DUMP_H
#define KPC_DUMP_H

#include "common/digest.h"
#include "common/errors.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The bound of one line, some twenty times what the largest principal of a real realm takes. */
#define DUMP_LINE_MAX (16u << 20)

#define DUMP_SHA256_SIZE 32

enum dump_format {
    DUMP_FULL,   /* "kdb5_util load_dump version N", versions 4 to 7 */
    DUMP_IPROP,  /* "iprop SNO SECONDS USECONDS": without what is not replicated; policies as in 4 */
    DUMP_IPROPX, /* "ipropx VERSION SNO SECONDS USECONDS", versions 0 (as iprop) and 1 */
};

/* What is known of a dump after its end. */
struct dump_info {
    enum dump_format format;
    unsigned int version;
    uint64_t bytes;
    uint64_t lines; /* with the header */
    uint64_t principals;
    uint64_t policies;
    bool has_master_key; /* K/M@REALM is among the principals */
    bool has_krbtgt;     /* krbtgt/REALM@REALM is */
    char realm[256];     /* of the first K/M@… seen, else of the first principal, or "" */
    unsigned char sha256[DUMP_SHA256_SIZE]; /* of all bytes */
    unsigned char digest[DIGEST_SIZE];      /* all zero if no nonce was given */
};

struct dump;

/*
 * A decoder for a dump of REALM (NULL: whatever realm its K/M is of), to be freed by the caller.
 * The digest is made under NONCE (DIGEST_NONCE_SIZE bytes; NULL: none). NULL if out of memory.
 */
struct dump *dump_new(const char *realm, const unsigned char *nonce);
void dump_free(struct dump *d);

/*
 * Take the next LEN bytes. False as soon as they cannot be part of a good dump, and from then on,
 * with the same ERR each time: ERROR_REFUSED for a dump that is whole but must not be sent, else
 * ERROR_FAILED (ERROR_INTERNAL when out of memory).
 */
bool dump_feed(struct dump *d, const void *data, size_t len, struct error *err);

/*
 * There are no more bytes: check that the dump is whole and of the realm, and fill INFO (cleared
 * first; NULL: not wanted). A dump without K/M@REALM or krbtgt/REALM@REALM is ERROR_REFUSED with
 * INFO filled all the same.
 */
bool dump_finish(struct dump *d, struct dump_info *info, struct error *err);

/* What was taken so far, for progress. */
uint64_t dump_bytes(const struct dump *d);
uint64_t dump_principals(const struct dump *d);

/* "version 7", "ipropx version 1", for messages; static. */
const char *dump_format_name(const struct dump_info *info);

#endif
