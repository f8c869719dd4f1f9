/*
 * install: all files or none, whatever system call it is killed at or fails in.
 */
#include "agent/enroll/install.h"
#include "common/base/buffers.h"
#include "common/base/files.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* A keytab that a group may read, a file with nothing before it in a folder that is not there, and
 * a plain one. */
enum { FILES = 3 };

static const char *const names[FILES] = { "krb5.keytab", "kdc/deep/stash", "krb5.conf" };
static const char *const old[FILES] = { "old keytab", NULL, "old conf" };
static const char *const fresh[FILES] = { "new keytab!", "new stash", "new conf, longer" };
static const mode_t modes[FILES] = { 0640, 0600, 0644 };

struct fixture {
    char folder[64];
    char state[96];
    char paths[FILES][128];
};

static void
clear_folder(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    char name[512];

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            unlink(name) == 0)
            continue;
        clear_folder(name);
        rmdir(name);
    }
    if (dir != NULL)
        closedir(dir);
}

static void
put_old(struct fixture *f)
{
    struct error err;

    clear_folder(f->folder);
    for (int i = 0; i < FILES; i++) {
        if (old[i] != NULL)
            assert_true(file_replace(f->paths[i], old[i], strlen(old[i]), modes[i], &err));
    }
}

static int
set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    strcpy(f->folder, "/tmp/kpropctl-install-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->state, sizeof(f->state), "%s/state", f->folder);
    for (int i = 0; i < FILES; i++)
        snprintf(f->paths[i], sizeof(f->paths[i]), "%s/%s", f->folder, names[i]);
    put_old(f);
    *state = f;
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *f = *state;

    clear_folder(f->folder);
    assert_int_equal(rmdir(f->folder), 0);
    free(f);
    return 0;
}

static void
describe(struct fixture *f, struct install_file *files)
{
    memset(files, 0, FILES * sizeof(*files));
    for (int i = 0; i < FILES; i++) {
        files[i] = (struct install_file){ .path = f->paths[i],
                                          .data = fresh[i],
                                          .len = strlen(fresh[i]),
                                          .mode = modes[i],
                                          .uid = geteuid(),
                                          .gid = getegid(),
                                          .folder_mode = 0700 };
        files[i].exists = lstat(f->paths[i], &files[i].seen) == 0;
    }
}

static bool
holds(const char *path, const char *text, mode_t mode)
{
    struct buffer content;
    struct error err;
    struct stat st;
    bool same;

    if (text == NULL)
        return access(path, F_OK) != 0;
    buffer_init(&content, 1024);
    same = file_read(path, &content, &err) && strcmp(buffer_string(&content), text) == 0 &&
           stat(path, &st) == 0 && (st.st_mode & 07777) == mode;
    buffer_free(&content);
    return same;
}

static int
count_holding(struct fixture *f, const char *const *texts)
{
    int count = 0;

    for (int i = 0; i < FILES; i++)
        count += holds(f->paths[i], texts[i], modes[i]) ? 1 : 0;
    return count;
}

/* How many names with WORD are in FOLDER. */
static int
names_with(const char *folder, const char *word)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    int count = 0;

    while (dir != NULL && (entry = readdir(dir)) != NULL)
        count += strstr(entry->d_name, word) != NULL ? 1 : 0;
    if (dir != NULL)
        closedir(dir);
    return count;
}

static void
expect_old(struct fixture *f)
{
    assert_int_equal(count_holding(f, old), FILES);
    assert_int_equal(names_with(f->folder, ".kpropctl-"), 0);
    assert_int_equal(names_with(f->state, "journal"), 0);
}

static void
expect_new(struct fixture *f)
{
    assert_int_equal(count_holding(f, fresh), FILES);
    assert_int_equal(names_with(f->folder, ".kpropctl-"), 2);
    assert_int_equal(names_with(f->folder, ".kpropctl-backup-"), 2);
    assert_int_equal(names_with(f->state, "journal"), 0);
}

static void
test_all(void **state)
{
    struct fixture *f = *state;
    struct install_file files[FILES];
    enum install_recovered what;
    struct error err;
    struct stat st;
    char folder[160];

    describe(f, files);
    assert_true(install_files(f->state, files, FILES, &err));
    expect_new(f);
    assert_true(holds(files[0].backup, old[0], modes[0]));
    assert_string_equal(files[1].backup, "");
    assert_true(holds(files[2].backup, old[2], modes[2]));
    snprintf(folder, sizeof(folder), "%s/kdc/deep", f->folder);
    assert_int_equal(stat(folder, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_true(install_recover(f->state, &what, &err));
    assert_int_equal(what, INSTALL_NOTHING);
    /* Again in the same second: the backups have names of their own. */
    describe(f, files);
    assert_true(install_files(f->state, files, FILES, &err));
    assert_int_equal(names_with(f->folder, ".kpropctl-backup-"), 4);
}

static void
test_changed_meanwhile(void **state)
{
    struct fixture *f = *state;
    struct install_file files[FILES];
    struct error err;

    describe(f, files);
    assert_true(file_replace(f->paths[2], "another", 7, 0644, &err));
    error_clear(&err);
    assert_false(install_files(f->state, files, FILES, &err));
    assert_int_equal(err.code, ERROR_UNREACHABLE);
    assert_true(holds(f->paths[0], old[0], modes[0]));
    assert_true(holds(f->paths[2], "another", 0644));
    assert_int_equal(names_with(f->folder, ".kpropctl-"), 0);
    assert_int_not_equal(access(f->paths[1], F_OK), 0);
}

/* Run it in a child that is killed at its system call STOPS; false if it ended before. */
static bool
kill_at(struct fixture *f, int stops)
{
    struct install_file files[FILES];
    struct error err;
    int status;
    pid_t child;

    describe(f, files);
    child = fork();
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        _exit(install_files(f->state, files, FILES, &err) ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    for (int i = 0; i < stops && WIFSTOPPED(status); i++) {
        assert_int_equal(ptrace(PTRACE_SYSCALL, child, NULL, NULL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
    }
    if (WIFEXITED(status)) {
        assert_int_equal(WEXITSTATUS(status), 0);
        return false;
    }
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    return true;
}

/* Nothing secret may be readable by others meanwhile, and no file be half one and half the other.
 */
static void
check_between(struct fixture *f)
{
    DIR *dir = opendir(f->folder);
    struct dirent *entry;
    char path[512];
    struct stat st;

    while ((entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, ".krb5.keytab.kpropctl-", 22) != 0)
            continue;
        snprintf(path, sizeof(path), "%s/%s", f->folder, entry->d_name);
        assert_int_equal(stat(path, &st), 0);
        assert_true((st.st_mode & 07777) == 0600 || (st.st_mode & 07777) == modes[0]);
    }
    closedir(dir);
    for (int i = 0; i < FILES; i++)
        assert_true(holds(f->paths[i], old[i], modes[i]) || holds(f->paths[i], fresh[i], modes[i]));
}

static void
test_killed(void **state)
{
    struct fixture *f = *state;
    enum install_recovered what;
    int undone = 0, completed = 0, stops;
    struct error err;

    for (stops = 1;; stops++) {
        put_old(f);
        if (!kill_at(f, stops))
            break;
        check_between(f);
        assert_true(install_recover(f->state, &what, &err));
        if (count_holding(f, old) == FILES) {
            assert_int_not_equal(what, INSTALL_COMPLETED);
            undone += what == INSTALL_UNDONE ? 1 : 0;
            expect_old(f);
        } else {
            assert_int_not_equal(what, INSTALL_UNDONE);
            completed += what == INSTALL_COMPLETED ? 1 : 0;
            expect_new(f);
        }
    }
    print_message("killed at %d places: undone %d, completed %d\n", stops, undone, completed);
    assert_true(undone > 20 && completed > 10);
    expect_new(f);
}

/* Recover in a child that is killed at its system call STOPS; false if it ended before. */
static bool
kill_recovery_at(struct fixture *f, int stops)
{
    enum install_recovered what;
    struct error err;
    int status;
    pid_t child = fork();

    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        _exit(install_recover(f->state, &what, &err) ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    for (int i = 0; i < stops && WIFSTOPPED(status); i++) {
        ptrace(PTRACE_SYSCALL, child, NULL, NULL);
        waitpid(child, &status, 0);
    }
    if (WIFEXITED(status))
        return false;
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return true;
}

/* A recovery that is killed itself is finished by the next one, whichever way it goes. */
static void
test_recovery_killed(void **state)
{
    static const struct {
        int stops;
        const char *const *texts;
    } cases[] = { { 120, old }, { 215, fresh } };
    struct fixture *f = *state;
    enum install_recovered what;
    struct error err;

    for (int i = 0; i < 2; i++) {
        bool killed = true;

        for (int stops = 1; killed; stops++) {
            put_old(f);
            assert_true(kill_at(f, cases[i].stops));
            assert_true(install_pending(f->state));
            killed = kill_recovery_at(f, stops);
            assert_true(install_recover(f->state, &what, &err));
            assert_int_equal(count_holding(f, cases[i].texts), FILES);
            if (cases[i].texts == old)
                expect_old(f);
            else
                expect_new(f);
        }
    }
}

/* The same program again, behind strace: `NAME install FOLDER` is what it does there. */
static int
install_in(const char *folder)
{
    struct install_file files[FILES];
    struct fixture f;
    struct error err;

    memset(&f, 0, sizeof(f));
    snprintf(f.folder, sizeof(f.folder), "%s", folder);
    snprintf(f.state, sizeof(f.state), "%s/state", folder);
    for (int i = 0; i < FILES; i++)
        snprintf(f.paths[i], sizeof(f.paths[i]), "%s/%s", folder, names[i]);
    describe(&f, files);
    error_clear(&err);
    if (install_files(f.state, files, FILES, &err))
        return 0;
    puts(err.text);
    return err.code;
}

/* A rename that fails, the first one or a later one, puts everything back. */
static void
test_rename_fails(void **state)
{
    struct fixture *f = *state;
    int failures = 0;

    if (system("strace -V >/dev/null 2>&1") != 0)
        skip();
    for (int when = 1; when <= 6; when++) {
        char command[512];

        put_old(f);
        snprintf(command, sizeof(command),
                 "ASAN_OPTIONS=detect_leaks=0 strace -o /dev/null -f "
                 "-e inject=rename:error=EBUSY:when=%d /proc/%d/exe install %s >/dev/null",
                 when, (int)getpid(), f->folder);
        if (system(command) == 0) {
            expect_new(f);
            continue;
        }
        failures++;
        expect_old(f);
    }
    /* Two of the journal's own, and three of files. */
    assert_int_equal(failures, 5);
}

/* From some write on there is no room, for the journal neither: everything is put back all the
 * same. */
static void
test_disk_full(void **state)
{
    struct fixture *f = *state;
    int failures = 0;

    if (system("strace -V >/dev/null 2>&1") != 0)
        skip();
    for (int when = 1; when <= 6; when++) {
        char command[512];

        put_old(f);
        snprintf(command, sizeof(command),
                 "ASAN_OPTIONS=detect_leaks=0 strace -o /dev/null -f "
                 "-e inject=write:error=ENOSPC:when=%d+ /proc/%d/exe install %s >/dev/null",
                 when, (int)getpid(), f->folder);
        if (system(command) == 0) {
            expect_new(f);
            continue;
        }
        failures++;
        expect_old(f);
    }
    /* Two journals, and three files. */
    assert_int_equal(failures, 5);
}

/* Is the journal that of a commit, with the new keytab still beside its target? */
static bool
is_committing(struct fixture *f)
{
    struct buffer text;
    struct error err;
    char path[160];
    bool is;

    snprintf(path, sizeof(path), "%s/enrolment.journal", f->state);
    buffer_init(&text, 65536);
    is = file_read(path, &text, &err) && strstr(buffer_string(&text), "\"commit\"") != NULL &&
         names_with(f->folder, ".krb5.keytab.kpropctl-") == 1;
    buffer_free(&text);
    return is;
}

/* Who may write into a keytab's folder has put a link in the new one's place: what it points to
 * stays as it is, and the old files come back. */
static void
test_link_in_its_place(void **state)
{
    struct fixture *f = *state;
    enum install_recovered what;
    char victim[96], path[512];
    struct dirent *entry;
    struct error err;
    DIR *dir;

    for (int stops = 1; !is_committing(f); stops++) {
        put_old(f);
        assert_true(kill_at(f, stops));
    }
    snprintf(victim, sizeof(victim), "%s/victim", f->folder);
    assert_true(file_replace(victim, "secret", 6, 0600, &err));
    dir = opendir(f->folder);
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, ".krb5.keytab.kpropctl-", 22) != 0)
            continue;
        snprintf(path, sizeof(path), "%s/%s", f->folder, entry->d_name);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(symlink(victim, path), 0);
    }
    closedir(dir);
    assert_true(install_recover(f->state, &what, &err));
    assert_int_equal(what, INSTALL_UNDONE);
    assert_true(holds(victim, "secret", 0600));
    assert_int_equal(unlink(victim), 0);
    expect_old(f);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_changed_meanwhile, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_killed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_recovery_killed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rename_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_disk_full, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_link_in_its_place, set_up, tear_down),
    };

    if (argc == 3 && strcmp(argv[1], "install") == 0)
        return install_in(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
