/*
 * test_state - the state database: its schema from version to version, files that are damaged or
 * not ours, and what pruning leaves.
 */
#include "kpropctl/state/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define REALM "STATE.TEST"
#define HOST "kdc2.state.test"

enum { DAY = 86400 };

static char folder[64];

static int
setup(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/kpropctl-state-XXXXXX");
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command);
}

static const char *
database(void)
{
    static char path[96];

    snprintf(path, sizeof(path), "%s/state.db", folder);
    return path;
}

/* Run SQL in the file behind the module's back: what it prints fits OUT (may be NULL). */
static void
sql(const char *text, char *out, size_t size)
{
    char command[2048], line[256] = "";
    FILE *fp;

    snprintf(command, sizeof(command),
             "/usr/bin/python3 -c 'import sqlite3, sys\n"
             "c = sqlite3.connect(sys.argv[1])\n"
             "for one in sys.argv[2].split(\";\"): rows = c.execute(one).fetchall()\n"
             "c.commit()\n"
             "print(*[v for row in rows for v in row])' '%s' \"%s\"",
             database(), text);
    fp = popen(command, "r");
    assert_non_null(fp);
    if (fgets(line, sizeof(line), fp) == NULL)
        line[0] = '\0';
    assert_int_equal(pclose(fp), 0);
    line[strcspn(line, "\n")] = '\0';
    if (out != NULL)
        snprintf(out, size, "%s", line);
}

static void
assert_sql(const char *text, const char *expected)
{
    char said[256];

    sql(text, said, sizeof(said));
    assert_string_equal(said, expected);
}

static struct state *
open_state(void)
{
    struct error err;
    struct state *state = state_open(folder, NULL, false, &err);

    assert_non_null(state);
    return state;
}

static int64_t
add_content(struct state *state, const char *digest)
{
    struct state_content content = { .principals = 10, .policies = 1, .bytes = 1000 };
    struct error err;

    snprintf(content.digest, sizeof(content.digest), "%s", digest);
    snprintf(content.identity, sizeof(content.identity), "files");
    assert_true(state_content_add(state, REALM, 0, &content, &err));
    return content.generation;
}

/* A run with this result on HOST: its number. */
static int64_t
add_outcome(struct state *state, const char *host, const char *result, int64_t generation)
{
    struct state_outcome outcome = { .generation = generation,
                                     .realm = REALM,
                                     .host = host,
                                     .result = result,
                                     .identity = "files there" };
    struct error err;

    assert_true(state_run_begin(state, REALM, "test", &outcome.run, &err));
    assert_true(state_outcome_record(state, &outcome, &err));
    assert_true(state_run_end(state, outcome.run, generation, 1.5, 0, &err));
    return outcome.run;
}

/* A new file has the newest schema, and only its owner may write it. */
static void
test_new(void **state)
{
    struct state_content content;
    struct state *s = open_state();
    struct error err;
    struct stat st;

    (void)state;
    assert_true(state_content_last(s, REALM, &content, &err));
    assert_int_equal(content.generation, 0);
    assert_int_equal(add_content(s, "aa"), 1);
    assert_int_equal(add_content(s, "bb"), 2);
    assert_true(state_content_last(s, REALM, &content, &err));
    assert_int_equal(content.generation, 2);
    assert_string_equal(content.digest, "bb");
    state_close(s);
    assert_int_equal(stat(database(), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_sql("PRAGMA user_version", "2");
    s = state_open(folder, NULL, true, &err);
    assert_non_null(s);
    state_close(s);
}

/* What was compared on a replica is known from then on, and its number is taken; but it is none of
 * this host's contents. */
static void
test_seen(void **state)
{
    const struct state_seen seen = { 7, "cc", "1f" }, silent = { 9, "", "" };
    struct state_content content;
    struct state *s = open_state();
    struct error err;

    (void)state;
    add_content(s, "aa");
    assert_false(state_content_known(s, REALM, "cc", "1f"));
    assert_int_equal(state_greatest(s, REALM), 1);
    assert_true(state_seen_record(s, REALM, &seen, &err));
    assert_true(state_seen_record(s, REALM, &seen, &err));
    assert_true(state_content_known(s, REALM, "cc", "1f"));
    assert_false(state_content_known(s, REALM, "cc", "2f"));
    assert_false(state_content_known(s, "OTHER.TEST", "cc", "1f"));
    assert_int_equal(state_greatest(s, REALM), 7);
    assert_int_equal(state_greatest(s, "OTHER.TEST"), 0);
    assert_true(state_content_last(s, REALM, &content, &err));
    assert_int_equal(content.generation, 1);
    assert_true(state_seen_record(s, REALM, &silent, &err));
    assert_false(state_content_known(s, REALM, "", ""));
    assert_int_equal(add_content(s, "bb"), 10);
    state_close(s);
}

/* Make the file what it was at version 1: outcomes knew no identity. (DROP COLUMN would need SQLite
 * 3.35; what is left of a dropped column's values would be read again once there is one more.) */
static void
back_to_version_1(void)
{
    sql("UPDATE outcome SET identity = NULL; PRAGMA writable_schema = ON;"
        " UPDATE sqlite_master SET sql = replace(sql, ', identity TEXT)', ')')"
        " WHERE name = 'outcome'; PRAGMA user_version = 1",
        NULL, 0);
    assert_sql("SELECT count(*) FROM pragma_table_info('outcome') WHERE name = 'identity'", "0");
}

/* What an older kpropctl has written stays, and is taken up by whoever may write first. */
static void
test_migration(void **state)
{
    struct state *s = open_state();
    struct state_memory memory;
    struct error err;
    bool is_new;

    (void)state;
    assert_true(state_replica_record(s, REALM, HOST, &is_new, &err) && is_new);
    add_outcome(s, HOST, "verified", add_content(s, "aa"));
    state_close(s);
    back_to_version_1();
    s = open_state();
    assert_true(state_memory(s, REALM, HOST, &memory, &err));
    assert_true(memory.known);
    assert_int_equal(memory.content.generation, 1);
    assert_string_equal(memory.identity, "");
    add_outcome(s, HOST, "verified", 1);
    assert_true(state_memory(s, REALM, HOST, &memory, &err));
    assert_string_equal(memory.identity, "files there");
    state_close(s);
    assert_sql("PRAGMA user_version", "2");
    assert_sql("SELECT count(*) FROM outcome", "2");
}

/* One that is killed in the middle of a migration leaves the old version whole. */
static void
test_migration_that_fails(void **state)
{
    struct error err;

    (void)state;
    state_close(open_state());
    sql("PRAGMA user_version = 1", NULL, 0); /* though it has the column: the step must fail */
    error_clear(&err);
    assert_null(state_open(folder, NULL, false, &err));
    assert_int_equal(err.code, ERROR_INTERNAL);
    assert_non_null(strstr(err.text, "duplicate column"));
    assert_sql("PRAGMA user_version", "1");
}

/* Readers read an older file, too: those who may write bring it forward, the others are told. */
static void
test_old_file_for_a_reader(void **state)
{
    struct error err;
    struct state *s;
    json_t *rows;

    (void)state;
    s = open_state();
    add_outcome(s, HOST, "verified", add_content(s, "aa"));
    state_close(s);
    back_to_version_1();
    if (geteuid() == 0) {
        /* Root may write whatever its mode: somebody else looks first. */
        assert_int_equal(chmod(folder, 0755), 0);
        assert_int_equal(chmod(database(), 0644), 0);
        assert_int_equal(seteuid(65534), 0);
        error_clear(&err);
        s = state_open(folder, NULL, true, &err);
        assert_int_equal(seteuid(0), 0);
        assert_null(s);
        assert_non_null(strstr(err.text, "an older kpropctl"));
        assert_non_null(strstr(err.hint, "as root"));
        assert_sql("PRAGMA user_version", "1");
    }
    s = state_open(folder, NULL, true, &err);
    assert_non_null(s);
    rows = state_history(s, REALM, NULL, 10, &err);
    assert_int_equal(json_array_size(rows), 1);
    json_decref(rows);
    state_close(s);
    assert_sql("PRAGMA user_version", "2");
}

/* A file of a newer kpropctl is left alone. */
static void
test_newer_file(void **state)
{
    struct error err;

    (void)state;
    state_close(open_state());
    sql("PRAGMA user_version = 99", NULL, 0);
    for (int read_only = 0; read_only < 2; read_only++) {
        error_clear(&err);
        assert_null(state_open(folder, NULL, read_only, &err));
        assert_int_equal(err.code, ERROR_INTERNAL);
        assert_non_null(strstr(err.text, "version 99"));
        assert_non_null(strstr(err.hint, "upgrade kpropctl"));
    }
    assert_sql("PRAGMA user_version", "99");
}

static void
test_missing(void **state)
{
    struct error err;

    (void)state;
    error_clear(&err);
    assert_null(state_open(folder, NULL, true, &err));
    assert_int_equal(err.code, ERROR_INTERNAL);
    assert_non_null(strstr(err.text, "no state database yet"));
    assert_int_not_equal(access(database(), F_OK), 0);
    assert_null(state_open(folder, "no-such-group", false, &err));
    assert_int_equal(err.code, ERROR_USAGE);
}

/* What is no database, or is one no longer, is an error with a way out, and stays as it is. */
static void
test_damaged(void **state)
{
    static const char *const damages[] = {
        "head -c 30000 /dev/urandom > $1",
        "truncate -s 5000 $1",
        "dd if=/dev/urandom of=$1 bs=1024 seek=4 count=20 conv=notrunc status=none",
        "rm $1 && mkdir $1",
    };
    char command[512];

    (void)state;
    for (size_t i = 0; i < sizeof(damages) / sizeof(*damages); i++) {
        struct state *s = open_state();
        struct state_content content;
        struct error err;
        json_t *rows;

        add_outcome(s, HOST, "verified", add_content(s, "aa"));
        state_close(s);
        snprintf(command, sizeof(command), "set -- %s; %s", database(), damages[i]);
        assert_int_equal(system(command), 0);
        error_clear(&err);
        s = state_open(folder, NULL, false, &err);
        /* Only some pages are broken: whoever reads them is told. */
        rows = s == NULL ? NULL : state_history(s, REALM, NULL, 10, &err);
        assert_true(s == NULL || rows == NULL || !state_content_last(s, REALM, &content, &err));
        assert_int_equal(err.code, ERROR_INTERNAL);
        assert_non_null(strstr(err.text, "state.db"));
        assert_non_null(strstr(err.hint, "move it away"));
        json_decref(rows);
        state_close(s);
        snprintf(command, sizeof(command), "rm -r %s*", database());
        assert_int_equal(system(command), 0);
    }
}

/* Old rows go, but never what is known of a replica, nor the content that the next dump is held
 * against. */
static void
test_prune(void **state)
{
    struct state *s = open_state();
    int64_t first = add_content(s, "aa"), second = add_content(s, "bb"), third;
    struct state_memory memory;
    struct error err;
    char age[256];
    bool is_new;

    (void)state;
    assert_true(state_replica_record(s, REALM, HOST, &is_new, &err));
    add_outcome(s, HOST, "verified", first);
    add_outcome(s, HOST, "verified", second);
    add_outcome(s, HOST, "failed", second);
    add_outcome(s, "kdc3.state.test", "failed", second);
    third = add_content(s, "cc");
    snprintf(age, sizeof(age),
             "UPDATE outcome SET finished = finished - %d; UPDATE run SET started = started - %d;"
             " UPDATE content SET made = made - %d",
             10 * DAY, 10 * DAY, 10 * DAY);
    sql(age, NULL, 0);
    assert_true(state_prune(s, 0, &err) && state_prune(s, 11, &err));
    assert_sql("SELECT count(*) FROM outcome", "4");
    add_outcome(s, HOST, "failed", third);
    assert_true(state_prune(s, 9, &err));
    /* The last verified one, and the young one; their runs; their contents, and the newest. */
    assert_sql("SELECT generation, result FROM outcome ORDER BY id", "2 verified 3 failed");
    assert_sql("SELECT count(*) FROM run", "2");
    assert_sql("SELECT generation FROM content ORDER BY generation", "2 3");
    assert_true(state_memory(s, REALM, HOST, &memory, &err));
    assert_int_equal(memory.content.generation, second);
    assert_int_equal(memory.behind, 1);
    assert_string_equal(memory.last_result, "failed");
    state_close(s);
}

/* A generation is above all that any table or replica knows. */
static void
test_generations(void **state)
{
    struct state_content content = { .digest = "aa" };
    struct state *s = open_state();
    struct error err;

    (void)state;
    assert_int_equal(add_content(s, "aa"), 1);
    add_outcome(s, HOST, "verified", 41);
    assert_int_equal(add_content(s, "bb"), 42);
    assert_true(state_content_add(s, REALM, 100, &content, &err));
    assert_int_equal(content.generation, 101);
    assert_true(state_content_add(s, "OTHER.TEST", 0, &content, &err));
    assert_int_equal(content.generation, 1);
    state_close(s);
}

/* By what it is, not by its number. */
static void
test_content_known(void **state)
{
    struct state_content content = { .digest = "d1", .nonce = "n1" };
    struct state *s;
    struct error err;

    (void)state;
    s = open_state();
    assert_true(state_content_add(s, REALM, 0, &content, &err));
    assert_true(state_content_known(s, REALM, "d1", "n1"));
    assert_false(state_content_known(s, REALM, "d1", "n2"));
    assert_false(state_content_known(s, REALM, "d2", "n1"));
    assert_false(state_content_known(s, "OTHER.TEST", "d1", "n1"));
    state_close(s);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_new),
        TEST(test_seen),
        TEST(test_content_known),
        TEST(test_migration),
        TEST(test_migration_that_fails),
        TEST(test_old_file_for_a_reader),
        TEST(test_newer_file),
        TEST(test_missing),
        TEST(test_damaged),
        TEST(test_prune),
        TEST(test_generations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
