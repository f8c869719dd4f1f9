/* text - see text.h. */
#include "kpropctl/base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

const char *
bytes_text(uint64_t bytes, char *text, size_t size)
{
    static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
    double value = (double)bytes;
    size_t unit = 0;

    while (value >= 1000 && unit < 4) {
        value /= 1000;
        unit++;
    }
    snprintf(text, size, unit == 0 || value >= 10 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return text;
}

const char *
age_text(double seconds, char *text, size_t size)
{
    if (seconds < 0)
        seconds = 0;
    if (seconds < 120)
        snprintf(text, size, "%.0f s", seconds);
    else if (seconds < 7200)
        snprintf(text, size, "%.0f min", seconds / 60);
    else if (seconds < 2 * 86400)
        snprintf(text, size, "%.0f h", seconds / 3600);
    else
        snprintf(text, size, "%.0f d", seconds / 86400);
    return text;
}

const char *
date_text(int64_t at, char *text, size_t size)
{
    time_t seconds = (time_t)at;
    struct tm tm;

    /* No year has so many digits: it is what another host says. */
    if (localtime_r(&seconds, &tm) == NULL || strftime(text, size, "%Y-%m-%d %H:%M:%S", &tm) == 0)
        snprintf(text, size, "at no time");
    return text;
}

int
version_order(const char *a, const char *b)
{
    for (;;) {
        char *a_end, *b_end;
        unsigned long one = strtoul(a, &a_end, 10), other = strtoul(b, &b_end, 10);

        if (one != other)
            return one < other ? -1 : 1;
        if (*a_end != '.' && *b_end != '.')
            return 0;
        a = a_end + (*a_end == '.');
        b = b_end + (*b_end == '.');
    }
}
