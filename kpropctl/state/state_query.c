/* state_query - what is read from the state database. */
#include "kpropctl/state/state.h"
#include "kpropctl/state/state_sql.h"

#include <stdio.h>
#include <string.h>

#define CONTENT_COLUMNS                                                                            \
    "content.generation, content.made, content.principals, content.policies, content.bytes,"       \
    " content.sha256, content.digest, content.nonce, content.identity"

static void
read_content(sqlite3_stmt *stmt, struct state_content *content)
{
    content->generation = sqlite3_column_int64(stmt, 0);
    content->made = sqlite3_column_int64(stmt, 1);
    content->principals = (uint64_t)sqlite3_column_int64(stmt, 2);
    content->policies = (uint64_t)sqlite3_column_int64(stmt, 3);
    content->bytes = (uint64_t)sqlite3_column_int64(stmt, 4);
    state_column(stmt, 5, content->sha256, sizeof(content->sha256));
    state_column(stmt, 6, content->digest, sizeof(content->digest));
    state_column(stmt, 7, content->nonce, sizeof(content->nonce));
    state_column(stmt, 8, content->identity, sizeof(content->identity));
}

/* At most one row of STMT into CONTENT (cleared first). */
static bool
fetch_content(struct state *state, sqlite3_stmt *stmt, struct state_content *content,
              struct error *err)
{
    int step = stmt == NULL ? SQLITE_ERROR : sqlite3_step(stmt);

    memset(content, 0, sizeof(*content));
    if (step == SQLITE_ROW)
        read_content(stmt, content);
    sqlite3_finalize(stmt);
    return step == SQLITE_ROW || step == SQLITE_DONE || state_failed(state, err);
}

bool
state_content_last(struct state *state, const char *realm, struct state_content *content,
                   struct error *err)
{
    return fetch_content(state,
                         state_prepare(state,
                                       "SELECT " CONTENT_COLUMNS " FROM content WHERE realm = ?1"
                                       " ORDER BY generation DESC LIMIT 1",
                                       "s", realm),
                         content, err);
}

bool
state_content_known(struct state *state, const char *realm, const char *digest, const char *nonce)
{
    sqlite3_stmt *stmt = state_prepare(state,
                                       "SELECT 1 FROM content WHERE realm = ?1 AND digest = ?2"
                                       " AND nonce = ?3 UNION ALL SELECT 1 FROM seen"
                                       " WHERE realm = ?1 AND digest = ?2 AND nonce = ?3"
                                       " AND digest <> '' LIMIT 1",
                                       "sss", realm, digest, nonce);
    bool known = stmt != NULL && sqlite3_step(stmt) == SQLITE_ROW;

    sqlite3_finalize(stmt);
    return known;
}

int64_t
state_greatest(struct state *state, const char *realm)
{
    sqlite3_stmt *stmt = state_prepare(state,
                                       "SELECT max((SELECT coalesce(max(generation), 0)"
                                       " FROM content WHERE realm = ?1),"
                                       " (SELECT coalesce(max(generation), 0) FROM seen"
                                       " WHERE realm = ?1))",
                                       "s", realm);
    int64_t greatest =
        stmt != NULL && sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;

    sqlite3_finalize(stmt);
    return greatest;
}

/* The one row that SQL gives of REALM and HOST, to be finalized; NULL if there is none, with *OK
 * cleared on failure. */
static sqlite3_stmt *
fetch_row(struct state *state, const char *sql, const char *realm, const char *host, bool *ok)
{
    sqlite3_stmt *stmt = state_prepare(state, sql, "ss", realm, host);
    int step = stmt == NULL ? SQLITE_ERROR : sqlite3_step(stmt);

    if (step == SQLITE_ROW)
        return stmt;
    sqlite3_finalize(stmt);
    if (step != SQLITE_DONE)
        *ok = false;
    return NULL;
}

/* One number of it, 0 for null or no row. */
static double
fetch_number(struct state *state, const char *sql, const char *realm, const char *host, bool *ok)
{
    sqlite3_stmt *stmt = fetch_row(state, sql, realm, host, ok);
    double value = stmt == NULL ? 0 : sqlite3_column_double(stmt, 0);

    sqlite3_finalize(stmt);
    return value;
}

/* One text of it into OUT, left alone if there is no row. */
static void
fetch_text(struct state *state, const char *sql, const char *realm, const char *host, char *out,
           size_t size, bool *ok)
{
    sqlite3_stmt *stmt = fetch_row(state, sql, realm, host, ok);

    if (stmt != NULL)
        state_column(stmt, 0, out, size);
    sqlite3_finalize(stmt);
}

static void
read_last_transfer(struct state *state, const char *realm, const char *host, struct state_memory *m,
                   bool *ok)
{
    sqlite3_stmt *stmt = fetch_row(state,
                                   "SELECT transfer_seconds, load_seconds, verify_seconds, bytes"
                                   " FROM outcome WHERE realm = ?1 AND host = ?2"
                                   " AND result = 'verified' ORDER BY id DESC LIMIT 1",
                                   realm, host, ok);

    if (stmt != NULL) {
        m->transfer_seconds = sqlite3_column_double(stmt, 0);
        m->load_seconds = sqlite3_column_double(stmt, 1);
        m->verify_seconds = sqlite3_column_double(stmt, 2);
        m->bytes = (uint64_t)sqlite3_column_int64(stmt, 3);
    }
    sqlite3_finalize(stmt);
}

bool
state_memory(struct state *state, const char *realm, const char *host, struct state_memory *m,
             struct error *err)
{
    bool ok = true;

    memset(m, 0, sizeof(*m));
    if (!fetch_content(state,
                       state_prepare(state,
                                     "SELECT " CONTENT_COLUMNS " FROM outcome JOIN content ON"
                                     " content.realm = outcome.realm AND content.generation ="
                                     " outcome.generation WHERE outcome.realm = ?1"
                                     " AND outcome.host = ?2"
                                     " AND outcome.result IN ('verified', 'unchanged')"
                                     " ORDER BY outcome.id DESC LIMIT 1",
                                     "ss", realm, host),
                       &m->content, err))
        return false;
    m->known = fetch_number(state, "SELECT count(*) FROM replica WHERE realm = ?1 AND host = ?2",
                            realm, host, &ok) > 0;
    m->digested_at = (int64_t)fetch_number(state,
                                           "SELECT finished FROM outcome WHERE realm = ?1"
                                           " AND host = ?2 AND digested"
                                           " ORDER BY id DESC LIMIT 1",
                                           realm, host, &ok);
    m->ticketed_at = (int64_t)fetch_number(state,
                                           "SELECT finished FROM outcome WHERE realm = ?1"
                                           " AND host = ?2 AND ticketed"
                                           " ORDER BY id DESC LIMIT 1",
                                           realm, host, &ok);
    m->verified_at = (int64_t)fetch_number(state,
                                           "SELECT finished FROM outcome WHERE realm = ?1"
                                           " AND host = ?2"
                                           " AND result IN ('verified', 'unchanged')"
                                           " ORDER BY id DESC LIMIT 1",
                                           realm, host, &ok);
    fetch_text(state,
               "SELECT result FROM outcome WHERE realm = ?1 AND host = ?2"
               " ORDER BY id DESC LIMIT 1",
               realm, host, m->last_result, sizeof(m->last_result), &ok);
    read_last_transfer(state, realm, host, m, &ok);
    fetch_text(state,
               "SELECT identity FROM outcome WHERE realm = ?1 AND host = ?2"
               " AND result IN ('verified', 'unchanged') ORDER BY id DESC LIMIT 1",
               realm, host, m->identity, sizeof(m->identity), &ok);
    m->behind = (int64_t)fetch_number(state,
                                      "SELECT count(*) FROM content WHERE realm = ?1"
                                      " AND generation > coalesce((SELECT generation FROM outcome"
                                      " WHERE realm = ?1 AND host = ?2"
                                      " AND result IN ('verified', 'unchanged')"
                                      " ORDER BY id DESC LIMIT 1), 0)",
                                      realm, host, &ok);
    m->slowest_rate = fetch_number(state,
                                   "SELECT min(bytes / transfer_seconds) FROM (SELECT bytes,"
                                   " transfer_seconds FROM outcome WHERE realm = ?1 AND host = ?2"
                                   " AND bytes > 0 AND transfer_seconds > 0 AND result = 'verified'"
                                   " ORDER BY id DESC LIMIT 20)",
                                   realm, host, &ok);
    return ok || state_failed(state, err);
}

bool
state_all_hold(struct state *state, const char *realm, int64_t since, int64_t *at, char *host,
               size_t size, struct error *err)
{
    sqlite3_stmt *stmt =
        state_prepare(state,
                      "SELECT host, (SELECT min(finished) FROM outcome WHERE"
                      " outcome.realm = replica.realm AND outcome.host = replica.host"
                      " AND result IN ('verified', 'unchanged') AND started > ?2 + 1) FROM replica"
                      " WHERE realm = ?1 ORDER BY host",
                      "si", realm, since);
    int step = SQLITE_ERROR;

    *at = since;
    host[0] = '\0';
    while (stmt != NULL && (step = sqlite3_step(stmt)) == SQLITE_ROW) {
        int64_t first = sqlite3_column_int64(stmt, 1); /* 0 for null */

        if (first == 0) {
            *at = 0;
            state_column(stmt, 0, host, size);
            step = SQLITE_DONE;
            break;
        }
        if (first > *at)
            *at = first;
    }
    sqlite3_finalize(stmt);
    return step == SQLITE_DONE || state_failed(state, err);
}

static json_t *
column_json(sqlite3_stmt *stmt, int column)
{
    switch (sqlite3_column_type(stmt, column)) {
    case SQLITE_INTEGER:
        return json_integer(sqlite3_column_int64(stmt, column));
    case SQLITE_FLOAT:
        return json_real(sqlite3_column_double(stmt, column));
    case SQLITE_TEXT:
        return json_string((const char *)sqlite3_column_text(stmt, column));
    default:
        return json_null();
    }
}

/* All rows of STMT as an array of objects with the columns' names as keys. */
static json_t *
fetch_rows(struct state *state, sqlite3_stmt *stmt, struct error *err)
{
    json_t *rows = json_array();
    int step = SQLITE_ERROR;

    while (stmt != NULL && (step = sqlite3_step(stmt)) == SQLITE_ROW) {
        json_t *row = json_object();

        for (int i = 0; i < sqlite3_column_count(stmt); i++) {
            json_t *value = column_json(stmt, i);

            json_object_set_new(row, sqlite3_column_name(stmt, i),
                                value != NULL ? value : json_null());
        }
        json_array_append_new(rows, row);
    }
    sqlite3_finalize(stmt);
    if (step == SQLITE_DONE)
        return rows;
    state_failed(state, err);
    json_decref(rows);
    return NULL;
}

json_t *
state_replicas(struct state *state, const char *realm, struct error *err)
{
    return fetch_rows(
        state,
        state_prepare(
            state,
            "SELECT replica.host AS host, replica.added AS added, good.generation AS generation,"
            " good.finished AS verified_at, last.result AS result, last.finished AS finished,"
            " last.error AS error, last.transfer_seconds AS transfer_seconds FROM replica"
            " LEFT JOIN outcome AS last ON last.id = (SELECT max(id) FROM outcome AS o"
            "  WHERE o.realm = replica.realm AND o.host = replica.host)"
            " LEFT JOIN outcome AS good ON good.id = (SELECT max(id) FROM outcome AS o"
            "  WHERE o.realm = replica.realm AND o.host = replica.host"
            "  AND o.result IN ('verified', 'unchanged'))"
            " WHERE replica.realm = ?1 ORDER BY replica.host",
            "s", realm),
        err);
}

json_t *
state_history(struct state *state, const char *realm, const char *host, int limit,
              struct error *err)
{
    return fetch_rows(
        state,
        state_prepare(
            state,
            "SELECT outcome.run AS run, run.reason AS reason, outcome.host AS host,"
            " outcome.started AS started, outcome.finished AS finished,"
            " outcome.generation AS generation, outcome.result AS result, outcome.error AS error,"
            " content.principals AS principals, content.policies AS policies,"
            " outcome.bytes AS bytes, content.digest AS digest, run.dump_seconds AS dump_seconds,"
            " outcome.transfer_seconds AS transfer_seconds, outcome.load_seconds AS load_seconds,"
            " outcome.verify_seconds AS verify_seconds"
            " FROM outcome LEFT JOIN run ON run.id = outcome.run LEFT JOIN content ON"
            " content.realm = outcome.realm AND content.generation = outcome.generation"
            " WHERE outcome.realm = ?1 AND (?2 IS NULL OR outcome.host = ?2)"
            " ORDER BY outcome.id DESC LIMIT ?3",
            "ssi", realm, host, (int64_t)limit),
        err);
}
