/* schedule: how it is told, whatever units and crontabs have in them. */
#include "kpropctl/schedule/schedule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static char realm_name[] = "UNIT.TEST";
static const struct realm realm = { .name = realm_name };

/* What is printed of SCHEDULE; freed by the caller. */
static char *
printed(const struct schedule *schedule)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    schedule_print(schedule, out);
    fclose(out);
    return text;
}

static void
assert_says(const struct schedule *schedule, const char *expected)
{
    char *text = printed(schedule);

    if (strstr(text, expected) == NULL)
        fail_msg("no '%s' in: %s", expected, text);
    free(text);
}

static void
test_off(void **state)
{
    struct schedule schedule = { .realm = &realm, .systemd = true };

    (void)state;
    assert_false(schedule_is_on(&schedule));
    assert_says(&schedule, "watch  off");
    assert_says(&schedule, "kpropctl schedule --enable");
    schedule.systemd = false;
    assert_says(&schedule, SCHEDULE_CRON_LINE);
}

static void
test_states(void **state)
{
    struct schedule schedule = { .realm = &realm, .systemd = true };

    (void)state;
    schedule.watch.active = true;
    schedule.watch.since = (double)time(NULL);
    strcpy(schedule.watch.status, "evil \033[2Jstatus\nline");
    assert_true(schedule_is_on(&schedule));
    assert_says(&schedule, "watch  on until the next boot since ");
    assert_says(&schedule, "evil ?[2Jstatus?line");
    schedule.watch.enabled = true;
    assert_says(&schedule, "watch  on since ");
    schedule.timer.enabled = true;
    assert_says(&schedule, "timer  off until the next boot");
    schedule.timer.failed = true;
    schedule.timer.ended = 1;
    schedule.timer.exit_status = 4;
    strcpy(schedule.timer.result, "exit-code");
    assert_says(&schedule, "timer  failed, the last FAILED (1970-01-0");
    assert_says(&schedule, "exit status 4)");
    strcpy(schedule.timer.result, "success");
    assert_says(&schedule, "the last was good");
}

static void
test_jobs(void **state)
{
    struct competitor jobs[] = {
        { .kind = JOB_KPROP,
          .file = "/etc/cron.d/k",
          .line = 2,
          .command = "sh /p",
          .script = "/p",
          .script_line = 3 },
        { .kind = JOB_DUMP, .file = "/etc/crontab", .line = 9, .command = "kdb5_util dump /x" },
        { .kind = JOB_OURS, .file = "/etc/cron.d/o", .line = 1, .command = "kpropctl propagate" },
    };
    struct schedule schedule = { .realm = &realm };
    json_t *object;

    (void)state;
    schedule.competitors = (struct competitors){ jobs, 2, true };
    assert_false(schedule_is_on(&schedule));
    assert_says(&schedule, "/etc/cron.d/k:2 runs /p, which runs kprop in its line 3");
    assert_says(&schedule, "/etc/crontab:9 runs kdb5_util dump");
    assert_says(&schedule, "other jobs may be there");
    schedule.competitors.count = 3;
    assert_true(schedule_is_on(&schedule));
    assert_says(&schedule, "/etc/cron.d/o:1 runs kpropctl propagate");

    object = schedule_json(&schedule);
    assert_non_null(object);
    assert_true(json_is_true(json_object_get(object, "scheduled")));
    assert_true(json_is_null(json_object_get(object, "watch")));
    assert_true(json_is_false(json_object_get(object, "complete")));
    assert_int_equal(json_array_size(json_object_get(object, "competitors")), 3);
    json_decref(object);
    schedule.systemd = true;
    object = schedule_json(&schedule);
    assert_non_null(object);
    assert_true(json_is_object(json_object_get(object, "timer")));
    json_decref(object);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_off),
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_jobs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
