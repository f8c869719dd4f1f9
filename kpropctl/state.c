/* state - see state.h. */
#include "kpropctl/state.h"

#include "common/files.h"

#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SCHEMA_VERSION = 1, BUSY_MS = 5000 };

struct state {
    sqlite3 *db;
    char path[PATH_MAX];
};

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS replica (realm TEXT NOT NULL, host TEXT NOT NULL,"
    " added INTEGER NOT NULL, PRIMARY KEY (realm, host));"
    "CREATE TABLE IF NOT EXISTS run (id INTEGER PRIMARY KEY, realm TEXT NOT NULL,"
    " reason TEXT NOT NULL, generation INTEGER NOT NULL, dumped INTEGER NOT NULL,"
    " principals INTEGER, policies INTEGER, bytes INTEGER, sha256 TEXT, digest TEXT, nonce TEXT,"
    " dump_seconds REAL);"
    "CREATE TABLE IF NOT EXISTS outcome (id INTEGER PRIMARY KEY,"
    " run INTEGER NOT NULL REFERENCES run (id), realm TEXT NOT NULL, host TEXT NOT NULL,"
    " finished INTEGER NOT NULL, generation INTEGER NOT NULL, result TEXT NOT NULL, error TEXT,"
    " transfer_seconds REAL, load_seconds REAL, verify_seconds REAL);"
    "CREATE INDEX IF NOT EXISTS outcome_host ON outcome (realm, host, id);";

static bool
failed(const struct state *state, struct error *err)
{
    error_set(err, ERROR_INTERNAL, "cannot use the state database %s: %s", state->path,
              state->db == NULL ? "out of memory" : sqlite3_errmsg(state->db));
    return error_hint(err, "if it is damaged, move it away: kpropctl makes a new one, and only "
                           "the history is lost");
}

static bool
execute(struct state *state, const char *sql, struct error *err)
{
    return sqlite3_exec(state->db, sql, NULL, NULL, NULL) == SQLITE_OK || failed(state, err);
}

static sqlite3_stmt *
prepare(struct state *state, const char *sql)
{
    sqlite3_stmt *stmt = NULL;

    return sqlite3_prepare_v2(state->db, sql, -1, &stmt, NULL) == SQLITE_OK ? stmt : NULL;
}

static bool
create_schema(struct state *state, struct error *err)
{
    sqlite3_stmt *stmt = prepare(state, "PRAGMA user_version");
    int version = -1;
    char set[64];

    if (stmt != NULL && sqlite3_step(stmt) == SQLITE_ROW)
        version = sqlite3_column_int(stmt, 0);
    sqlite3_finalize(stmt);
    if (version < 0)
        return failed(state, err);
    if (version > SCHEMA_VERSION) {
        error_set(err, ERROR_INTERNAL,
                  "cannot use the state database %s: it is of version %d, "
                  "newer than this kpropctl",
                  state->path, version);
        return error_hint(err, "upgrade kpropctl, or move the file away");
    }
    if (version == SCHEMA_VERSION)
        return true;
    snprintf(set, sizeof(set), "PRAGMA user_version = %d", SCHEMA_VERSION);
    if (!execute(state, "BEGIN IMMEDIATE", err))
        return false;
    if (execute(state, schema, err) && execute(state, set, err) && execute(state, "COMMIT", err))
        return true;
    sqlite3_exec(state->db, "ROLLBACK", NULL, NULL, NULL);
    return false;
}

struct state *
state_open(const char *dir, bool read_only, struct error *err)
{
    int flags = read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    struct state *state = calloc(1, sizeof(*state));

    if (state == NULL) {
        error_memory(err);
        return NULL;
    }
    snprintf(state->path, sizeof(state->path), "%s/state.db", dir);
    if (!read_only && !file_make_folder(dir, 0750, err))
        goto failed;
    if (sqlite3_open_v2(state->path, &state->db, flags, NULL) != SQLITE_OK) {
        failed(state, err);
        goto failed;
    }
    sqlite3_busy_timeout(state->db, BUSY_MS);
    if (read_only)
        return state;
    if (!create_schema(state, err))
        goto failed;
    chmod(state->path, 0640);
    return state;

failed:
    state_close(state);
    return NULL;
}

void
state_close(struct state *state)
{
    if (state == NULL)
        return;
    sqlite3_close(state->db);
    free(state);
}

static void
bind_text(sqlite3_stmt *stmt, int index, const char *text)
{
    if (text == NULL)
        sqlite3_bind_null(stmt, index);
    else
        sqlite3_bind_text(stmt, index, text, -1, SQLITE_STATIC);
}

/* Step a statement that returns no rows, and end it. */
static bool
finish(struct state *state, sqlite3_stmt *stmt, struct error *err)
{
    bool ok = stmt != NULL && sqlite3_step(stmt) == SQLITE_DONE;

    if (!ok)
        failed(state, err);
    sqlite3_finalize(stmt);
    return ok;
}

static bool
insert_run(struct state *state, struct state_run *run, struct error *err)
{
    sqlite3_stmt *stmt = prepare(
        state, "INSERT INTO run (realm, reason, generation, dumped, principals, policies, bytes,"
               " sha256, digest, nonce, dump_seconds) SELECT ?1, ?2, 1 + max("
               " (SELECT coalesce(max(generation), 0) FROM run WHERE realm = ?1),"
               " (SELECT coalesce(max(generation), 0) FROM outcome WHERE realm = ?1)),"
               " CAST(strftime('%s', 'now') AS INTEGER), ?3, ?4, ?5, ?6, ?7, ?8, ?9");

    if (stmt == NULL)
        return failed(state, err);
    bind_text(stmt, 1, run->realm);
    bind_text(stmt, 2, run->reason);
    sqlite3_bind_int64(stmt, 3, (sqlite3_int64)run->principals);
    sqlite3_bind_int64(stmt, 4, (sqlite3_int64)run->policies);
    sqlite3_bind_int64(stmt, 5, (sqlite3_int64)run->bytes);
    bind_text(stmt, 6, run->sha256);
    bind_text(stmt, 7, run->digest);
    bind_text(stmt, 8, run->nonce);
    sqlite3_bind_double(stmt, 9, run->dump_seconds);
    return finish(state, stmt, err);
}

bool
state_run_begin(struct state *state, struct state_run *run, struct error *err)
{
    sqlite3_stmt *stmt;
    bool ok;

    if (!insert_run(state, run, err))
        return false;
    run->id = sqlite3_last_insert_rowid(state->db);
    stmt = prepare(state, "SELECT generation FROM run WHERE id = ?1");
    if (stmt == NULL)
        return failed(state, err);
    sqlite3_bind_int64(stmt, 1, run->id);
    ok = sqlite3_step(stmt) == SQLITE_ROW;
    if (ok)
        run->generation = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return ok || failed(state, err);
}

bool
state_outcome_record(struct state *state, const struct state_outcome *o, struct error *err)
{
    sqlite3_stmt *stmt = prepare(
        state,
        "INSERT INTO outcome (run, realm, host, finished, generation, result, error,"
        " transfer_seconds, load_seconds, verify_seconds)"
        " VALUES (?1, ?2, ?3, CAST(strftime('%s', 'now') AS INTEGER), ?4, ?5, ?6, ?7, ?8, ?9)");

    if (stmt == NULL)
        return failed(state, err);
    sqlite3_bind_int64(stmt, 1, o->run);
    bind_text(stmt, 2, o->realm);
    bind_text(stmt, 3, o->host);
    sqlite3_bind_int64(stmt, 4, o->generation);
    bind_text(stmt, 5, o->result);
    bind_text(stmt, 6, o->error);
    sqlite3_bind_double(stmt, 7, o->transfer_seconds);
    sqlite3_bind_double(stmt, 8, o->load_seconds);
    sqlite3_bind_double(stmt, 9, o->verify_seconds);
    return finish(state, stmt, err);
}

bool
state_replica_record(struct state *state, const char *realm, const char *host, bool *is_new,
                     struct error *err)
{
    sqlite3_stmt *stmt = prepare(state, "INSERT OR IGNORE INTO replica (realm, host, added)"
                                        " VALUES (?1, ?2, CAST(strftime('%s', 'now') AS INTEGER))");

    if (stmt == NULL)
        return failed(state, err);
    bind_text(stmt, 1, realm);
    bind_text(stmt, 2, host);
    if (!finish(state, stmt, err))
        return false;
    *is_new = sqlite3_changes(state->db) > 0;
    return true;
}

bool
state_replica_known(struct state *state, const char *realm, const char *host, bool *known,
                    struct error *err)
{
    sqlite3_stmt *stmt = prepare(state, "SELECT 1 FROM replica WHERE realm = ?1 AND host = ?2");
    int step;

    *known = false;
    if (stmt == NULL)
        return failed(state, err);
    bind_text(stmt, 1, realm);
    bind_text(stmt, 2, host);
    step = sqlite3_step(stmt);
    *known = step == SQLITE_ROW;
    sqlite3_finalize(stmt);
    return step == SQLITE_ROW || step == SQLITE_DONE || failed(state, err);
}

bool
state_last_verified(struct state *state, const char *realm, const char *host,
                    struct state_content *content, struct error *err)
{
    sqlite3_stmt *stmt =
        prepare(state, "SELECT outcome.generation, run.nonce, run.digest FROM outcome"
                       " JOIN run ON run.id = outcome.run WHERE outcome.realm = ?1"
                       " AND outcome.host = ?2 AND outcome.result IN ('verified', 'unchanged')"
                       " ORDER BY outcome.id DESC LIMIT 1");
    int step;

    memset(content, 0, sizeof(*content));
    if (stmt == NULL)
        return failed(state, err);
    bind_text(stmt, 1, realm);
    bind_text(stmt, 2, host);
    step = sqlite3_step(stmt);
    if (step == SQLITE_ROW) {
        content->generation = sqlite3_column_int64(stmt, 0);
        snprintf(content->nonce, sizeof(content->nonce), "%s", sqlite3_column_text(stmt, 1));
        snprintf(content->digest, sizeof(content->digest), "%s", sqlite3_column_text(stmt, 2));
    }
    sqlite3_finalize(stmt);
    return step == SQLITE_ROW || step == SQLITE_DONE || failed(state, err);
}
