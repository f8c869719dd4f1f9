/* html - see html.h. Charts are 600 by 120 units, and as wide as the page gives them. */
#include "kpropctl/output/html.h"

#include "kpropctl/base/text.h"

#include <stdbool.h>
#include <string.h>
#include <time.h>

enum { WIDTH = 600, HEIGHT = 120, LEFT = 46, BOTTOM = 20, TOP = 8, SERIES = 4 };

void
html_text(FILE *out, const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
        switch (*p) {
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '&':
            fputs("&amp;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        case '\'':
            fputs("&#39;", out);
            break;
        default:
            fputc(*p < 0x20 || *p == 0x7f ? ' ' : *p, out);
        }
    }
}

void
html_time(FILE *out, double seconds)
{
    time_t t = (time_t)seconds;
    char text[64];
    struct tm tm;

    if (t == 0 || localtime_r(&t, &tm) == NULL ||
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm) == 0)
        fputs("never", out);
    else
        fputs(text, out);
}

static const char *
member(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text == NULL ? "" : text;
}

static double
number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static bool
is_of(const json_t *outcome, const char *host)
{
    return strcmp(member(outcome, "host"), host) == 0;
}

static bool
is_good(const json_t *outcome)
{
    return strcmp(member(outcome, "result"), "verified") == 0 ||
           strcmp(member(outcome, "result"), "unchanged") == 0;
}

struct chart {
    FILE *out;
    double from, to; /* seconds since the epoch */
    double top;      /* the value at the upper edge */
};

static double
x_of(const struct chart *c, double t)
{
    double part = c->to > c->from ? (t - c->from) / (c->to - c->from) : 0;

    return LEFT + (part < 0 ? 0 : part > 1 ? 1 : part) * (WIDTH - LEFT - 6);
}

static double
y_of(const struct chart *c, double value)
{
    double part = c->top > 0 ? value / c->top : 0;

    return HEIGHT - BOTTOM - (part > 1 ? 1 : part) * (HEIGHT - BOTTOM - TOP);
}

static void
begin_chart(const struct chart *c, const char *label)
{
    char text[32];
    time_t from = (time_t)c->from, to = (time_t)c->to;
    struct tm tm;

    fprintf(c->out, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH, HEIGHT);
    html_text(c->out, label);
    fprintf(c->out, "\"><line class=\"axis\" x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/>", LEFT,
            HEIGHT - BOTTOM, WIDTH - 6, HEIGHT - BOTTOM);
    localtime_r(&from, &tm);
    strftime(text, sizeof(text), "%m-%d %H:%M", &tm);
    fprintf(c->out, "<text x=\"%d\" y=\"%d\">%s</text>", LEFT, HEIGHT - 6, text);
    localtime_r(&to, &tm);
    strftime(text, sizeof(text), "%m-%d %H:%M", &tm);
    fprintf(c->out, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>", WIDTH - 6, HEIGHT - 6,
            text);
}

/* A level line with its value at the left. */
static void
level_line(const struct chart *c, double value, const char *text, const char *class)
{
    if (value > c->top)
        return;
    fprintf(c->out,
            "<line class=\"%s\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>"
            "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>",
            class, LEFT, y_of(c, value), WIDTH - 6, y_of(c, value), LEFT - 4, y_of(c, value) + 4,
            text);
}

/* The oldest first: outcomes come the newest first. */
static const json_t *
nth(const json_t *outcomes, size_t i)
{
    return json_array_get(outcomes, json_array_size(outcomes) - 1 - i);
}

/* The greatest age that is reached between FROM and TO. */
static double
greatest_age(const json_t *outcomes, const char *host, double from, double to)
{
    double last = 0, greatest = 0;

    for (size_t i = 0; i < json_array_size(outcomes); i++) {
        const json_t *o = nth(outcomes, i);
        double t = number(o, "finished");

        if (!is_of(o, host) || !is_good(o))
            continue;
        if (last > 0 && t >= from && t - last > greatest)
            greatest = t - last;
        last = t;
    }
    return last > 0 && to - last > greatest ? to - last : greatest;
}

/* The age of the last verified state: it grows, and falls to zero with each good run. */
static void
age_area(const struct chart *c, const json_t *outcomes, const char *host)
{
    double last = 0;

    fprintf(c->out, "<path class=\"age\" d=\"M%.1f %.1f", x_of(c, c->from), y_of(c, 0));
    for (size_t i = 0; i < json_array_size(outcomes); i++) {
        const json_t *o = nth(outcomes, i);
        double t = number(o, "finished");

        if (!is_of(o, host) || !is_good(o))
            continue;
        if (last > 0 && t >= c->from)
            fprintf(c->out, "L%.1f %.1f", x_of(c, t), y_of(c, t - last));
        last = t;
        if (t >= c->from)
            fprintf(c->out, "L%.1f %.1f", x_of(c, t), y_of(c, 0));
    }
    if (last > 0)
        fprintf(c->out, "L%.1f %.1f", x_of(c, c->to), y_of(c, c->to - last));
    fprintf(c->out, "L%.1f %.1fZ\"/>", x_of(c, c->to), y_of(c, 0));
}

static void
marks(const struct chart *c, const json_t *outcomes, const char *host)
{
    for (size_t i = 0; i < json_array_size(outcomes); i++) {
        const json_t *o = nth(outcomes, i);
        double t = number(o, "finished");

        if (!is_of(o, host) || t < c->from)
            continue;
        fprintf(c->out, "<rect class=\"%s\" x=\"%.1f\" y=\"%d\" width=\"3\" height=\"8\"><title>",
                is_good(o)                                 ? "good"
                : strcmp(member(o, "result"), "sent") == 0 ? "warn"
                                                           : "bad",
                x_of(c, t) - 1.5, HEIGHT - BOTTOM - 8);
        html_time(c->out, t);
        fputs(": ", c->out);
        html_text(c->out, member(o, "result"));
        if (member(o, "error")[0] != '\0') {
            fputs(": ", c->out);
            html_text(c->out, member(o, "error"));
        }
        fputs("</title></rect>", c->out);
    }
}

void
html_timeline(FILE *out, const json_t *outcomes, const char *host, double from, double to,
              int age_warning, int age_critical)
{
    struct chart c = { out, from, to, greatest_age(outcomes, host, from, to) };
    char text[32];

    c.top = c.top < 60 ? 60 : c.top * 1.1;
    begin_chart(&c, "age of the last verified state, and the runs");
    age_area(&c, outcomes, host);
    level_line(&c, c.top, age_text(c.top, text, sizeof(text)), "grid");
    level_line(&c, age_warning, age_text(age_warning, text, sizeof(text)), "warnline");
    level_line(&c, age_critical, age_text(age_critical, text, sizeof(text)), "badline");
    marks(&c, outcomes, host);
    fputs("</svg>\n", out);
}

static const struct {
    const char *key, *name;
} series[SERIES] = {
    { "dump_seconds", "dump" },
    { "transfer_seconds", "transfer, with the load" },
    { "load_seconds", "load" },
    { "verify_seconds", "verification" },
};

static void
draw_series(const struct chart *c, const json_t *outcomes, const char *host, size_t which)
{
    bool first = true;

    for (size_t i = 0; i < json_array_size(outcomes); i++) {
        const json_t *o = nth(outcomes, i);
        double t = number(o, "finished");

        if (!is_of(o, host) || t < c->from || number(o, "bytes") <= 0)
            continue;
        fprintf(c->out, "%s%.1f %.1f", first ? "" : "L", x_of(c, t),
                y_of(c, number(o, series[which].key)));
        first = false;
    }
}

void
html_durations(FILE *out, const json_t *outcomes, const char *host, double from, double to)
{
    struct chart c = { out, from, to, 0 };
    size_t count = 0;
    char text[32];

    for (size_t i = 0; i < json_array_size(outcomes); i++) {
        const json_t *o = nth(outcomes, i);

        if (!is_of(o, host) || number(o, "finished") < from || number(o, "bytes") <= 0)
            continue;
        count++;
        for (size_t s = 0; s < SERIES; s++) {
            if (number(o, series[s].key) > c.top)
                c.top = number(o, series[s].key);
        }
    }
    if (count == 0) {
        fputs("<p class=\"quiet\">no transfer in this time</p>\n", out);
        return;
    }
    c.top = c.top <= 0 ? 1 : c.top * 1.1;
    begin_chart(&c, "durations of the transfers");
    snprintf(text, sizeof(text), "%.2f s", c.top);
    level_line(&c, c.top, text, "grid");
    for (size_t s = 0; s < SERIES; s++) {
        fprintf(out, "<path class=\"s%zu\" d=\"M", s);
        draw_series(&c, outcomes, host, s);
        fprintf(out, "\"><title>%s</title></path>", series[s].name);
    }
    fputs("</svg>\n<p class=\"legend\">", out);
    for (size_t s = 0; s < SERIES; s++)
        fprintf(out, "<span class=\"k%zu\">%s</span> ", s, series[s].name);
    fputs("</p>\n", out);
}
