/* stash - see stash.h. */
#include "agent/load/stash.h"

#include "agent/load/loader.h"
#include "agent/load/outcome.h"
#include "agent/service/start.h"
#include "common/base/buffers.h"
#include "common/base/files.h"
#include "common/base/log.h"
#include "common/kdb/database.h"
#include "common/kdb/snapshot.h"
#include "common/krb5/stash.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SUFFIX ".stash"

enum { OPEN_MS = 60 * 1000 };

bool
stash_waiting(const char *state, const char *realm, char *path, size_t size, struct error *err)
{
    return outcome_file_name(state, realm, "stash", path, size, err);
}

/* Does stash FILE open a copy of the live database? True too where there is none. */
static bool
opens(const struct realm *realm, const struct backend *backend, const char *file, bool *answer,
      struct error *err)
{
    struct database_question question = { .stash = true, .brief = true };
    struct snapshot *snapshot = NULL;
    struct database_answer found;
    struct database db;
    bool ok;

    *answer = !backend_exists(backend, realm->database);
    if (*answer)
        return true;
    if (!snapshot_new(backend, realm->database, NULL, &snapshot, NULL, err))
        return false;
    db =
        (struct database){ backend, realm->name, snapshot_path(snapshot), file, realm->master_key };
    ok = database_examine(&db, &question, OPEN_MS, &found, err);
    *answer = ok && found.stash_opens;
    snapshot_free(snapshot);
    return ok;
}

static bool
install(const char *from, const char *to, struct error *err)
{
    struct buffer content;
    bool ok;

    buffer_init(&content, STASH_MAX);
    ok = file_read(from, &content, err) && file_replace(to, content.data, content.len, 0600, err);
    buffer_free_secret(&content);
    /* One that stays is the same as the new one: it is installed once more, to no harm. */
    if (ok && unlink(from) == 0)
        ok = file_sync_folder_of(from, err);
    return ok;
}

/* The lock of loads in *LOCK, -1 where no load has ever been. False if one is running. */
static bool
keep_loads_out(const struct realm *realm, int *lock)
{
    char folder[PATH_MAX], name[PATH_MAX + 16];
    struct error ignored;

    *lock = -1;
    if (!loader_folder(realm->database, folder, sizeof(folder), &ignored) ||
        access(folder, F_OK) != 0)
        return true;
    snprintf(name, sizeof(name), "%s/loading", folder);
    *lock = file_lock(name, 0, &ignored);
    return *lock >= 0;
}

bool
stash_settle(const char *state, const struct realm *realm, enum stash_settled *what,
             struct error *err)
{
    const struct backend *backend = backend_find(realm->backend);
    char waiting[PATH_MAX];
    bool good = false, ok;
    int lock;

    *what = STASH_NONE;
    if (!stash_waiting(state, realm->name, waiting, sizeof(waiting), err))
        return false;
    if (access(waiting, F_OK) != 0 || backend == NULL || !backend_has_files(backend))
        return true;
    *what = STASH_WAITS;
    if (!keep_loads_out(realm, &lock))
        return true;
    ok = opens(realm, backend, waiting, &good, err);
    if (ok && good)
        ok = install(waiting, realm->stash, err);
    if (lock >= 0)
        close(lock);
    if (ok && good) {
        *what = STASH_INSTALLED;
        log_notice("realm %s: the new stash opens the database, and is now %s", realm->name,
                   realm->stash);
    }
    return ok;
}

static void
recover(const char *state, const char *name)
{
    enum stash_settled what;
    struct realm *realm = NULL;
    struct error err;
    json_t *reply = NULL;

    error_clear(&err);
    if (!realm_load(name, &realm, &err) || !stash_settle(state, realm, &what, &err))
        log_error("the new stash of %s is not in place: %s", name, err.text);
    else if (what == STASH_INSTALLED && !kpropd_revive_kdc(name, &reply, &err))
        log_error("realm %s: %s", name, err.text);
    json_decref(reply);
    realm_free(realm);
}

void
stash_recover(const char *state)
{
    DIR *dir = opendir(state);
    struct dirent *entry;
    char name[256];

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        size_t len = strlen(entry->d_name), tail = strlen(SUFFIX);

        if (entry->d_name[0] == '.' || len <= tail || len >= sizeof(name) ||
            strcmp(entry->d_name + len - tail, SUFFIX) != 0)
            continue;
        snprintf(name, sizeof(name), "%.*s", (int)(len - tail), entry->d_name);
        recover(state, name);
    }
    if (dir != NULL)
        closedir(dir);
}
