/* html: nothing that comes from elsewhere leaves its place on the page. */
#include "kpropctl/output/html.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *text;
static size_t size;

static FILE *
begin(void)
{
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    return out;
}

static void
test_text(void **state)
{
    FILE *out = begin();

    (void)state;
    html_text(out, "<script>alert(\"x\")</script> & 'y'\x01\x1b[31m \xc3\xa4");
    fclose(out);
    assert_string_equal(text, "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &amp; &#39;y&#39;"
                              "  [31m \xc3\xa4");
    free(text);
}

static json_t *
outcomes(void)
{
    return json_pack("[{s:s, s:f, s:s, s:s, s:i, s:f}, {s:s, s:f, s:s, s:n, s:i, s:f, s:f}]",
                     "host", "a<b", "finished", 2000.0, "result", "failed", "error",
                     "</title><script>", "bytes", 0, "transfer_seconds", 0.0, "host", "a<b",
                     "finished", 1000.0, "result", "verified", "error", "bytes", 100,
                     "transfer_seconds", 0.5, "dump_seconds", 0.1);
}

static void
test_charts(void **state)
{
    json_t *rows = outcomes(), *none = json_array();
    FILE *out = begin();

    (void)state;
    html_timeline(out, rows, "a<b", 500, 3000, 600, 900);
    html_durations(out, rows, "a<b", 500, 3000);
    html_timeline(out, none, "x", 500, 500, 600, 900);
    html_durations(out, none, "x", 500, 500);
    fclose(out);
    assert_null(strstr(text, "<script>"));
    assert_null(strstr(text, "nan"));
    assert_null(strstr(text, "inf"));
    assert_non_null(strstr(text, "class=\"bad\""));
    assert_non_null(strstr(text, "class=\"good\""));
    assert_non_null(strstr(text, "&lt;/title&gt;&lt;script&gt;"));
    assert_non_null(strstr(text, "no transfer in this time"));
    free(text);
    json_decref(rows);
    json_decref(none);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_charts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
