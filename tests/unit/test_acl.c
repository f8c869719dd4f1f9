/* acl: remctl's syntax, default deny, and that every fault denies. */
#include "agent/base/acl.h"
#include "common/base/buffers.h"
#include "common/base/files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define ME "host/kdc1.lab.test@LAB.TEST"

static bool
no_include(void *arg, const char *path, enum acl_answer *answer, struct error *err)
{
    (void)arg;
    *answer = ACL_NO_MATCH;
    return error_set(err, ERROR_USAGE, "cannot read %s", path);
}

static void
expect(const char *text, enum acl_answer wanted)
{
    enum acl_answer answer;
    struct error err;

    error_clear(&err);
    if (!acl_evaluate("t", text, strlen(text), ME, no_include, NULL, &answer, &err))
        fail_msg("%s: %s", text, err.text);
    if (answer != wanted)
        fail_msg("%s: %d instead of %d", text, (int)answer, (int)wanted);
}

static void
expect_fault(const char *text, size_t len, const char *where)
{
    enum acl_answer answer;
    struct error err;

    error_clear(&err);
    if (acl_evaluate("t", text, len, ME, no_include, NULL, &answer, &err))
        fail_msg("taken: %s", text);
    if (strncmp(err.text, where, strlen(where)) != 0)
        fail_msg("%s: said '%s' instead of '%s'", text, err.text, where);
}

static void
test_lines(void **state)
{
    (void)state;
    expect("", ACL_NO_MATCH);
    expect("# nothing\n\n   \n", ACL_NO_MATCH);
    expect(ME, ACL_PERMIT);
    expect("princ:" ME "\n", ACL_PERMIT);
    expect("  " ME " \r\n", ACL_PERMIT);
    expect("host/kdc1.lab.test@OTHER.TEST\n", ACL_NO_MATCH);
    expect(ME "X\n", ACL_NO_MATCH);
    expect("HOST/kdc1.lab.test@LAB.TEST\n", ACL_NO_MATCH);
    expect("deny:" ME "\n", ACL_DENY);
    expect("deny:princ:" ME "\n" ME "\n", ACL_DENY);
    expect(ME "\ndeny:" ME "\n", ACL_PERMIT);
    expect("deny:princ:other@LAB.TEST\n" ME "\n", ACL_PERMIT);
}

static void
test_faults(void **state)
{
    static const char nul[] = ME "\n" ME "\0@X\n";
    char *huge = malloc(70000);

    (void)state;
    expect_fault("kdc1\n", 5, "t:1: principal without a realm");
    expect_fault(ME "\nkdc1\n", sizeof(ME "\nkdc1\n") - 1, "t:2: principal without");
    expect_fault("regex:.*\n", 9, "t:1: scheme");
    expect_fault("anyuser:anonymous\n", 18, "t:1: scheme");
    expect_fault("princ:\n", 7, "t:1: principal without");
    expect_fault("deny:\n", 6, "t:1: principal without");
    expect_fault("deny:deny:a@B\n", 14, "t:1: deny: twice");
    expect_fault("a@B c@D\n", 8, "t:1: cannot understand");
    expect_fault("include /a /b\n", 14, "t:1: cannot understand");
    expect_fault("include a\n", 10, "t:1: included path is not absolute");
    expect_fault("file:a\n", 7, "t:1: included path is not absolute");
    expect_fault("\ninclude /none\n", 15, "t:2: cannot read /none");
    expect_fault(nul, sizeof(nul) - 1, "t:2: line is too long or not text");
    memset(huge, 'a', 70000);
    expect_fault(huge, 70000, "t:1: line is too long or not text");
    free(huge);
}

static void
write_file(const char *folder, const char *name, const char *text)
{
    char path[256];
    struct error err;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    assert_true(file_replace(path, text, strlen(text), 0600, &err));
}

/* What the file NAME of FOLDER says of ME; -1 for a fault. */
static int
ask(const char *folder, const char *name)
{
    enum acl_answer answer;
    struct error err;
    char path[256];

    error_clear(&err);
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return acl_evaluate_path(path, ME, &answer, &err) ? (int)answer : -1;
}

static void
test_includes(void **state)
{
    char folder[] = "/tmp/kpropctl-acl-XXXXXX", text[256], sub[64], command[96];

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(sub, sizeof(sub), "%s/d", folder);
    assert_int_equal(mkdir(sub, 0700), 0);
    snprintf(text, sizeof(text), "include %s/d\n", folder);
    write_file(folder, "list", text);
    assert_int_equal(ask(folder, "list"), ACL_NO_MATCH);
    write_file(sub, "one", ME "\n");
    assert_int_equal(ask(folder, "list"), ACL_PERMIT);
    assert_int_equal(ask(folder, "d"), ACL_PERMIT);
    write_file(sub, "two", "deny:" ME "\n");
    assert_int_equal(ask(folder, "list"), ACL_DENY);
    write_file(sub, "two", "nobody\n");
    assert_int_equal(ask(folder, "list"), -1);
    write_file(sub, "two", "");
    write_file(sub, "three.rpmsave", "malformed\n");
    assert_int_equal(ask(folder, "list"), ACL_PERMIT);
    snprintf(text, sizeof(text), "deny:file:%s/d\n" ME "\n", folder);
    write_file(folder, "list", text);
    assert_int_equal(ask(folder, "list"), ACL_DENY);
    snprintf(text, sizeof(text), "file:%s/list\n", folder);
    write_file(folder, "list", text);
    assert_int_equal(ask(folder, "list"), -1);
    assert_int_equal(ask(folder, "none"), -1);
    snprintf(text, sizeof(text), "%s/fifo", folder);
    assert_int_equal(mkfifo(text, 0600), 0);
    assert_int_equal(ask(folder, "fifo"), -1);
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
}

static void
test_permits(void **state)
{
    char folder[] = "/tmp/kpropctl-acl-XXXXXX", acl[64], read[64], command[96];
    struct settings settings = { .acl = acl };

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(acl, sizeof(acl), "%s/acl", folder);
    snprintf(read, sizeof(read), "%s/read", folder);
    assert_false(acl_permits(&settings, ME, ACL_READ));
    write_file(folder, "acl", ME "\n");
    assert_true(acl_permits(&settings, ME, ACL_CHANGE));
    assert_true(acl_permits(&settings, ME, ACL_READ));
    assert_false(acl_permits(&settings, "nagios@LAB.TEST", ACL_READ));
    settings.acl_read = read;
    assert_false(acl_permits(&settings, "nagios@LAB.TEST", ACL_READ));
    assert_true(acl_permits(&settings, ME, ACL_READ));
    write_file(folder, "read", "nagios@LAB.TEST\n");
    assert_true(acl_permits(&settings, "nagios@LAB.TEST", ACL_READ));
    assert_false(acl_permits(&settings, "nagios@LAB.TEST", ACL_CHANGE));
    write_file(folder, "acl", ME "\nbad\n");
    assert_false(acl_permits(&settings, ME, ACL_CHANGE));
    assert_false(acl_permits(&settings, "nagios@LAB.TEST", ACL_READ));
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
}

static void
expect_primary(const char *const *servers, const char *wanted)
{
    char name[256], *values[4] = { NULL };
    struct error err;
    bool ok;

    for (int i = 0; servers != NULL && servers[i] != NULL; i++)
        values[i] = strdup(servers[i]);
    ok = acl_primary(servers == NULL ? NULL : values, "LAB.TEST", name, sizeof(name), &err);
    if (wanted == NULL)
        assert_false(ok);
    else
        assert_true(ok && strcmp(name, wanted) == 0);
    for (int i = 0; values[i] != NULL; i++)
        free(values[i]);
}

static void
test_primary(void **state)
{
    (void)state;
    expect_primary((const char *[]){ "kdc1.lab.test", NULL }, ME);
    expect_primary((const char *[]){ "kdc1.lab.test:749", NULL }, ME);
    expect_primary((const char *[]){ "KDC1.lab.test", NULL }, "host/KDC1.lab.test@LAB.TEST");
    expect_primary(NULL, NULL);
    expect_primary((const char *[]){ NULL }, NULL);
    expect_primary((const char *[]){ "", NULL }, NULL);
    expect_primary((const char *[]){ "a.test", "b.test", NULL }, NULL);
    expect_primary((const char *[]){ "a.test b.test", NULL }, NULL);
    expect_primary((const char *[]){ "192.0.2.1", NULL }, NULL);
    expect_primary((const char *[]){ "192.0.2.1:749", NULL }, NULL);
    expect_primary((const char *[]){ "2001:db8::1", NULL }, NULL);
    expect_primary((const char *[]){ "[2001:db8::1]:749", NULL }, NULL);
    expect_primary((const char *[]){ "a@B", NULL }, NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),    cmocka_unit_test(test_faults),
        cmocka_unit_test(test_includes), cmocka_unit_test(test_permits),
        cmocka_unit_test(test_primary),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
