/* text: the order of versions. */
#include "kpropctl/base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void
test_versions(void **state)
{
    (void)state;
    assert_true(version_order("0.1.0", "0.1.0") == 0);
    assert_true(version_order("0.9.0", "0.10.0") < 0);
    assert_true(version_order("1.0", "0.10.7") > 0);
    assert_true(version_order("0.1", "0.1.0") == 0);
    assert_true(version_order("0.1.1", "0.1") > 0);
    assert_true(version_order("0.1.0~rc1", "0.1.0") == 0);
    assert_true(version_order("", "0.1.0") < 0);
    assert_true(version_order("junk", "0.1.0") < 0);
    assert_true(version_order("99999999999999999999999", "0.1.0") > 0);
    assert_true(version_order("-1.0", "0.0.1") > 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_versions) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
