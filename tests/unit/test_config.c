/* config: every kind of value, and every mistake named with file and key. */
#include "common/krb5/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct settings {
    char *word;
    char *path;
    int number;
    int seconds;
    bool flag;
    int choice;
};

static const char *const choices[] = { "one", "two", "three", NULL };

static const struct config_key keys[] = {
    { "word", CONFIG_STRING, offsetof(struct settings, word), 0, 0 },
    { "path", CONFIG_PATH, offsetof(struct settings, path), 0, 0 },
    { "number", CONFIG_INTEGER, offsetof(struct settings, number), 1, 10 },
    { "seconds", CONFIG_DURATION, offsetof(struct settings, seconds), 0, 86400 },
    { "flag", CONFIG_BOOLEAN, offsetof(struct settings, flag), 0, 0 },
    { "choice", CONFIG_CHOICE, offsetof(struct settings, choice), 0, 0, choices },
    { NULL, CONFIG_STRING, 0, 0, 0 },
};

static const char path[] = "/tmp/kpropctl-test-config.conf";

static bool
load(const char *text, struct settings *s, struct error *err)
{
    FILE *fp = fopen(path, "w");
    bool ok;

    assert_non_null(fp);
    fputs(text, fp);
    fclose(fp);
    memset(s, 0, sizeof(*s));
    error_clear(err);
    ok = config_load(path, true, "test", keys, s, err);
    unlink(path);
    return ok;
}

static void
test_good(void **state)
{
    struct settings s;
    struct error err;

    (void)state;
    assert_true(load("[test]\n word = x y\n path = /a/b\n number = 7\n seconds = 5m\n flag = yes\n"
                     " choice = three\n",
                     &s, &err));
    assert_int_equal(s.choice, 2);
    assert_string_equal(s.word, "x y");
    assert_string_equal(s.path, "/a/b");
    assert_int_equal(s.number, 7);
    assert_int_equal(s.seconds, 300);
    assert_true(s.flag);
    config_free(keys, &s);
    assert_null(s.word);
    assert_true(load("", &s, &err));
    assert_true(load("[test]\n flag = off\n", &s, &err));
    assert_false(s.flag);
}

static void
check_bad(const char *text, const char *expected)
{
    struct settings s;
    struct error err;

    assert_false(load(text, &s, &err));
    assert_int_equal(err.code, ERROR_USAGE);
    assert_non_null(strstr(err.text, path));
    if (strstr(err.text, expected) == NULL)
        fail_msg("'%s' is not in '%s'", expected, err.text);
    config_free(keys, &s);
}

static void
test_bad(void **state)
{
    (void)state;
    check_bad("[test]\n nonsense = 1\n", "unknown key 'nonsense' in [test]");
    check_bad("[tset]\n word = 1\n", "unknown section [tset]");
    check_bad("[test]\n number = 11\n", "'11' for 'number': expected 1 to 10");
    check_bad("[test]\n number = seven\n", "expected a whole number");
    check_bad("[test]\n number = 99999999999999999999\n", "expected a whole number");
    check_bad("[test]\n path = a/b\n", "expected an absolute path");
    check_bad("[test]\n flag = perhaps\n", "expected yes or no");
    check_bad("[test]\n seconds = soon\n", "expected a duration");
    check_bad("[test]\n word = a\n word = b\n", "given twice");
    check_bad("[test]\n word = {\n a = b\n }\n", "key 'word' in [test] needs a value");
    check_bad("[test]\n R.S = {\n a = b\n }\n", "unknown key 'a' in [R.S]");
    check_bad("[test]\n R.S = {\n number = 11\n }\n", "expected 1 to 10");
    check_bad("[test]\n R.S = {\n word = {\n a = b\n }\n }\n", "unknown key 'word' in [R.S]");
    check_bad("[test\n word = a\n", "cannot read configuration file");
}

/* A realm's own values count for that realm alone. */
static void
test_realm(void **state)
{
    struct settings s = { 0 };
    struct error err;
    FILE *fp = fopen(path, "w");

    (void)state;
    assert_non_null(fp);
    fputs("[test]\n number = 3\n word = all\n A.B = {\n  number = 4\n  flag = yes\n }\n", fp);
    fclose(fp);
    assert_true(config_load(path, true, "test", keys, &s, &err));
    assert_int_equal(s.number, 3);
    assert_true(config_load_realm(path, "test", "C.D", keys, &s, &err));
    assert_int_equal(s.number, 3);
    assert_true(config_load_realm(path, "test", "A.B", keys, &s, &err));
    assert_int_equal(s.number, 4);
    assert_true(s.flag);
    assert_string_equal(s.word, "all");
    config_free(keys, &s);
    unlink(path);
}

static void
test_missing_file(void **state)
{
    struct settings s = { .number = 3 };
    struct error err;

    (void)state;
    assert_true(config_load("/nonexistent/x.conf", false, "test", keys, &s, &err));
    assert_int_equal(s.number, 3);
    assert_false(config_load("/nonexistent/x.conf", true, "test", keys, &s, &err));
    assert_non_null(strstr(err.text, "/nonexistent/x.conf: No such file or directory"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_realm),
        cmocka_unit_test(test_missing_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
