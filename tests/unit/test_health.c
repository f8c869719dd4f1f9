/* health, output_check, output_prometheus: what a health check tells monitoring, for hosts that
 * were never there. */
#include "kpropctl/krb5/discovery.h"
#include "kpropctl/output/health.h"
#include "kpropctl/output/output.h"

#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct row {
    size_t host;
    const char *id;
    enum level level;
    const char *summary, *hint;
};

/* What BACKEND makes of COUNT ROWS of HOSTS, the first of which is the primary; malloced. */
static char *
render(const struct output_backend *backend, const char *realm, char *const *hosts, size_t count,
       const struct row *rows, size_t n, enum health *health)
{
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    struct output *output = output_new(backend, stream, realm, hosts, count);

    for (size_t i = 0; i < n; i++) {
        struct step step = { .id = rows[i].id, .level = rows[i].level };

        step_summary(&step, "%s", rows[i].summary);
        step_hint(&step, "%s", rows[i].hint);
        backend->step(output, rows[i].host, &step);
    }
    for (size_t i = 0; i < count; i++) {
        struct host_result result = { .primary = i == 0,
                                      .verified_at = (int64_t)time(NULL) - 100,
                                      .behind = 2,
                                      .generation = 7,
                                      .principals = 310,
                                      .policies = 5,
                                      .bytes = 142083,
                                      .seconds = 0.25,
                                      .age_warning = 3600,
                                      .age_critical = 7200 };

        backend->end(output, i, &result);
    }
    if (health != NULL)
        *health = health_of_all(output);
    output_finish(output);
    fclose(stream);
    return text;
}

static bool
matches(const char *text, const char *pattern)
{
    regex_t regex;
    bool found;

    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB | REG_NEWLINE), 0);
    found = regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    if (!found)
        print_error("no %s in:\n%s\n", pattern, text);
    return found;
}

static char *const two[] = { (char[]){ "kdc1.lab.test" }, (char[]){ "kdc2.lab.test" } };

static const struct row nasty[] = {
    { 0, "schedule", LEVEL_WARNING, "nothing | propagates\nby itself", "a | hint" },
    { 1, "name", LEVEL_OK, "fine", "" },
    { 1, "kdc", LEVEL_FAILED, "down\r\n'| x'=1;2;3 \x1b[31m", "start | it\n" },
    { 1, "age", LEVEL_UNKNOWN, "not told", "" },
    { 1, "acl", LEVEL_SKIPPED, "skipped", "" },
};

static void
test_states_are_ranked(void **state)
{
    (void)state;
    assert_int_equal(health_worse(HEALTH_OK, HEALTH_WARNING), HEALTH_WARNING);
    assert_int_equal(health_worse(HEALTH_UNKNOWN, HEALTH_WARNING), HEALTH_UNKNOWN);
    assert_int_equal(health_worse(HEALTH_UNKNOWN, HEALTH_CRITICAL), HEALTH_CRITICAL);
    assert_int_equal(health_worse(HEALTH_CRITICAL, HEALTH_UNKNOWN), HEALTH_CRITICAL);
}

static void
test_each_level_has_its_state(void **state)
{
    static const struct {
        enum level level;
        enum health health;
    } cases[] = {
        { LEVEL_OK, HEALTH_OK },
        { LEVEL_WARNING, HEALTH_WARNING },
        { LEVEL_FAILED, HEALTH_CRITICAL },
        { LEVEL_REFUSED, HEALTH_CRITICAL },
        { LEVEL_UNKNOWN, HEALTH_UNKNOWN },
        /* Nothing but skipped rows tells nothing: never good. */
        { LEVEL_SKIPPED, HEALTH_UNKNOWN },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct row row = { 0, "kdc", cases[i].level, "x", "" };
        enum health health;

        free(render(&output_check_text, "R", two, 1, &row, 1, &health));
        assert_int_equal(health, cases[i].health);
    }
}

static void
test_a_host_without_rows_is_unknown(void **state)
{
    enum health health;

    (void)state;
    free(render(&output_nagios, "R", two, 1, NULL, 0, &health));
    assert_int_equal(health, HEALTH_UNKNOWN);
}

static void
test_people_see_the_worst_first(void **state)
{
    char *text = render(&output_check_text, "R", two, 2, nasty, 5, NULL), *kdc, *age, *name;

    (void)state;
    assert_true(strncmp(text, "kdc2.lab.test: CRITICAL\n", 24) == 0);
    kdc = strstr(text, "CRITICAL kdc ");
    age = strstr(text, "UNKNOWN  age ");
    name = strstr(text, "OK       name ");
    assert_true(kdc != NULL && age != NULL && name != NULL && kdc < age && age < name);
    assert_true(name < strstr(text, "kdc1.lab.test: WARNING\n"));
    assert_null(strchr(text, '\x1b'));
    free(text);
}

static void
test_nagios_has_one_bar_and_its_grammar(void **state)
{
    enum health health;
    char *text = render(&output_nagios, "R", two, 2, nasty, 5, &health);
    char *end = strchr(text, '\n'), *bar = strchr(text, '|');

    (void)state;
    assert_int_equal(health, HEALTH_CRITICAL);
    assert_true(matches(text, "^KPROPCTL CRITICAL - 2 of 2 hosts not good: kdc2.lab.test: down"));
    assert_true(bar != NULL && bar < end && strchr(bar + 1, '|') == NULL);
    *end = '\0';
    assert_true(matches(bar, "^\\|( '[^'=]+'=[0-9.]+(s|B|%)?(;[0-9.]*){0,4})+$"));
    assert_true(matches(bar, " 'kdc2\\.lab\\.test_age'=1[0-9][0-9]s;3600;7200;0 "));
    assert_true(matches(end + 1, "^kdc2.lab.test: CRITICAL: kdc: down"));
    assert_true(matches(end + 1, "^kdc1.lab.test: WARNING: schedule: nothing / propagates.by"));
    for (const char *p = end + 1; *p != '\0'; p++)
        assert_true(*p == '\n' || (unsigned char)*p >= 0x20);
    free(text);
}

static void
test_nagios_quotes_labels(void **state)
{
    char *const odd[] = { (char[]){ "primary" }, (char[]){ "it's=a|b\n" } };
    const struct row row = { 1, "kdc", LEVEL_OK, "x", "" };
    char *text = render(&output_nagios, "R|\n", odd, 2, &row, 1, NULL);

    (void)state;
    assert_non_null(strstr(text, " 'it''s_a_b__behind'=2;;;0"));
    assert_ptr_equal(strchr(text, '|'), strrchr(text, '|'));
    free(text);
}

static void
test_prometheus_escapes(void **state)
{
    char *const odd[] = { (char[]){ "primary" }, (char[]){ "a\"b\\c\nd" } };
    char *text = render(&output_prometheus, "R\"", odd, 2, nasty, 5, NULL), *next;

    (void)state;
    assert_non_null(strstr(
        text, "kpropctl_check_status{realm=\"R\\\"\",host=\"a\\\"b\\\\c\\nd\",check=\"kdc\"} 2\n"));
    assert_null(strstr(text, "check=\"acl\""));
    assert_null(strstr(text, "kpropctl_generation{realm=\"R\\\"\",host=\"primary\""));
    for (char *line = text; *line != '\0'; line = next) {
        next = strchr(line, '\n');
        assert_non_null(next);
        *next++ = '\0';
        assert_true(matches(line, "^(# (HELP|TYPE) kpropctl_[a-z_]+ .+|"
                                  "kpropctl_[a-z_]+\\{.*\\} [0-9.e+-]+)$"));
    }
    free(text);
}

/* HELP and TYPE come once, before the samples of their name, which stand together. */
static void
test_prometheus_keeps_families_together(void **state)
{
    char *text = render(&output_prometheus, "R", two, 2, nasty, 5, NULL);
    char *seen[64], *line, *save = NULL;
    size_t count = 0;

    (void)state;
    for (line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
        char name[128];

        if (sscanf(line, "# HELP %127s", name) == 1) {
            for (size_t i = 0; i < count; i++)
                assert_string_not_equal(seen[i], name);
            seen[count++] = strdup(name);
        } else if (line[0] != '#') {
            size_t len = strcspn(line, "{");

            assert_true(count > 0 && strlen(seen[count - 1]) == len &&
                        strncmp(line, seen[count - 1], len) == 0);
        }
    }
    assert_true(count >= 8);
    while (count > 0)
        free(seen[--count]);
    free(text);
}

static void
test_json_takes_any_text(void **state)
{
    const struct row row = { 1, "kdc", LEVEL_FAILED, "bad \xff\xfe \"text\"\n", "</script>" };
    char *text = render(&output_check_json, "R", two, 2, &row, 1, NULL);
    json_t *all = json_loads(text, 0, NULL), *host;

    (void)state;
    assert_non_null(all);
    assert_string_equal(json_string_value(json_object_get(all, "status")), "CRITICAL");
    host = json_array_get(json_object_get(all, "hosts"), 1);
    assert_int_equal(json_integer_value(json_object_get(host, "behind")), 2);
    assert_true(json_is_false(json_object_get(host, "primary")));
    json_decref(all);
    free(text);
}

static void
test_uri_records(void **state)
{
    static const struct {
        const char *target;
        bool named;
    } cases[] = {
        { "krb5srv:m:udp:kdc2.lab.test", true },
        { "krb5srv::tcp:kdc2.lab.test:88", true },
        { "KRB5SRV:m:TCP:KDC2.lab.test.:88", true },
        { "krb5srv:m:udp:10.75.4.12:88", true },
        { "krb5srv:m:udp:[2001:db8::1]:88", false },
        { "krb5srv:m:kkdcp:https://kdc2.lab.test/", false },
        { "krb5srv:m:udp:kdc2.lab.test.evil.org", false },
        { "krb5srv:m:udp:", false },
        { "krb5srv:", false },
        { "http://kdc2.lab.test", false },
        { "", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_int_equal(discovery_uri_names(cases[i].target, strlen(cases[i].target),
                                             "kdc2.lab.test", "10.75.4.12"),
                         cases[i].named);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_states_are_ranked),
        cmocka_unit_test(test_each_level_has_its_state),
        cmocka_unit_test(test_a_host_without_rows_is_unknown),
        cmocka_unit_test(test_people_see_the_worst_first),
        cmocka_unit_test(test_nagios_has_one_bar_and_its_grammar),
        cmocka_unit_test(test_nagios_quotes_labels),
        cmocka_unit_test(test_prometheus_escapes),
        cmocka_unit_test(test_prometheus_keeps_families_together),
        cmocka_unit_test(test_json_takes_any_text),
        cmocka_unit_test(test_uri_records),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
