/*
 * database_lockout - what a KDC keeps of logins and does not replicate, saved from one database and
 * restored into another; see database.h.
 *
 * A file of it is a sequence of records, in the order of the walk over the database: a struct
 * record, and the principal's name. It is read by this program alone, soon after it was written.
 */
#include "common/base/forked.h"
#include "common/kdb/database.h"
#include "common/kdb/database_session.h"

#include <errno.h>
#include <fcntl.h>
#include <kadm5/admin.h>
#include <kdb.h>
#include <krb5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAME_MAX_BYTES = 8192 }; /* no KDC takes a longer one */

struct counters {
    uint32_t last_success;
    uint32_t last_failed;
    uint32_t failures;
};

struct record {
    struct counters counters;
    uint32_t len; /* of the name behind it */
};

/* A file of records that is being read: the record at hand, until none is left. */
struct records {
    FILE *fp;
    bool some;
    struct record head;
    char name[NAME_MAX_BYTES + 1];
};

/* What the child does, and what it tells. */
struct task {
    const struct database *db;
    const char *known; /* may be NULL */
    bool failures;     /* alone */
    const char *file;
    FILE *out;
    struct records records;
    krb5_context context;
    struct database_bound bound;
    uint64_t seen;
    uint64_t count;
};

/* False at the end of the file, and with ERR for what is no record. */
static bool
next_record(struct records *r, const char *file, struct error *err)
{
    r->some = false;
    if (fread(&r->head, sizeof(r->head), 1, r->fp) != 1)
        return !ferror(r->fp) ||
               error_errno(err, ERROR_FAILED, errno, "cannot read lockout state %s", file);
    if (r->head.len == 0 || r->head.len > NAME_MAX_BYTES ||
        fread(r->name, r->head.len, 1, r->fp) != 1)
        return error_set(err, ERROR_INTERNAL, "cannot read lockout state %s: cut short", file);
    r->name[r->head.len] = '\0';
    r->some = true;
    return true;
}

static bool
open_records(struct records *r, const char *file, struct error *err)
{
    r->fp = fopen(file, "re");
    if (r->fp == NULL)
        return error_errno(err, ERROR_FAILED, errno, "cannot read lockout state %s", file);
    return next_record(r, file, err);
}

static struct counters
counters_of(const krb5_db_entry *entry)
{
    return (struct counters){ (uint32_t)entry->last_success, (uint32_t)entry->last_failed,
                              (uint32_t)entry->fail_auth_count };
}

static bool
same(struct counters a, struct counters b)
{
    return a.last_success == b.last_success && a.last_failed == b.last_failed &&
           a.failures == b.failures;
}

/* What matters of A is no longer as in B. */
static bool
differs(const struct task *t, struct counters a, struct counters b)
{
    if (t->failures)
        a.last_success = b.last_success;
    return !same(a, b);
}

static krb5_error_code
write_record(struct task *t, const char *name, struct counters counters)
{
    struct record head = { counters, (uint32_t)strlen(name) };

    if (head.len == 0 || head.len > NAME_MAX_BYTES)
        return 0;
    t->count++;
    return fwrite(&head, sizeof(head), 1, t->out) == 1 && fwrite(name, head.len, 1, t->out) == 1
               ? 0
               : EIO;
}

/*
 * One principal of the walk. What is known of the database comes in the same order; should it not,
 * what is known no longer counts, and more than needed is written.
 */
static int
save_principal(krb5_pointer arg, krb5_db_entry *entry)
{
    static const struct counters none;
    struct counters now = counters_of(entry);
    struct task *t = arg;
    bool wanted = differs(t, now, none);
    krb5_error_code code;
    char *name = NULL;
    struct error ignored;

    database_bound_check(&t->bound, ++t->seen);
    if (!wanted && !t->records.some)
        return 0;
    code = krb5_unparse_name(t->context, entry->princ, &name);
    if (code != 0)
        return code;
    if (t->records.some && strcmp(name, t->records.name) == 0) {
        wanted = differs(t, now, t->records.head.counters);
        next_record(&t->records, t->known, &ignored);
    }
    if (wanted)
        code = write_record(t, name, now);
    krb5_free_unparsed_name(t->context, name);
    return code;
}

static bool
open_output(struct task *t, struct error *err)
{
    int fd = open(t->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

    t->out = fd < 0 ? NULL : fdopen(fd, "w");
    if (t->out == NULL && fd >= 0)
        close(fd);
    return t->out != NULL ||
           error_errno(err, ERROR_FAILED, errno, "cannot write lockout state %s", t->file);
}

static bool
save_all(struct task *t, struct database_session *session, struct error *err)
{
    krb5_error_code code;

    if ((t->known != NULL && !open_records(&t->records, t->known, err)) || !open_output(t, err))
        return false;
    t->context = session->context;
    code = krb5_db_iterate(session->context, NULL, save_principal, t, 0);
    if (fclose(t->out) != 0 || code == EIO)
        return error_set(err, ERROR_FAILED, "cannot write lockout state %s", t->file);
    return code == 0 || database_failed(session->context, code, "read the principals of database",
                                        t->db->path, err);
}

static bool
save_work(void *arg, struct forked_outlet *outlet, struct error *err)
{
    struct database_session session;
    struct task *t = arg;
    bool ok;

    database_bound_init(&t->bound, t->db, outlet);
    if (!database_session_open(&session, t->db, KRB5_KDB_OPEN_RO | KRB5_KDB_SRV_TYPE_OTHER, err))
        return false;
    ok = save_all(t, &session, err);
    database_session_close(&session);
    return ok && forked_send(outlet, &t->count, sizeof(t->count));
}

/* The principal of the record at hand takes its counters, if it is there. */
static krb5_error_code
restore_principal(struct task *t)
{
    struct counters wanted = t->records.head.counters;
    krb5_principal principal = NULL;
    krb5_db_entry *entry = NULL;
    krb5_error_code code;

    code = krb5_parse_name(t->context, t->records.name, &principal);
    if (code != 0)
        return code;
    code = krb5_db_get_principal(t->context, principal, 0, &entry);
    krb5_free_principal(t->context, principal);
    if (code != 0)
        return code == KRB5_KDB_NOENTRY ? 0 : code;
    if (!same(counters_of(entry), wanted)) {
        entry->last_success = (krb5_timestamp)wanted.last_success;
        entry->last_failed = (krb5_timestamp)wanted.last_failed;
        entry->fail_auth_count = (krb5_kvno)wanted.failures;
        entry->mask |= KADM5_LAST_SUCCESS | KADM5_LAST_FAILED | KADM5_FAIL_AUTH_COUNT;
        code = krb5_db_put_principal(t->context, entry);
        t->count++;
    }
    krb5_db_free_principal(t->context, entry);
    return code;
}

/* The exclusive lock is held throughout, else each principal would open and flush the database. */
static bool
restore_all(struct task *t, struct database_session *session, struct error *err)
{
    krb5_error_code code = krb5_db_lock(session->context, KRB5_DB_LOCKMODE_EXCLUSIVE);
    bool locked = code == 0, read = true;

    if (code != 0 && code != KRB5_PLUGIN_OP_NOTSUPP)
        return database_failed(session->context, code, "lock database", t->db->path, err);
    t->context = session->context;
    code = 0;
    while (read && code == 0 && t->records.some) {
        code = restore_principal(t);
        read = next_record(&t->records, t->file, err);
    }
    if (locked && krb5_db_unlock(session->context) != 0 && code == 0 && read)
        return error_set(err, ERROR_FAILED, "cannot unlock database %s", t->db->path);
    if (code != 0)
        return database_failed(session->context, code, "carry lockout state into database",
                               t->db->path, err);
    return read;
}

static bool
restore_work(void *arg, struct forked_outlet *outlet, struct error *err)
{
    struct database_session session;
    struct task *t = arg;
    bool ok;

    if (!open_records(&t->records, t->file, err) ||
        !database_session_open(&session, t->db, KRB5_KDB_OPEN_RW | KRB5_KDB_SRV_TYPE_ADMIN, err))
        return false;
    ok = restore_all(t, &session, err);
    database_session_close(&session);
    return ok && forked_send(outlet, &t->count, sizeof(t->count));
}

static bool
receive_count(void *arg, const void *data, size_t len, struct error *err)
{
    struct task *t = arg;

    if (len != sizeof(t->count))
        return error_set(err, ERROR_INTERNAL, "cannot carry lockout state: odd answer");
    memcpy(&t->count, data, len);
    return true;
}

static bool
run(forked_work *work, struct task *t, int timeout_ms, uint64_t *count, struct error *err)
{
    bool ok = forked_run(work, receive_count, t, timeout_ms, "carry lockout state over", err);

    *count = ok ? t->count : 0;
    return ok;
}

bool
database_save_lockout(const struct database *from, const char *known, bool failures,
                      const char *file, int timeout_ms, uint64_t *saved, struct error *err)
{
    struct task t = { .db = from, .known = known, .failures = failures, .file = file };

    return run(save_work, &t, timeout_ms, saved, err);
}

bool
database_restore_lockout(const char *file, const struct database *to, int timeout_ms,
                         uint64_t *restored, struct error *err)
{
    struct task t = { .db = to, .file = file };

    return run(restore_work, &t, timeout_ms, restored, err);
}
