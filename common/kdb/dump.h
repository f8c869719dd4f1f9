/*
 * dump - an incremental decoder of the output of `kdb5_util dump`, without I/O.
 *
 * Bytes go in as they come, in any slicing; what comes out is whether they are a whole dump that
 * `kdb5_util load` will turn into exactly the same content, its counts, its SHA-256 and its digest.
 * It is stricter than kdb5_util load, which takes a dump cut between two records for a whole one,
 * spins for ever on one cut in its last two bytes, and changes or loses some records in silence.
 * What it cannot see is a dump cut between two records: only the counts or the digest of the
 * database it came from tell that.
 *
 * Memory is bounded by DUMP_LINE_MAX. Errors name the line and the principal or policy, never the
 * content of another field, which may be a key. A name that occurs twice is not noticed.
 */
#ifndef KPC_DUMP_H
#define KPC_DUMP_H

#include "common/base/errors.h"
#include "common/kdb/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The bound of one line: far more than a principal with every key it ever had. */
#define DUMP_LINE_MAX (16u << 20)

#define DUMP_SHA256_SIZE 32

enum dump_format {
    DUMP_FULL,   /* "kdb5_util load_dump version N", N being 4 to 7 */
    DUMP_IPROP,  /* "iprop SNO SECONDS USECONDS", or ipropx version 0: policies as in version 4 */
    DUMP_IPROPX, /* "ipropx 1 SNO SECONDS USECONDS": policies as in version 6 or 7 */
};

/* What is known of a dump after its end. */
struct dump_info {
    enum dump_format format;
    unsigned int version; /* 4 to 7; 0 or 1 for those of incremental propagation */
    uint64_t bytes;
    uint64_t lines; /* with the header */
    uint64_t principals;
    uint64_t policies;
    char realm[256];     /* REALM as given, else of the K/M seen, else of the first principal */
    bool has_master_key; /* K/M@REALM (or the name given) is among the principals */
    bool has_krbtgt;     /* krbtgt/REALM@REALM is */
    unsigned char sha256[DUMP_SHA256_SIZE]; /* of all bytes */
    unsigned char digest[DIGEST_SIZE];      /* all zero if no nonce was given */
    unsigned char also[DIGEST_SIZE];        /* under the second nonce, likewise */
};

struct dump;

/*
 * A decoder for a dump of REALM (NULL: of whatever realm its K/M is), to be freed by the caller.
 * MASTER_KEY is the principal of the master key with its realm (NULL: K/M@REALM). The digest is
 * made under NONCE (DIGEST_NONCE_SIZE bytes; NULL: none). NULL if out of memory.
 */
struct dump *dump_new(const char *realm, const char *master_key, const unsigned char *nonce);

/* Before the first byte, where a nonce was given: a digest under a second NONCE too (digest_also).
 */
void dump_also(struct dump *d, const unsigned char *nonce);

void dump_free(struct dump *d);

/*
 * Take the next LEN bytes. False as soon as they cannot be part of a good dump, and from then on
 * with the same ERR: ERROR_REFUSED for content that kdb5_util load would not take over as it is,
 * ERROR_FAILED for a dump that is damaged, ERROR_INTERNAL when out of memory.
 */
bool dump_feed(struct dump *d, const void *data, size_t len, struct error *err);

/*
 * There are no more bytes: check that the dump is whole and of the realm, and fill INFO (cleared
 * first; NULL: not wanted). A dump without a principal is ERROR_FAILED; one without K/M@REALM or
 * krbtgt/REALM@REALM is ERROR_REFUSED, with INFO filled all the same.
 */
bool dump_finish(struct dump *d, struct dump_info *info, struct error *err);

/* What was taken so far, for progress. */
uint64_t dump_bytes(const struct dump *d);
uint64_t dump_principals(const struct dump *d);

#endif
