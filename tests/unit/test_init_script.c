/* Init scripts: which one, is it enabled, and what a person is told. */
#include "agent/service/init_script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const names[] = { "krb5-kpropd", "kprop", NULL };

static void
run(const char *root, const char *words)
{
    char command[512];

    snprintf(command, sizeof(command), "cd %s && %s", root, words);
    assert_int_equal(system(command), 0);
}

static int
make_root(void **state)
{
    char *root = strdup("/tmp/test_init_script.XXXXXX");

    assert_non_null(mkdtemp(root));
    run(root, "mkdir -p etc/init.d etc/rc2.d etc/rc3.d etc/rc6.d");
    *state = root;
    return 0;
}

static int
remove_root(void **state)
{
    run(*state, "rm -r etc");
    rmdir(*state);
    free(*state);
    return 0;
}

static void
told(const struct init_script *script, const char *action, const char *wanted)
{
    char text[128];

    init_script_command(script, action, text, sizeof(text));
    assert_string_equal(text, wanted);
}

static void
test_none(void **state)
{
    struct init_script script;

    assert_false(init_script_find(*state, names, &script));
    assert_string_equal(script.path, "");
}

static void
test_new(void **state)
{
    struct init_script script;

    run(*state, "install -m 755 /dev/null etc/init.d/krb5-kpropd");
    assert_true(init_script_find(*state, names, &script));
    assert_false(script.enabled);
    told(&script, "start", "/etc/init.d/krb5-kpropd start");
    if (access("/usr/sbin/update-rc.d", X_OK) == 0)
        told(&script, "enable", "update-rc.d krb5-kpropd defaults");
}

static void
test_enabled(void **state)
{
    struct init_script script;

    run(*state, "cd etc && install -m 755 /dev/null init.d/kprop && ln -s x rc3.d/S20kprop && "
                "ln -s x rc6.d/K01kprop");
    assert_true(init_script_find(*state, names, &script));
    assert_string_equal(script.path, "/etc/init.d/kprop");
    assert_true(script.enabled);
}

/* update-rc.d does nothing for 'defaults' where there are links. */
static void
test_disabled(void **state)
{
    struct init_script script;

    run(*state, "cd etc && install -m 755 /dev/null init.d/kprop && ln -s x rc2.d/K80kprop && "
                "ln -s x rc3.d/S01kprop-other");
    assert_true(init_script_find(*state, names, &script));
    assert_false(script.enabled);
    if (access("/usr/sbin/update-rc.d", X_OK) == 0)
        told(&script, "enable", "update-rc.d kprop enable");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_none, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_new, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_enabled, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_disabled, make_root, remove_root),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
