/* test_database - walks over real databases, sound and damaged, and snapshots of a busy one. */
#include "databases.h"

#include "common/kdb/snapshot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "between.h"

enum { COUNT = 2000, WALK_MS = 10 * 1000, SHORT_MS = 500 };

static struct throwaway test_realm;
static const unsigned char nonce[DIGEST_NONCE_SIZE + 1] = "a nonce of thirty-two bytes.....";

static int
setup(void **state)
{
    (void)state;
    return realm_up(&test_realm) && realm_admin(&test_realm, "addpol -minlength 4 one") &&
                   realm_admin(&test_realm, "addprinc -policy one -pw secret user") &&
                   dump_large(&test_realm, in_folder(&test_realm, "large.dump"), COUNT)
               ? 0
               : -1;
}

static int
teardown(void **state)
{
    (void)state;
    realm_down(&test_realm);
    return 0;
}

/* The large dump loaded as FOLDER/NAME. */
static struct database
load_large(const char *name)
{
    const char *path = in_folder(&test_realm, "%s", name);
    const char *dump = in_folder(&test_realm, "large.dump");
    const char *argv[] = { "/usr/sbin/kdb5_util", "-r", REALM, "-d", path, "load", dump, NULL };

    assert_true(shell("rm -f %s*", path));
    assert_true(realm_run(&test_realm, argv));
    return (struct database){ backend_find("db2"), REALM, path, in_folder(&test_realm, "stash"),
                              NULL };
}

static void
test_digest_is_the_dumps(void **state)
{
    struct database_question question = { nonce, true };
    struct database db = load_large("walked");
    struct database_answer answer;
    struct dump_info info;
    struct error err;

    (void)state;
    assert_true(decode(in_folder(&test_realm, "large.dump"), nonce, &info));
    assert_true(database_examine(&db, &question, WALK_MS, &answer, &err));
    assert_int_equal(answer.principals, info.principals);
    assert_int_equal(answer.policies, info.policies);
    assert_memory_equal(answer.digest, info.digest, DIGEST_SIZE);
    assert_true(answer.master_key && answer.krbtgt);
    assert_true(answer.stash_opens);
    assert_string_equal(answer.stash_error, "");
}

static void
test_stash(void **state)
{
    struct database_question question = { NULL, true };
    struct database db = load_large("stashed");
    struct database_answer answer;
    struct error err;

    (void)state;
    db.stash = in_folder(&test_realm, "missing");
    assert_true(database_examine(&db, &question, WALK_MS, &answer, &err));
    assert_false(answer.stash_opens);
    assert_string_not_equal(answer.stash_error, "");
    assert_true(shell("cd %s && mkdir -p other && KRB5_CONFIG=krb5.conf KRB5_KDC_PROFILE=kdc.conf "
                      "kdb5_util -r " REALM " -d other/principal -sf other/stash -P different "
                      "create -s >/dev/null 2>&1",
                      test_realm.folder));
    db.stash = in_folder(&test_realm, "other/stash");
    assert_true(database_examine(&db, &question, WALK_MS, &answer, &err));
    assert_false(answer.stash_opens);
    assert_string_not_equal(answer.stash_error, "");
}

static void
test_damaged(void **state)
{
    struct database_question question = { nonce, true };
    struct database db = load_large("damaged");
    struct database_answer good, answer;
    struct error err;
    struct stat st;

    (void)state;
    assert_true(database_examine(&db, &question, WALK_MS, &good, &err));
    assert_int_equal(stat(db.path, &st), 0);
    for (off_t size = 0; size < st.st_size; size += st.st_size / 12) {
        load_large("damaged");
        assert_int_equal(truncate(in_folder(&test_realm, "damaged"), size), 0);
        if (database_examine(&db, &question, SHORT_MS, &answer, &err))
            assert_memory_not_equal(answer.digest, good.digest, DIGEST_SIZE);
        else
            assert_string_not_equal(err.text, "");
    }
    for (int i = 0; i < 12; i++) {
        load_large("damaged");
        assert_true(
            shell("dd if=/dev/urandom of=%s bs=512 count=3 seek=%d conv=notrunc 2>/dev/null",
                  in_folder(&test_realm, "damaged"), i * 77));
        if (database_examine(&db, &question, SHORT_MS, &answer, &err))
            assert_memory_not_equal(answer.digest, good.digest, DIGEST_SIZE);
        else
            assert_string_not_equal(err.text, "");
    }
}

/* A walk that goes round in circles ends as soon as that is sure. */
static void
test_circle(void **state)
{
    struct database_question question = { nonce, true };
    struct database db = load_large("circle");
    struct database_answer answer;
    const char *saved = in_folder(&test_realm, "lockout");
    struct error err;
    uint64_t count;

    (void)state;
    assert_true(shell("/usr/bin/python3 %s/lib/make_circle.py %s", TEST_SOURCE_DIR, db.path));
    assert_false(database_examine(&db, &question, WALK_MS, &answer, &err));
    assert_non_null(strstr(err.text, "round in circles"));
    assert_int_equal(err.code, ERROR_FAILED);
    assert_false(database_save_lockout(&db, NULL, false, saved, WALK_MS, &count, &err));
    assert_non_null(strstr(err.text, "round in circles"));
}

static void
test_missing(void **state)
{
    struct database_question question = { 0 };
    struct database db = { backend_find("db2"), REALM, "/nonexistent/principal", NULL, NULL };
    struct database_answer answer;
    struct error err;

    (void)state;
    assert_false(database_examine(&db, &question, WALK_MS, &answer, &err));
    assert_int_equal(err.code, ERROR_FAILED);
    assert_non_null(strstr(err.text, "/nonexistent/principal"));
}

struct seen {
    unsigned principals;
    unsigned policies;
    time_t user;
    unsigned stop_after;
};

static bool
see(void *arg, enum database_kind kind, const char *name, time_t modified)
{
    struct seen *seen = arg;

    if (kind == DATABASE_POLICY)
        seen->policies++;
    else
        seen->principals++;
    if (strcmp(name, "user@" REALM) == 0)
        seen->user = modified;
    return seen->stop_after == 0 || seen->principals < seen->stop_after;
}

static void
test_inventory(void **state)
{
    struct database db = load_large("listed");
    struct seen seen = { 0 };
    struct dump_info info;
    struct error err;

    (void)state;
    assert_true(decode(in_folder(&test_realm, "large.dump"), nonce, &info));
    assert_true(database_inventory(&db, WALK_MS, see, &seen, &err));
    assert_int_equal(seen.principals, info.principals);
    assert_int_equal(seen.policies, info.policies);
    assert_between(seen.user, time(NULL) - 120, time(NULL) + 2);
    memset(&seen, 0, sizeof(seen));
    seen.stop_after = 10;
    assert_false(database_inventory(&db, WALK_MS, see, &seen, &err));
    assert_int_equal(seen.principals, 10);
}

/* Load the large dump into database NAME, with the counters of principals that match REGEX. */
static void
set_counters(const char *name, const char *regex, const char *counters)
{
    assert_true(
        shell("cd %s && sed -E '/\t(%s)@%s\t/s/^((princ\t([^\t]*\t){11}))[^\t]*\t[^\t]*\t[^\t]*/"
              "\\1%s/' large.dump > failures.dump && ! cmp -s large.dump failures.dump && "
              "KRB5_CONFIG=krb5.conf KRB5_KDC_PROFILE=kdc.conf kdb5_util -r %s -d %s load "
              "failures.dump",
              test_realm.folder, regex, REALM, counters, REALM, name));
}

static void
assert_dumps_as_loaded(const char *name)
{
    assert_true(
        shell("cd %s && KRB5_CONFIG=krb5.conf KRB5_KDC_PROFILE=kdc.conf kdb5_util -r %s -d %s "
              "dump carried.dump && cmp carried.dump failures.dump",
              test_realm.folder, REALM, name));
}

/* What is not replicated goes over to the same principals, and the digest stays. */
static void
test_carry(void **state)
{
    struct database_question question = { nonce, false };
    struct database from = load_large("from"), to = load_large("to");
    const char *saved = in_folder(&test_realm, "lockout");
    struct database_answer before, after;
    struct error err;
    uint64_t count;

    (void)state;
    assert_true(database_save_lockout(&from, NULL, false, saved, WALK_MS, &count, &err));
    assert_int_equal(count, 0);
    assert_true(database_examine(&to, &question, WALK_MS, &before, &err));
    set_counters("from", "user", "1111111\t222222\t3");
    assert_true(database_save_lockout(&from, NULL, false, saved, WALK_MS, &count, &err));
    assert_int_equal(count, 1);
    assert_true(shell("test $(stat -c %%a %s) = 600", saved));
    assert_true(database_restore_lockout(saved, &to, WALK_MS, &count, &err));
    assert_int_equal(count, 1);
    assert_dumps_as_loaded("to");
    assert_true(database_examine(&to, &question, WALK_MS, &after, &err));
    assert_memory_equal(before.digest, after.digest, DIGEST_SIZE);
    assert_true(database_restore_lockout(saved, &to, WALK_MS, &count, &err));
    assert_int_equal(count, 0);
    assert_false(database_save_lockout(
        &(struct database){ from.backend, REALM, "/nonexistent/x", NULL, NULL }, NULL, false, saved,
        WALK_MS, &count, &err));
}

/* Of a database that was saved before only what is no longer so is saved. */
static void
test_carry_later(void **state)
{
    const char *known = in_folder(&test_realm, "known"), *later = in_folder(&test_realm, "later");
    struct database from = load_large("from"), to = load_large("to");
    struct error err;
    uint64_t count;

    (void)state;
    set_counters("from", "bulk00000.*", "1111111\t222222\t3");
    assert_true(database_save_lockout(&from, NULL, false, known, WALK_MS, &count, &err));
    assert_int_equal(count, 100);
    assert_true(database_restore_lockout(known, &to, WALK_MS, &count, &err));
    assert_int_equal(count, 100);
    assert_true(database_save_lockout(&from, known, false, later, WALK_MS, &count, &err));
    assert_int_equal(count, 0);
    assert_true(shell("cd %s && cp large.dump kept.dump && cp failures.dump large.dump",
                      test_realm.folder));
    /* Two more, one that is no longer so, and one cleared. */
    set_counters("from", "bulk0000099|bulk0000100|user", "1111111\t333333\t1");
    assert_true(shell("cp %s/failures.dump %s/large.dump", test_realm.folder, test_realm.folder));
    set_counters("from", "bulk0000050", "0\t0\t0");
    assert_true(shell("cd %s && mv kept.dump large.dump", test_realm.folder));
    assert_true(database_save_lockout(&from, known, false, later, WALK_MS, &count, &err));
    assert_int_equal(count, 4);
    assert_true(database_restore_lockout(later, &to, WALK_MS, &count, &err));
    assert_int_equal(count, 4);
    assert_dumps_as_loaded("to");
    /* A file that was cut is no reason to keep less, and restores nothing as if it were whole. */
    assert_true(shell("truncate -s -1 %s", later));
    assert_false(database_restore_lockout(later, &to, WALK_MS, &count, &err));
}

static void
test_snapshot(void **state)
{
    const char *live = in_folder(&test_realm, "principal");
    const char *folder = in_folder(&test_realm, "principal.kpropctl");
    struct backend_identity identity, now;
    struct snapshot *snapshot;
    struct error err;
    char *path;

    (void)state;
    assert_true(snapshot_new(backend_find("db2"), live, NULL, &snapshot, &identity, &err));
    assert_true(backend_identify(backend_find("db2"), live, &now, &err));
    assert_true(backend_same(&identity, &now));
    path = strdup(snapshot_path(snapshot));
    assert_true(shell("cmp -s %s %s && test $(stat -c %%a %s) = 700", live, path, folder));
    assert_int_equal(snapshot_clean(backend_find("db2"), folder), 0);
    snapshot_free(snapshot);
    snapshot_free(NULL);
    assert_int_not_equal(access(path, F_OK), 0);
    free(path);
    assert_false(
        snapshot_new(backend_find("db2"), "/nonexistent/principal", folder, &snapshot, NULL, &err));
    assert_null(snapshot);
    assert_true(shell("rmdir %s", folder));
}

/* A killed process's snapshot goes away with the next. */
static void
test_snapshot_leftover(void **state)
{
    const char *folder = in_folder(&test_realm, "leftovers");
    struct error err;
    struct snapshot *snapshot;
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        snapshot_new(backend_find("db2"), in_folder(&test_realm, "principal"), folder, &snapshot,
                     NULL, &err);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_true(shell("test $(ls %s | wc -l) = 1", folder));
    sleep(2);
    assert_int_equal(snapshot_clean(backend_find("db2"), folder), 1);
    assert_true(shell("test $(ls %s | wc -l) = 0", folder));
}

/* Under a writer that never rests, each snapshot is one of its states. */
static void
test_snapshot_of_busy(void **state)
{
    const char *live = in_folder(&test_realm, "principal");
    struct database_question question = { nonce, true };
    struct database db = { backend_find("db2"), REALM, NULL, in_folder(&test_realm, "stash"),
                           NULL };
    struct error err;
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        for (int i = 0; i < 1000; i++) {
            if (!realm_admin(&test_realm, "addprinc -randkey busy%d", i))
                break;
        }
        _exit(0);
    }
    for (int i = 0; i < 20; i++) {
        struct database_answer answer;
        struct snapshot *snapshot;

        error_clear(&err);
        if (!snapshot_new(db.backend, live, NULL, &snapshot, NULL, &err))
            print_error("%s\n", err.text);
        assert_non_null(snapshot);
        db.path = snapshot_path(snapshot);
        assert_true(database_examine(&db, &question, WALK_MS, &answer, &err));
        assert_true(answer.stash_opens && answer.krbtgt);
        snapshot_free(snapshot);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_true(kdc_serves(&test_realm));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digest_is_the_dumps),
        cmocka_unit_test(test_stash),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_circle),
        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_inventory),
        cmocka_unit_test(test_carry),
        cmocka_unit_test(test_carry_later),
        cmocka_unit_test(test_snapshot),
        cmocka_unit_test(test_snapshot_leftover),
        cmocka_unit_test(test_snapshot_of_busy),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
