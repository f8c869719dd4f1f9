/*
 * test_loader_live - a load and the live database beside it: what logins write there is kept,
 * logins go on, and a database that is damaged or missing is replaced.
 */
#include "loader_kit.h"

#include "between.h"

/* Does an attempt to log in fail, and is that counted. */
static bool
fail_to_log_in(void)
{
    krb5_get_init_creds_opt *options = NULL;
    krb5_principal principal = NULL;
    krb5_context ctx = NULL;
    krb5_creds creds;
    krb5_error_code code;

    memset(&creds, 0, sizeof(creds));
    if (krb5_init_context(&ctx) != 0)
        return false;
    krb5_parse_name(ctx, "user", &principal);
    code =
        krb5_get_init_creds_password(ctx, &creds, principal, "wrong", NULL, NULL, 0, NULL, options);
    krb5_free_principal(ctx, principal);
    krb5_free_context(ctx);
    return code != 0;
}

static bool
failures_are(int count)
{
    return shell("KRB5_CONFIG=%s KRB5_KDC_PROFILE=%s kadmin.local -r " REALM
                 " -q 'getprinc user' 2>&1 | grep -q 'Failed password attempts: %d'",
                 file("krb5.conf"), file("kdc.conf"), count);
}

/* Row 17: a locked-out user stays locked out. */
static void
test_lockout_stays(void **state)
{
    (void)state;
    assert_true(fail_to_log_in() && fail_to_log_in());
    assert_true(failures_are(2));
    announce(file("good.dump"));
    assert_int_equal(load(file("good.dump")), 0);
    assert_true(outcome_true("verified"));
    assert_true(failures_are(2));
    put_back_old();
    assert_true(failures_are(2));
}

/* Also one who is locked out while kdb5_util loads. */
static void
test_lockout_during_the_load(void **state)
{
    static const struct timespec reading = { 0, 500 * 1000 * 1000 };
    pid_t pid;

    (void)state;
    assert_true(fail_to_log_in());
    kdb5_util = file("waiting");
    assert_true(shell("printf '#!/bin/sh\ntouch %s\nwhile [ -e %s ]; do sleep 0.02; done\n"
                      "exec /usr/sbin/kdb5_util \"$@\"\n' > %s && chmod 755 %s",
                      file("held"), file("held"), kdb5_util, kdb5_util));
    announce(file("good.dump"));
    pid = start_load("", file("good.dump"));
    while (access(file("held"), F_OK) != 0)
        usleep(1000);
    nanosleep(&reading, NULL); /* what is there before is read */
    assert_true(fail_to_log_in());
    unlink(file("held"));
    assert_int_equal(end_load(pid), 0);
    kdb5_util = "/usr/sbin/kdb5_util";
    assert_true(outcome_true("verified"));
    assert_true(failures_are(4));
    assert_tidy();
    put_back_old();
    assert_true(failures_are(4));
}

/* And while the new database is proved. */
static void
test_lockout_during_the_proof(void **state)
{
    struct loader_progress progress;
    int supervisor;
    pid_t pid;

    (void)state;
    announce(file("many.dump"));
    pid = start_load("", file("many.dump"));
    supervisor = wait_for_stage("verify");
    assert_true(shell("kill -STOP $(cat /proc/%d/task/%d/children)", supervisor, supervisor));
    loader_look(file("principal"), &progress);
    assert_string_equal(progress.stage, "verify");
    assert_true(fail_to_log_in());
    assert_true(failures_are(5));
    assert_true(shell("kill -CONT $(cat /proc/%d/task/%d/children)", supervisor, supervisor));
    assert_int_equal(end_load(pid), 0);
    assert_true(outcome_true("verified"));
    assert_true(outcome_says("note", ""));
    assert_true(failures_are(5));
    assert_tidy();
    put_back_old();
    assert_true(failures_are(5));
}

static int
failures(void)
{
    char told[32] = "";
    FILE *fp;

    assert_true(shell("KRB5_CONFIG=%s KRB5_KDC_PROFILE=%s kadmin.local -r " REALM
                      " -q 'getprinc user' 2>&1 | sed -n 's/^Failed password attempts: //p' >%s",
                      file("krb5.conf"), file("kdc.conf"), file("told")));
    fp = fopen(file("told"), "r");
    assert_non_null(fp);
    assert_non_null(fgets(told, sizeof(told), fp));
    fclose(fp);
    return atoi(told);
}

/* Nor is one failure lost while they never cease. */
static void
test_lockout_under_attack(void **state)
{
    int before = failures(), status;
    pid_t pid;

    (void)state;
    assert_true(shell("touch %s", file("hammering")));
    pid = fork();
    if (pid == 0) {
        int count = 0;

        for (; access(file("hammering"), F_OK) == 0 && count < 250; count++) {
            if (!fail_to_log_in())
                _exit(255);
            usleep(20000);
        }
        _exit(count);
    }
    for (int i = 0; i < 4; i++) {
        announce(file("many.dump"));
        assert_int_equal(load(file("many.dump")), 0);
        assert_true(outcome_true("verified"));
        assert_true(outcome_says("note", ""));
    }
    unlink(file("hammering"));
    status = end_load(pid);
    assert_between(status, 10, 250);
    assert_int_equal(failures(), before + status);
    put_back_old();
}

/* A process that holds the live database's lock. */
static pid_t
hold_lock(void)
{
    struct backend_lock *lock;
    struct error err;
    pid_t pid = fork();

    if (pid == 0) {
        if (backend_lock(db2(), file("principal"), true, 1000, &lock, &err) &&
            shell("touch %s", file("locked")))
            pause();
        _exit(1);
    }
    while (access(file("locked"), F_OK) != 0)
        usleep(1000);
    unlink(file("locked"));
    return pid;
}

/* Whoever reads it may be killed. */
static void
test_lockout_whose_reader_is_killed(void **state)
{
    pid_t holder, pid;

    (void)state;
    kdb5_util = file("waiting");
    holder = hold_lock();
    announce(file("good.dump"));
    pid = start_load("", file("good.dump"));
    while (access(file("held"), F_OK) != 0)
        usleep(1000);
    assert_true(shell("worker=$(cat /proc/%d/task/*/children) && kill -9 $(pgrep -P $worker -f -- "
                      "'--load %s')",
                      wait_for_stage("load"), file("good.dump")));
    kill(holder, SIGKILL);
    assert_int_equal(waitpid(holder, NULL, 0), holder);
    unlink(file("held"));
    assert_int_equal(end_load(pid), 0);
    kdb5_util = "/usr/sbin/kdb5_util";
    assert_true(outcome_true("verified"));
    assert_true(outcome_says("note", ""));
    assert_true(failures_are(5));
    assert_tidy();
    put_back_old();
}

/* A live database whose pages make a circle: reading it would never end. */
static void
test_circle_in_live(void **state)
{
    double start;

    (void)state;
    withdraw();
    assert_int_equal(load(file("many.dump")), 0);
    assert_true(
        shell("/usr/bin/python3 %s/lib/make_circle.py %s", TEST_SOURCE_DIR, file("principal")));
    announce(file("good.dump"));
    start = clock_now();
    assert_int_equal(load(file("good.dump")), 0);
    assert_true(clock_now() - start < 30);
    assert_true(outcome_true("verified"));
    assert_true(outcome_says("note", "round in circles"));
    assert_tidy();
    put_back_old();
}

/* Too little space is told before anything is written. */
static void
test_little_space(void **state)
{
    const char *folder = file("principal.kpropctl");

    (void)state;
    mkdir(folder, 0700);
    if (mount("tmpfs", folder, "tmpfs", 0, "size=5m,mode=700") != 0)
        skip();
    assert_int_equal(load(file("good.dump")), 1);
    assert_true(outcome_says("error", "not enough space"));
    assert_true(kdc_serves(&test_realm));
    assert_int_equal(umount(folder), 0);
}

static void
test_two_at_once(void **state)
{
    pid_t first, second;

    (void)state;
    withdraw();
    first = start_load("", file("good.dump"));
    second = start_load("", file("good.dump"));
    assert_int_equal(end_load(first), 0);
    assert_int_equal(end_load(second), 0);
    assert_true(has_principal(&test_realm, "fresh"));
    assert_tidy();
    put_back_old();
}

/* The end of a digest removes the folder that it found empty, in the moment before a load locks it.
 */
static void
test_folder_removed(void **state)
{
    const char *folder = file("principal.kpropctl"), *lock = file("principal.kpropctl/loading");
    pid_t pid;

    (void)state;
    withdraw();
    assert_true(shell("rm -r %s", folder));
    pid = start_load(tracer("openat", lock, "delay_enter=1000000:when=1"), file("good.dump"));
    while (rmdir(folder) != 0)
        usleep(1000);
    assert_int_equal(end_load(pid), 0);
    assert_true(has_principal(&test_realm, "fresh"));
    put_back_old();
}

/* Log in without a pause until told to end; the worst time in milliseconds is the exit status. */
static void __attribute__((noreturn)) hammer(int until)
{
    double worst = 0;

    while (access(file("hammering"), F_OK) == 0 && until-- > 0) {
        double start = clock_now(), took;

        if (realm_login(&test_realm, REALM_CLIENT, 3600, "hammer") != 0)
            _exit(255);
        took = clock_now() - start;
        worst = took > worst ? took : worst;
    }
    _exit(worst * 1000 > 254 ? 254 : (int)(worst * 1000));
}

static void
test_logins_go_on(void **state)
{
    int status;
    pid_t pid;

    (void)state;
    assert_true(shell("touch %s", file("hammering")));
    pid = fork();
    if (pid == 0)
        hammer(100000);
    for (int i = 0; i < 3; i++) {
        announce(file("many.dump"));
        assert_int_equal(load(file("many.dump")), 0);
        assert_true(outcome_true("verified"));
    }
    unlink(file("hammering"));
    status = end_load(pid);
    print_message("slowest login while loading: %d ms\n", status);
    assert_int_not_equal(status, 255);
    put_back_old();
    assert_true(kdc_serves(&test_realm));
}

static void
test_damaged_live(void **state)
{
    (void)state;
    announce(file("good.dump"));
    assert_true(shell("head -c 6000 /dev/urandom > %s", file("principal")));
    assert_int_equal(load(file("good.dump")), 0);
    assert_true(outcome_true("verified"));
    assert_true(outcome_says("note", "old database could not be read"));
    assert_true(kdc_serves(&test_realm));
    announce(file("good.dump"));
    assert_true(shell("rm %s %s.ok %s.kadm5.lock", file("principal"), file("principal"),
                      file("principal")));
    assert_int_equal(load(file("good.dump")), 0);
    assert_true(outcome_true("verified"));
    assert_true(has_principal(&test_realm, "fresh"));
    assert_tidy();
}

/* The KDC holds lock files that are gone now: start it anew, as a person has to. */
static void
restart_kdc(void)
{
    struct subprocess_result result;

    subprocess_result_init(&result);
    kill(test_realm.kdc.pid, SIGTERM);
    subprocess_wait(&test_realm.kdc, 5000, &result);
    subprocess_result_free(&result);
    assert_true(realm_start_kdc(&test_realm));
    put_back_old();
}

static void
test_first_database(void **state)
{
    (void)state;
    announce(file("good.dump"));
    assert_true(shell("rm -rf %s*", file("principal")));
    assert_int_equal(load(file("good.dump")), 0);
    assert_true(outcome_true("verified"));
    restart_kdc();
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lockout_stays),
        cmocka_unit_test(test_lockout_during_the_load),
        cmocka_unit_test(test_lockout_during_the_proof),
        cmocka_unit_test(test_lockout_whose_reader_is_killed),
        cmocka_unit_test(test_circle_in_live),
        cmocka_unit_test(test_lockout_under_attack),
        cmocka_unit_test(test_little_space),
        cmocka_unit_test(test_two_at_once),
        cmocka_unit_test(test_folder_removed),
        cmocka_unit_test(test_logins_go_on),
        cmocka_unit_test(test_damaged_live),
        cmocka_unit_test(test_first_database),
    };
    int status;

    if (is_loader(argc, argv, &status))
        return status;
    return cmocka_run_group_tests(tests, setup, teardown);
}
