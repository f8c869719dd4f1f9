/* test_backend - the files and the lock of a real db2 database, and promotion cut short. */
#include "common/contract/judge.h"
#include "databases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct throwaway test_realm;

static int
setup(void **state)
{
    (void)state;
    return realm_up(&test_realm) ? 0 : -1;
}

static int
teardown(void **state)
{
    (void)state;
    realm_down(&test_realm);
    return 0;
}

static const struct backend *
db2(void)
{
    return backend_find("db2");
}

static const char *
live(void)
{
    return in_folder(&test_realm, "principal");
}

static void
test_table(void **state)
{
    (void)state;
    assert_ptr_equal(backend_find(NULL), db2());
    assert_string_equal(backend_name(backend_find("klmdb")), "lmdb");
    assert_int_equal(backend_promotion(backend_find("klmdb")), BACKEND_FIRST);
    assert_false(backend_has_files(backend_find("kldap")));
    assert_null(backend_find("oracle"));
    assert_true(backend_exists(db2(), live()));
    assert_false(backend_exists(db2(), "/nonexistent/principal"));
    assert_true(backend_size(db2(), live()) >= 8192);
    assert_int_equal(backend_size(db2(), "/nonexistent/principal"), 0);
}

static void
test_identity(void **state)
{
    struct backend_identity before, after;
    struct error err;

    (void)state;
    assert_true(backend_identify(db2(), live(), &before, &err));
    assert_true(backend_identify(db2(), live(), &after, &err));
    assert_true(backend_same(&before, &after));
    assert_true(realm_admin(&test_realm, "addpol -minlength 5 identity"));
    assert_true(backend_identify(db2(), live(), &after, &err));
    assert_false(backend_same(&before, &after));
    before = after;
    assert_true(realm_admin(&test_realm, "addprinc -randkey identity"));
    assert_true(backend_identify(db2(), live(), &after, &err));
    assert_false(backend_same(&before, &after));
    assert_false(backend_identify(db2(), "/nonexistent/principal", &after, &err));
    assert_int_equal(err.code, ERROR_FAILED);
}

/* kadmin.local in at most half a second. */
static bool
admin_in_time(const char *query)
{
    return shell("KRB5_CONFIG=%s KRB5_KDC_PROFILE=%s timeout 0.5 kadmin.local -r " REALM
                 " -q '%s' >/dev/null 2>&1",
                 in_folder(&test_realm, "krb5.conf"), in_folder(&test_realm, "kdc.conf"), query);
}

static void
test_lock_holds_others(void **state)
{
    struct backend_lock *lock, *second;
    struct error err;

    (void)state;
    assert_true(backend_lock(db2(), live(), false, 1000, &lock, &err));
    assert_true(admin_in_time("getprinc krbtgt/" REALM));
    assert_false(admin_in_time("modprinc -maxlife 1h krbtgt/" REALM));
    assert_true(backend_lock(db2(), live(), false, 0, &second, &err));
    backend_unlock(second);
    assert_false(backend_lock(db2(), live(), true, 50, &second, &err));
    assert_int_equal(err.code, ERROR_UNREACHABLE);
    assert_null(second);
    backend_unlock(lock);
    assert_true(admin_in_time("modprinc -maxlife 1h krbtgt/" REALM));
    assert_true(backend_lock(db2(), live(), true, 1000, &lock, &err));
    assert_false(admin_in_time("getprinc krbtgt/" REALM));
    assert_false(backend_lock(db2(), live(), false, 50, &second, &err));
    backend_unlock(lock);
    backend_unlock(NULL);
    assert_true(admin_in_time("getprinc krbtgt/" REALM));
}

static void
test_copy_and_remove(void **state)
{
    const char *copy = in_folder(&test_realm, "copied");
    struct error err;
    struct stat st;

    (void)state;
    assert_true(backend_copy(db2(), live(), copy, &err));
    assert_int_equal(backend_size(db2(), copy), backend_size(db2(), live()));
    assert_int_equal(stat(copy, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_true(shell("cmp -s %s %s", live(), copy));
    assert_false(backend_copy(db2(), live(), in_folder(&test_realm, "no/folder"), &err));
    assert_true(shell("printf xyz | dd of=%s bs=1 seek=5000 conv=notrunc 2>/dev/null", copy));
    assert_false(shell("cmp -s %s %s", live(), copy));
    assert_true(backend_refresh(db2(), live(), copy, &err));
    assert_true(shell("cmp -s %s %s", live(), copy));
    assert_true(backend_remove(db2(), copy, &err));
    assert_true(backend_remove(db2(), copy, &err));
    assert_false(shell("ls %s* >/dev/null 2>&1", copy));
}

/* A staged database with one principal more, as "staging/principal". */
static const char *
stage(const char *principal)
{
    const char *dump = in_folder(&test_realm, "stage.dump");
    const char *path = in_folder(&test_realm, "staging/principal");
    const char *argv[] = { "/usr/sbin/kdb5_util", "-r", REALM, "-d", path, "load", dump, NULL };

    mkdir(in_folder(&test_realm, "staging"), 0700);
    assert_true(realm_admin(&test_realm, "addprinc -randkey %s", principal));
    assert_true(dump_live(&test_realm, dump));
    assert_true(realm_admin(&test_realm, "delprinc -force %s", principal));
    assert_true(realm_run(&test_realm, argv));
    return path;
}

static void
test_promote(void **state)
{
    struct stat before, after;
    const char *staging = stage("promoted");
    struct error err;
    bool changed;

    (void)state;
    error_clear(&err);
    assert_int_equal(stat(in_folder(&test_realm, "principal.ok"), &before), 0);
    assert_false(has_principal(&test_realm, "promoted"));
    assert_true(backend_promote(db2(), staging, live(), NULL, 1000, &changed, &err));
    assert_true(changed);
    assert_false(backend_exists(db2(), staging));
    assert_int_not_equal(access(in_folder(&test_realm, "staging/principal.promotion"), F_OK), 0);
    assert_int_equal(stat(in_folder(&test_realm, "principal.ok"), &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    assert_true(has_principal(&test_realm, "promoted"));
    assert_true(kdc_serves(&test_realm));
}

static void
test_promote_waits_for_nobody(void **state)
{
    struct backend_identity before, after;
    const char *staging = stage("waiting");
    struct backend_lock *lock;
    struct error err;
    bool changed;

    (void)state;
    assert_true(backend_lock(db2(), live(), false, 1000, &lock, &err));
    assert_true(backend_identify(db2(), live(), &before, &err));
    assert_false(backend_promote(db2(), staging, live(), NULL, 100, &changed, &err));
    assert_false(changed);
    assert_int_equal(err.code, ERROR_UNREACHABLE);
    assert_true(backend_identify(db2(), live(), &after, &err));
    assert_true(backend_same(&before, &after));
    assert_true(backend_exists(db2(), staging));
    backend_unlock(lock);
}

static void
test_same_files(void **state)
{
    struct backend_identity before, after;
    struct error err;

    (void)state;
    assert_true(backend_identify(db2(), live(), &before, &err));
    assert_true(backend_same_files(before.text, before.text));
    assert_true(shell("touch -d '1 hour ago' %s", live()));
    assert_true(backend_identify(db2(), live(), &after, &err));
    assert_false(backend_same(&before, &after));
    assert_true(backend_same_files(before.text, after.text));
    assert_true(shell("cp -p %s %s.copy && mv %s.copy %s", live(), live(), live(), live()));
    assert_true(backend_identify(db2(), live(), &before, &err));
    assert_false(backend_same_files(before.text, after.text));
    assert_false(backend_same_files(before.text, ""));
    assert_false(backend_same_files("", ""));
    assert_false(backend_same_files(".kadm5:1:2:3:4.5", ".kadm5:1:2:3:4.5 :1:3:3:4.5"));
    assert_false(backend_same_files("nonsense", "nonsense"));
    /* Files that were put back with their times: one of them is enough. */
    assert_true(backend_older(".kadm5:1:2:3:4.000000005 :1:3:3:4.000000005",
                              ".kadm5:1:2:3:4.000000005 :1:3:3:4.000000006"));
    assert_true(
        backend_older(".kadm5:1:2:3:3.999999999 :1:3:3:9.0", ".kadm5:1:2:3:4.0 :1:3:3:4.0"));
    assert_false(backend_older(".kadm5:1:2:3:4.5 :1:3:3:4.5", ".kadm5:1:2:3:4.5 :1:3:3:4.5"));
    assert_false(backend_older(".kadm5:1:2:3:4.6 :1:3:3:4.6", ".kadm5:1:2:3:4.5 :1:3:3:4.5"));
    assert_false(backend_older("nonsense", ".kadm5:1:2:3:4.5"));
    assert_false(backend_older("", ".kadm5:1:2:3:4.5"));
}

/* In the folder lmdb: a file with LMDB's magic number in its second page, and the like. */
static const char *
fake_lmdb(const char *name, const char *text)
{
    assert_true(
        shell("mkdir -p %s/lmdb && cd %s/lmdb && for s in .mdb .lockout.mdb; do "
              "{ head -c 4112 /dev/zero; printf '%s'; head -c 4076 /dev/zero; } >%s$s; done",
              test_realm.folder, test_realm.folder, text, name));
    return in_folder(&test_realm, "lmdb/%s", name);
}

static bool
holds(const char *path, const char *text)
{
    char command[8192];

    snprintf(command, sizeof(command), "grep -q %s %s.mdb", text, path);
    return system(command) == 0;
}

/* No database takes the place of one that holds content; what is left of one that is gone goes. */
static void
test_first(void **state)
{
    const struct backend *lmdb = backend_find("klmdb");
    char staging[512], live_lmdb[512];
    struct error err;
    bool changed;

    (void)state;
    error_clear(&err);
    snprintf(staging, sizeof(staging), "%s", fake_lmdb("new", "\\336\\300\\357\\276NEW"));
    snprintf(live_lmdb, sizeof(live_lmdb), "%s", fake_lmdb("live", "\\336\\300\\357\\276OLD"));
    assert_true(backend_holds(lmdb, live_lmdb));
    assert_false(backend_promote(lmdb, staging, live_lmdb, NULL, 1000, &changed, &err));
    assert_false(changed);
    assert_int_equal(err.code, ERROR_FAILED);
    assert_true(holds(live_lmdb, "OLD") && holds(staging, "NEW"));

    fake_lmdb("live", "OLD"); /* no magic number any more */
    assert_false(backend_holds(lmdb, live_lmdb));
    assert_true(shell("touch %s.mdb-lock %s.lockout.mdb-lock", live_lmdb, live_lmdb));
    error_clear(&err);
    assert_true(backend_promote(lmdb, staging, live_lmdb, NULL, 1000, &changed, &err));
    assert_true(changed && holds(live_lmdb, "NEW"));
    assert_false(shell("ls %s*-lock 2>/dev/null", live_lmdb));

    assert_true(shell("rm %s.*", live_lmdb));
    assert_false(backend_holds(lmdb, live_lmdb));
    fake_lmdb("new", "\\336\\300\\357\\276NEWER");
    assert_true(backend_promote(lmdb, staging, live_lmdb, NULL, 1000, &changed, &err));
    assert_true(holds(live_lmdb, "NEWER"));
    assert_true(shell(": >%s.mdb", live_lmdb));
    assert_false(backend_holds(lmdb, live_lmdb));
    assert_true(backend_holds(backend_find("kldap"), live_lmdb));
    assert_true(backend_holds(db2(), live()));
}

/* Killed between its renames: completed, but not over what somebody has made meanwhile. */
static void
test_first_recovers(void **state)
{
    const struct backend *lmdb = backend_find("klmdb");
    enum backend_recovered what;
    char staging[512], live_lmdb[512];
    struct error err;

    (void)state;
    error_clear(&err);
    for (int meanwhile = 0; meanwhile < 2; meanwhile++) {
        snprintf(staging, sizeof(staging), "%s", fake_lmdb("new", "\\336\\300\\357\\276NEW"));
        snprintf(live_lmdb, sizeof(live_lmdb), "%s/lmdb/live", test_realm.folder);
        assert_true(shell("cd %s/lmdb && rm -f live* && for s in .lockout.mdb .mdb; do "
                          "stat -c \"file$s %%i %%s %%.9Y\" new$s; done >new.promotion && "
                          "mv new.lockout.mdb live.lockout.mdb",
                          test_realm.folder));
        if (meanwhile == 1)
            fake_lmdb("live", "\\336\\300\\357\\276OTHER");
        assert_true(backend_recover(lmdb, staging, live_lmdb, 1000, &what, &err));
        assert_int_equal(what, meanwhile == 1 ? BACKEND_UNDONE : BACKEND_COMPLETED);
        assert_true(holds(live_lmdb, meanwhile == 1 ? "OTHER" : "NEW"));
    }
}

/* The journal as a promotion writes it, and then the renames that were done before the kill. */
static const char *
interrupt(const char *principal, int renames)
{
    const char *staging = stage(principal);
    char command[4096];

    snprintf(
        command, sizeof(command),
        "cd %s/staging && for s in .kadm5 ''; do stat -c \"file$s %%i %%s %%.9Y\" principal$s; "
        "done > principal.promotion",
        test_realm.folder);
    assert_int_equal(system(command), 0);
    if (renames > 0)
        assert_true(shell("mv %s.kadm5 %s.kadm5", staging, live()));
    if (renames > 1)
        assert_true(shell("mv %s %s", staging, live()));
    return staging;
}

static void
test_recover(void **state)
{
    static const enum backend_recovered expected[] = { BACKEND_UNDONE, BACKEND_COMPLETED,
                                                       BACKEND_COMPLETED };
    enum backend_recovered what;
    struct error err;

    (void)state;
    for (int renames = 0; renames < 3; renames++) {
        const char *staging = interrupt("recovered", renames);

        error_clear(&err);
        assert_true(backend_recover(db2(), staging, live(), 1000, &what, &err));
        assert_int_equal(what, expected[renames]);
        assert_int_equal(backend_exists(db2(), staging), renames == 0);
        assert_int_equal(has_principal(&test_realm, "recovered"), renames > 0);
        assert_true(backend_recover(db2(), staging, live(), 1000, &what, &err));
        assert_int_equal(what, BACKEND_NOTHING);
        assert_true(kdc_serves(&test_realm));
        assert_true(backend_remove(db2(), staging, &err));
        if (renames > 0)
            assert_true(realm_admin(&test_realm, "delprinc -force recovered"));
    }
}

/* A journal that outlived its promotion must not promote what a later load was killed in. */
static void
test_recover_old_journal(void **state)
{
    const char *staging = interrupt("old", 2);
    struct backend_identity before, after;
    enum backend_recovered what;
    struct error err;

    (void)state;
    assert_true(backend_identify(db2(), live(), &before, &err));
    assert_true(shell("echo garbage > %s", staging));
    assert_true(backend_recover(db2(), staging, live(), 1000, &what, &err));
    assert_true(backend_identify(db2(), live(), &after, &err));
    assert_true(backend_same(&before, &after));
    assert_int_not_equal(access(staging, F_OK), 0);
    assert_true(kdc_serves(&test_realm));
}

/* The verdicts, which know no backend, name the same libraries as the rows. */
static void
test_judged_alike(void **state)
{
    static const char *const libraries[] = { "db2",  "klmdb", "lmdb", "kldap",
                                             "ldap", "lmdb2", "KLMDB" };

    (void)state;
    for (size_t i = 0; i < sizeof(libraries) / sizeof(*libraries); i++) {
        const struct backend *row = backend_find(libraries[i]);
        json_t *facts = json_pack("{s:{s:s}}", "realm", "backend", libraries[i]);

        assert_int_equal(judge_keeps_lmdb(facts),
                         row != NULL && backend_promotion(row) == BACKEND_FIRST);
        json_decref(facts);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_lock_holds_others),
        cmocka_unit_test(test_copy_and_remove),
        cmocka_unit_test(test_promote),
        cmocka_unit_test(test_promote_waits_for_nobody),
        cmocka_unit_test(test_same_files),
        cmocka_unit_test(test_first),
        cmocka_unit_test(test_first_recovers),
        cmocka_unit_test(test_recover),
        cmocka_unit_test(test_recover_old_journal),
        cmocka_unit_test(test_judged_alike),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
