/*
 * table - JSON rows as aligned columns for people.
 */
#ifndef KPC_TABLE_H
#define KPC_TABLE_H

#include <jansson.h>
#include <stdio.h>

enum table_format {
    TABLE_TEXT,    /* as it is; null is "-" */
    TABLE_TIME,    /* seconds since the epoch, as local time */
    TABLE_AGE,     /* seconds, as "45 s ago", "12 min ago" */
    TABLE_BYTES,   /* "43 MB"; 0 is "-" */
    TABLE_SECONDS, /* "1.3 s"; 0 is "-" */
};

struct table_column {
    const char *key;
    const char *title;
    enum table_format format;
};

/* Print ROWS (an array of objects) to OUT by COLUMNS (ended by a NULL key), cleaned of control
 * characters. */
void table_print(FILE *out, const json_t *rows, const struct table_column *columns);

#endif
