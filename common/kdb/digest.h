/*
 * digest - one number for the content of a KDC database, equal wherever the content is.
 *
 * It is the sum modulo 2^256 (both big-endian) of HMAC-SHA256(nonce, record) over all records, so
 * their order does not matter and memory is bounded by one record. A record is written in one
 * canonical form, whether it comes from a line of `kdb5_util dump` (common/dump) or from an entry
 * of libkdb5 (common/digest_kdb); the form is described in digest.c.
 *
 * Left out, since they are not replicated or do not survive a load: a principal's record length,
 * last success, last failure and failure count; a policy's reference count. Keys count as sorted by
 * kvno, the greatest first and otherwise in their order, as libkdb5 hands them to a KDC, which
 * writes them back so.
 *
 * How to: digest_new; for each principal digest_principal, its TL data, for each key digest_key and
 * its digest_key_part, digest_e_data, digest_end; for each policy digest_policy, its TL data,
 * digest_end; at the end digest_value. The first failure sticks, so only digest_end or digest_value
 * needs a look.
 */
#ifndef KPC_DIGEST_H
#define KPC_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIGEST_NONCE_SIZE 32
#define DIGEST_SIZE 32

/* The bound of one record's canonical form; a larger one makes the digest fail. */
#define DIGEST_RECORD_MAX (64u << 20)

struct digest;

/* A policy's fields as in kdb.h; strings are not copied beyond the call. */
struct digest_policy {
    const char *name;
    size_t name_len;
    uint32_t pw_min_life;
    uint32_t pw_max_life;
    uint32_t pw_min_length;
    uint32_t pw_min_classes;
    uint32_t pw_history_num;
    uint32_t pw_max_fail;
    uint32_t pw_failcnt_interval;
    uint32_t pw_lockout_duration;
    uint32_t attributes;
    uint32_t max_life;
    uint32_t max_renewable_life;
    const char *allowed_keysalts; /* NULL for none; "-" is the same, as it is in a dump */
    size_t allowed_keysalts_len;
};

/* An empty digest under NONCE, to be freed by the caller; NULL if out of memory. */
struct digest *digest_new(const unsigned char nonce[DIGEST_NONCE_SIZE]);
void digest_free(struct digest *d);

/*
 * Before the first record: sum under a second NONCE as well, so that one walk tells both what the
 * content is now and whether it is what an older digest was made of.
 */
void digest_also(struct digest *d, const unsigned char nonce[DIGEST_NONCE_SIZE]);

/* Begin a principal; NAME is LEN bytes as krb5_unparse_name writes it. Signed fields as their bits.
 */
void digest_principal(struct digest *d, const char *name, size_t len, uint32_t attributes,
                      uint32_t max_life, uint32_t max_renewable_life, uint32_t expiration,
                      uint32_t pw_expiration);

/* Begin a policy. */
void digest_policy(struct digest *d, const struct digest_policy *policy);

/* Add one TL data of the record begun last, in its order; LEN may be 0, DATA then NULL. */
void digest_tl(struct digest *d, int16_t type, const void *data, size_t len);

/* Add one key of the principal begun last, after its TL data. */
void digest_key(struct digest *d, int16_t version, uint16_t kvno);

/* Add one part of that key (the first is the key with its enctype, the second the salt). */
void digest_key_part(struct digest *d, int16_t type, const void *data, size_t len);

/* Add the principal's e_data after its keys; not to be called, or with LEN 0, if there is none. */
void digest_e_data(struct digest *d, const void *data, size_t len);

/* End the record and add it to the sum. False if anything has failed so far. */
bool digest_end(struct digest *d);

/* The sum over all records ended so far. False (OUT all zero) if anything has failed. */
bool digest_value(const struct digest *d, unsigned char out[DIGEST_SIZE]);

/* The same under the second nonce; false too if there is none. */
bool digest_also_value(const struct digest *d, unsigned char out[DIGEST_SIZE]);

/* Make D failed: its caller found a record that it cannot describe. */
void digest_fail(struct digest *d);

/* How many were ended. */
uint64_t digest_principals(const struct digest *d);
uint64_t digest_policies(const struct digest *d);

#endif
