/* changes - see changes.h. */
#include "kpropctl/schedule/changes.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

/* Reading a file's end of writing (IN_CLOSE_WRITE) would be no news: a KDC opens for writing, and
 * closes, without having written. */
static const uint32_t folder_mask = IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM |
                                    IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
static const uint32_t parent_mask =
    IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
static const uint32_t gone_mask = IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT;

enum { READS_AT_ONCE = 1000 };

struct changes {
    const struct backend *backend;
    char *database;
    char *folder;
    char *parent; /* of the folder; NULL for "/" */
    int fd;
    int folder_watch; /* -1: not watched */
    int parent_watch;
};

/* The folder that PATH is in, malloced; NULL for "/" or out of memory. */
static char *
folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (slash == NULL || path[1] == '\0')
        return NULL;
    return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

static const char *
last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

bool
changes_new(const struct backend *backend, const char *database, struct changes **out,
            struct error *err)
{
    struct changes *changes = calloc(1, sizeof(*changes));
    struct error ignored;

    *out = NULL;
    if (changes == NULL)
        return error_memory(err);
    changes->backend = backend;
    changes->folder_watch = changes->parent_watch = -1;
    changes->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (changes->fd < 0) {
        error_errno(err, ERROR_INTERNAL, errno, "cannot watch %s", database);
        error_hint(err, "fs.inotify.max_user_instances may be too low: see sysctl");
        changes_free(changes);
        return false;
    }
    changes->database = strdup(database);
    changes->folder = folder_of(database);
    changes->parent = changes->folder == NULL ? NULL : folder_of(changes->folder);
    if (changes->database == NULL || changes->folder == NULL) {
        changes_free(changes);
        return error_memory(err);
    }
    changes_attach(changes, &ignored);
    *out = changes;
    return true;
}

void
changes_free(struct changes *changes)
{
    if (changes == NULL)
        return;
    if (changes->fd >= 0)
        close(changes->fd);
    free(changes->database);
    free(changes->folder);
    free(changes->parent);
    free(changes);
}

int
changes_fd(const struct changes *changes)
{
    return changes->fd;
}

bool
changes_attached(const struct changes *changes)
{
    return changes->folder_watch >= 0;
}

/* Let *WATCH be a watch of what PATH is now, and of nothing else. */
static bool
watch_path(struct changes *changes, const char *path, uint32_t mask, int *watch)
{
    int before = *watch, code;

    *watch = inotify_add_watch(changes->fd, path, mask | IN_MASK_ADD);
    code = errno;
    if (before >= 0 && before != *watch)
        inotify_rm_watch(changes->fd, before);
    errno = code;
    return *watch >= 0;
}

bool
changes_attach(struct changes *changes, struct error *err)
{
    if (changes->parent != NULL)
        watch_path(changes, changes->parent, parent_mask, &changes->parent_watch);
    if (watch_path(changes, changes->folder, folder_mask, &changes->folder_watch))
        return true;
    error_errno(err, ERROR_FAILED, errno, "cannot watch %s", changes->folder);
    if (errno == ENOSPC)
        error_hint(err, "fs.inotify.max_user_watches is used up: see sysctl");
    return false;
}

/* One event; *MOVED is set where the folder may be another one now. Whether it is a change. */
static bool
take_event(struct changes *changes, const struct inotify_event *event, bool *moved)
{
    const char *name = event->len > 0 ? event->name : "";

    if (event->mask & IN_Q_OVERFLOW) {
        *moved = true;
        return true;
    }
    if (event->wd == changes->folder_watch && !(event->mask & gone_mask))
        return backend_is_data(changes->backend, changes->database, name);
    if (event->wd == changes->folder_watch ||
        (event->wd == changes->parent_watch &&
         ((event->mask & gone_mask) || strcmp(name, last_part(changes->folder)) == 0))) {
        if (event->mask & IN_IGNORED) {
            /* The kernel has dropped it: its number is no longer ours. */
            *(event->wd == changes->folder_watch ? &changes->folder_watch
                                                 : &changes->parent_watch) = -1;
        }
        *moved = true;
        return true;
    }
    return false;
}

bool
changes_drain(struct changes *changes)
{
    union {
        struct inotify_event event;
        char bytes[8192];
    } queue;
    bool changed = false, moved = false;
    struct error ignored;

    for (int i = 0; i < READS_AT_ONCE; i++) {
        ssize_t n = read(changes->fd, queue.bytes, sizeof(queue.bytes));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        for (ssize_t at = 0; at < n;) {
            const struct inotify_event *event = (const void *)(queue.bytes + at);

            changed |= take_event(changes, event, &moved);
            at += (ssize_t)(sizeof(*event) + event->len);
        }
    }
    if (moved)
        changes_attach(changes, &ignored);
    return changed;
}
