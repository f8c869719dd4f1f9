/* judge: facts that lack what a row needs, and the agent's limits. */
#include "common/contract/judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* The verdict on FACTS, as JSON with ' for "; the summary must hold SAID. */
static enum verdict
limits(const char *facts, const char *said)
{
    struct judgement j = { .hint = "" };
    char text[1024];
    json_t *object;
    enum verdict verdict;

    snprintf(text, sizeof(text), "%s", facts);
    for (char *p = text; (p = strchr(p, '\'')) != NULL;)
        *p = '"';
    object = json_loads(text, 0, NULL);
    assert_non_null(object);
    verdict = judge_limits(object, "kdc2", &j);
    if (strstr(j.summary, said) == NULL)
        fail_msg("'%s' lacks '%s'", j.summary, said);
    json_decref(object);
    return verdict;
}

static void
test_limits(void **state)
{
    (void)state;
    assert_int_equal(limits("{}", "does not tell"), UNTOLD);
    assert_int_equal(limits("{'agent':{'limits':null}}", "does not tell"), UNTOLD);
    assert_int_equal(limits("{'agent':{'limits':{'descriptors':99,'descriptors_needed':100,"
                            "'turned_away':0,'turned_away_at':null}},'time':5}",
                            "99 files open"),
                     HOLDS_BUT);
    assert_int_equal(limits("{'agent':{'limits':{'descriptors':100,'descriptors_needed':100,"
                            "'turned_away':0,'turned_away_at':null}},'time':5}",
                            "has room"),
                     HOLDS);
    assert_int_equal(limits("{'agent':{'limits':{'descriptors':100,'descriptors_needed':100,"
                            "'turned_away':7,'turned_away_at':1000.5}},'time':1300}",
                            "7 were turned away since it was started, the last 5 min ago"),
                     HOLDS_BUT);
    assert_int_equal(limits("{'agent':{'limits':{'descriptors':100,'descriptors_needed':100,"
                            "'turned_away':7,'turned_away_at':1000.5}},'time':5000}",
                            "has room"),
                     HOLDS);
}

static void
test_nothing_is_not_good(void **state)
{
    struct judgement j = { .hint = "" };
    json_t *empty = json_object();

    (void)state;
    assert_int_equal(judge_kpropd(empty, "kdc2", &j), LACKING);
    assert_int_equal(judge_kdc(empty, "kdc2", &j), LACKING);
    assert_int_equal(judge_kadmind(empty, "kdc2", &j), UNKNOWN);
    assert_int_equal(judge_loader(empty, "kdc2", false, &j), HOLDS_BUT);
    assert_int_equal(judge_stalled(empty, "kdc2", &j), UNTOLD);
    assert_int_equal(judge_leftovers(empty, "kdc2", &j), UNTOLD);
    json_decref(empty);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_nothing_is_not_good),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
