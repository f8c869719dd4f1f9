/* install - see install.h. */
#include "agent/enroll/install.h"

#include "common/base/buffers.h"
#include "common/base/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define JOURNAL "enrolment.journal"

enum { JOURNAL_MAX = 64 * 1024, STAMPS = 100, ATTRIBUTE_MAX = 4096 };

/* --- the journal: {"state", "folders": [PATH], "files": [{"path", "staged", "backup", "mode",
 * "inode"}]}; "backup" is null where nothing was there, "inode" 0 until it is staged --- */

static const char *
text_of(const json_t *file, const char *key)
{
    return json_string_value(json_object_get(file, key));
}

static void
journal_path(const char *folder, char *path, size_t size)
{
    snprintf(path, size, "%s/" JOURNAL, folder);
}

static bool
journal_write(const char *folder, json_t *journal, const char *state, struct error *err)
{
    char path[PATH_MAX], *text;
    bool ok;

    journal_path(folder, path, sizeof(path));
    if (json_object_set_new(journal, "state", json_string(state)) != 0 ||
        (text = json_dumps(journal, JSON_COMPACT)) == NULL)
        return error_memory(err);
    ok = file_replace(path, text, strlen(text), 0600, err);
    free(text);
    return ok;
}

static bool
journal_drop(const char *folder, struct error *err)
{
    char path[PATH_MAX];

    journal_path(folder, path, sizeof(path));
    if (unlink(path) != 0 && errno != ENOENT)
        return error_errno(err, ERROR_INTERNAL, errno, "cannot remove %s", path);
    return file_sync_folder_of(path, err);
}

/* Are there journals in FOLDER that were killed while they were written? REMOVE them. */
static bool
debris(const char *folder, bool remove)
{
    static const char begin[] = "." JOURNAL ".";
    DIR *dir = opendir(folder);
    struct dirent *entry;
    bool any = false;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, begin, sizeof(begin) - 1) != 0)
            continue;
        any = true;
        if (remove)
            unlinkat(dirfd(dir), entry->d_name, 0);
    }
    if (dir != NULL)
        closedir(dir);
    return any;
}

static bool
journal_is_sound(const json_t *journal)
{
    const json_t *files = json_object_get(journal, "files"), *file;
    size_t i;

    if (text_of(journal, "state") == NULL || !json_is_array(files) ||
        !json_is_array(json_object_get(journal, "folders")))
        return false;
    json_array_foreach(files, i, file)
    {
        if (text_of(file, "path") == NULL || text_of(file, "staged") == NULL ||
            !json_is_integer(json_object_get(file, "mode")) ||
            !json_is_integer(json_object_get(file, "inode")))
            return false;
    }
    return true;
}

/* *JOURNAL is NULL where there is none. */
static bool
journal_read(const char *folder, json_t **journal, struct error *err)
{
    char path[PATH_MAX];
    struct buffer text;
    bool ok;

    *journal = NULL;
    journal_path(folder, path, sizeof(path));
    buffer_init(&text, JOURNAL_MAX);
    ok = file_read(path, &text, err);
    if (!ok && (errno == ENOENT || errno == ENOTDIR)) {
        error_clear(err);
        ok = true;
    } else if (ok) {
        *journal = json_loadb((const char *)text.data, text.len, 0, NULL);
        if (!journal_is_sound(*journal)) {
            json_decref(*journal);
            *journal = NULL;
            ok = error_set(err, ERROR_FAILED, "cannot read %s: it is damaged", path);
            error_hint(err, "Look for files with .kpropctl- in their names beside krb5.conf and "
                            "krb5.keytab, then remove the journal");
        }
    }
    buffer_free(&text);
    return ok;
}

/* --- names --- */

/* Are the names made of PATH and STAMP short enough, and not taken? */
static bool
names_for(const char *path, const char *stamp, char *staged, char *backup)
{
    const char *slash = strrchr(path, '/');

    return snprintf(staged, PATH_MAX, "%.*s/.%s.kpropctl-%s", (int)(slash - path), path, slash + 1,
                    stamp) < PATH_MAX &&
           snprintf(backup, PATH_MAX, "%s.kpropctl-backup-%s", path, stamp) < PATH_MAX &&
           access(staged, F_OK) != 0 && access(backup, F_OK) != 0;
}

/* Add the folders above PATH that are missing to LIST, the outermost first. */
static void
add_folders(json_t *list, const char *path, mode_t mode)
{
    char part[PATH_MAX];

    for (const char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        bool known = false;
        json_t *folder;
        size_t i;

        snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
        json_array_foreach(list, i, folder) known =
            known || strcmp(text_of(folder, "path"), part) == 0;
        if (!known && access(part, F_OK) != 0)
            json_array_append_new(list, json_pack("{s:s, s:i}", "path", part, "mode", (int)mode));
    }
}

/* The journal of FILES with names made of STAMP, or NULL if one of those is taken. */
static json_t *
plan_with(const struct install_file *files, size_t count, const char *stamp)
{
    json_t *list = json_array(), *folders = json_array();
    char staged[PATH_MAX], backup[PATH_MAX];

    for (size_t i = 0; i < count; i++) {
        json_t *file = NULL;

        if (names_for(files[i].path, stamp, staged, backup))
            file = json_pack("{s:s, s:s, s:s?, s:i, s:i}", "path", files[i].path, "staged", staged,
                             "backup", files[i].exists ? backup : NULL, "mode", (int)files[i].mode,
                             "inode", 0);
        if (file == NULL) {
            json_decref(list);
            json_decref(folders);
            return NULL;
        }
        json_array_append_new(list, file);
        add_folders(folders, files[i].path, files[i].folder_mode);
    }
    return json_pack("{s:o, s:o}", "files", list, "folders", folders);
}

static json_t *
plan_names(const struct install_file *files, size_t count, struct error *err)
{
    char stamp[64];
    time_t now = time(NULL);
    struct tm tm;
    json_t *journal = NULL;
    size_t len = strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));

    for (int i = 1; journal == NULL && i <= STAMPS; i++) {
        if (i > 1)
            snprintf(stamp + len, sizeof(stamp) - len, "-%d", i);
        journal = plan_with(files, count, stamp);
    }
    if (journal == NULL)
        error_set(err, ERROR_INTERNAL, "cannot name new files beside %s", files[0].path);
    return journal;
}

/* --- staging --- */

static bool
make_folders(const json_t *journal, struct error *err)
{
    const json_t *folder;
    size_t i;

    json_array_foreach(json_object_get(journal, "folders"), i, folder)
    {
        const char *path = text_of(folder, "path");
        mode_t mode = (mode_t)json_integer_value(json_object_get(folder, "mode"));

        /* The second call, because a umask counts for the first. */
        if ((mkdir(path, mode) != 0 || chmod(path, mode) != 0) && errno != EEXIST)
            return error_errno(err, ERROR_INTERNAL, errno, "cannot create folder %s", path);
        if (!file_sync_folder_of(path, err))
            return false;
    }
    return true;
}

/* Who else may read a file is more than its mode. The mode set afterwards masks the ACL. */
static void
copy_attributes(const char *from, int fd)
{
    static const char *const names[] = { "security.selinux", "system.posix_acl_access" };
    char value[ATTRIBUTE_MAX];

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        ssize_t len = getxattr(from, names[i], value, sizeof(value));

        /* Where it cannot be set, the host's policy decides. */
        if (len > 0 && fsetxattr(fd, names[i], value, (size_t)len, 0) != 0)
            continue;
    }
}

static bool
write_staged(const struct install_file *file, const char *staged, struct stat *st,
             struct error *err)
{
    const char *p = file->data;
    size_t left = file->len;
    int fd = open(staged, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool ok = fd >= 0;

    while (ok && left > 0) {
        ssize_t n = write(fd, p, left);

        if (n < 0 && errno == EINTR)
            continue;
        ok = n >= 0;
        p += ok ? n : 0;
        left -= ok ? (size_t)n : 0;
    }
    if (ok && (file->uid != geteuid() || file->gid != getegid()))
        ok = fchown(fd, file->uid, file->gid) == 0;
    if (ok && file->exists)
        copy_attributes(file->path, fd);
    ok = ok && fchmod(fd, 0600) == 0 && fsync(fd) == 0 && fstat(fd, st) == 0;
    if (!ok)
        error_errno(err, ERROR_INTERNAL, errno, "cannot write %s", staged);
    if (fd >= 0)
        close(fd);
    return ok;
}

/* Is the old file the one that the caller has seen? */
static bool
check_seen(const struct install_file *file, struct error *err)
{
    struct stat st;
    bool exists = lstat(file->path, &st) == 0;

    if (exists == file->exists &&
        (!exists ||
         (S_ISREG(st.st_mode) && st.st_ino == file->seen.st_ino && st.st_dev == file->seen.st_dev &&
          st.st_size == file->seen.st_size && st.st_mtim.tv_sec == file->seen.st_mtim.tv_sec &&
          st.st_mtim.tv_nsec == file->seen.st_mtim.tv_nsec)))
        return true;
    error_set(err, ERROR_UNREACHABLE, "cannot replace %s: somebody else is changing it",
              file->path);
    return error_hint(err, "Try again");
}

/* Write the new file beside its target, and give the old one its second name. */
static bool
stage(struct install_file *file, json_t *entry, struct error *err)
{
    const char *backup = text_of(entry, "backup");
    struct stat st;

    if (!write_staged(file, text_of(entry, "staged"), &st, err) || !check_seen(file, err))
        return false;
    if (json_object_set_new(entry, "inode", json_integer((json_int_t)st.st_ino)) != 0)
        return error_memory(err);
    if (backup != NULL && link(file->path, backup) != 0)
        return error_errno(err, ERROR_INTERNAL, errno, "cannot keep %s as %s", file->path, backup);
    snprintf(file->backup, sizeof(file->backup), "%s", backup == NULL ? "" : backup);
    return file_sync_folder_of(file->path, err);
}

/* --- commit and undo --- */

static bool
sync_folders(const json_t *journal, struct error *err)
{
    const json_t *file;
    size_t i;

    json_array_foreach(json_object_get(journal, "files"), i, file)
    {
        if (!file_sync_folder_of(text_of(file, "path"), err) && errno != ENOENT)
            return false;
    }
    return true;
}

static bool
is_inode(const char *path, ino_t inode)
{
    struct stat st;

    return lstat(path, &st) == 0 && st.st_ino == inode;
}

static bool
same_file(const char *a, const char *b)
{
    struct stat st;

    return lstat(a, &st) == 0 && is_inode(b, st.st_ino);
}

/* Whoever replaced the old file after a kill, and before this completes it, finds his in *.later.
 */
static void
keep_later(const char *path, const char *backup)
{
    char later[PATH_MAX];

    if (access(path, F_OK) == 0 && (backup == NULL || !same_file(path, backup)) &&
        snprintf(later, sizeof(later), "%s.kpropctl-backup.later", path) < (int)sizeof(later) &&
        link(path, later) != 0)
        return;
}

/* Give the staged file its mode: the very file that was written, by its descriptor, as whoever may
 * write its folder can have put another in its place, or a link to one. */
static bool
set_mode(const char *staged, ino_t inode, mode_t mode, struct error *err)
{
    int fd = open(staged, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat st;
    bool ok = fd >= 0 && fstat(fd, &st) == 0;

    if (!ok && errno != ELOOP) {
        error_errno(err, ERROR_INTERNAL, errno, "cannot open %s", staged);
    } else if (!ok || !S_ISREG(st.st_mode) || st.st_ino != inode || st.st_nlink != 1) {
        ok = error_set(err, ERROR_REFUSED, "cannot install %s: another file is in its place",
                       staged);
        error_hint(err, "Somebody else writes into that folder; let root alone do so");
    } else if (fchmod(fd, mode) != 0) {
        ok = error_errno(err, ERROR_INTERNAL, errno, "cannot set the mode of %s", staged);
    }
    if (fd >= 0)
        close(fd);
    return ok;
}

/* Rename what is staged; what is not there any more was renamed before. */
static bool
commit(const json_t *journal, struct error *err)
{
    const json_t *file;
    size_t i;

    json_array_foreach(json_object_get(journal, "files"), i, file)
    {
        const char *path = text_of(file, "path"), *staged = text_of(file, "staged");
        mode_t mode = (mode_t)json_integer_value(json_object_get(file, "mode"));
        ino_t inode = (ino_t)json_integer_value(json_object_get(file, "inode"));
        struct stat st;

        if (lstat(staged, &st) != 0 && errno == ENOENT)
            continue;
        if (!set_mode(staged, inode, mode, err))
            return false;
        keep_later(path, text_of(file, "backup"));
        if (rename(staged, path) != 0)
            return error_errno(err, ERROR_INTERNAL, errno, "cannot rename %s to %s", staged, path);
    }
    return sync_folders(journal, err);
}

/* Where nothing can be written, unlink(2) of a file that is not there says that alone. */
static bool
remove_file(const char *path, struct error *err)
{
    struct stat st;

    if ((lstat(path, &st) == 0 && unlink(path) == 0) || errno == ENOENT || errno == ENOTDIR)
        return true;
    return error_errno(err, ERROR_INTERNAL, errno, "cannot remove %s", path);
}

/* Make every file what it was before. */
static bool
undo(const json_t *journal, struct error *err)
{
    const json_t *files = json_object_get(journal, "files"), *folders;

    for (size_t i = json_array_size(files); i-- > 0;) {
        const json_t *file = json_array_get(files, i);
        const char *path = text_of(file, "path"), *backup = text_of(file, "backup");
        ino_t inode = (ino_t)json_integer_value(json_object_get(file, "inode"));

        if (inode != 0 && is_inode(path, inode) &&
            (backup == NULL ? unlink(path) : rename(backup, path)) != 0)
            return error_errno(err, ERROR_INTERNAL, errno, "cannot put %s back", path);
        if (!remove_file(text_of(file, "staged"), err))
            return false;
        if (backup != NULL && same_file(backup, path))
            unlink(backup);
    }
    if (!sync_folders(journal, err))
        return false;
    folders = json_object_get(journal, "folders");
    for (size_t i = json_array_size(folders); i-- > 0;)
        rmdir(text_of(json_array_get(folders, i), "path"));
    return true;
}

/* Does the journal on the disk say that all is to be undone? */
static bool
says_undo(const char *folder)
{
    struct error ignored;
    json_t *journal;
    bool answer = journal_read(folder, &journal, &ignored) && journal != NULL &&
                  strcmp(text_of(journal, "state"), "commit") != 0;

    json_decref(journal);
    return answer;
}

/* After a failure: undo, and say so in ERR; what cannot be undone now is left to the journal. A
 * full disk has room for no other journal, and needs none as long as nothing was committed. */
static void
give_up(const char *folder, json_t *journal, struct error *err)
{
    struct error why;

    error_clear(&why);
    if ((!says_undo(folder) && !journal_write(folder, journal, "undo", &why)) ||
        !undo(journal, &why) || !journal_drop(folder, &why))
        error_hint(err, "Undoing it failed too (%s): run the same again, or start the agent",
                   why.text);
}

bool
install_files(const char *folder, struct install_file *files, size_t count, struct error *err)
{
    json_t *journal = NULL;
    struct error ignored;
    bool ok;

    for (size_t i = 0; i < count; i++)
        files[i].backup[0] = '\0';
    if (count == 0)
        return true;
    ok = file_make_folder(folder, 0700, err) && (journal = plan_names(files, count, err)) != NULL;
    if (!ok)
        goto cleanup;
    ok = journal_write(folder, journal, "staging", err) && make_folders(journal, err);
    for (size_t i = 0; ok && i < count; i++)
        ok = stage(&files[i], json_array_get(json_object_get(journal, "files"), i), err);
    if (!ok) {
        give_up(folder, journal, err);
        goto cleanup;
    }
    ok = journal_write(folder, journal, "commit", err) && commit(journal, err);
    if (!ok) {
        give_up(folder, journal, err);
        goto cleanup;
    }
    /* If it stays, whoever finds it finds nothing left to do. */
    journal_drop(folder, &ignored);

cleanup:
    json_decref(journal);
    return ok;
}

bool
install_recover(const char *folder, enum install_recovered *what, struct error *err)
{
    json_t *journal;
    bool ok, complete;

    *what = INSTALL_NOTHING;
    error_clear(err);
    debris(folder, true);
    if (!journal_read(folder, &journal, err) || journal == NULL)
        return err->code == ERROR_NONE;
    complete = strcmp(text_of(journal, "state"), "commit") == 0;
    ok = complete && commit(journal, err);
    if (!ok && (!complete || err->code == ERROR_REFUSED)) {
        /* What was staged is not there to be completed. */
        ok = (!complete || journal_write(folder, journal, "undo", err)) && undo(journal, err);
        complete = false;
    }
    ok = ok && journal_drop(folder, err);
    if (ok)
        *what = complete ? INSTALL_COMPLETED : INSTALL_UNDONE;
    json_decref(journal);
    return ok;
}

bool
install_pending(const char *folder)
{
    char path[PATH_MAX];

    journal_path(folder, path, sizeof(path));
    return access(path, F_OK) == 0 || debris(folder, false);
}
