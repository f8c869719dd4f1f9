/*
 * between - a number within bounds. cmocka's own assert_in_range is deprecated since cmocka 2, and
 * what takes its place is not in cmocka 1. Included after cmocka.h.
 */
#ifndef KPC_TESTS_BETWEEN_H
#define KPC_TESTS_BETWEEN_H

#include <cmocka.h>
#include <inttypes.h>

/* LOW <= VALUE <= HIGH; a failure shows the three. */
#define assert_between(value, low, high)                                                           \
    between(#value, (intmax_t)(value), (intmax_t)(low), (intmax_t)(high), __FILE__, __LINE__)

static inline void
between(const char *what, intmax_t value, intmax_t low, intmax_t high, const char *file, int line)
{
    if (value >= low && value <= high)
        return;
    print_error("%s is %jd, not in %jd to %jd\n", what, value, low, high);
    _fail(file, line);
}

#endif
