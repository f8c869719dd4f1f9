/*
 * backend_promote - put a staged database in the place of the live one, see backend.h.
 *
 * Several files cannot be renamed at once. So the staged files' names, inodes, sizes and times are
 * first written to a journal beside them. If it is found later, a staged file that it names and
 * that is still there has not been renamed: none there means done, all there means not begun, and
 * otherwise the rest are renamed then. A file that does not match is not the journal's.
 */
#include "common/base/files.h"
#include "common/kdb/backend_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void
describe(const char *suffix, const struct stat *st, char *line, size_t size)
{
    snprintf(line, size, "file%s %llu %lld %lld.%09ld\n", suffix, (unsigned long long)st->st_ino,
             (long long)st->st_size, (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
}

static bool
write_journal(const struct backend *backend, const char *staging, struct error *err)
{
    char name[BACKEND_NAME_MAX], line[256], text[1024] = "";
    struct stat st;

    for (size_t i = 0; i < BACKEND_FILES && backend->data[i] != NULL; i++) {
        if (!backend_file_name(staging, backend->data[i], name, sizeof(name), err))
            return false;
        if (lstat(name, &st) != 0)
            return error_errno(err, ERROR_FAILED, errno, "cannot promote %s", name);
        describe(backend->data[i], &st, line, sizeof(line));
        strncat(text, line, sizeof(text) - strlen(text) - 1);
    }
    return backend_file_name(staging, BACKEND_JOURNAL, name, sizeof(name), err) &&
           file_replace(name, text, strlen(text), 0600, err);
}

static void
remove_journal(const char *staging)
{
    char name[BACKEND_NAME_MAX];
    struct error ignored;

    if (backend_file_name(staging, BACKEND_JOURNAL, name, sizeof(name), &ignored))
        unlink(name);
}

/* The backends' readers take a lock file's mtime for the database's age; it never stands still. */
static void
touch_locks(const struct backend *backend, const char *live)
{
    char name[BACKEND_NAME_MAX];
    struct error ignored;
    struct stat st;

    if (backend->locks[0] == NULL ||
        !backend_file_name(live, backend->locks[0], name, sizeof(name), &ignored) ||
        stat(name, &st) != 0)
        return;
    if (st.st_mtime >= time(NULL)) {
        struct timespec times[2] = { { st.st_mtime + 1, 0 }, { st.st_mtime + 1, 0 } };

        utimensat(AT_FDCWD, name, times, 0);
    } else {
        utimensat(AT_FDCWD, name, NULL, 0);
    }
}

/*
 * LMDB's lock file of a database that is gone would choose a state of the new one's, were it found
 * beside it: whoever still has the old one open keeps both.
 */
static bool
drop_locks(const struct backend *backend, const char *live, struct error *err)
{
    char name[BACKEND_NAME_MAX];

    for (size_t i = 0;
         backend->promotion == BACKEND_FIRST && i < BACKEND_FILES && backend->debris[i] != NULL;
         i++) {
        if (!backend_file_name(live, backend->debris[i], name, sizeof(name), err))
            return false;
        if (unlink(name) != 0 && errno != ENOENT)
            return error_errno(err, ERROR_FAILED, errno, "cannot remove %s", name);
    }
    return true;
}

/* Where nothing was to be lost, nothing is taken that somebody has made meanwhile. */
static int
put(const struct backend *backend, const char *from, const char *to)
{
    if (backend->promotion == BACKEND_FIRST && access(to, F_OK) != 0) {
        int result = renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);

        if (result == 0 || errno != EINVAL)
            return result;
    }
    return rename(from, to);
}

/* Rename the files of STAGING that are there; *DONE counts them. */
static bool
rename_files(const struct backend *backend, const char *staging, const char *live, bool all,
             size_t *done, struct error *err)
{
    char from[BACKEND_NAME_MAX], to[BACKEND_NAME_MAX];

    for (size_t i = 0; i < BACKEND_FILES && backend->data[i] != NULL; i++) {
        if (!backend_file_name(staging, backend->data[i], from, sizeof(from), err) ||
            !backend_file_name(live, backend->data[i], to, sizeof(to), err))
            return false;
        if (put(backend, from, to) != 0) {
            if (!all && errno == ENOENT)
                continue;
            return error_errno(err, ERROR_FAILED, errno, "cannot rename %s to %s", from, to);
        }
        (*done)++;
    }
    return true;
}

/*
 * Keep the live files' inodes by a second name beside the staged ones until the lock is released:
 * giving back the blocks of a large file takes long. Or remove those names.
 */
static void
hold_old_files(const struct backend *backend, const char *staging, const char *live, bool hold)
{
    char from[BACKEND_NAME_MAX], to[BACKEND_NAME_MAX];
    struct error ignored;

    for (size_t i = 0; i < BACKEND_FILES && backend->data[i] != NULL; i++) {
        if (!backend_file_name(live, backend->data[i], from, sizeof(from), &ignored) ||
            !backend_file_name(staging, backend->data[i], to, sizeof(to) - 4, &ignored))
            continue;
        strcat(to, ".old");
        unlink(to);
        if (hold && link(from, to) != 0)
            continue;
    }
}

static bool
make_durable(const char *staging, const char *live, struct error *err)
{
    return file_sync_folder_of(live, err) && file_sync_folder_of(staging, err);
}

/* The lock is held. What is written into STAGING now, is not what the journal names. */
static bool
meet(const struct backend *backend, const char *staging, const char *live,
     const struct backend_expected *expected, struct error *err)
{
    struct backend_identity now;
    struct error ignored;

    if (expected == NULL ||
        (backend_identify(backend, live, &now, &ignored) && backend_same(expected->identity, &now)))
        return true;
    if (expected->otherwise == NULL)
        return error_set(err, ERROR_REFUSED,
                         "cannot promote over %s: somebody has written it meanwhile", live);
    remove_journal(staging);
    return expected->otherwise(expected->arg, err) && write_journal(backend, staging, err);
}

bool
backend_promote(const struct backend *backend, const char *staging, const char *live,
                const struct backend_expected *expected, int timeout_ms, bool *changed,
                struct error *err)
{
    struct backend_lock *lock = NULL;
    size_t done = 0;
    bool ok;

    *changed = false;
    if (!backend_has_files(backend))
        return error_set(err, ERROR_INTERNAL, "cannot promote a %s database by renaming",
                         backend->name);
    if (backend->promotion == BACKEND_FIRST && backend_holds(backend, live))
        return error_set(err, ERROR_FAILED, "cannot promote over %s: it holds a %s database", live,
                         backend->name);
    if (!write_journal(backend, staging, err))
        return false;
    if (!backend_lock(backend, live, true, timeout_ms, &lock, err)) {
        remove_journal(staging);
        return false;
    }
    if (!meet(backend, staging, live, expected, err) || !drop_locks(backend, live, err)) {
        backend_unlock(lock);
        remove_journal(staging);
        return false;
    }
    hold_old_files(backend, staging, live, true);
    ok = rename_files(backend, staging, live, true, &done, err);
    touch_locks(backend, live);
    backend_unlock(lock);
    hold_old_files(backend, staging, live, false);
    *changed = done > 0;
    if (!*changed) {
        remove_journal(staging);
        return false;
    }
    if (!ok || !make_durable(staging, live, err))
        return false;
    remove_journal(staging);
    return true;
}

/* How many of the data files in STAGING's journal are still there, and of how many. */
static void
count_waiting(const struct backend *backend, const char *staging, const char *journal,
              size_t *waiting, size_t *total)
{
    char name[BACKEND_NAME_MAX], line[256];
    struct error ignored;
    struct stat st;

    *waiting = *total = 0;
    for (size_t i = 0; i < BACKEND_FILES && backend->data[i] != NULL; i++) {
        (*total)++;
        if (!backend_file_name(staging, backend->data[i], name, sizeof(name), &ignored) ||
            lstat(name, &st) != 0)
            continue;
        describe(backend->data[i], &st, line, sizeof(line));
        if (strstr(journal, line) != NULL)
            (*waiting)++;
        else
            unlink(name); /* of a load begun after that promotion, and never finished */
    }
}

static bool
complete(const struct backend *backend, const char *staging, const char *live, int timeout_ms,
         struct error *err)
{
    struct backend_lock *lock;
    size_t done = 0;
    bool ok;

    if (!backend_lock(backend, live, true, timeout_ms, &lock, err))
        return false;
    ok = drop_locks(backend, live, err) && rename_files(backend, staging, live, false, &done, err);
    if (done > 0)
        touch_locks(backend, live);
    backend_unlock(lock);
    return ok && make_durable(staging, live, err);
}

bool
backend_recover(const struct backend *backend, const char *staging, const char *live,
                int timeout_ms, enum backend_recovered *what, struct error *err)
{
    char name[BACKEND_NAME_MAX];
    struct buffer journal;
    size_t waiting, total;
    struct error missing;
    bool ok = true;

    *what = BACKEND_NOTHING;
    if (!backend_has_files(backend))
        return true;
    buffer_init(&journal, 4096);
    if (!backend_file_name(staging, BACKEND_JOURNAL, name, sizeof(name), err)) {
        ok = false;
        goto cleanup;
    }
    if (!file_read(name, &journal, &missing)) {
        if (errno != ENOENT && errno != ENOTDIR) {
            *err = missing;
            ok = false;
        }
        goto cleanup;
    }
    count_waiting(backend, staging, buffer_string(&journal), &waiting, &total);
    if (waiting == total ||
        (waiting > 0 && backend->promotion == BACKEND_FIRST && backend_holds(backend, live))) {
        *what = BACKEND_UNDONE;
    } else {
        ok = (waiting == 0 && backend->promotion == BACKEND_FIRST) ||
             complete(backend, staging, live, timeout_ms, err);
        *what = BACKEND_COMPLETED;
    }
    if (ok)
        remove_journal(staging);

cleanup:
    buffer_free(&journal);
    return ok;
}
