/*
 * test_loader - which dumps are loaded and promoted, and which are refused: whatever happens, the
 * KDC answers, and the live database is the old one or the new one.
 */
#include "loader_kit.h"

#include "agent/load/acceptance.h"

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

/* Before anything was verified here, whatever is whole is loaded. */
static void
test_unannounced(void **state)
{
    (void)state;
    put_back_old();
    assert_int_equal(load(file("good.dump")), 0);
    assert_true(outcome_true("loaded"));
    assert_true(outcome_says("refusal", ""));
    assert_false(outcome_true("verified") || outcome_true("announced"));
    assert_true(has_principal(&test_realm, "fresh"));
    put_back_old();
    assert_true(kdc_serves(&test_realm));
}

/* good.dump is live, and verified; old.dump is what nobody announces. */
static void
have_verified(void)
{
    announce(file("good.dump"));
    assert_int_equal(load(file("good.dump")), 0);
    assert_true(outcome_true("verified"));
}

static void
test_unannounced_is_refused(void **state)
{
    (void)state;
    have_verified();
    assert_refused(file("old.dump"), "nobody announced it");
    assert_true(outcome_says("refusal", "unannounced"));
    assert_true(outcome_says("hint", "kpropctl-agent accept-next " REALM));
    /* Not even the content that is live, and not where what is known cannot be read. */
    assert_refused(file("good.dump"), "nobody announced it");
    assert_true(shell("echo '{' > %s", file("state/" REALM ".last_good")));
    assert_refused(file("old.dump"), "nobody announced it");
    assert_true(has_principal(&test_realm, "fresh"));
    setenv("UNANNOUNCED_ACCEPT", "", 1);
    assert_int_equal(load(file("old.dump")), 0);
    unsetenv("UNANNOUNCED_ACCEPT");
    assert_false(outcome_true("verified") || has_principal(&test_realm, "fresh"));
    assert_true(outcome_says("note", "unannounced = accept"));
    put_back_old();
}

static void
accept_next(const char *sha256)
{
    struct acceptance a;
    struct error err;

    assert_true(acceptance_give(file("state"), REALM, sha256, &a, &err));
}

/* Once, for one dump, marked unverified; a dump that is damaged does not use it up. */
static void
test_accepted(void **state)
{
    (void)state;
    have_verified();
    accept_next(NULL);
    assert_true(shell("head -c -2 %s > %s", file("old.dump"), file("bad.dump")));
    assert_refused(file("bad.dump"), "cannot load dump");
    assert_int_equal(load(file("old.dump")), 0);
    assert_true(outcome_says("note", "the last verified one had"));
    assert_true(outcome_says("note", "accept-next"));
    assert_false(outcome_true("verified") || has_principal(&test_realm, "fresh"));
    assert_refused(file("old.dump"), "nobody announced it");
    put_back_old();
}

static void
test_accepted_by_hash(void **state)
{
    char hash[65] = "";
    FILE *fp;

    (void)state;
    have_verified();
    assert_true(shell("sha256sum %s | cut -c1-64 > %s", file("old.dump"), file("hash")));
    fp = fopen(file("hash"), "r");
    assert_non_null(fp);
    assert_int_equal(fscanf(fp, "%64s", hash), 1);
    fclose(fp);
    accept_next(hash);
    assert_refused(file("good.dump"), "nobody announced it");
    /* Also while another dump is announced, which then can still come. */
    announce(file("many.dump"));
    assert_refused(file("good.dump"), "announced by host/primary");
    assert_int_equal(load(file("old.dump")), 0);
    assert_false(outcome_true("announced") || has_principal(&test_realm, "fresh"));
    assert_int_equal(access(file("state/" REALM ".announced"), F_OK), 0);
    put_back_old();
}

/* Not for longer than half an hour, whatever becomes of the clock; not what is no hash. */
static void
test_acceptance_ends(void **state)
{
    struct acceptance a;
    struct error err;

    (void)state;
    have_verified();
    for (int sign = -1; sign <= 1; sign += 2) {
        assert_true(shell("echo \"{\\\"until\\\": $(($(date +%%s) %+d))}\" > %s",
                          sign * (ACCEPTANCE_SECONDS + 60), file("state/" REALM ".accept")));
        assert_refused(file("old.dump"), "nobody announced it");
    }
    assert_false(acceptance_give(file("state"), REALM, "abc", &a, &err));
    assert_false(acceptance_give(file("state"), "../x", NULL, &a, &err));
    put_back_old();
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
    /* A new stash that waits is for a dump that was announced alone. */
    assert_true(shell("cp %s.away %s", stash, file("state/" REALM ".stash")));
    forget();
    assert_refused(file("good.dump"), "does not open it");
    announce(file("good.dump"));
    assert_int_equal(load(file("good.dump")), 0);
    assert_true(outcome_says("note", "new stash"));
    unlink(file("state/" REALM ".stash"));
    announce(file("good.dump"));
    assert_true(shell("mv %s.away %s", stash, stash));
    assert_int_equal(load(file("good.dump")), 0);
    put_back_old();
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
    /* It comes while another dump is announced, and after verified loads. */
    have_verified();
    announce(file("good.dump"));
    assert_refused(file("iprop.dump"), "announced by host/primary");
    withdraw();
    assert_int_equal(load_behind("env INCREMENTAL=-i", file("iprop.dump")), 1);
    assert_true(outcome_says("refusal", "unannounced"));
    announce(file("good.dump"));
    setenv("KRB5_KDC_PROFILE", file("replica.conf"), 1);
    assert_int_equal(load_behind("env INCREMENTAL=-i", file("iprop.dump")), 0);
    assert_true(outcome_true("loaded"));
    assert_true(outcome_says("note", "full resync by kadmind"));
    withdraw();
    assert_true(has_principal(&test_realm, "incremental"));
    assert_true(shell("test \"$(kproplog -h | grep 'Last serial')\" = "
                      "\"$(head -1 %s | awk '{print \"\\tLast serial # : \" $3}')\"",
                      file("iprop.dump")));
    /* A plain one is refused, whatever root has said at the console. */
    accept_next(NULL);
    assert_int_equal(load_behind("env INCREMENTAL=-i", file("old.dump")), 1);
    assert_int_equal(load_behind("env UNANNOUNCED_ACCEPT=1 INCREMENTAL=-i", file("old.dump")), 1);
    assert_true(outcome_says("refusal", "unannounced-plain"));
    /* Before anything was verified it is taken, and makes the replica ask for a full resync. */
    forget();
    assert_int_equal(load_behind("env INCREMENTAL=-i", file("old.dump")), 0);
    assert_true(shell("kproplog -h | grep -q 'Last serial # : 1$'"));
    setenv("KRB5_KDC_PROFILE", file("kdc.conf"), 1);
    assert_false(has_principal(&test_realm, "incremental"));
    assert_tidy();
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verified),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_other_database),
        cmocka_unit_test(test_unannounced),
        cmocka_unit_test(test_unannounced_is_refused),
        cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_accepted_by_hash),
        cmocka_unit_test(test_acceptance_ends),
        cmocka_unit_test(test_other_dump),
        cmocka_unit_test(test_bad_dumps),
        cmocka_unit_test(test_lying_load),
        cmocka_unit_test(test_wrong_stash),
        cmocka_unit_test(test_generations),
        cmocka_unit_test(test_announced_in_the_future),
        cmocka_unit_test(test_incremental),
    };
    int status;

    if (is_loader(argc, argv, &status))
        return status;
    return cmocka_run_group_tests(tests, setup, teardown);
}
