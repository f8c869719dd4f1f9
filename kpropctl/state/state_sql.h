/* state_sql - what the files of module state share, and nobody else sees. */
#ifndef KPC_STATE_SQL_H
#define KPC_STATE_SQL_H

#include "kpropctl/state/state.h"

#include <limits.h>
#include <sqlite3.h>

struct state {
    sqlite3 *db;
    char path[PATH_MAX];
};

/* Set ERR to SQLite's last error. Returns false. */
bool state_failed(const struct state *state, struct error *err);

/* Prepare SQL and bind ARGS in their order by FORMAT: s text (may be NULL), i int64_t, d double.
 * NULL on failure (the caller then says state_failed). */
sqlite3_stmt *state_prepare(struct state *state, const char *sql, const char *format, ...);

/* Step a statement that returns no rows, and end it. NULL is a failure. */
bool state_finish(struct state *state, sqlite3_stmt *stmt, struct error *err);

/* Copy text column COLUMN into OUT, "" for null. */
void state_column(sqlite3_stmt *stmt, int column, char *out, size_t size);

#endif
