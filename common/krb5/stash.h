/*
 * stash - the master keys in a stash file, and how to tell of them without showing them.
 */
#ifndef KPC_STASH_H
#define KPC_STASH_H

#include "common/base/errors.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    STASH_MAX = 16 * 1024, /* bytes of a file */
    STASH_KEYS_MAX = 32,
    STASH_KEY_BYTES = 64,
    STASH_NONCE_SIZE = 32,
    STASH_MARK_SIZE = 2 * 32 + 1,
};

struct stash_key {
    unsigned kvno;
    int enctype;
    size_t len;
    unsigned char data[STASH_KEY_BYTES];
};

struct stash_keys {
    size_t count;
    struct stash_key keys[STASH_KEYS_MAX];
};

/* Overwrite KEYS with zeros. */
void stash_wipe(struct stash_keys *keys);

/*
 * The master keys in stash FILE (a keytab, as kdb5_util writes it since krb5 1.7), which must be of
 * principal MASTER_KEY alone ("K/M@REALM"). ERROR_FAILED for a file that is missing, damaged, of
 * the older format or of another realm.
 */
bool stash_read(const char *file, const char *master_key, struct stash_keys *keys,
                struct error *err);

/* The highest version among KEYS, 0 of none. */
unsigned stash_newest(const struct stash_keys *keys);

/*
 * What tells KEY from others, in hexadecimal: HMAC-SHA256 over it under NONCE (STASH_NONCE_SIZE
 * bytes), a new one for each question, so that nothing can be compared with an earlier answer.
 */
bool stash_mark(const unsigned char *nonce, const struct stash_key *key, char *mark);

#endif
