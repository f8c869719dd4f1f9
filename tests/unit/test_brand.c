/* brand - the version of libkrb5 in what it brands itself with. */
#include "common/krb5/brand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void
test_brand(void **state)
{
    static const struct {
        const char *brand, *version;
    } rows[] = {
        { "KRB5_BRAND: krb5-1.20.1-final 1.20.1 20221111", "1.20.1" },
        { "KRB5_BRAND: krb5-1.22-beta1 1.22-beta1", "1.22-beta1" },
        { "KRB5_BRAND: master 1.23-prerelease", "1.23-prerelease" },
        { "KRB5_BRAND: krb5-1.18-branch 1.18.6-postrelease 20230101", "1.18.6-postrelease" },
        { "KRB5_BRAND: a-vendor's-own", "" },
        { "KRB5_BRAND: a vendor's own", "" },
        { "KRB5_BRAND: ", "" },
        { "KRB5_BRAN", "" },
        { "", "" },
    };
    char version[32];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        brand_version(rows[i].brand, version, sizeof(version));
        assert_string_equal(version, rows[i].version);
    }
    brand_version(rows[0].brand, version, 5);
    assert_string_equal(version, "1.20");
}

static void
test_older(void **state)
{
    char version[32];
    bool older = true;

    (void)state;
    assert_true(brand_older("1.18.3", 1, 19, &older) && older);
    assert_true(brand_older("1.9", 1, 19, &older) && older);
    assert_true(brand_older("1.19", 1, 19, &older) && !older);
    assert_true(brand_older("1.23-prerelease", 1, 22, &older) && !older);
    assert_true(brand_older("2.0", 1, 22, &older) && !older);
    assert_false(brand_older("", 1, 19, &older));
    assert_false(brand_older("one", 1, 19, &older));
    brand_of_libkrb5(version, sizeof(version));
    assert_true(brand_older(version, 1, 11, &older) && !older);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_brand),
        cmocka_unit_test(test_older),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
