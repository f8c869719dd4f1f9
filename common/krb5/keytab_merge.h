/*
 * keytab_merge - new entries into a keytab that may hold other services' keys, by libkrb5's keytab
 * API. Nothing secret is in any file but the keytab itself: the merging is done in memory.
 */
#ifndef KPC_KEYTAB_MERGE_H
#define KPC_KEYTAB_MERGE_H

#include "common/base/buffers.h"
#include "common/base/errors.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

/* What merging did, in entries. */
struct keytab_merged {
    size_t added;    /* the old keytab had no such principal, kvno and enctype */
    size_t replaced; /* it had, with another key */
    size_t present;  /* it had, with this key */
    size_t kept;     /* of the old keytab, all others */
};

/*
 * Append to OUT (initialised by the caller, who wipes it) the keytab file that OLD (its bytes; NULL
 * or empty: none) becomes with all entries of the keytab file ADD. An entry of ADD takes the place
 * of one with its principal, kvno and enctype; what else is in OLD stays byte by byte, and OUT is
 * OLD if there is nothing to change. ERROR_REFUSED if ADD is no keytab, is empty, has more than
 * 4096 entries, or one of a principal other than PRINCIPAL (NULL: any); ERROR_FAILED if OLD is
 * none.
 */
bool keytab_merge(const struct buffer *old, const struct buffer *add, const char *principal,
                  struct buffer *out, struct keytab_merged *merged, struct error *err);

/*
 * Who waited for the lock of a keytab that was renamed away meanwhile has written into that one:
 * its name is OLD now, and it was as SEEN when its content was merged into the one at PATH. Entries
 * that OLD alone has go to PATH too; *LATE counts them.
 */
bool keytab_merge_late(const char *path, const char *old, const struct stat *seen, size_t *late,
                       struct error *err);

#endif
