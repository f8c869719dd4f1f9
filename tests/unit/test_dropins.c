/* dropins: the loader is appended to what the unit says, whatever way it says it. */
#include "agent/service/dropins.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ExecStart after TEXT and then NEXT (NULL: nothing), or "refused", or NULL. Freed by the caller.
 */
static char *
exec_start(const char *text, const char *next)
{
    char *command = NULL;
    struct error err;

    error_clear(&err);
    if (dropins_exec_start(text, &command, &err) &&
        (next == NULL || dropins_exec_start(next, &command, &err)))
        return command;
    free(command);
    return strdup(err.code == ERROR_REFUSED ? "refused" : "failed");
}

static void
expect(const char *text, const char *next, const char *wanted)
{
    char *command = exec_start(text, next);

    if ((command == NULL) != (wanted == NULL) || (wanted != NULL && strcmp(command, wanted) != 0))
        fail_msg("got '%s' instead of '%s'", command == NULL ? "none" : command,
                 wanted == NULL ? "none" : wanted);
    free(command);
}

static void
test_exec_start(void **state)
{
    (void)state;
    expect("[Unit]\nExecStart=/no\n[Service]\nEnvironmentFile=-/e\n"
           "ExecStart=/usr/sbin/kpropd -D $DAEMON_ARGS\nExecStartPre=/bin/x\n",
           NULL, "/usr/sbin/kpropd -D $DAEMON_ARGS");
    expect("[Service]\n ExecStart = -/usr/sbin/_kpropd $KPROPD_ARGS \n", NULL,
           "-/usr/sbin/_kpropd $KPROPD_ARGS");
    expect("[Service]\nExecStart=/a \\\n# comment\n  -b\\\n\n-c\n", NULL, "/a  -b");
    expect("[Service]\nExecStart=/a", "[Service]\nExecStart=\nExecStart=/b -x\n", "/b -x");
    expect("[Service]\nExecStart=/a", "[Service]\nExecStart=\n", NULL);
    expect("[Service]\nExecStart=/a", "[Service]\nNice=1\n", "/a");
    expect("[Service]\nExecStart=/a\nExecStart=/b\n", NULL, "refused");
    expect("[Install]\nExecStart=/a\n#ExecStart=/b\n;ExecStart=/c\n", NULL, NULL);
    expect("", NULL, NULL);
}

static void
test_loader_text(void **state)
{
    struct buffer out;
    struct error err;

    (void)state;
    error_clear(&err);
    buffer_init(&out, 4096);
    assert_true(dropins_loader_text("/usr/sbin/kpropd -D $DAEMON_ARGS", "/l", "/s", &out, &err));
    assert_non_null(strstr(buffer_string(&out), "[Service]\nExecStart=\n"
                                                "ExecStart=/usr/sbin/kpropd -D $DAEMON_ARGS -p /l\n"
                                                "ReadWritePaths=-/s\n"));
    assert_true(dropins_loader_text("/opt/kpropd-port -D", "/l", "/s", &out, &err));
    assert_false(dropins_loader_text("/usr/sbin/kpropd -p /mine", "/l", "/s", &out, &err));
    assert_int_equal(err.code, ERROR_REFUSED);
    assert_false(dropins_loader_text("/usr/sbin/kpropd -D -p/mine", "/l", "/s", &out, &err));
    buffer_free(&out);
}

static void
test_path(void **state)
{
    char path[128];
    struct error err;

    (void)state;
    assert_true(dropins_path("krb5-kpropd.service", DROPIN_LOADER, path, sizeof(path), &err));
    assert_string_equal(path, "/etc/systemd/system/krb5-kpropd.service.d/zz-kpropctl.conf");
    assert_false(dropins_path("../x", DROPIN_LOADER, path, sizeof(path), &err));
    assert_false(dropins_path("krb5-kpropd.service", DROPIN_LOADER, path, 20, &err));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exec_start),
        cmocka_unit_test(test_loader_text),
        cmocka_unit_test(test_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
