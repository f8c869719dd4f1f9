/* events: who may write the program, what it is told, as whom it runs, and that it cannot hang us.
 */
#include "kpropctl/run/events.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Not below /tmp, which others can write. */
static char folder[] = "/var/lib/kpropctl-test-events.XXXXXX";
static char told[] = "/tmp/kpropctl-test-told.XXXXXX";
static char program[200];

static void
write_program(const char *script, mode_t mode)
{
    FILE *fp = fopen(program, "w");

    assert_non_null(fp);
    fprintf(fp, "#!/bin/sh\n%s\n", script);
    fclose(fp);
    assert_int_equal(chmod(program, mode), 0);
}

static int
set_up(void **state)
{
    int fd = mkstemp(told);

    (void)state;
    if (geteuid() != 0 || fd < 0 || fchmod(fd, 0666) != 0 || mkdtemp(folder) == NULL ||
        chmod(folder, 0755) != 0)
        return -1;
    close(fd);
    snprintf(program, sizeof(program), "%s/program", folder);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    unlink(program);
    unlink(told);
    return rmdir(folder);
}

static bool
tell(const char *error, int timeout, struct error *err)
{
    struct configuration configuration = { .on_event = program, .on_event_timeout = timeout };
    struct event event = { "LAB.TEST", "kdc2.lab.test", false, "failed", error, 7 };

    error_clear(err);
    return events_tell(&configuration, &event, err);
}

static void
test_told(void **state)
{
    char script[400], line[300];
    struct error err;
    FILE *fp;

    (void)state;
    snprintf(script, sizeof(script),
             "exec > %s; echo \"$(id -un) $KPROPCTL_EVENT $KPROPCTL_REALM $KPROPCTL_HOST "
             "$KPROPCTL_RESULT $KPROPCTL_GENERATION $KPROPCTL_ERROR$SECRET\"; "
             "ls -m /proc/$$/fd", /* a pipe would be the shell's own for an instant */
             told);
    write_program(script, 0755);
    setenv("SECRET", "x", 1);
    assert_true(tell("a\nb\x1b[31m", 10, &err));
    fp = fopen(told, "r");
    assert_non_null(fp);
    assert_non_null(fgets(line, sizeof(line), fp));
    assert_string_equal(line, "nobody bad LAB.TEST kdc2.lab.test failed 7 a?b?[31m\n");
    assert_non_null(fgets(line, sizeof(line), fp));
    assert_string_equal(line, "0, 1, 10, 2\n"); /* 10 is the shell's own: the script */
    fclose(fp);
}

static void
test_trouble(void **state)
{
    struct configuration none = { .on_event = NULL };
    struct event event = { "R", "h", true, "verified", "", 1 };
    struct error err;

    (void)state;
    assert_true(events_tell(&none, &event, &err));
    write_program("exit 3", 0755);
    assert_false(tell("", 10, &err));
    assert_non_null(strstr(err.text, "exit status 3"));
    write_program("sleep 60", 0755);
    assert_false(tell("", 1, &err));
    assert_non_null(strstr(err.text, "not finished after 1 s"));
}

static void
assert_refused(const char *why)
{
    struct error err;

    assert_false(tell("", 10, &err));
    assert_int_equal(err.code, ERROR_REFUSED);
    if (strstr(err.text, why) == NULL)
        fail_msg("'%s' is not in '%s'", why, err.text);
}

static void
test_refused(void **state)
{
    static const char link[] = "/tmp/kpropctl-test-event-link";
    struct error err;

    (void)state;
    write_program("true", 0775);
    assert_refused("others than root can write");
    write_program("true", 0644);
    assert_refused("no executable file");
    write_program("true", 0755);
    assert_int_equal(chmod(folder, 0777), 0);
    assert_refused(folder);
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(chown(program, 1, 1), 0);
    assert_refused("others than root");
    assert_int_equal(chown(program, 0, 0), 0);
    unlink(program);
    assert_refused("No such file");
    write_program("true", 0755);
    assert_true(tell("", 10, &err));
    unlink(link);
    assert_int_equal(symlink(program, link), 0);
    assert_true(events_check_program(link, &err)); /* what it leads to counts */
    unlink(link);
}

/* What our units leave of root's capabilities, as bits; 0 if that cannot be told. */
static uint64_t
capabilities_of_units(void)
{
    static const struct {
        const char *name;
        int number;
    } known[] = {
        { "CAP_CHOWN", CAP_CHOWN },
        { "CAP_DAC_OVERRIDE", CAP_DAC_OVERRIDE },
        { "CAP_DAC_READ_SEARCH", CAP_DAC_READ_SEARCH },
        { "CAP_FOWNER", CAP_FOWNER },
        { "CAP_KILL", CAP_KILL },
        { "CAP_NET_BIND_SERVICE", CAP_NET_BIND_SERVICE },
        { "CAP_SETGID", CAP_SETGID },
        { "CAP_SETUID", CAP_SETUID },
        { "CAP_SYS_PTRACE", CAP_SYS_PTRACE },
    };
    FILE *fp = fopen(TEST_SOURCE_DIR "/../conf/hardening.in", "r");
    static const char key[] = "CapabilityBoundingSet=";
    uint64_t bits = 0;
    char line[1024];

    assert_non_null(fp);
    while (fgets(line, sizeof(line), fp) != NULL) {
        if (strncmp(line, key, strlen(key)) != 0)
            continue;
        for (char *w = strtok(line + strlen(key), " \n"); w != NULL; w = strtok(NULL, " \n")) {
            size_t i = 0, count = sizeof(known) / sizeof(*known);

            while (i < count && strcmp(known[i].name, w) != 0)
                i++;
            if (i == count)
                fail_msg("%s is new to this test", w);
            bits |= UINT64_C(1) << known[i].number;
        }
    }
    fclose(fp);
    return bits;
}

/* With the capabilities of our units alone. */
static void
test_in_a_unit(void **state)
{
    uint64_t bits = capabilities_of_units();
    int status;
    pid_t pid;

    (void)state;
    write_program("test $(id -u) = 65534", 0755);
    assert_true(bits != 0);
    pid = fork();
    if (pid == 0) {
        struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
        struct __user_cap_data_struct data[2] = {
            { (uint32_t)bits, (uint32_t)bits, 0 },
            { (uint32_t)(bits >> 32), (uint32_t)(bits >> 32), 0 },
        };
        struct error err;

        if (syscall(SYS_capset, &head, data) != 0)
            _exit(2);
        if (tell("", 10, &err))
            _exit(0);
        fprintf(stderr, "%s\n", err.text);
        _exit(1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_told),
        cmocka_unit_test(test_trouble),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_in_a_unit),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
