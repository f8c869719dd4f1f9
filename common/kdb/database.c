/* database - see database.h. What writes is in database_lockout.c and database_ulog.c. */
#include "common/kdb/database.h"

#include "common/base/forked.h"
#include "common/kdb/database_session.h"
#include "common/kdb/digest_kdb.h"

#include <errno.h>
#include <kadm5/admin.h>
#include <kdb.h>
#include <krb5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ENTRY_LEAST = 32, /* bytes: a principal's fixed part alone has 38, a policy's more */
    WALK_BASE_MS = 60 * 1000,
    WALK_MS_PER_MB = 200, /* of a digest, that would be twenty times slower than one core */
    WALK_MOST_MS = 600 * 1000,
};

bool
database_failed(krb5_context context, krb5_error_code code, const char *what, const char *path,
                struct error *err)
{
    const char *text = krb5_get_error_message(context, code);

    error_set(err, ERROR_FAILED, "cannot %s %s: %s", what, path, text);
    krb5_free_error_message(context, text);
    return false;
}

bool
database_session_open(struct database_session *s, const struct database *db, int mode,
                      struct error *err)
{
    char *argument = NULL, *arguments[2] = { NULL, NULL };
    krb5_error_code code;

    memset(s, 0, sizeof(*s));
    if (asprintf(&argument, "dbname=%s", db->path) < 0)
        return error_memory(err);
    arguments[0] = argument;
    code = kadm5_init_krb5_context(&s->context);
    if (code == 0)
        code = krb5_set_default_realm(s->context, db->realm);
    if (code == 0)
        code = krb5_db_open(s->context, arguments, mode);
    free(argument);
    s->open = code == 0;
    if (code == 0)
        return true;
    database_failed(s->context, code, "open database", db->path, err);
    database_session_close(s);
    return false;
}

void
database_session_close(struct database_session *s)
{
    if (s->open)
        krb5_db_fini(s->context);
    if (s->context != NULL)
        krb5_free_context(s->context);
    memset(s, 0, sizeof(*s));
}

void
database_bound_init(struct database_bound *bound, const struct database *db,
                    struct forked_outlet *outlet)
{
    uint64_t size = backend_size(db->backend, db->path);

    *bound = (struct database_bound){ db, outlet, size == 0 ? UINT64_MAX : size / ENTRY_LEAST };
}

void
database_bound_check(const struct database_bound *bound, uint64_t count)
{
    struct error err;

    if (count <= bound->most)
        return;
    error_set(&err, ERROR_FAILED, "cannot read database %s: damaged, it goes round in circles",
              bound->db->path);
    forked_fail(bound->outlet, &err);
}

int
database_walk_ms(const struct database *db)
{
    uint64_t ms = WALK_BASE_MS + (backend_size(db->backend, db->path) >> 20) * WALK_MS_PER_MB;

    return ms < WALK_MOST_MS ? (int)ms : WALK_MOST_MS;
}

/* One walk, in the child. */
struct walk {
    struct database_bound bound;
    const struct database *db;
    const struct database_question *question;
    struct database_answer answer;
    struct digest *digest;
    krb5_context context;
    krb5_principal master_key;
    krb5_principal krbtgt;
    struct forked_outlet *outlet; /* where entries are sent; NULL: not wanted */
    bool stopped;
};

/* Send one entry: kind, modification time, name. */
static bool
send_entry(struct walk *w, enum database_kind kind, const char *name, time_t modified)
{
    unsigned char message[8192];
    int64_t when = modified;
    size_t len = strlen(name) + 1;

    if (len > sizeof(message) - 1 - sizeof(when))
        return true; /* no KDC takes a name of this length */
    message[0] = (unsigned char)kind;
    memcpy(message + 1, &when, sizeof(when));
    memcpy(message + 1 + sizeof(when), name, len);
    return forked_send(w->outlet, message, 1 + sizeof(when) + len);
}

static krb5_error_code
send_principal(struct walk *w, krb5_db_entry *entry)
{
    krb5_principal modifier = NULL;
    krb5_timestamp modified = 0;
    krb5_error_code code;
    char *name = NULL;

    code = krb5_unparse_name(w->context, entry->princ, &name);
    if (code != 0)
        return code;
    if (krb5_dbe_lookup_mod_princ_data(w->context, entry, &modified, &modifier) != 0)
        modified = 0;
    if (!send_entry(w, DATABASE_PRINCIPAL, name, (time_t)(uint32_t)modified))
        code = EPIPE;
    krb5_free_principal(w->context, modifier);
    krb5_free_unparsed_name(w->context, name);
    return code;
}

static int
see_principal(krb5_pointer arg, krb5_db_entry *entry)
{
    struct walk *w = arg;

    database_bound_check(&w->bound, ++w->answer.principals);
    if (krb5_principal_compare(w->context, entry->princ, w->master_key))
        w->answer.master_key = true;
    else if (krb5_principal_compare(w->context, entry->princ, w->krbtgt))
        w->answer.krbtgt = true;
    if (w->digest != NULL && !digest_principal_entry(w->digest, w->context, entry))
        return ENOMEM;
    return w->outlet != NULL ? send_principal(w, entry) : 0;
}

static void
see_policy(void *arg, osa_policy_ent_t policy)
{
    struct walk *w = arg;

    database_bound_check(&w->bound, ++w->answer.policies);
    if (w->digest != NULL && !digest_policy_entry(w->digest, policy))
        w->stopped = true;
    if (w->outlet != NULL && !send_entry(w, DATABASE_POLICY, policy->name, 0))
        w->stopped = true;
}

/* Does the stash open it: as a KDC does at its start. */
static void
try_stash(struct walk *w)
{
    krb5_keyblock key = { .enctype = ENCTYPE_UNKNOWN };
    krb5_kvno kvno = 0; /* any */
    krb5_error_code code;
    const char *text;

    code = krb5_db_fetch_mkey(w->context, w->master_key, ENCTYPE_UNKNOWN, FALSE, FALSE,
                              (char *)(uintptr_t)w->db->stash, &kvno, NULL, &key);
    if (code == 0)
        code = krb5_db_fetch_mkey_list(w->context, w->master_key, &key);
    w->answer.stash_opens = code == 0;
    if (code != 0) {
        text = krb5_get_error_message(w->context, code);
        snprintf(w->answer.stash_error, sizeof(w->answer.stash_error), "%s", text);
        krb5_free_error_message(w->context, text);
    }
    krb5_free_keyblock_contents(w->context, &key);
}

static krb5_error_code
make_names(struct walk *w)
{
    const char *realm = w->db->realm;
    krb5_error_code code;
    char *name = NULL;

    if (asprintf(&name, "K/M@%s", realm) < 0)
        return ENOMEM;
    code = krb5_parse_name(w->context, w->db->master_key != NULL ? w->db->master_key : name,
                           &w->master_key);
    free(name);
    if (code == 0)
        code = krb5_build_principal(w->context, &w->krbtgt, (unsigned int)strlen(realm), realm,
                                    "krbtgt", realm, (char *)NULL);
    return code;
}

static bool
walk_open(struct walk *w, struct error *err)
{
    const char *path = w->db->path;
    krb5_error_code code;

    code = make_names(w);
    if (code != 0)
        return database_failed(w->context, code, "name the principals of", path, err);
    if (!w->question->brief)
        code = krb5_db_iterate(w->context, NULL, see_principal, w, 0);
    if (code != 0)
        return database_failed(w->context, code, "read the principals of database", path, err);
    if (!w->question->brief)
        code = krb5_db_iter_policy(w->context, NULL, see_policy, w);
    if (code == 0 && w->stopped)
        code = ENOMEM;
    if (code != 0)
        return database_failed(w->context, code, "read the policies of database", path, err);
    if (w->question->stash)
        try_stash(w);
    if (w->digest != NULL && !digest_value(w->digest, w->answer.digest))
        return error_set(err, ERROR_FAILED, "cannot compute the digest of database %s", path);
    return true;
}

/* The child's part of both walks. */
static bool
walk(struct walk *w, struct forked_outlet *outlet, struct error *err)
{
    struct database_session session;
    bool ok;

    database_bound_init(&w->bound, w->db, outlet);
    if (!database_session_open(&session, w->db, KRB5_KDB_OPEN_RO | KRB5_KDB_SRV_TYPE_OTHER, err))
        return false;
    w->context = session.context;
    if (w->question->nonce != NULL) {
        w->digest = digest_new(w->question->nonce);
        if (w->digest == NULL) {
            database_session_close(&session);
            return error_memory(err);
        }
    }
    ok = walk_open(w, err);
    digest_free(w->digest);
    krb5_free_principal(w->context, w->master_key);
    krb5_free_principal(w->context, w->krbtgt);
    database_session_close(&session);
    return ok;
}

static bool
examine_work(void *arg, struct forked_outlet *outlet, struct error *err)
{
    struct walk *w = arg;

    return walk(w, outlet, err) && forked_send(outlet, &w->answer, sizeof(w->answer));
}

static bool
examine_receive(void *arg, const void *data, size_t len, struct error *err)
{
    struct walk *w = arg;

    if (len != sizeof(w->answer))
        return error_set(err, ERROR_INTERNAL, "cannot read database %s: odd answer", w->db->path);
    memcpy(&w->answer, data, len);
    return true;
}

static void
name_task(const struct database *db, char *what, size_t size)
{
    snprintf(what, size, "read database %s", db->path);
}

bool
database_examine(const struct database *db, const struct database_question *question,
                 int timeout_ms, struct database_answer *answer, struct error *err)
{
    struct walk w = { .db = db, .question = question };
    struct timespec start, end;
    char what[512];
    bool ok;

    memset(answer, 0, sizeof(*answer));
    name_task(db, what, sizeof(what));
    clock_gettime(CLOCK_MONOTONIC, &start);
    ok = forked_run(examine_work, examine_receive, &w, timeout_ms, what, err);
    clock_gettime(CLOCK_MONOTONIC, &end);
    if (ok)
        *answer = w.answer;
    answer->seconds =
        (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
    return ok;
}

/* Both sides' view of an inventory. */
struct inventory {
    struct walk walk;
    database_entry_function *function;
    void *arg;
};

static bool
inventory_work(void *arg, struct forked_outlet *outlet, struct error *err)
{
    struct inventory *inventory = arg;

    inventory->walk.outlet = outlet;
    return walk(&inventory->walk, outlet, err);
}

static bool
inventory_receive(void *arg, const void *data, size_t len, struct error *err)
{
    struct inventory *inventory = arg;
    const unsigned char *p = data;
    int64_t modified;

    if (len < 2 + sizeof(modified) || p[len - 1] != '\0')
        return error_set(err, ERROR_INTERNAL, "cannot read database %s: odd answer",
                         inventory->walk.db->path);
    memcpy(&modified, p + 1, sizeof(modified));
    return inventory->function(inventory->arg,
                               p[0] == DATABASE_POLICY ? DATABASE_POLICY : DATABASE_PRINCIPAL,
                               (const char *)p + 1 + sizeof(modified), (time_t)modified);
}

bool
database_inventory(const struct database *db, int timeout_ms, database_entry_function *function,
                   void *arg, struct error *err)
{
    static const struct database_question nothing = { 0 };
    struct inventory inventory = { .walk = { .db = db, .question = &nothing },
                                   .function = function,
                                   .arg = arg };
    char what[512];

    name_task(db, what, sizeof(what));
    return forked_run(inventory_work, inventory_receive, &inventory, timeout_ms, what, err);
}
