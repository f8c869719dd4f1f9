/*
 * keytab - change the keys of one principal in a keytab file, whole or not at all.
 *
 * The change is made by libkrb5 in a copy beside the file, which then takes its place: whoever
 * reads it meanwhile sees the old file or the new one. Other principals' entries stay as they are.
 */
#ifndef KPC_KEYTAB_H
#define KPC_KEYTAB_H

#include "common/base/buffers.h"
#include "common/base/errors.h"

#include <stdbool.h>
#include <stddef.h>

enum { KEYTAB_KEYS_MAX = 16, KEYTAB_KEY_BYTES = 64 };

struct keytab_key {
    int enctype; /* as krb5.h numbers them */
    size_t len;
    unsigned char data[KEYTAB_KEY_BYTES];
};

/* All keys of one version of a principal. */
struct keytab_keys {
    unsigned kvno;
    size_t count;
    struct keytab_key keys[KEYTAB_KEYS_MAX];
};

/* Overwrite KEYS with zeros. */
void keytab_keys_wipe(struct keytab_keys *keys);

/* KEYS as one line for the wire, "KVNO ENCTYPE:HEX ENCTYPE:HEX...", appended to OUT; false when it
 * does not fit. */
bool keytab_keys_write(const struct keytab_keys *keys, struct buffer *out);

/* TEXT, not trusted, as such a line. ERROR_USAGE for any other; the text is not quoted in ERR. */
bool keytab_keys_read(const char *text, struct keytab_keys *keys, struct error *err);

/*
 * Make KEYS all that keytab FILE holds of PRINCIPAL with KEYS' version; other versions stay. A file
 * that is missing is made (0600); of another one owner, group and mode stay. *CHANGED is false
 * where it held exactly that already. On failure FILE is as it was.
 */
bool keytab_put(const char *file, const char *principal, const struct keytab_keys *keys,
                bool *changed, struct error *err);

/*
 * Remove the entries of PRINCIPAL with a version below KVNO, and count them in *DROPPED. Refused
 * (ERROR_REFUSED) if FILE has none of KVNO itself. On failure FILE is as it was.
 */
bool keytab_drop_older(const char *file, const char *principal, unsigned kvno, unsigned *dropped,
                       struct error *err);

/* The same of versions above KVNO: where KVNO is the database's, they are of another database, and
 * libkrb5 would use the greatest alone. */
bool keytab_drop_newer(const char *file, const char *principal, unsigned kvno, unsigned *dropped,
                       struct error *err);

#endif
