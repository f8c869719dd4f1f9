/* What facts say of a replica's services, where systemd does not run them. */
#include "common/contract/judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static enum verdict
judge(enum verdict (*row)(const json_t *, const char *, struct judgement *), const char *text,
      struct judgement *j)
{
    json_t *facts = json_loads(text, 0, NULL);
    enum verdict verdict;

    assert_non_null(facts);
    memset(j, 0, sizeof(*j));
    verdict = row(facts, "kdc2", j);
    json_decref(facts);
    return verdict;
}

#define SCRIPT                                                                                     \
    "\"init_script\":{\"path\":\"/etc/init.d/k\",\"start\":\"/etc/init.d/k start\","               \
    "\"stop\":\"/etc/init.d/k stop\",\"enable\":\"update-rc.d k defaults\","                       \
    "\"disable\":\"update-rc.d k disable\"}"

/* Nobody but a person starts it: impossible, not lacking. */
static void
test_script(void **state)
{
    struct judgement j;

    (void)state;
    assert_int_equal(judge(judge_kdc, "{\"kdc\":{\"pid\":null,\"enabled\":false," SCRIPT "}}", &j),
                     IMPOSSIBLE);
    assert_string_equal(
        j.hint, "kdc2 has no systemd; there: /etc/init.d/k start; and update-rc.d k defaults");
    assert_int_equal(judge(judge_kdc,
                           "{\"kdc\":{\"pid\":7,\"udp\":true,\"tcp\":true,\"listening\":true,"
                           "\"enabled\":false," SCRIPT "}}",
                           &j),
                     IMPOSSIBLE);
    assert_string_equal(j.hint, "on kdc2: update-rc.d k defaults");
    assert_int_equal(judge(judge_kdc,
                           "{\"kdc\":{\"pid\":7,\"udp\":true,\"tcp\":true,\"listening\":true,"
                           "\"enabled\":true," SCRIPT "}}",
                           &j),
                     HOLDS);
}

#define WATCHED(more) "{\"kpropd\":{\"pid\":7,\"loader\":true,\"supervised\":{" more "}}}"

static void
test_watched(void **state)
{
    struct judgement j;

    (void)state;
    assert_int_equal(judge(judge_kpropd, WATCHED("\"state\":\"up\",\"pid\":7,\"wanted\":true"), &j),
                     HOLDS);
    assert_int_equal(judge(judge_kpropd,
                           WATCHED("\"state\":\"waiting\",\"wanted\":true,\"failures\":3,"
                                   "\"last_failure\":{\"text\":\"it fell\",\"hint\":\"lift it\"}"),
                           &j),
                     LACKING);
    assert_string_equal(j.summary, "kpropd on kdc2 has failed 3 times in a row: it fell");
    assert_string_equal(j.hint, "lift it");
    assert_int_equal(judge(judge_kpropd,
                           WATCHED("\"state\":\"up\",\"pid\":7,\"wanted\":true,\"failures\":3,"
                                   "\"restarts\":3,\"last_failure\":{\"text\":\"it fell\"}"),
                           &j),
                     HOLDS_BUT);
    assert_int_equal(judge(judge_kpropd, WATCHED("\"state\":\"down\",\"wanted\":false"), &j),
                     LACKING);
    assert_int_equal(judge(judge_kpropd, WATCHED("\"state\":null,\"hint\":\"start it\""), &j),
                     IMPOSSIBLE);
    assert_string_equal(j.hint, "start it");
}

/* What would start a second one at boot is told. */
static void
test_two(void **state)
{
    struct judgement j;

    (void)state;
    assert_int_equal(judge(judge_kpropd,
                           "{\"kpropd\":{\"pid\":7,\"enabled\":true," SCRIPT
                           ",\"supervised\":{\"state\":\"up\",\"pid\":7,\"wanted\":true}}}",
                           &j),
                     HOLDS_BUT);
    assert_string_equal(j.hint, "on kdc2: update-rc.d k disable");
}

static enum verdict
judge_own_loader(const json_t *facts, const char *host, struct judgement *j)
{
    return judge_loader(facts, host, false, j);
}

static void
test_loader(void **state)
{
    struct judgement j;

    (void)state;
    assert_int_equal(judge(judge_own_loader, WATCHED("\"state\":\"up\""), &j), HOLDS);
    assert_int_equal(judge(judge_own_loader, "{\"kpropd\":{\"pid\":7,\"loader\":true}}", &j),
                     HOLDS);
    assert_int_equal(
        judge(judge_own_loader, "{\"kpropd\":{\"pid\":7,\"loader\":false," SCRIPT "}}", &j),
        HOLDS_BUT);
    assert_non_null(strstr(j.hint, "supervise = yes"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_script),
        cmocka_unit_test(test_watched),
        cmocka_unit_test(test_two),
        cmocka_unit_test(test_loader),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
