/*
 * snapshot - a consistent private copy of a live database, made without delaying its KDC.
 */
#ifndef KPC_SNAPSHOT_H
#define KPC_SNAPSHOT_H

#include "common/base/errors.h"
#include "common/kdb/backend.h"

/*
 * A copy of database FROM, in a new folder of its own (0700) below FOLDER (NULL: FROM.kpropctl;
 * made 0700 if missing; on FROM's file system blocks may be shared). Snapshots left there by
 * processes that are gone are removed.
 *
 * At first FROM is copied without holding its lock, which is only taken for the instants before and
 * after; after some tries against a busy writer, what has changed is copied under the shared lock.
 * IDENTITY (may be NULL) is that of FROM as copied. The copy is for reading, and not durable.
 */
struct snapshot;
bool snapshot_new(const struct backend *backend, const char *from, const char *folder,
                  struct snapshot **snapshot, struct backend_identity *identity, struct error *err);

/* The database path of the copy. */
const char *snapshot_path(const struct snapshot *snapshot);

/* Remove the copy. NULL is fine. */
void snapshot_free(struct snapshot *snapshot);

/* Remove the snapshots below FOLDER whose makers are gone; returns how many. snapshot_new does. */
unsigned snapshot_clean(const struct backend *backend, const char *folder);

#endif
