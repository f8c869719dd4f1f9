/*
 * html - text and charts for a page that stands alone: everything is escaped, nothing is fetched.
 */
#ifndef KPC_HTML_H
#define KPC_HTML_H

#include <jansson.h>
#include <stdio.h>

/* TEXT with <, >, &, quotes and control characters made harmless, for content and attributes. */
void html_text(FILE *out, const char *text);

/* SECONDS since the epoch as local time; "never" for 0. */
void html_time(FILE *out, double seconds);

/*
 * One replica's runs over time as an inline SVG: a mark for each OUTCOME (of state_history, the
 * newest first) of HOST between FROM and TO, coloured by its result, and the age of the last
 * verified state as an area behind, against the thresholds.
 */
void html_timeline(FILE *out, const json_t *outcomes, const char *host, double from, double to,
                   int age_warning, int age_critical);

/* The durations of dump, transfer, load and verification of HOST's transfers, as lines. */
void html_durations(FILE *out, const json_t *outcomes, const char *host, double from, double to);

#endif
