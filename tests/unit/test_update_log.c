/* update_log: a log that is shorter than it says is told before anybody maps it. */
#include "kpropctl/krb5/update_log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char file[] = "/tmp/update-log-XXXXXX";

static int
set_up(void **state)
{
    (void)state;
    int fd = mkstemp(file);

    close(fd);
    return fd < 0;
}

static int
tear_down(void **state)
{
    (void)state;
    return unlink(file);
}

/* Is it whole, with this MAGIC, COUNT entries of 2048 bytes, and SIZE bytes in all? */
static bool
whole(uint32_t magic, uint32_t count, off_t size, bool iprop)
{
    struct realm realm = { .name = (char[]){ "A.TEST" }, .iprop = iprop, .iprop_log = file };
    uint32_t words[10] = { magic, 1, count, 0, 0, 0, 0, 1, count, 1 | 2048u << 16 };
    struct error err;
    int fd = open(file, O_WRONLY | O_TRUNC);
    bool ok;

    assert_int_equal(write(fd, words, sizeof(words)), sizeof(words));
    assert_int_equal(ftruncate(fd, size), 0);
    close(fd);
    error_clear(&err);
    ok = update_log_whole(&realm, &err);
    assert_true(ok || (err.code == ERROR_FAILED && strstr(err.hint, file) != NULL));
    return ok;
}

static void
test_sizes(void **state)
{
    enum { MAGIC = 0x06662323 };
    struct realm none = { .iprop = true, .iprop_log = (char[]){ "/tmp/there-is-none/ulog" } };
    struct error err;

    (void)state;
    assert_true(whole(MAGIC, 3, 40 + 3 * 2048, true));
    assert_true(whole(MAGIC, 3, 40 + 1000 * 2048, true));
    assert_true(whole(MAGIC, 0, 40, true));
    assert_false(whole(MAGIC, 3, 40 + 3 * 2048 - 1, true));
    assert_false(whole(MAGIC, UINT32_MAX, 40 + 3 * 2048, true));
    assert_false(whole(MAGIC, 3, 39, true));
    assert_false(whole(MAGIC, 3, 0, true));
    assert_true(whole(MAGIC, 3, 0, false));        /* nobody maps it */
    assert_true(whole(0x12345678, 3, 4096, true)); /* libkdb5 says that it is corrupt */
    assert_true(update_log_whole(&none, &err));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sizes, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
