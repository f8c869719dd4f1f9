/* judge_incremental: what the running kpropd does counts before what kdc.conf says; the way out has
 * the files and the unit of that host in it. */
#include "common/contract/judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* What is said of FACTS, as JSON with ' for ": the hint, or "" where whole databases are taken. */
static const char *
hint_of(const char *facts, struct judgement *j)
{
    char text[1024];
    json_t *object;
    enum verdict verdict;

    memset(j, 0, sizeof(*j));
    snprintf(text, sizeof(text), "%s", facts);
    for (char *p = text; (p = strchr(p, '\'')) != NULL;)
        *p = '"';
    object = json_loads(text, 0, NULL);
    assert_non_null(object);
    verdict = judge_whole(object, "kdc2", "propagate to", j);
    assert_int_equal(verdict == REFUSED, judge_incremental(object));
    assert_true(verdict == REFUSED || (verdict == HOLDS && j->hint[0] == '\0'));
    json_decref(object);
    return j->hint;
}

static void
test_who_is_incremental(void **state)
{
    struct judgement j;

    (void)state;
    assert_string_equal(hint_of("{}", &j), "");
    assert_string_equal(
        hint_of("{'realm':{'iprop':false},'kpropd':{'pid':7,'incremental':null}}", &j), "");
    /* kdc.conf was changed, and kpropd not started since. */
    assert_string_equal(
        hint_of("{'realm':{'iprop':true},'kpropd':{'pid':7,'incremental':false}}", &j), "");
    assert_string_not_equal(
        hint_of("{'realm':{'iprop':false},'kpropd':{'pid':7,'incremental':true}}", &j), "");
    assert_non_null(strstr(j.summary, "its kpropd (pid 7) runs incrementally (iprop)"));
    /* None runs; or an agent that does not tell. */
    assert_string_not_equal(
        hint_of("{'realm':{'iprop':true},'kpropd':{'pid':null,'incremental':null}}", &j), "");
    assert_non_null(strstr(j.summary, "its kdc.conf has iprop_enable"));
    assert_string_not_equal(hint_of("{'realm':{'iprop':true},'kpropd':{'pid':7}}", &j), "");
}

static void
test_the_way_out(void **state)
{
    struct judgement j;

    (void)state;
    assert_non_null(strstr(
        hint_of(
            "{'realm':{'name':'A.TEST','kdc_conf':'/var/kerberos/krb5kdc/kdc.conf','iprop':true},"
            "'kpropd':{'pid':7,'incremental':true,'unit':'kprop.service','supervised':null}}",
            &j),
        "on kdc2, as root: sed -i '/A.TEST *= *{/,/}/s/iprop_enable *=.*/iprop_enable = false/' "
        "/var/kerberos/krb5kdc/kdc.conf /etc/krb5.conf; systemctl restart kprop.service; then, on "
        "the primary: kpropctl setup-slave kdc2 (gives up: "));
    assert_non_null(
        strstr(hint_of("{'realm':{'name':'A.TEST','iprop':false},'kpropd':{'pid':7,'incremental':"
                       "true,'unit':null,'supervised':{'state':'up'}}}",
                       &j),
               "on kdc2, as root: kpropctl-agent stop-kpropd A.TEST; kpropctl-agent start-kpropd "
               "A.TEST; then, on the primary: "));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_is_incremental),
        cmocka_unit_test(test_the_way_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
