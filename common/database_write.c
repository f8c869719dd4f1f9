/*
 * database_write - what is written into a staged database, and into the update log; see database.h.
 *
 * libkdb5 exports the functions of the update log, which kadmind and kpropd call, but installs no
 * header for them: they are declared here as in krb5's kdb_log.h and iprop.h, unchanged since 1.14.
 */
#include "common/database.h"
#include "common/database_session.h"
#include "common/forked.h"

#include <kadm5/admin.h>
#include <kdb.h>
#include <krb5.h>
#include <stdio.h>
#include <string.h>

struct log_time {
    uint32_t seconds;
    uint32_t useconds;
};

struct log_last {
    uint32_t last_sno;
    struct log_time last_time;
};

krb5_error_code ulog_map(krb5_context context, const char *logname, uint32_t entries);
krb5_error_code ulog_init_header(krb5_context context);
krb5_error_code ulog_set_last(krb5_context context, const struct log_last *last);
void ulog_fini(krb5_context context);

struct carry {
    const struct database *from;
    const struct database *to;
    krb5_context target;
    uint64_t carried;
};

/* libkdb5 hands out each principal of the old database; the same one of the new takes its counters.
 */
static int
carry_principal(krb5_pointer arg, krb5_db_entry *old)
{
    struct carry *c = arg;
    krb5_db_entry *entry = NULL;
    krb5_error_code code;

    if (old->last_success == 0 && old->last_failed == 0 && old->fail_auth_count == 0)
        return 0;
    code = krb5_db_get_principal(c->target, old->princ, 0, &entry);
    if (code != 0)
        return code == KRB5_KDB_NOENTRY ? 0 : code;
    if (entry->last_success != old->last_success || entry->last_failed != old->last_failed ||
        entry->fail_auth_count != old->fail_auth_count) {
        entry->last_success = old->last_success;
        entry->last_failed = old->last_failed;
        entry->fail_auth_count = old->fail_auth_count;
        entry->mask |= KADM5_LAST_SUCCESS | KADM5_LAST_FAILED | KADM5_FAIL_AUTH_COUNT;
        code = krb5_db_put_principal(c->target, entry);
        c->carried++;
    }
    krb5_db_free_principal(c->target, entry);
    return code;
}

/* The exclusive lock is held throughout, else each principal would open and flush the database. */
static bool
carry_all(struct carry *c, struct database_session *from, struct database_session *to,
          struct error *err)
{
    krb5_error_code code;
    bool locked;

    code = krb5_db_lock(to->context, KRB5_DB_LOCKMODE_EXCLUSIVE);
    locked = code == 0;
    if (code != 0 && code != KRB5_PLUGIN_OP_NOTSUPP)
        return database_failed(to->context, code, "lock database", c->to->path, err);
    c->target = to->context;
    code = krb5_db_iterate(from->context, NULL, carry_principal, c, 0);
    if (locked && krb5_db_unlock(to->context) != 0 && code == 0)
        return error_set(err, ERROR_FAILED, "cannot unlock database %s", c->to->path);
    if (code != 0)
        return database_failed(from->context, code, "carry lockout state into database",
                               c->to->path, err);
    return true;
}

static bool
carry_work(void *arg, struct forked_outlet *outlet, struct error *err)
{
    struct carry *c = arg;
    struct database_session from, to;
    bool ok;

    if (!database_session_open(&from, c->from, KRB5_KDB_OPEN_RO | KRB5_KDB_SRV_TYPE_OTHER, err))
        return false;
    if (!database_session_open(&to, c->to, KRB5_KDB_OPEN_RW | KRB5_KDB_SRV_TYPE_ADMIN, err)) {
        database_session_close(&from);
        return false;
    }
    ok = carry_all(c, &from, &to, err);
    database_session_close(&to);
    database_session_close(&from);
    return ok && forked_send(outlet, &c->carried, sizeof(c->carried));
}

static bool
carry_receive(void *arg, const void *data, size_t len, struct error *err)
{
    struct carry *c = arg;

    if (len != sizeof(c->carried))
        return error_set(err, ERROR_INTERNAL, "cannot carry lockout state: odd answer");
    memcpy(&c->carried, data, len);
    return true;
}

bool
database_carry_lockout(const struct database *from, const struct database *to, int timeout_ms,
                       uint64_t *carried, struct error *err)
{
    struct carry c = { .from = from, .to = to };
    bool ok;

    ok = forked_run(carry_work, carry_receive, &c, timeout_ms, "carry lockout state over", err);
    *carried = ok ? c.carried : 0;
    return ok;
}

struct ulog_task {
    const char *file;
    uint32_t entries;
    const struct database_ulog_place *place;
};

static bool
ulog_work(void *arg, struct forked_outlet *outlet, struct error *err)
{
    struct ulog_task *task = arg;
    krb5_context context = NULL;
    krb5_error_code code;

    (void)outlet;
    code = kadm5_init_krb5_context(&context);
    if (code == 0)
        code = ulog_map(context, task->file, task->entries);
    if (code == 0) {
        code = ulog_init_header(context);
        if (code == 0 && task->place != NULL) {
            struct log_last last = { task->place->serial,
                                     { task->place->seconds, task->place->useconds } };

            code = ulog_set_last(context, &last);
        }
        ulog_fini(context);
    }
    if (code != 0)
        database_failed(context, code, "write update log", task->file, err);
    if (context != NULL)
        krb5_free_context(context);
    return code == 0;
}

static bool
ulog_receive(void *arg, const void *data, size_t len, struct error *err)
{
    (void)arg;
    (void)data;
    (void)len;
    return error_set(err, ERROR_INTERNAL, "cannot write update log: odd answer");
}

bool
database_ulog_set(const char *file, uint32_t entries, const struct database_ulog_place *place,
                  struct error *err)
{
    struct ulog_task task = { file, entries, place };
    char what[512];

    snprintf(what, sizeof(what), "write update log %s", file);
    return forked_run(ulog_work, ulog_receive, &task, 30 * 1000, what, err);
}
