/* kpropd_acl: a line is added once, and everything else stays as it was. */
#include "agent/service/kpropd_acl.h"
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
lists(const char *text)
{
    return kpropd_acl_lists(text, strlen(text), ME);
}

static void
test_lists(void **state)
{
    (void)state;
    assert_true(lists(ME));
    assert_true(lists("x@Y\n" ME " \t\n"));
    assert_false(lists(""));
    assert_false(lists("#" ME "\n"));
    assert_false(lists(" " ME "\n"));
    assert_false(lists(ME "X\n"));
    /* With an enctype it holds for keys of that type alone. */
    assert_false(lists(ME " des3-cbc-sha1\n"));
}

static int folder_count;

static char *
add(const char *before, bool *changed, mode_t *mode)
{
    char path[64], *text;
    struct buffer content;
    struct error err;
    struct stat st;

    snprintf(path, sizeof(path), "/tmp/kpropctl-acl-%d-%d", (int)getpid(), folder_count++);
    error_clear(&err);
    if (before != NULL) {
        assert_true(file_replace(path, before, strlen(before), 0640, &err));
    }
    assert_true(kpropd_acl_add(path, ME, changed, &err));
    assert_int_equal(stat(path, &st), 0);
    *mode = st.st_mode & 07777;
    buffer_init(&content, 4096);
    assert_true(file_read(path, &content, &err));
    text = strdup(buffer_string(&content));
    buffer_free(&content);
    unlink(path);
    return text;
}

static void
expect(const char *before, const char *after, bool changes, mode_t wanted_mode)
{
    bool changed;
    mode_t mode;
    char *text = add(before, &changed, &mode);

    assert_string_equal(text, after);
    assert_int_equal(changed, changes);
    assert_int_equal(mode, wanted_mode);
    free(text);
}

static void
test_add(void **state)
{
    (void)state;
    expect(NULL, ME "\n", true, 0644);
    expect("", ME "\n", true, 0640);
    expect("# mine\nx@Y", "# mine\nx@Y\n" ME "\n", true, 0640);
    expect("x@Y\n" ME "\n# end", "x@Y\n" ME "\n# end", false, 0640);
    expect(ME " des3-cbc-sha1\n", ME " des3-cbc-sha1\n" ME "\n", true, 0640);
}

static void
test_read(void **state)
{
    char path[] = "/tmp/kpropctl-acl-XXXXXX";
    int fd = mkstemp(path);
    json_t *entries;
    struct error err;
    bool exists;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "# c\n\na@B\nc@D x", 14), 14);
    close(fd);
    assert_true(kpropd_acl_read(path, &exists, &entries, &err));
    assert_true(exists);
    assert_int_equal(json_array_size(entries), 2);
    assert_string_equal(json_string_value(json_array_get(entries, 1)), "c@D x");
    json_decref(entries);
    unlink(path);
    assert_true(kpropd_acl_read(path, &exists, &entries, &err));
    assert_false(exists);
    assert_int_equal(json_array_size(entries), 0);
    json_decref(entries);
    assert_false(kpropd_acl_read("/tmp", &exists, &entries, &err));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_add),
        cmocka_unit_test(test_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
