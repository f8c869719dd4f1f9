/* leftovers - see leftovers.h. */
#include "agent/load/leftovers.h"

#include "agent/load/loader.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* What is younger may be somebody's who works on it in this moment. */
enum { LEFTOVERS_MAX = 32, SETTLED_SECONDS = 5 };

static void
add(json_t *list, const char *path)
{
    if (json_array_size(list) < LEFTOVERS_MAX)
        json_array_append_new(list, json_string(path));
}

/* Untouched for a while, and not locked as kpropd, kdb5_util and snapshots lock theirs. */
static bool
is_abandoned(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    struct stat st;
    bool abandoned;

    if (fd < 0)
        return false;
    abandoned =
        fstat(fd, &st) == 0 && time(NULL) - st.st_mtim.tv_sec >= SETTLED_SECONDS &&
        flock(fd, LOCK_SH | LOCK_NB) == 0 &&
        (S_ISDIR(st.st_mode) || (fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_UNLCK));
    close(fd);
    return abandoned;
}

/* Entries of FOLDER whose names begin with PREFIX. */
static void
find_in(json_t *list, const char *folder, const char *prefix)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    char path[PATH_MAX];

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.' && strncmp(entry->d_name, prefix, strlen(prefix)) == 0 &&
            snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name) < (int)sizeof(path) &&
            is_abandoned(path))
            add(list, path);
    }
    if (dir != NULL)
        closedir(dir);
}

/* kdb5_util loads into DATABASE~ (krb5's ctx_create and friends), and renames at the end. */
static void
find_half_loaded(json_t *list, const char *database)
{
    const char *slash = strrchr(database, '/');
    char folder[PATH_MAX], prefix[NAME_MAX];

    if (slash == NULL ||
        snprintf(prefix, sizeof(prefix), "%s~", slash + 1) >= (int)sizeof(prefix) ||
        snprintf(folder, sizeof(folder), "%.*s", (int)(slash - database), database) >=
            (int)sizeof(folder))
        return;
    find_in(list, folder, prefix);
}

json_t *
leftovers_find(const struct realm *realm)
{
    json_t *list = json_array();
    char folder[PATH_MAX], path[PATH_MAX];
    struct error ignored;

    find_half_loaded(list, realm->database);
    if (snprintf(path, sizeof(path), "%s.temp", realm->spool) < (int)sizeof(path) &&
        is_abandoned(path))
        add(list, path);
    if (loader_folder(realm->database, folder, sizeof(folder), &ignored)) {
        find_in(list, folder, "snapshot.");
        if (snprintf(path, sizeof(path), "%s/staging", folder) < (int)sizeof(path))
            find_in(list, path, "");
    }
    return list;
}
