/*
 * files - reading small files whole, and writing them so that a crash leaves the old or the new
 * one.
 */
#ifndef KPC_FILES_H
#define KPC_FILES_H

#include "common/base/buffers.h"
#include "common/base/errors.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * Append the content of the regular file PATH to OUT (initialised by the caller, whose bound
 * holds). Never waits on a fifo or a device. A missing file is ERROR_FAILED with errno left at
 * ENOENT.
 */
bool file_read(const char *path, struct buffer *out, struct error *err);

/*
 * Replace PATH by LEN bytes with MODE: write a file beside it, fsync, rename, fsync the folder.
 * Owner and group of an existing file are kept, a symbolic link is followed, and what is no regular
 * file (a device, a folder) is refused. On failure PATH is as it was.
 */
bool file_replace(const char *path, const void *data, size_t len, mode_t mode, struct error *err);

/*
 * Remove what file_replace of PATH leaves beside it when it is killed. For a PATH with secrets; the
 * caller holds a lock that keeps others from replacing it now. What cannot be removed stays.
 */
void file_forget_beside(const char *path);

/* Make folder PATH and those above it that are missing, each with MODE; an existing one is left
 * alone. */
bool file_make_folder(const char *path, mode_t mode, struct error *err);

/* Remove folder NAME in the open folder PARENT (or AT_FDCWD) with the files in it, but no folder
 * below it. True when it is gone. */
bool file_remove_folder(int parent, const char *name);

/* fsync the file or folder PATH. */
bool file_sync(const char *path, struct error *err);

/* fsync the folder that holds PATH. */
bool file_sync_folder_of(const char *path, struct error *err);

/*
 * Open lock file PATH (made with mode 0600 if missing) and take an exclusive flock(2) on it,
 * waiting at most TIMEOUT_MS (0: not at all). Returns the descriptor (close-on-exec; closing it
 * unlocks) or -1: ERROR_UNREACHABLE when somebody else holds it. A lock dies with its holder, so
 * none is stale.
 */
int file_lock(const char *path, int timeout_ms, struct error *err);

/*
 * At the start of a main: if descriptor 0, 1 or 2 is closed, fill it with /dev/null opened the
 * wrong way round. The next file opened would take its number otherwise, and be written to as
 * standard output; so a write or read fails instead (EBADF). False if that cannot be done.
 */
bool file_fill_standard(void);

#endif
