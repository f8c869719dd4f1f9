/* fuzz_explain - whatever is pasted is explained within bounds, in clean UTF-8, twice the same. */
#include "kpropctl/output/explain_output.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
print_all(const struct match *matches, size_t count)
{
    json_t *object = explain_json(matches, count);
    struct buffer out;

    buffer_init(&out, 1 << 20);
    for (unsigned width = 0; width < 200; width += 97)
        explain_print(matches, count, width, &out);
    if (object == NULL || out.failed)
        abort();
    json_decref(object);
    buffer_free(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct match matches[MATCHES_MAX], again[MATCHES_MAX];
    size_t count = catalogue_match((const char *)data, size, matches);

    if (count > MATCHES_MAX || catalogue_match((const char *)data, size, again) != count)
        abort();
    for (size_t i = 0; i < count; i++) {
        if (matches[i].symptom != again[i].symptom || strlen(matches[i].text) >= MATCH_LINE)
            abort();
        if (i > 0 && matches[i].sign->certainty > matches[i - 1].sign->certainty)
            abort();
    }
    print_all(matches, count);
    return 0;
}
