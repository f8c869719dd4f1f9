/* change_lock - see change_lock.h. */
#include "agent/base/change_lock.h"

#include "common/base/files.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Who holds the lock file PATH, as its holder wrote it; 0 if that cannot be told. */
static int
lock_holder(const char *path)
{
    struct error ignored;
    struct buffer text;
    int pid = 0;

    buffer_init(&text, 32);
    if (file_read(path, &text, &ignored))
        pid = (int)strtol(buffer_string(&text), NULL, 10);
    buffer_free(&text);
    return pid;
}

bool
verbs_lock_changes(const struct settings *s, const char *what, int timeout_ms, int *fd,
                   struct error *err)
{
    char path[PATH_MAX];

    *fd = -1;
    if (!file_make_folder(s->runtime, 0755, err))
        return false;
    if (snprintf(path, sizeof(path), "%s/change.lock", s->runtime) >= (int)sizeof(path))
        return error_set(err, ERROR_INTERNAL, "cannot lock %s: name too long", s->runtime);
    *fd = file_lock(path, timeout_ms, err);
    if (*fd >= 0) {
        if (ftruncate(*fd, 0) == 0)
            dprintf(*fd, "%d\n", (int)getpid());
        return true;
    }
    if (err->code == ERROR_UNREACHABLE) {
        error_set(err, ERROR_UNREACHABLE,
                  "cannot start %s: another change (pid %d) is still running", what,
                  lock_holder(path));
        error_hint(err, "Try again when it has ended");
    }
    return false;
}
