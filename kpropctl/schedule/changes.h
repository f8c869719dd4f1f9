/*
 * changes - hear of changes of a realm's database through inotify.
 *
 * The folder of its files is watched, not the files, since a load renames new ones into place; and
 * the folder's own entry in the folder above, since it too may be replaced.
 */
#ifndef KPC_CHANGES_H
#define KPC_CHANGES_H

#include "common/base/errors.h"
#include "common/kdb/backend.h"

#include <stdbool.h>

struct changes;

/*
 * Listen to the files of DATABASE. A folder that is not there is no error: changes_attached says
 * so. The caller frees *OUT with changes_free.
 */
bool changes_new(const struct backend *backend, const char *database, struct changes **out,
                 struct error *err);
void changes_free(struct changes *changes);

/* Readable when there is something to drain. */
int changes_fd(const struct changes *changes);

/*
 * Take all that is queued, without waiting. True if the database has changed, or may have:
 * something was lost, or the folder is another one now.
 */
bool changes_drain(struct changes *changes);

/* The folder is watched. While it is not, changes_attach is to be tried now and then. */
bool changes_attached(const struct changes *changes);
bool changes_attach(struct changes *changes, struct error *err);

#endif
