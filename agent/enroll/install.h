/*
 * install - several files put in place together: all of them, or none, whatever is killed when.
 *
 * Several files cannot be renamed at once. So a journal is kept in a folder of the agent's:
 *
 *   "staging"  the new files are written beside their targets, with mode 0600, and the old ones
 *              get a second name (the backup). Found later: all of that is removed.
 *   "commit"   all is on the disk; each new file is given its mode and renamed over its target.
 *              Found later: those that are still there are renamed then.
 *   "undo"     a rename failed: what was renamed is put back from the backups. Found later: again.
 *
 * The caller holds a lock, so that no two processes work on one journal.
 */
#ifndef KPC_AGENT_INSTALL_H
#define KPC_AGENT_INSTALL_H

#include "common/base/errors.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

/* A file to be put in place. */
struct install_file {
    const char *path; /* absolute, and not a symbolic link */
    const void *data;
    size_t len;
    mode_t mode; /* of the new file */
    uid_t uid;
    gid_t gid;
    mode_t folder_mode; /* of folders above it that are missing */
    bool exists;        /* there is an old file, which the caller has seen as: */
    struct stat seen;
    char backup[PATH_MAX]; /* set by install_files: the old file's new name, or "" */
};

/*
 * Put COUNT files in place, with the journal in FOLDER (made 0700 if missing). False: every file is
 * as it was, unless the text says that the next start will complete it. ERROR_UNREACHABLE when an
 * old file is not as the caller has seen it. POSIX ACLs and SELinux labels of old files are kept.
 */
bool install_files(const char *folder, struct install_file *files, size_t count, struct error *err);

enum install_recovered {
    INSTALL_NOTHING,  /* no installation was under way */
    INSTALL_UNDONE,   /* one was: every file is as it was before */
    INSTALL_COMPLETED /* one was: every file is the new one, whole and durable */
};

/* Finish or undo an installation with its journal in FOLDER that was killed. */
bool install_recover(const char *folder, enum install_recovered *what, struct error *err);

/* Is there a journal in FOLDER, of an installation that runs or was killed? */
bool install_pending(const char *folder);

#endif
