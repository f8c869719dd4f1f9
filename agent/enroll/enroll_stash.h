/*
 * enroll_stash - may the stash of a bundle take the place of the one that is here?
 */
#ifndef KPC_AGENT_ENROLL_STASH_H
#define KPC_AGENT_ENROLL_STASH_H

#include "common/base/buffers.h"
#include "common/base/errors.h"

#include <jansson.h>
#include <stdbool.h>

/* Is STASH a stash file of MASTER_KEY ("K/M@REALM"), in krb5's format of today (a keytab) or the
 * older one (a key of an enctype that libkrb5 knows, of its length)? ERROR_REFUSED if not. */
bool enroll_stash_check(const struct buffer *stash, const char *master_key, struct error *err);

enum enroll_stash_verdict {
    STASH_FITS,     /* no database is here, or the new stash opens it, or neither does */
    STASH_LOCKS_OUT /* the old stash opens the database that is here, and the new one does not */
};

/* Ask a copy of REALM's database here (PATHS: of enroll_paths_read). */
bool enroll_stash_judge(const char *realm, const json_t *paths, const struct buffer *stash,
                        enum enroll_stash_verdict *verdict, struct error *err);

#endif
