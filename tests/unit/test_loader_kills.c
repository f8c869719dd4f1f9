/*
 * test_loader_kills - kills, full and failing disks at every stage of a load: the live database is
 * the old one or the new one, and the KDC answers.
 */
#include "loader_kit.h"

static void
test_kills(void **state)
{
    static const char *const stages[] = { "validate", "load", "verify" };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct backend_identity before = identity(), after;
        pid_t pid;

        announce(file("many.dump"));
        pid = start_load("", file("many.dump"));
        assert_int_equal(kill(wait_for_stage(stages[i]), SIGKILL), 0);
        assert_int_not_equal(end_load(pid), 0);
        wait_for_none();
        usleep(50000);
        after = identity();
        assert_true(backend_same(&before, &after));
        assert_true(kdc_serves(&test_realm));
        announce(file("good.dump"));
        assert_int_equal(load(file("good.dump")), 0);
        assert_true(outcome_says("note", "leftovers of a load that was killed"));
        assert_true(outcome_true("verified"));
        assert_tidy();
        put_back_old();
    }
}

static void
test_sigterm(void **state)
{
    struct backend_identity before = identity(), after;
    pid_t pid;

    (void)state;
    announce(file("many.dump"));
    pid = start_load("", file("many.dump"));
    assert_int_equal(kill(wait_for_stage("load"), SIGTERM), 0);
    assert_int_equal(end_load(pid), 1);
    after = identity();
    assert_true(backend_same(&before, &after));
    assert_true(outcome_says("error", "told to end"));
    assert_true(outcome_says("stage", "load"));
    assert_tidy();
    assert_true(kdc_serves(&test_realm));
    withdraw();
}

/* Makes the loader's second rename, that of the principals, wait for a second. */
static const char *
slow_rename(void)
{
    return tracer("rename", file("principal.kpropctl/staging/principal"),
                  "delay_enter=1000000:when=1");
}

/* Wait until the promotion is between its two renames; the supervisor's pid. */
static int
wait_for_half_promotion(void)
{
    int supervisor = wait_for_stage("promote");

    assert_true(supervisor > 0);
    while (access(file("principal.kpropctl/staging/principal.kadm5"), F_OK) == 0)
        usleep(1000);
    return supervisor;
}

/* The worker dies at its first rename, the supervisor gives up; or at its second: it completes. */
static void
test_worker_killed_in_promotion(void **state)
{
    struct backend_identity before = identity(), after;
    int supervisor;
    pid_t pid;

    (void)state;
    announce(file("good.dump"));
    assert_int_equal(
        load_behind(tracer("rename", file("principal.kpropctl/staging/principal.kadm5"),
                           "signal=KILL:when=1"),
                    file("good.dump")),
        1);
    after = identity();
    assert_true(backend_same(&before, &after));
    assert_true(outcome_says("error", "killed (signal 9) at stage 'promote'"));
    assert_tidy();
    pid = start_load(slow_rename(), file("good.dump"));
    supervisor = wait_for_half_promotion();
    assert_true(shell("kill -9 $(cat /proc/%d/task/%d/children)", supervisor, supervisor));
    assert_int_equal(end_load(pid), 0);
    assert_true(outcome_true("verified"));
    assert_true(has_principal(&test_realm, "fresh"));
    assert_true(kdc_serves(&test_realm));
    assert_tidy();
    put_back_old();
}

/* The supervisor alone dies there: the worker goes on, and writes the outcome. */
static void
test_supervisor_killed_in_promotion(void **state)
{
    pid_t pid;

    (void)state;
    announce(file("good.dump"));
    pid = start_load(slow_rename(), file("good.dump"));
    assert_int_equal(kill(wait_for_half_promotion(), SIGKILL), 0);
    end_load(pid);
    wait_for_none();
    assert_true(outcome_true("verified"));
    assert_true(has_principal(&test_realm, "fresh"));
    assert_true(kdc_serves(&test_realm));
    assert_tidy();
    put_back_old();
}

/* Power fails between the renames: the agent, or the next load, completes. */
static void
test_all_killed_in_promotion(void **state)
{
    enum backend_recovered what;
    struct error err;
    pid_t pid;
    int supervisor;

    (void)state;
    error_clear(&err);
    announce(file("good.dump"));
    pid = start_load(slow_rename(), file("good.dump"));
    supervisor = wait_for_half_promotion();
    assert_true(shell("kill -STOP %d && kill -9 $(cat /proc/%d/task/%d/children) %d", supervisor,
                      supervisor, supervisor, supervisor));
    end_load(pid);
    wait_for_none();
    assert_int_not_equal(access(file("principal.kpropctl/staging/principal.kadm5"), F_OK), 0);
    assert_int_equal(access(file("principal.kpropctl/staging/principal"), F_OK), 0);
    assert_true(kdc_serves(&test_realm));
    assert_true(loader_recover(db2(), file("principal"), &what, &err));
    assert_int_equal(what, BACKEND_COMPLETED);
    assert_true(has_principal(&test_realm, "fresh"));
    assert_true(kdc_serves(&test_realm));
    put_back_old();
}

/* The disk is full, or fails, at each of some writes, and at the last ones above all. */
static void
test_disk_errors(void **state)
{
    static const char *const injections[] = {
        "error=ENOSPC:when=20+", "error=ENOSPC:when=120+", "error=ENOSPC:when=250+",
        "error=ENOSPC:when=290", "error=ENOSPC:when=295",  "error=ENOSPC:when=300",
        "error=ENOSPC:when=302", "error=ENOSPC:when=304",  "error=EIO:when=200",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(injections) / sizeof(*injections); i++) {
        struct backend_identity before = identity(), after;
        int status;

        announce(file("good.dump"));
        status = load_behind(tracer("write,pwrite64", NULL, injections[i]), file("good.dump"));
        after = identity();
        assert_int_equal(backend_same(&before, &after), status != 0);
        assert_true(kdc_serves(&test_realm));
        if (status == 0) {
            assert_true(outcome_true("verified"));
            put_back_old();
        } else {
            assert_true(outcome_says("error", "cannot"));
        }
        assert_tidy();
    }
    announce(file("good.dump"));
    assert_int_equal(load_behind(tracer("fsync", NULL, "error=EIO:when=1+"), file("good.dump")), 1);
    assert_false(has_principal(&test_realm, "fresh"));
    assert_tidy();
    withdraw();
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kills),
        cmocka_unit_test(test_sigterm),
        cmocka_unit_test(test_worker_killed_in_promotion),
        cmocka_unit_test(test_supervisor_killed_in_promotion),
        cmocka_unit_test(test_all_killed_in_promotion),
        cmocka_unit_test(test_disk_errors),
    };
    int status;

    if (is_loader(argc, argv, &status))
        return status;
    return cmocka_run_group_tests(tests, setup, teardown);
}
