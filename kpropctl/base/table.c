/* table - see table.h. Two passes: widths, then lines. */
#include "kpropctl/base/table.h"

#include "kpropctl/base/clean.h"
#include "kpropctl/base/text.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_COLUMNS = 16, CELL = 512 };

static void
time_text(const json_t *value, char *text, size_t size)
{
    time_t t = (time_t)json_number_value(value);
    struct tm tm;

    if (t == 0 || localtime_r(&t, &tm) == NULL ||
        strftime(text, size, "%Y-%m-%d %H:%M:%S", &tm) == 0)
        snprintf(text, size, "-");
}

static void
cell(const json_t *row, const struct table_column *column, char *text, size_t size)
{
    char age[32];
    const json_t *value = json_object_get(row, column->key);
    double number = json_number_value(value);

    if (value == NULL || json_is_null(value))
        snprintf(text, size, "-");
    else if (column->format == TABLE_TIME)
        time_text(value, text, size);
    else if (column->format == TABLE_AGE)
        snprintf(text, size, "%s ago", age_text(number, age, sizeof(age)));
    else if (column->format == TABLE_BYTES && number > 0)
        bytes_text((uint64_t)number, text, size);
    else if (column->format == TABLE_SECONDS && number > 0)
        snprintf(text, size, "%.2f s", number);
    else if (column->format != TABLE_TEXT)
        snprintf(text, size, "-");
    else if (json_is_string(value))
        output_clean(json_string_value(value), false, text, size);
    else
        snprintf(text, size, "%.0f", number);
}

/* Columns on the screen: bytes that begin a character. */
static size_t
columns_of(const char *text)
{
    size_t n = 0;

    for (; *text != '\0'; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static void
print_cell(FILE *out, const char *text, size_t width, bool last)
{
    size_t n = columns_of(text);

    fprintf(out, "%s%*s", text, last || n >= width ? 0 : (int)(width - n), "");
    fputs(last ? "\n" : "  ", out);
}

void
table_print(FILE *out, const json_t *rows, const struct table_column *columns)
{
    size_t widths[MAX_COLUMNS], count = 0, index;
    char text[CELL];
    json_t *row;

    for (; columns[count].key != NULL && count < MAX_COLUMNS; count++) {
        widths[count] = columns_of(columns[count].title);
        json_array_foreach(rows, index, row)
        {
            cell(row, &columns[count], text, sizeof(text));
            if (columns_of(text) > widths[count])
                widths[count] = columns_of(text);
        }
    }
    for (size_t i = 0; i < count; i++)
        print_cell(out, columns[i].title, widths[i], i + 1 == count);
    json_array_foreach(rows, index, row)
    {
        for (size_t i = 0; i < count; i++) {
            cell(row, &columns[i], text, sizeof(text));
            print_cell(out, text, widths[i], i + 1 == count);
        }
    }
}
