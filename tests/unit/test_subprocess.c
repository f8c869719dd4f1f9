/* subprocess: status, signal, deadline and output of real children; nothing is inherited. */
#include "common/base/subprocess.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void
run_shell(const char *script, int timeout_ms, struct subprocess_result *result)
{
    const char *argv[] = { "/bin/sh", "-c", script, NULL };
    struct error err;

    assert_true(subprocess_run(argv, NULL, timeout_ms, result, &err));
}

static void
test_output(void **state)
{
    struct subprocess_result r;
    char text[64];

    (void)state;
    run_shell("echo out; echo one >&2; echo two >&2; exit 3", 5000, &r);
    assert_int_equal(r.status, 3);
    assert_string_equal(buffer_string(&r.out), "out\n");
    assert_string_equal(subprocess_last_line(&r, text, sizeof(text)), "two");
    assert_string_equal(subprocess_describe(&r, text, sizeof(text)), "exit status 3");
    subprocess_result_free(&r);
}

static void
test_deadline(void **state)
{
    struct subprocess_result r;

    (void)state;
    run_shell("sleep 60", 100, &r);
    assert_true(r.timed_out);
    assert_false(subprocess_succeeded(&r));
    subprocess_result_free(&r);
    run_shell("kill -9 $$", 5000, &r);
    assert_int_equal(r.signal, 9);
    assert_int_equal(r.status, -1);
    subprocess_result_free(&r);
}

static void
test_bounded(void **state)
{
    struct subprocess_result r;

    (void)state;
    run_shell("head -c 1000000 /dev/zero; exit 0", 5000, &r);
    assert_true(subprocess_succeeded(&r));
    assert_int_equal(r.out.len, 64 * 1024);
    subprocess_result_free(&r);
}

static void
test_nothing_inherited(void **state)
{
    struct subprocess_result r;
    int fd = open("/dev/null", O_RDONLY);

    (void)state;
    setenv("SECRET", "x", 1);
    run_shell("ls /proc/$$/fd; echo \"$SECRET\"", 5000, &r);
    assert_string_equal(buffer_string(&r.out), "0\n1\n2\n\n");
    subprocess_result_free(&r);
    close(fd);
}

/* Kerberos' programs are to read the files that we read ourselves, unless the caller says others.
 */
static void
test_kerberos_files(void **state)
{
    static const char *const argv[] = { "/usr/bin/env", NULL };
    static const char *const environment[] = { "KRB5_KDC_PROFILE=/theirs", NULL };
    struct subprocess_result result;
    struct error err;

    (void)state;
    assert_int_equal(setenv("KRB5_CONFIG", "/a:/b", 1), 0);
    assert_int_equal(setenv("KRB5_KDC_PROFILE", "/ours", 1), 0);
    error_clear(&err);
    assert_true(subprocess_run(argv, NULL, 5000, &result, &err));
    assert_non_null(strstr(buffer_string(&result.out), "KRB5_CONFIG=/a:/b\n"));
    assert_non_null(strstr(buffer_string(&result.out), "KRB5_KDC_PROFILE=/ours\n"));
    subprocess_result_free(&result);
    assert_true(subprocess_run(argv, environment, 5000, &result, &err));
    assert_true(strstr(buffer_string(&result.out), "=/theirs\n") <
                strstr(buffer_string(&result.out), "=/ours\n"));
    subprocess_result_free(&result);
    unsetenv("KRB5_CONFIG");
    unsetenv("KRB5_KDC_PROFILE");
}

static void
test_missing_program(void **state)
{
    const char *argv[] = { "/nonexistent/program", NULL };
    struct subprocess_result r;
    struct error err;

    (void)state;
    assert_false(subprocess_run(argv, NULL, 1000, &r, &err));
    assert_string_equal(err.text, "cannot execute /nonexistent/program: No such file or directory");
    subprocess_result_free(&r);
}

/* Neither gone nor a zombie that nobody has reaped yet. */
static bool
is_running(pid_t pid)
{
    char path[64], state = 'X';
    FILE *fp;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    fp = fopen(path, "r");
    if (fp == NULL)
        return false;
    if (fscanf(fp, "%*d %*s %c", &state) != 1)
        state = 'X';
    fclose(fp);
    return state != 'Z' && state != 'X';
}

/* It ends with its parent, also as another user. */
static void
test_ends_with_parent(void **state)
{
    const char *argv[] = { "/bin/sleep", "60", NULL };
    struct subprocess_options options = { .drop = true, .uid = 65534, .gid = 65534 };
    struct subprocess child;
    struct error err;
    pid_t parent, pid = 0;
    int fds[2], tries = 0;

    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(pipe(fds), 0);
    parent = fork();
    if (parent == 0) {
        if (subprocess_start(argv, &options, &child, &err))
            pid = child.pid;
        _exit(write(fds[1], &pid, sizeof(pid)) == (ssize_t)sizeof(pid) ? 0 : 1);
    }
    assert_int_equal(read(fds[0], &pid, sizeof(pid)), sizeof(pid));
    assert_true(pid > 0);
    assert_int_equal(waitpid(parent, NULL, 0), parent);
    while (is_running(pid) && tries++ < 100)
        usleep(20 * 1000);
    assert_true(tries < 100);
    close(fds[0]);
    close(fds[1]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_output),           cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_bounded),          cmocka_unit_test(test_nothing_inherited),
        cmocka_unit_test(test_kerberos_files),   cmocka_unit_test(test_missing_program),
        cmocka_unit_test(test_ends_with_parent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
