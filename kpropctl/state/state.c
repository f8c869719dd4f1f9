/* state - see state.h: the file, its schema, and what changes it. Queries are in state_query.c. */
#include "kpropctl/state/state.h"

#include "common/base/files.h"
#include "kpropctl/state/state_sql.h"

#include <errno.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { SCHEMA_VERSION = 2, BUSY_MS = 5000 };

/* migrations[V] leads from version V to V + 1. */
static const char *const migrations[SCHEMA_VERSION] = {
    "CREATE TABLE replica (realm TEXT NOT NULL, host TEXT NOT NULL, added INTEGER NOT NULL,"
    " PRIMARY KEY (realm, host));"
    "CREATE TABLE content (realm TEXT NOT NULL, generation INTEGER NOT NULL,"
    " made INTEGER NOT NULL, principals INTEGER NOT NULL, policies INTEGER NOT NULL,"
    " bytes INTEGER NOT NULL, sha256 TEXT NOT NULL, digest TEXT NOT NULL, nonce TEXT NOT NULL,"
    " identity TEXT NOT NULL, PRIMARY KEY (realm, generation));"
    "CREATE TABLE run (id INTEGER PRIMARY KEY AUTOINCREMENT, realm TEXT NOT NULL,"
    " reason TEXT NOT NULL, pid INTEGER NOT NULL, started INTEGER NOT NULL, finished INTEGER,"
    " generation INTEGER, dump_seconds REAL, status INTEGER);"
    "CREATE TABLE outcome (id INTEGER PRIMARY KEY AUTOINCREMENT, run INTEGER NOT NULL,"
    " realm TEXT NOT NULL, host TEXT NOT NULL, started REAL NOT NULL, finished INTEGER NOT NULL,"
    " generation INTEGER NOT NULL, result TEXT NOT NULL, error TEXT, digested INTEGER NOT NULL,"
    " ticketed INTEGER NOT NULL, bytes INTEGER NOT NULL, transfer_seconds REAL NOT NULL,"
    " load_seconds REAL NOT NULL, verify_seconds REAL NOT NULL);"
    "CREATE INDEX outcome_host ON outcome (realm, host, id);"
    "CREATE INDEX outcome_finished ON outcome (finished);",
    "ALTER TABLE outcome ADD COLUMN identity TEXT;",
};

bool
state_failed(const struct state *state, struct error *err)
{
    if (access(state->path, R_OK) != 0 && errno == EACCES) {
        error_errno(err, ERROR_FAILED, errno, "cannot read the state database %s", state->path);
        return error_hint(err, "run as root, or as a user in the group that state_group in "
                               "kpropctl.conf names (the next propagation sets it)");
    }
    error_set(err, ERROR_INTERNAL, "cannot use the state database %s: %s", state->path,
              state->db == NULL ? "out of memory" : sqlite3_errmsg(state->db));
    return error_hint(err, "if it is damaged, move it away: kpropctl makes a new one, and only "
                           "the history is lost");
}

static void
bind_arguments(sqlite3_stmt *stmt, const char *format, va_list ap)
{
    for (int i = 1; *format != '\0'; format++, i++) {
        if (*format == 's') {
            const char *text = va_arg(ap, const char *);

            if (text == NULL)
                sqlite3_bind_null(stmt, i);
            else
                sqlite3_bind_text(stmt, i, text, -1, SQLITE_TRANSIENT);
        } else if (*format == 'i') {
            sqlite3_bind_int64(stmt, i, va_arg(ap, int64_t));
        } else {
            sqlite3_bind_double(stmt, i, va_arg(ap, double));
        }
    }
}

sqlite3_stmt *
state_prepare(struct state *state, const char *sql, const char *format, ...)
{
    sqlite3_stmt *stmt = NULL;
    va_list ap;

    if (sqlite3_prepare_v2(state->db, sql, -1, &stmt, NULL) != SQLITE_OK)
        return NULL;
    va_start(ap, format);
    bind_arguments(stmt, format, ap);
    va_end(ap);
    return stmt;
}

bool
state_finish(struct state *state, sqlite3_stmt *stmt, struct error *err)
{
    bool ok = stmt != NULL && sqlite3_step(stmt) == SQLITE_DONE;

    if (!ok)
        state_failed(state, err);
    sqlite3_finalize(stmt);
    return ok;
}

void
state_column(sqlite3_stmt *stmt, int column, char *out, size_t size)
{
    const unsigned char *text = sqlite3_column_text(stmt, column);

    snprintf(out, size, "%s", text == NULL ? "" : (const char *)text);
}

static bool
execute(struct state *state, const char *sql, struct error *err)
{
    return sqlite3_exec(state->db, sql, NULL, NULL, NULL) == SQLITE_OK || state_failed(state, err);
}

static int
schema_version(struct state *state)
{
    sqlite3_stmt *stmt = state_prepare(state, "PRAGMA user_version", "");
    int version =
        stmt != NULL && sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int(stmt, 0) : -1;

    sqlite3_finalize(stmt);
    return version;
}

/* Under the write lock: another process may have been first. */
static bool
migrate_steps(struct state *state, struct error *err)
{
    int version = schema_version(state);
    char set[64];

    for (; version >= 0 && version < SCHEMA_VERSION; version++) {
        snprintf(set, sizeof(set), "PRAGMA user_version = %d", version + 1);
        if (!execute(state, migrations[version], err) || !execute(state, set, err))
            return false;
    }
    return version == SCHEMA_VERSION || state_failed(state, err);
}

/* Beside the versions: a kpropctl that does not know this table can go on with the file. Who may
 * not write it has an empty one of his own where it is not there yet. */
static bool
have_seen(struct state *state, bool writable, struct error *err)
{
    char sql[256];

    snprintf(
        sql, sizeof(sql),
        "CREATE %s TABLE IF NOT EXISTS %s.seen (realm TEXT NOT NULL, generation INTEGER NOT NULL,"
        " digest TEXT NOT NULL, nonce TEXT NOT NULL,"
        " PRIMARY KEY (realm, generation, digest, nonce))",
        writable ? "" : "TEMP", writable ? "main" : "temp");
    return execute(state, sql, err);
}

static bool
knows_seen(struct state *state)
{
    sqlite3_stmt *stmt = state_prepare(state, "SELECT 1 FROM seen LIMIT 0", "");
    bool known = stmt != NULL;

    sqlite3_finalize(stmt);
    return known;
}

static bool
migrate(struct state *state, struct error *err)
{
    int version = schema_version(state);

    if (version == SCHEMA_VERSION)
        return true;
    if (version < 0)
        return state_failed(state, err);
    if (version > SCHEMA_VERSION) {
        error_set(err, ERROR_INTERNAL,
                  "cannot use the state database %s: it is of version %d, this kpropctl knows %d",
                  state->path, version, SCHEMA_VERSION);
        return error_hint(err, "upgrade kpropctl, or move the file away");
    }
    if (!execute(state, "BEGIN IMMEDIATE", err))
        return false;
    if (migrate_steps(state, err) && execute(state, "COMMIT", err))
        return true;
    sqlite3_exec(state->db, "ROLLBACK", NULL, NULL, NULL);
    return false;
}

/* Readable by the group, writable by root alone: SQLite gives its journal the same mode. */
static bool
give_group(const struct state *state, const char *dir, const char *group, struct error *err)
{
    const struct group *entry = group == NULL ? NULL : getgrnam(group);

    if (group != NULL && entry == NULL)
        return error_set(err, ERROR_USAGE, "state_group: there is no group '%s'", group);
    if (entry != NULL && (chown(dir, (uid_t)-1, entry->gr_gid) != 0 ||
                          chown(state->path, (uid_t)-1, entry->gr_gid) != 0))
        return error_set(err, ERROR_INTERNAL, "cannot give %s to group %s", state->path, group);
    chmod(state->path, 0640);
    return true;
}

/* Not there, or not for this user; true for what SQLite is to tell. */
static bool
explain_missing(const struct state *state, int why, struct error *err)
{
    if (why == ENOENT) {
        error_set(err, ERROR_INTERNAL, "there is no state database yet (%s)", state->path);
        return error_hint(err, "'kpropctl setup-slave HOST' makes the first replica, and it");
    }
    if (why == EACCES) {
        error_errno(err, ERROR_REFUSED, why, "cannot read the state database %s as user %ld",
                    state->path, (long)geteuid());
        return error_hint(err, "run it as root, or let a group read it: state_group in "
                               "kpropctl.conf(5)");
    }
    return true;
}

static bool
connect_file(struct state *state, int flags, struct error *err)
{
    sqlite3_close(state->db);
    state->db = NULL;
    if (sqlite3_open_v2(state->path, &state->db, flags, NULL) != SQLITE_OK)
        return state_failed(state, err);
    sqlite3_busy_timeout(state->db, BUSY_MS);
    return true;
}

/* A reader finds an older kpropctl's file after an upgrade: who may write brings it forward. */
static bool
open_for_reading(struct state *state, struct error *err)
{
    int version;

    if ((access(state->path, R_OK) != 0 && !explain_missing(state, errno, err)) ||
        !connect_file(state, SQLITE_OPEN_READONLY, err))
        return false;
    version = schema_version(state);
    if (version < 0 || version >= SCHEMA_VERSION)
        return migrate(state, err) && (knows_seen(state) || have_seen(state, false, err));
    if (eaccess(state->path, W_OK) == 0)
        return connect_file(state, SQLITE_OPEN_READWRITE, err) && migrate(state, err) &&
               have_seen(state, true, err);
    error_set(err, ERROR_INTERNAL,
              "cannot read the state database %s: it is of an older kpropctl (version %d, this one "
              "reads %d)",
              state->path, version, SCHEMA_VERSION);
    return error_hint(err, "the next propagation brings it forward, or any command as root");
}

static bool
open_file(struct state *state, const char *dir, const char *group, bool read_only,
          struct error *err)
{
    if (read_only)
        return open_for_reading(state, err);
    return file_make_folder(dir, 0750, err) &&
           connect_file(state, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, err) &&
           migrate(state, err) && have_seen(state, true, err) && give_group(state, dir, group, err);
}

struct state *
state_open(const char *dir, const char *group, bool read_only, struct error *err)
{
    struct state *state = calloc(1, sizeof(*state));

    if (state == NULL) {
        error_memory(err);
        return NULL;
    }
    snprintf(state->path, sizeof(state->path), "%s/state.db", dir);
    if (open_file(state, dir, group, read_only, err))
        return state;
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

bool
state_is_missing(const char *dir)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/state.db", dir);
    return access(path, F_OK) != 0 && errno == ENOENT;
}

static bool
insert_content(struct state *state, const char *realm, int64_t least,
               const struct state_content *content, struct error *err)
{
    return state_finish(
        state,
        state_prepare(state,
                      "INSERT INTO content (realm, generation, made, principals, policies, bytes,"
                      " sha256, digest, nonce, identity) SELECT ?1, 1 + max(?2,"
                      " (SELECT coalesce(max(generation), 0) FROM content WHERE realm = ?1),"
                      " (SELECT coalesce(max(generation), 0) FROM seen WHERE realm = ?1),"
                      " (SELECT coalesce(max(generation), 0) FROM outcome WHERE realm = ?1)),"
                      " ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10",
                      "siiiiissss", realm, least, content->made, (int64_t)content->principals,
                      (int64_t)content->policies, (int64_t)content->bytes, content->sha256,
                      content->digest, content->nonce, content->identity),
        err);
}

bool
state_content_add(struct state *state, const char *realm, int64_t least,
                  struct state_content *content, struct error *err)
{
    sqlite3_stmt *stmt;
    bool ok;

    content->made = (int64_t)time(NULL);
    if (!insert_content(state, realm, least, content, err))
        return false;
    stmt = state_prepare(state, "SELECT generation FROM content WHERE rowid = ?1", "i",
                         (int64_t)sqlite3_last_insert_rowid(state->db));
    ok = stmt != NULL && sqlite3_step(stmt) == SQLITE_ROW;
    if (ok)
        content->generation = sqlite3_column_int64(stmt, 0);
    else
        state_failed(state, err);
    sqlite3_finalize(stmt);
    return ok;
}

bool
state_content_touch(struct state *state, const char *realm, int64_t generation,
                    const char *identity, struct error *err)
{
    return state_finish(state,
                        state_prepare(state,
                                      "UPDATE content SET identity = ?3"
                                      " WHERE realm = ?1 AND generation = ?2",
                                      "sis", realm, generation, identity),
                        err);
}

bool
state_seen_record(struct state *state, const char *realm, const struct state_seen *seen,
                  struct error *err)
{
    return state_finish(state,
                        state_prepare(state,
                                      "INSERT OR IGNORE INTO seen (realm, generation, digest,"
                                      " nonce) VALUES (?1, ?2, ?3, ?4)",
                                      "siss", realm, seen->generation, seen->digest, seen->nonce),
                        err);
}

bool
state_run_begin(struct state *state, const char *realm, const char *reason, int64_t *id,
                struct error *err)
{
    *id = 0;
    if (!state_finish(state,
                      state_prepare(state,
                                    "INSERT INTO run (realm, reason, pid, started)"
                                    " VALUES (?1, ?2, ?3, ?4)",
                                    "ssii", realm, reason, (int64_t)getpid(), (int64_t)time(NULL)),
                      err))
        return false;
    *id = sqlite3_last_insert_rowid(state->db);
    return true;
}

bool
state_run_end(struct state *state, int64_t id, int64_t generation, double dump_seconds, int status,
              struct error *err)
{
    return state_finish(state,
                        state_prepare(state,
                                      "UPDATE run SET finished = ?2, generation = ?3,"
                                      " dump_seconds = ?4, status = ?5 WHERE id = ?1",
                                      "iiidi", id, (int64_t)time(NULL), generation, dump_seconds,
                                      (int64_t)status),
                        err);
}

bool
state_outcome_record(struct state *state, const struct state_outcome *o, struct error *err)
{
    return state_finish(
        state,
        state_prepare(
            state,
            "INSERT INTO outcome (run, realm, host, started, finished, generation, result,"
            " error, digested, ticketed, bytes, transfer_seconds, load_seconds,"
            " verify_seconds, identity) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11,"
            " ?12, ?13, ?14, ?15)",
            "issdiissiiiddds", o->run, o->realm, o->host, o->started, (int64_t)time(NULL),
            o->generation, o->result, o->error, (int64_t)o->digested, (int64_t)o->ticketed,
            (int64_t)o->bytes, o->transfer_seconds, o->load_seconds, o->verify_seconds,
            o->identity),
        err);
}

bool
state_replica_record(struct state *state, const char *realm, const char *host, bool *is_new,
                     struct error *err)
{
    if (!state_finish(state,
                      state_prepare(state,
                                    "INSERT OR IGNORE INTO replica (realm, host, added)"
                                    " VALUES (?1, ?2, ?3)",
                                    "ssi", realm, host, (int64_t)time(NULL)),
                      err))
        return false;
    *is_new = sqlite3_changes(state->db) > 0;
    return true;
}

bool
state_replica_forget(struct state *state, const char *realm, const char *host, bool *known,
                     struct error *err)
{
    if (!state_finish(state,
                      state_prepare(state, "DELETE FROM replica WHERE realm = ?1 AND host = ?2",
                                    "ss", realm, host),
                      err))
        return false;
    *known = sqlite3_changes(state->db) > 0;
    return true;
}

bool
state_prune(struct state *state, int days, struct error *err)
{
    int64_t before = (int64_t)time(NULL) - (int64_t)days * 86400;

    if (days == 0)
        return true;
    return state_finish(
               state,
               state_prepare(state,
                             "DELETE FROM outcome WHERE finished < ?1 AND id NOT IN (SELECT max(id)"
                             " FROM outcome WHERE result IN ('verified', 'unchanged')"
                             " GROUP BY realm, host)",
                             "i", before),
               err) &&
           state_finish(state,
                        state_prepare(state,
                                      "DELETE FROM run WHERE started < ?1 AND id NOT IN"
                                      " (SELECT run FROM outcome)",
                                      "i", before),
                        err) &&
           state_finish(state,
                        state_prepare(state,
                                      "DELETE FROM content WHERE made < ?1 AND generation NOT IN"
                                      " (SELECT generation FROM outcome WHERE outcome.realm ="
                                      " content.realm) AND generation < (SELECT max(generation)"
                                      " FROM content c WHERE c.realm = content.realm)",
                                      "i", before),
                        err);
}
