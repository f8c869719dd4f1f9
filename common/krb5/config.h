/*
 * config - a configuration file in krb5's profile syntax, read by libkrb5's profile API against a
 * table of keys. Whatever is not in the table is an error that names the file and the key.
 */
#ifndef KPC_CONFIG_H
#define KPC_CONFIG_H

#include "common/base/errors.h"

#include <stddef.h>

enum config_type {
    CONFIG_STRING,   /* char *, malloced */
    CONFIG_WORDS,    /* likewise; may be given several times: all values with blanks between */
    CONFIG_PATH,     /* char *, malloced; must be absolute */
    CONFIG_INTEGER,  /* int within min..max */
    CONFIG_BOOLEAN,  /* bool: yes/no, true/false, on/off, 1/0 as the profile library takes them */
    CONFIG_CHOICE,   /* int, the place of the value among the key's words */
    CONFIG_DURATION, /* int, seconds within min..max; written as krb5 does: 30s, 5m, 1h 30m, 90 */
};

struct config_key {
    const char *name;
    enum config_type type;
    size_t offset; /* of the field in the caller's structure, which holds the default before */
    int min, max;
    const char *const *words; /* of CONFIG_CHOICE, ended by NULL */
};

/*
 * Read section [SECTION] of PATH into SETTINGS by KEYS (ended by a NULL name). Any of the keys may
 * also stand in a subsection "REALM = { … }": those are checked here, and taken by
 * config_load_realm. A file that does not exist is fine unless REQUIRED: the defaults stay. Errors
 * are ERROR_USAGE; SETTINGS may then be partly filled. Strings that were set before are freed and
 * replaced.
 */
bool config_load(const char *path, bool required, const char *section,
                 const struct config_key *keys, void *settings, struct error *err);

/* What the subsection of REALM says instead, on top of what config_load has filled. No file, or no
 * such subsection, is fine. */
bool config_load_realm(const char *path, const char *section, const char *realm,
                       const struct config_key *keys, void *settings, struct error *err);

/* Free the strings of SETTINGS. */
void config_free(const struct config_key *keys, void *settings);

#endif
