/* pace: hours of changes, runs and failures in no time. */
#include "kpropctl/schedule/pace.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define assert_due(pace, seconds) assert_float_equal(pace_due(&(pace)), seconds, 1e-6)

static const struct pace_outcome sent = { true, true, false }, looked = { true, false, false },
                                 failed = { false, true, false }, busy = { true, true, true };

static void
test_idle_is_never_due(void **state)
{
    struct pace pace;

    (void)state;
    pace_init(&pace, 1, 30);
    assert_true(isinf(pace_due(&pace)));
}

static void
test_first_change_settles(void **state)
{
    struct pace pace;

    (void)state;
    pace_init(&pace, 1, 30);
    pace_change(&pace, 100);
    pace_change(&pace, 100.7);
    assert_due(pace, 101);
    pace_start(&pace, 101);
    assert_true(isinf(pace_due(&pace)));
    pace_end(&pace, 103, &sent);
    assert_true(isinf(pace_due(&pace)));
}

static void
test_interval_between_starts(void **state)
{
    struct pace pace;

    (void)state;
    pace_init(&pace, 1, 30);
    pace_change(&pace, 100);
    pace_start(&pace, 101);
    pace_end(&pace, 103, &sent);
    pace_change(&pace, 105);
    assert_due(pace, 131);
    pace_start(&pace, 131);
    pace_end(&pace, 132, &sent);
    /* After a quiet time nothing holds a change back but the settling. */
    pace_change(&pace, 200);
    assert_due(pace, 201);
}

static void
test_change_during_a_run(void **state)
{
    struct pace pace;

    (void)state;
    pace_init(&pace, 1, 30);
    pace_change(&pace, 100);
    pace_start(&pace, 101);
    pace_end(&pace, 103, &busy);
    assert_due(pace, 131);
    pace_start(&pace, 131);
    pace_end(&pace, 200, &busy); /* a run longer than the interval */
    assert_due(pace, 201);
}

static void
test_a_look_holds_nobody_back(void **state)
{
    struct pace pace;

    (void)state;
    pace_init(&pace, 1, 30);
    pace_change(&pace, 100);
    pace_start(&pace, 101);
    pace_end(&pace, 101.1, &looked);
    pace_change(&pace, 101.2);
    assert_due(pace, 102.2);
    pace_start(&pace, 103);
    pace_end(&pace, 104, &looked);
    pace_change(&pace, 104);
    assert_due(pace, 113); /* nine times as long as it took */
    pace_start(&pace, 200);
    pace_end(&pace, 220, &looked);
    pace_change(&pace, 220);
    assert_due(pace, 250); /* the interval at most */
}

static void
test_failures_back_off(void **state)
{
    double now = 100, delay = 0;
    struct pace pace;

    (void)state;
    pace_init(&pace, 1, 30);
    pace_change(&pace, now);
    for (int i = 0; i < 40; i++) {
        double before = delay;

        pace_start(&pace, now);
        pace_end(&pace, now, &failed);
        delay = pace_due(&pace) - now;
        assert_true(delay >= before && delay >= 30 && delay <= 900);
        now += delay;
    }
    assert_float_equal(delay, 900, 1e-6);
    /* A change is not held back by the failure of one replica. */
    pace_change(&pace, now - 600);
    assert_due(pace, now - 599);
    pace_start(&pace, now);
    pace_end(&pace, now + 1, &sent);
    assert_true(isinf(pace_due(&pace)));
    pace_start(&pace, now + 100);
    pace_end(&pace, now + 100, &failed);
    assert_due(pace, now + 130);
}

static void
test_settings_change(void **state)
{
    struct pace pace;

    (void)state;
    pace_init(&pace, 1, 30);
    pace_change(&pace, 100);
    pace_set(&pace, 5, 60);
    assert_due(pace, 105);
    pace_set(&pace, 0, 0);
    pace_start(&pace, 105);
    pace_end(&pace, 106, &failed);
    assert_due(pace, 111);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idle_is_never_due),
        cmocka_unit_test(test_first_change_settles),
        cmocka_unit_test(test_interval_between_starts),
        cmocka_unit_test(test_change_during_a_run),
        cmocka_unit_test(test_a_look_holds_nobody_back),
        cmocka_unit_test(test_failures_back_off),
        cmocka_unit_test(test_settings_change),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
