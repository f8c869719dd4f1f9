/* spool: the numbers of generations, which no replica may use up. */
#include "common/base/clock.h"
#include "kpropctl/state/state.h"
#include "kpropctl/transfer/spool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct ground {
    char folder[64];
    char database[80];
    struct configuration configuration;
    struct realm realm;
};

static int
set_up(void **state)
{
    static struct ground g;

    strcpy(g.folder, "/tmp/kpropctl-spool-XXXXXX");
    if (mkdtemp(g.folder) == NULL)
        return -1;
    snprintf(g.database, sizeof(g.database), "%s/none", g.folder);
    g.configuration.state_dir = g.folder;
    g.realm.database = g.database;
    g.realm.name = strdup("LAB.TEST");
    g.realm.backend = strdup("db2");
    *state = &g;
    return 0;
}

static int
tear_down(void **state)
{
    struct ground *g = *state;
    char path[128];

    free(g->realm.name);
    free(g->realm.backend);
    snprintf(path, sizeof(path), "%s/state.db", g->folder);
    unlink(path);
    snprintf(path, sizeof(path), "%s/dump", g->folder);
    rmdir(path);
    return rmdir(g->folder);
}

/* A replica knows more than we: the next is above that. One that says it knows what nobody can is
 * not believed, and takes no number from the others. */
static void
test_raise(void **state)
{
    struct ground *g = *state;
    struct spool_options options = { false, false };
    struct spool_dump dump = { .generation = 3, .principals = 1 };
    struct spool *spool;
    unsigned debris;
    struct error err;

    error_clear(&err);
    spool = spool_open(&g->configuration, &g->realm, &options, &debris, &err);
    assert_non_null(spool);
    assert_true(spool_raise(spool, 41, &dump, &err));
    assert_int_equal(dump.generation, 42);
    assert_false(spool_raise(spool, INT64_MAX, &dump, &err));
    assert_int_equal(err.code, ERROR_REFUSED);
    assert_false(spool_raise(spool, INT64_MAX - 1, &dump, &err));
    assert_false(spool_raise(spool, -1, &dump, &err));
    assert_int_equal(dump.generation, 42);
    /* Another host's child asks for this content, too: one content has one number. */
    dump.generation = 3;
    assert_true(spool_raise(spool, 41, &dump, &err));
    assert_int_equal(dump.generation, 42);
    assert_true(spool_raise(spool, 42, &dump, &err));
    assert_int_equal(dump.generation, 43);
    spool_close(spool);
}

/* What the hosts of a run have told: all are waited for, though not for ever, and nobody is
 * believed everything. */
static void
test_heard(void **state)
{
    struct ground *g = *state;
    struct spool_options options = { false, false };
    struct spool *spool;
    double start = clock_monotonic();
    unsigned debris;
    struct error err;

    error_clear(&err);
    spool = spool_open(&g->configuration, &g->realm, &options, &debris, &err);
    assert_non_null(spool);
    spool_heard(spool, 7);
    spool_heard(spool, 700);
    spool_heard(spool, INT64_MAX);
    assert_int_equal(spool_hear_all(spool, 3, 60), 700);
    assert_true(clock_monotonic() - start < 30);
    assert_int_equal(spool_hear_all(spool, 4, 1), 700);
    assert_true(clock_monotonic() - start >= 1);
    spool_close(spool);
}

int
main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_raise),
                                        cmocka_unit_test(test_heard) };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
