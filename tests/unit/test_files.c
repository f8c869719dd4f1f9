/* files: replaced whole or not at all; what is no file is refused; locks exclude, and die with
 * their holder. */
#include "common/base/files.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/kpropctl-test-files.XXXXXX";

static int
set_up(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL || chdir(folder) != 0;
}

static int
tear_down(void **state)
{
    (void)state;
    return chdir("/") != 0 || rmdir(folder) != 0;
}

static void
assert_content(const char *path, const char *expected)
{
    struct buffer b;
    struct error err;

    buffer_init(&b, 100);
    assert_true(file_read(path, &b, &err));
    assert_string_equal(buffer_string(&b), expected);
    buffer_free(&b);
}

static void
test_replace(void **state)
{
    struct error err;
    struct stat st;

    (void)state;
    assert_true(file_replace("a", "one", 3, 0600, &err));
    assert_true(file_replace("a", "two", 3, 0640, &err));
    assert_content("a", "two");
    assert_int_equal(stat("a", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(symlink("a", "link"), 0);
    assert_true(file_replace("link", "three", 5, 0600, &err));
    assert_int_equal(lstat("link", &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_content("a", "three");
    unlink("link");
    unlink("a");
    assert_false(file_replace("missing/a", "x", 1, 0600, &err));
}

/* A rename over a device would take it away from the whole host. */
static void
test_no_regular_file(void **state)
{
    struct error err;
    struct buffer b;

    (void)state;
    assert_int_equal(mkfifo("fifo", 0600), 0);
    assert_false(file_replace("fifo", "x", 1, 0600, &err));
    assert_non_null(strstr(err.text, "not a regular file"));
    buffer_init(&b, 10);
    assert_false(file_read("fifo", &b, &err));
    assert_non_null(strstr(err.text, "not a regular file"));
    unlink("fifo");
    assert_int_equal(mkdir("folder", 0700), 0);
    assert_false(file_replace("folder", "x", 1, 0600, &err));
    rmdir("folder");
}

static void
test_bound(void **state)
{
    struct error err;
    struct buffer b;

    (void)state;
    assert_true(file_replace("b", "0123456789", 10, 0600, &err));
    buffer_init(&b, 9);
    assert_false(file_read("b", &b, &err));
    buffer_free(&b);
    unlink("b");
}

static void
test_lock(void **state)
{
    struct error err;
    int fd = file_lock("lock", 0, &err), other;

    (void)state;
    assert_true(fd >= 0);
    assert_true(file_lock("lock", 40, &err) < 0);
    assert_int_equal(err.code, ERROR_UNREACHABLE);
    close(fd);
    other = file_lock("lock", 0, &err);
    assert_true(other >= 0);
    close(other);
    unlink("lock");
}

static void
test_folders(void **state)
{
    struct error err;

    (void)state;
    assert_true(file_make_folder("x/y/z", 0700, &err));
    assert_true(file_make_folder("x/y", 0755, &err));
    assert_int_equal(rmdir("x/y/z") | rmdir("x/y") | rmdir("x"), 0);
}

/* With standard output closed, a file must not get its number: it would be written to. */
static void
test_standard(void **state)
{
    pid_t child = fork();
    int status;

    (void)state;
    assert_true(child >= 0);
    if (child == 0) {
        close(0);
        close(1);
        if (!file_fill_standard() || open("/dev/null", O_RDWR) <= 2 || write(1, "x", 1) >= 0 ||
            read(0, &status, 1) >= 0)
            _exit(1);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replace), cmocka_unit_test(test_no_regular_file),
        cmocka_unit_test(test_bound),   cmocka_unit_test(test_lock),
        cmocka_unit_test(test_folders), cmocka_unit_test(test_standard),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
