/*
 * test_loader - loads into a real database under a running krb5kdc: good ones, every bad dump, and
 * kills and full disks at every stage. Whatever happens, the KDC answers and the live database is
 * the old one or the new one.
 *
 * Called as "test_loader --load FILE STATE KDB5_UTIL [-i]" it is the loader itself, to be killed.
 */
#include "databases.h"

#include "agent/announcement.h"
#include "agent/loader.h"
#include "agent/outcome.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mount.h>

#include <cmocka.h>

enum { COUNT = 4000, MANY = 15000 };

static struct throwaway test_realm;
static char self[256];
static uint64_t generation;
static const char *kdb5_util = "/usr/sbin/kdb5_util";

static const struct backend *
db2(void)
{
    return backend_find("db2");
}

static const char *
file(const char *name)
{
    return in_folder(&test_realm, "%s", name);
}

static int
setup(void **state)
{
    const struct throwaway *t = &test_realm;

    (void)state;
    if (!realm_up(&test_realm) || !realm_admin(t, "addpol -minlength 4 one") ||
        !realm_admin(t, "addprinc +requires_preauth -policy one -pw secret user") ||
        mkdir(file("state"), 0700) != 0 || !dump_live(t, file("old.dump")))
        return -1;
    if (!realm_admin(t, "addprinc -randkey fresh") || !dump_large(t, file("good.dump"), COUNT) ||
        !dump_large(t, file("many.dump"), MANY) || !realm_admin(t, "delprinc -force fresh"))
        return -1;
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    realm_down(&test_realm);
    return 0;
}

/* Announce DUMP as the next generation. */
static void
announce(const char *dump)
{
    struct announcement a = { .generation = ++generation };
    struct dump_info info;
    struct error err;

    memset(a.nonce, 'n', sizeof(a.nonce));
    assert_true(decode(dump, a.nonce, &info));
    memcpy(a.sha256, info.sha256, sizeof(a.sha256));
    memcpy(a.digest, info.digest, sizeof(a.digest));
    a.size = info.bytes;
    a.principals = info.principals;
    a.policies = info.policies;
    a.expires_at = time(NULL) + 600;
    strcpy(a.from, "host/primary");
    assert_true(announcement_store(file("state"), REALM, &a, &err));
}

static void
withdraw(void)
{
    unlink(file("state/" REALM ".announced"));
}

/* Run the loader on DUMP behind PREFIX (a tracer, or ""), and return its exit status. */
static int
load_behind(const char *prefix, const char *dump)
{
    char command[2048];
    int status;

    snprintf(command, sizeof(command),
             "ASAN_OPTIONS=detect_leaks=0 %s %s --load %s %s %s >>%s 2>&1", prefix, self, dump,
             file("state"), kdb5_util, file("loader.log"));
    status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int
load(const char *dump)
{
    return load_behind("", dump);
}

/* Start the loader in the background. */
static pid_t
start_load(const char *prefix, const char *dump)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(load_behind(prefix, dump));
    return pid;
}

static int
end_load(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static json_t *
outcome(void)
{
    struct error err;
    json_t *object = outcome_read(file("state"), REALM, &err);

    assert_non_null(object);
    return object;
}

static bool
outcome_true(const char *key)
{
    json_t *object = outcome();
    bool value = json_is_true(json_object_get(object, key));

    json_decref(object);
    return value;
}

/* KEY of the outcome holds TEXT; "" asks for null. */
static bool
outcome_says(const char *key, const char *text)
{
    json_t *object = outcome();
    const char *value = json_string_value(json_object_get(object, key));
    bool found = value == NULL ? text[0] == '\0' : text[0] != '\0' && strstr(value, text) != NULL;

    if (!found)
        print_error("%s: %s\n", key, value == NULL ? "null" : value);
    json_decref(object);
    return found;
}

static struct backend_identity
identity(void)
{
    struct backend_identity id;
    struct error err;

    assert_true(backend_identify(db2(), file("principal"), &id, &err));
    return id;
}

/* Nothing is left of a load, and nothing that is there can be read by others. */
static void
assert_tidy(void)
{
    assert_true(shell("test -z \"$(ls -A %s)\"", file("principal.kpropctl/staging")));
    assert_true(shell("test -z \"$(find %s -perm /077)\"", file("principal.kpropctl")));
    assert_true(shell("test -z \"$(find %s -perm /077 -name 'principal*')\"", test_realm.folder));
}

/* The load fails with TEXT, and nothing has happened to the live database. */
static void
assert_refused(const char *dump, const char *text)
{
    struct backend_identity before = identity(), after;

    assert_int_equal(load(dump), 1);
    after = identity();
    assert_true(backend_same(&before, &after));
    assert_true(outcome_says("error", text));
    assert_false(outcome_true("loaded"));
    assert_false(outcome_true("verified"));
    assert_tidy();
    assert_true(kdc_serves(&test_realm));
}

static void
put_back_old(void)
{
    withdraw();
    assert_int_equal(load(file("old.dump")), 0);
    assert_false(has_principal(&test_realm, "fresh"));
}

static void
test_verified(void **state)
{
    json_t *last;

    (void)state;
    announce(file("good.dump"));
    assert_int_equal(load(file("good.dump")), 0);
    assert_true(outcome_true("verified") && outcome_true("announced"));
    assert_true(outcome_says("error", ""));
    assert_true(outcome_says("note", ""));
    assert_true(has_principal(&test_realm, "fresh"));
    assert_true(kdc_serves(&test_realm));
    assert_tidy();
    last = announcement_last_good(file("state"), REALM, false);
    assert_int_equal(json_integer_value(json_object_get(last, "generation")), generation);
    json_decref(last);
    assert_true(shell("cmp %s %s", file("good.dump"), file("principal.kpropctl/last_good")));
    assert_int_not_equal(access(file("state/" REALM ".announced"), F_OK), 0);
    assert_true(shell("test -z \"$(find %s -type f -perm /077)\"", file("state")));
}

/* What the loader promoted is known again: by its files, not by their times. */
static void
test_identity(void **state)
{
    struct backend_identity now;

    (void)state;
    announce(file("good.dump"));
    assert_int_equal(load(file("good.dump")), 0);
    now = identity();
    assert_true(outcome_says("identity", now.text));
    put_back_old();
    assert_false(outcome_says("identity", now.text));
    announce(file("good.dump"));
    assert_refused(file("old.dump"), "announced by host/primary");
    assert_true(outcome_says("identity", ""));
    put_back_old();
}

/* kpropd -F: another database than the KDC's would be taken for it. */
static void
test_other_database(void **state)
{
    (void)state;
    announce(file("good.dump"));
    setenv("OTHER", file("another"), 1);
    assert_refused(file("good.dump"), "the KDC of realm");
    assert_false(shell("test -e %s", file("another")));
    unsetenv("OTHER");
    put_back_old();
}

static void
test_unannounced(void **state)
{
    (void)state;
    put_back_old();
    assert_int_equal(load(file("good.dump")), 0);
    assert_true(outcome_true("loaded"));
    assert_false(outcome_true("verified") || outcome_true("announced"));
    assert_true(has_principal(&test_realm, "fresh"));
    put_back_old();
    assert_true(outcome_says("note", "the last verified one had"));
    assert_true(kdc_serves(&test_realm));
}

static void
test_other_dump(void **state)
{
    (void)state;
    announce(file("good.dump"));
    assert_refused(file("old.dump"), "announced by host/primary has");
    assert_true(shell("sed 's/bulk0000007/bulk000000x/' %s > %s", file("good.dump"),
                      file("same_size.dump")));
    assert_refused(file("same_size.dump"), "which host/primary announced");
    assert_true(shell("head -c 100000 %s > %s", file("good.dump"), file("short.dump")));
    assert_refused(file("short.dump"), "it has 100000 bytes");
    assert_refused(file("missing.dump"), "No such file");
    assert_int_equal(load(file("good.dump")), 0);
    assert_true(outcome_true("verified"));
    put_back_old();
}

static void
test_bad_dumps(void **state)
{
    static const struct {
        const char *make;
        const char *text;
    } faults[] = {
        { "head -n 1", "" },                     /* only its header */
        { "head -c -1", "" },                    /* row 6: without the newline */
        { "head -c -2", "" },                    /* row 6: without the semicolon */
        { "head -c 100000", "" },                /* row 5: inside a record */
        { "head -c 0", "" },                     /* nothing */
        { "sed 1s/version/vorsion/", "" },       /* no header that anybody knows */
        { "sed s/UNIT.TEST/OTHR.TEST/g", "" },   /* row 15: another realm */
        { "sed '/^princ.*krbtgt/d'", "krbtgt" }, /* without its ticket granting service */
        { "sed '/^princ.*\tK.M@/d'", "K/M" },    /* without its master key */
        { "sed 'y/\\t/ /'", "" },                /* garbage */
    };

    (void)state;
    withdraw();
    for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++) {
        assert_true(shell("%s %s > %s", faults[i].make, file("good.dump"), file("bad.dump")));
        assert_refused(file("bad.dump"),
                       faults[i].text[0] != '\0' ? faults[i].text : "cannot load");
    }
    mkdir(file("folder.dump"), 0700);
    assert_refused(file("folder.dump"), "not a regular file");
}

/* A kdb5_util that says it has loaded what it has not. */
static void
test_lying_load(void **state)
{
    static const char *const scripts[] = {
        /* loses principals, as a load on a full disk or of a cut dump does */
        "for a; do d=$a; done; head -n 500 $d > $d.cut; kdb5_util -r $2 -d $4 load $d.cut; exit 0",
        /* row 8: not all pages were written */
        "kdb5_util \"$@\"; truncate -s -40960 $4; exit 0",
        "kdb5_util \"$@\"; truncate -s 20480 $4; exit 0",
        "kdb5_util \"$@\"; dd if=/dev/urandom of=$4 bs=4096 seek=30 count=60 conv=notrunc; exit 0",
        "kdb5_util \"$@\"; : > $4.kadm5; exit 0",
        "exit 0",
        /* row 6, 9 */
        "head -c 5000000 /dev/zero >&2; exit 1",
        "kdb5_util \"$@\"; kill -9 $$",
    };

    (void)state;
    kdb5_util = file("lying");
    for (size_t i = 0; i < sizeof(scripts) / sizeof(*scripts); i++) {
        assert_true(shell("printf '#!/bin/sh\\nPATH=/usr/sbin:$PATH\\n' > %s && cat >> %s <<'EOS'\n"
                          "%s\nEOS\nchmod 755 %s",
                          kdb5_util, kdb5_util, scripts[i], kdb5_util));
        announce(file("good.dump"));
        assert_refused(file("good.dump"), "cannot");
    }
    kdb5_util = file("missing");
    assert_refused(file("good.dump"), "cannot execute");
    kdb5_util = "/usr/sbin/kdb5_util";
    withdraw();
}

static void
test_wrong_stash(void **state)
{
    const char *stash = file("stash");

    (void)state;
    announce(file("good.dump"));
    assert_true(shell("mv %s %s.away", stash, stash));
    assert_refused(file("good.dump"), "stash");
    assert_true(shell("cd %s && mkdir -p other && KRB5_CONFIG=krb5.conf KRB5_KDC_PROFILE=kdc.conf "
                      "kdb5_util -r " REALM " -d other/principal -sf stash -P different "
                      "create -s >/dev/null 2>&1",
                      test_realm.folder));
    assert_refused(file("good.dump"), "does not open it");
    assert_true(outcome_says("hint", "stash file"));
    assert_true(shell("mv %s.away %s", stash, stash));
    assert_int_equal(load(file("good.dump")), 0);
    put_back_old();
}

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

static void
test_damaged_live(void **state)
{
    (void)state;
    announce(file("good.dump"));
    assert_true(shell("head -c 6000 /dev/urandom > %s", file("principal")));
    assert_int_equal(load(file("good.dump")), 0);
    assert_true(outcome_true("verified"));
    assert_true(outcome_says("note", "lockout state was not kept"));
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

/* Wait until the loader is at STAGE; its supervisor's pid, or 0 if it has ended. */
static int
wait_for_stage(const char *stage)
{
    struct loader_progress progress;

    for (int i = 0; i < 100000; i++) {
        loader_look(file("principal"), &progress);
        if (progress.running && strcmp(progress.stage, stage) == 0 && progress.pid > 0)
            return progress.pid;
        usleep(200);
    }
    return 0;
}

static void
wait_for_none(void)
{
    struct loader_progress progress;

    do {
        usleep(1000);
        loader_look(file("principal"), &progress);
    } while (progress.running);
}

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

/* The command line that does INJECTION to system calls CALLS that name PATH. */
static const char *
tracer(const char *calls, const char *path, const char *injection)
{
    static char command[1024];

    snprintf(command, sizeof(command),
             "strace -f -qq -o /dev/null %s%s -e trace=%s -e inject=%s:%s",
             path == NULL ? "" : "-P ", path == NULL ? "" : path, calls, calls, injection);
    return command;
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
test_generations(void **state)
{
    struct announcement a = { .generation = 1 };
    struct error err;

    (void)state;
    a.expires_at = time(NULL) + 100;
    assert_true(announcement_greatest(file("state"), REALM) > 1);
    assert_false(announcement_store(file("state"), REALM, &a, &err));
    assert_int_equal(err.code, ERROR_REFUSED);
    assert_false(announcement_store(file("state"), "../x", &a, &err));
    assert_int_equal(err.code, ERROR_USAGE);
}

/* It was announced by a clock that was set back since: it must not keep others out until then. */
static void
test_announced_in_the_future(void **state)
{
    struct announcement a = { .generation = ++generation }, pending;
    struct error err;
    bool found;

    (void)state;
    a.expires_at = time(NULL) + 600;
    assert_true(announcement_store(file("state"), REALM, &a, &err));
    assert_true(announcement_read(file("state"), REALM, &pending, &found, &err) && found);
    a.expires_at = time(NULL) + 2 * 86400;
    assert_true(announcement_store(file("state"), REALM, &a, &err));
    assert_true(announcement_read(file("state"), REALM, &pending, &found, &err) && !found);
    withdraw();
}

/* A dump of kdb5_util dump -i1, as kadmind makes it for a full resync, on a replica with iprop. */
static void
test_incremental(void **state)
{
    (void)state;
    assert_true(shell("cd %s && for h in primary replica; do sed \"s|acl_file|iprop_enable = "
                      "true\\n  iprop_port = 2121\\n"
                      "  iprop_logfile = %s/$h.ulog\\n  acl_file|\" kdc.conf > $h.conf; done",
                      test_realm.folder, test_realm.folder));
    assert_true(shell("cd %s && KRB5_CONFIG=krb5.conf KRB5_KDC_PROFILE=primary.conf && export "
                      "KRB5_CONFIG KRB5_KDC_PROFILE && kadmin.local -r " REALM
                      " -q 'addprinc -randkey incremental' >/dev/null 2>&1 && "
                      "kdb5_util -r " REALM " dump -i1 iprop.dump && "
                      "kadmin.local -r " REALM " -q 'delprinc -force incremental' >/dev/null 2>&1",
                      test_realm.folder));
    withdraw();
    setenv("KRB5_KDC_PROFILE", file("replica.conf"), 1);
    assert_int_equal(load_behind("env INCREMENTAL=-i", file("iprop.dump")), 0);
    assert_true(outcome_true("loaded"));
    assert_true(has_principal(&test_realm, "incremental"));
    assert_true(shell("test \"$(kproplog -h | grep 'Last serial')\" = "
                      "\"$(head -1 %s | awk '{print \"\\tLast serial # : \" $3}')\"",
                      file("iprop.dump")));
    /* A plain one is taken as well, and makes the replica ask for a full resync. */
    assert_int_equal(load_behind("env INCREMENTAL=-i", file("old.dump")), 0);
    assert_true(shell("kproplog -h | grep -q 'Last serial # : 1$'"));
    setenv("KRB5_KDC_PROFILE", file("kdc.conf"), 1);
    assert_false(has_principal(&test_realm, "incremental"));
    assert_tidy();
}

/* This program as the loader. */
static int
be_loader(char **argv)
{
    struct loader_request request = { .file = argv[2], .state = argv[3], .kdb5_util = argv[4] };
    struct outcome result;
    struct realm *realm;
    struct error err;
    bool ok;

    error_clear(&err);
    umask(077);
    if (!realm_load(REALM, &realm, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 2;
    }
    request.realm = realm;
    request.database = getenv("OTHER") != NULL ? getenv("OTHER") : realm->database;
    request.incremental = getenv("INCREMENTAL") != NULL;
    ok = loader_run(&request, &result);
    fprintf(stderr, "%s: %s%s (%s)\n", argv[2], ok ? "loaded" : "failed: ", result.error,
            result.note);
    realm_free(realm);
    return ok ? 0 : 1;
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verified),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_other_database),
        cmocka_unit_test(test_unannounced),
        cmocka_unit_test(test_other_dump),
        cmocka_unit_test(test_bad_dumps),
        cmocka_unit_test(test_lying_load),
        cmocka_unit_test(test_wrong_stash),
        cmocka_unit_test(test_lockout_stays),
        cmocka_unit_test(test_lockout_during_the_load),
        cmocka_unit_test(test_kills),
        cmocka_unit_test(test_sigterm),
        cmocka_unit_test(test_worker_killed_in_promotion),
        cmocka_unit_test(test_supervisor_killed_in_promotion),
        cmocka_unit_test(test_all_killed_in_promotion),
        cmocka_unit_test(test_disk_errors),
        cmocka_unit_test(test_little_space),
        cmocka_unit_test(test_two_at_once),
        cmocka_unit_test(test_folder_removed),
        cmocka_unit_test(test_logins_go_on),
        cmocka_unit_test(test_generations),
        cmocka_unit_test(test_announced_in_the_future),
        cmocka_unit_test(test_incremental),
        cmocka_unit_test(test_damaged_live),
        cmocka_unit_test(test_first_database),
    };

    if (argc > 4 && strcmp(argv[1], "--load") == 0)
        return be_loader(argv);
    if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
        return 1;
    return cmocka_run_group_tests(tests, setup, teardown);
}
