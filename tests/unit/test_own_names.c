/* own_names: what a host is called, by its own files. */
#include "agent/base/own_names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char HOSTS[] =
    "# kdc2 evil.lab.test\n"
    "127.0.0.1\tlocalhost kdc9\n"
    "127.0.1.1 localhost localhost.localdomain kdc8 # kdc2 comment.lab.test\n"
    "10.0.0.2  kdc2.lab.test   KDC2 kerberos-1.lab.test.\r\n"
    "10.0.0.3 kdc3.lab.test kdc3\n"
    "10.0.0.4 kdc22.lab.test xkdc2\n"
    "10.0.0.5\n"
    "kdc2\n"
    "fd00::2 six.lab.test kdc2";

static void
expect(const struct own_names *names, const char *const *list)
{
    size_t n = 0;

    for (; list[n] != NULL; n++) {
        if (!own_names_has(names, list[n], strlen(list[n])))
            fail_msg("%s is none", list[n]);
    }
    assert_int_equal(names->count, n);
}

static void
test_hosts(void **state)
{
    static const char *const shorts[] = { "kdc2", "kdc2.lab.test", "kerberos-1.lab.test",
                                          "six.lab.test", NULL };
    static const char *const full[] = { "Kdc3.LAB.test", "kdc3", NULL };
    static const char *const loopback[] = { "kdc9", NULL };
    struct own_names names;

    (void)state;
    own_names_gather("kdc2", HOSTS, "", NULL, &names);
    expect(&names, shorts);
    own_names_gather("kdc3.lab.test", HOSTS, "search other.test\n", NULL, &names);
    expect(&names, full);
    own_names_gather("kdc9", HOSTS, "", NULL, &names);
    expect(&names, loopback);
}

static void
test_domains(void **state)
{
    static const char *const searched[] = { "kdc2", "kdc2.a.test", "kdc2.b.test", NULL };
    static const char *const domain[] = { "kdc2", "kdc2.c.test", NULL };
    static const char *const none[] = { "kdc2", NULL };
    struct own_names names;

    (void)state;
    own_names_gather("kdc2", "",
                     "domain c.test\nsearch a.test. b.test . # z.test\nsearching x.test\n", NULL,
                     &names);
    expect(&names, searched);
    own_names_gather("kdc2", "", "search a.test\n domain\tc.test ; z.test", NULL, &names);
    expect(&names, domain);
    own_names_gather("kdc2", "", "#search a.test\nnameserver 10.0.0.1\n", NULL, &names);
    expect(&names, none);
}

static void
test_more(void **state)
{
    static const char *const more[] = { "kdc2.lab.test", "a.lab.test", "b", NULL };
    struct own_names names;
    char many[OWN_NAMES_MAX * 16] = "", longest[400];

    (void)state;
    own_names_gather("kdc2.lab.test", "", "", " a.lab.test,b  A.lab.test ,", &names);
    expect(&names, more);
    assert_false(own_names_has(&names, "b.lab.test", 10));
    assert_false(own_names_has(&names, "", 0));
    own_names_gather("localhost", HOSTS, "search a.test", NULL, &names);
    assert_int_equal(names.count, 0);
    own_names_gather("", HOSTS, "search a.test", NULL, &names);
    assert_int_equal(names.count, 0);
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    own_names_gather("kdc2", "", longest, longest, &names);
    assert_int_equal(names.count, 1);
    for (int i = 0; i < OWN_NAMES_MAX + 9; i++)
        snprintf(many + strlen(many), sizeof(many) - strlen(many), "name%d ", i);
    own_names_gather("kdc2", "", "", many, &names);
    assert_int_equal(names.count, OWN_NAMES_MAX);
}

static void
test_listed(void **state)
{
    (void)state;
    assert_true(own_names_listed("A.TEST, B.TEST", "B.TEST"));
    assert_false(own_names_listed("A.TEST B.TEST", "TEST"));
    assert_false(own_names_listed("A.TEST", "a.test"));
    assert_false(own_names_listed(NULL, "A.TEST"));
    assert_false(own_names_listed(" ,", ""));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_domains),
        cmocka_unit_test(test_more),
        cmocka_unit_test(test_listed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
