/* database_verbs - see database_verbs.h. */
#include "agent/verbs/database_verbs.h"

#include "agent/base/progress.h"
#include "agent/load/announcement.h"
#include "agent/load/loader.h"
#include "agent/load/outcome.h"
#include "agent/load/stash.h"
#include "agent/service/incremental.h"
#include "common/base/buffers.h"
#include "common/base/files.h"
#include "common/base/log.h"
#include "common/kdb/database.h"
#include "common/kdb/snapshot.h"
#include "common/krb5/realm.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum {
    WAIT_SECONDS = 240,
    WAIT_MAX = 3600,
    PARTS_MAX = 10000,
    COPIES = 2, /* at a time, of all realms together */
    COPY_WAIT_MS = 120 * 1000,
    COPY_NAP_MS = 50,
    COPY_MARGIN = 64 * 1024, /* bytes, and half the size of the database */
};

/* A realm and a snapshot of its database. */
struct subject {
    struct realm *realm;
    const struct backend *backend;
    struct snapshot *snapshot;
    int place; /* among those who have one; -1: none is needed */
    struct backend_identity identity;
    struct database database;
};

static bool
find_backend(struct subject *s, struct error *err)
{
    s->backend = backend_find(s->realm->backend);
    if (s->backend == NULL)
        return error_set(err, ERROR_FAILED, "cannot read the database of %s: unknown db_library %s",
                         s->realm->name, s->realm->backend);
    if (backend_has_files(s->backend))
        return true;
    error_set(err, ERROR_REFUSED, "cannot read the database of %s: it is kept in LDAP",
              s->realm->name);
    return error_hint(err, "The directory replicates itself; kprop has no business there");
}

static void
subject_close(struct subject *s)
{
    snapshot_free(s->snapshot);
    if (s->place >= 0)
        close(s->place);
    realm_free(s->realm);
    memset(s, 0, sizeof(*s));
    s->place = -1;
}

/* Callers may be many, and a copy is as large as the database: they take turns. */
static bool
take_place(struct subject *s, const struct settings *settings, struct error *err)
{
    static const struct timespec nap = { 0, COPY_NAP_MS * 1000 * 1000 };
    char name[PATH_MAX];

    if (!file_make_folder(settings->runtime, 0755, err))
        return false;
    for (int waited = 0; waited <= COPY_WAIT_MS; waited += COPY_NAP_MS) {
        for (int i = 0; i < COPIES; i++) {
            snprintf(name, sizeof(name), "%s/copy.%d.lock", settings->runtime, i);
            error_clear(err);
            s->place = file_lock(name, 0, err);
            if (s->place >= 0)
                return true;
            if (err->code != ERROR_UNREACHABLE)
                return false;
        }
        nanosleep(&nap, NULL);
    }
    error_set(err, ERROR_UNREACHABLE, "cannot copy the database of %s: %d others are being read",
              s->realm->name, COPIES);
    return error_hint(err, "Try again when that has ended");
}

/* What is left after a copy is for the KDC, which writes too. */
static bool
has_room(const struct subject *s, struct error *err)
{
    uint64_t need = backend_size(s->backend, s->realm->database) / 2 * 3 + COPY_MARGIN, have;
    const char *slash = strrchr(s->realm->database, '/');
    char folder[PATH_MAX];
    struct statvfs fs;

    snprintf(folder, sizeof(folder), "%.*s",
             slash == NULL ? 1 : (int)(slash - s->realm->database) + 1,
             slash == NULL ? "." : s->realm->database);
    if (statvfs(folder, &fs) != 0)
        return true; /* whoever copies finds out why */
    have = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (have >= need)
        return true;
    error_set(err, ERROR_REFUSED,
              "cannot copy database %s, to read it: %llu KiB are free there, %llu KiB needed",
              s->realm->database, (unsigned long long)(have >> 10),
              (unsigned long long)(need >> 10) + 1);
    return error_hint(err, "Make room on that file system of the replica");
}

static bool
make_copy(struct subject *s, const struct settings *settings, struct error *err)
{
    if (!take_place(s, settings, err) || !has_room(s, err) ||
        !snapshot_new(s->backend, s->realm->database, NULL, &s->snapshot, &s->identity, err))
        return false;
    s->database = (struct database){ s->backend, s->realm->name, snapshot_path(s->snapshot),
                                     s->realm->stash, s->realm->master_key };
    return true;
}

static void
tell_recovery(const char *realm, enum backend_recovered what)
{
    if (what == BACKEND_COMPLETED)
        log_notice("realm %s: completed the promotion of a load that was killed", realm);
    else if (what == BACKEND_UNDONE)
        log_notice("realm %s: gave up the promotion of a load that was killed", realm);
}

/* With a copy of the database if SETTINGS are given. */
static bool
subject_open(struct subject *s, const char *realm, const struct settings *settings,
             struct error *err)
{
    enum backend_recovered what;

    memset(s, 0, sizeof(*s));
    s->place = -1;
    if (!realm_load(realm, &s->realm, err))
        return false;
    if (!find_backend(s, err) || !loader_recover(s->backend, s->realm->database, &what, err))
        goto failed;
    tell_recovery(s->realm->name, what);
    if (settings == NULL || make_copy(s, settings, err))
        return true;

failed:
    subject_close(s);
    return false;
}

bool
database_recover(const char *realm, struct error *err)
{
    struct subject subject;

    memset(&subject, 0, sizeof(subject));
    if (!realm_load(realm, &subject.realm, err))
        return false;
    realm_free(subject.realm);
    if (!subject_open(&subject, realm, NULL, err))
        return err->code == ERROR_REFUSED;
    subject_close(&subject);
    return true;
}

/* A new stash that waits for the database that is now live takes its place. */
static void
settle_stash(const struct verb_call *call, const struct realm *realm)
{
    enum stash_settled ignored;
    struct error err;

    error_clear(&err);
    if (!stash_settle(call->settings->state, realm, &ignored, &err))
        log_warning("the new stash of %s is not in place: %s", realm->name, err.text);
}

/* A primary asks first; one that does not, or did before kpropd was started anew, is told here. */
static bool
takes_whole(const struct verb_call *call, struct error *err)
{
    struct realm *realm = NULL;
    bool ok = realm_load(call->argv[0], &realm, err) &&
              incremental_allows(call, realm, "propagate to", err);

    realm_free(realm);
    return ok;
}

bool
database_verb_announce(const struct verb_call *call, json_t **reply, struct error *err)
{
    const char *state = call->settings->state, *realm = call->argv[0];
    json_error_t where;
    json_t *object = json_loads(call->argv[1], JSON_REJECT_DUPLICATES, &where);
    struct announcement a;
    bool ok;

    if (object == NULL)
        return error_set(err, ERROR_USAGE, "cannot read the announcement: %s", where.text);
    ok = takes_whole(call, err) && announcement_parse(object, call->peer, &a, err) &&
         announcement_store(state, realm, &a, err);
    json_decref(object);
    if (ok) {
        outcome_forget(state, realm, a.generation);
        *reply = json_pack("{s:I, s:I, s:I}", "generation", (json_int_t)a.generation, "greatest",
                           (json_int_t)announcement_greatest(state, realm), "expires_at",
                           (json_int_t)a.expires_at);
    } else if (err->code == ERROR_REFUSED) {
        *reply = json_pack("{s:I}", "greatest", (json_int_t)announcement_greatest(state, realm));
    }
    return ok;
}

/* What is announced waits for its dump no more if a loader that is not ours has loaded it. */
static void
settle_announcement(const struct verb_call *call, const char *realm,
                    const struct database_answer *answer, const unsigned char *nonce)
{
    struct error err;

    error_clear(&err);
    if (!announcement_seen(call->settings->state, realm, nonce, answer->digest, &err))
        log_warning("what is announced for %s keeps waiting: %s", realm, err.text);
}

bool
database_verb_digest(const struct verb_call *call, json_t **reply, struct error *err)
{
    unsigned char nonce[DIGEST_NONCE_SIZE];
    struct database_question question = { nonce, true };
    struct database_answer answer;
    struct subject subject;
    bool ok;

    if (!hex_decode(call->argv[1], nonce, sizeof(nonce)))
        return error_set(err, ERROR_USAGE, "cannot use nonce '%s': not %d hexadecimal digits",
                         call->argv[1], 2 * DIGEST_NONCE_SIZE);
    if (!subject_open(&subject, call->argv[0], call->settings, err))
        return false;
    settle_stash(call, subject.realm);
    ok = database_examine(&subject.database, &question, database_walk_ms(&subject.database),
                          &answer, err);
    if (ok) {
        settle_announcement(call, subject.realm->name, &answer, nonce);
        *reply = json_pack("{s:o, s:o, s:I, s:I, s:b, s:s, s:s, s:f}", "digest",
                           outcome_hex(answer.digest, sizeof(answer.digest)), "nonce",
                           outcome_hex(nonce, sizeof(nonce)), "principals",
                           (json_int_t)answer.principals, "policies", (json_int_t)answer.policies,
                           "stash_opens", answer.stash_opens, "stash_error", answer.stash_error,
                           "identity", subject.identity.text, "seconds", answer.seconds);
    } else {
        error_hint(err, "The database is damaged: send it again, with the loader in place nothing "
                        "else is needed");
    }
    subject_close(&subject);
    return ok;
}

/* The entries of one part of all names. */
struct collection {
    json_t *principals;
    json_t *policies;
    unsigned part;
    unsigned parts;
};

/* FNV-1a. */
static unsigned
part_of(const char *name, unsigned parts)
{
    uint32_t hash = 2166136261u;

    for (; *name != '\0'; name++)
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    return hash % parts;
}

static bool
collect(void *arg, enum database_kind kind, const char *name, time_t modified)
{
    struct collection *c = arg;
    json_t *object = kind == DATABASE_POLICY ? c->policies : c->principals;

    if (part_of(name, c->parts) != c->part)
        return true;
    /* A name that is no UTF-8 cannot be told in JSON; no client of a KDC could ask for it either.
     */
    return json_object_set_new(object, name, json_integer((json_int_t)modified)) == 0 ||
           json_string(name) == NULL;
}

static bool
parse_part(const char *text, struct collection *c, struct error *err)
{
    char tail;

    if (sscanf(text, "%u/%u%c", &c->part, &c->parts, &tail) == 2 && c->parts > 0 &&
        c->parts <= PARTS_MAX && c->part < c->parts)
        return true;
    return error_set(err, ERROR_USAGE, "cannot read part '%s': not as 0/10 to 9/10", text);
}

bool
database_verb_inventory(const struct verb_call *call, json_t **reply, struct error *err)
{
    struct collection c = { NULL, NULL, 0, 1 };
    struct subject subject;
    bool ok;

    if (call->argc > 1 && !parse_part(call->argv[1], &c, err))
        return false;
    if (!subject_open(&subject, call->argv[0], call->settings, err))
        return false;
    c.principals = json_object();
    c.policies = json_object();
    *reply = json_pack("{s:o, s:o}", "principals", c.principals, "policies", c.policies);
    ok =
        *reply != NULL && database_inventory(&subject.database, database_walk_ms(&subject.database),
                                             collect, &c, err);
    if (!ok && *reply == NULL)
        error_memory(err);
    if (!ok) {
        json_decref(*reply);
        *reply = NULL;
    }
    subject_close(&subject);
    return ok;
}

/* Wait until no load of DATABASE runs, at most SECONDS. */
static void
wait_for_load(const char *database, long seconds, struct loader_progress *progress)
{
    static const struct timespec nap = { 0, 50 * 1000 * 1000 };

    for (long waited = 0;; waited++) {
        loader_look(database, progress);
        if (!progress->running || waited >= seconds * 20)
            return;
        if (waited % 40 == 39)
            verbs_progress("a load has been running for %.0f s, at stage '%s'",
                           difftime(time(NULL), 0) - progress->since, progress->stage);
        nanosleep(&nap, NULL);
    }
}

static json_t *
pending(const char *state, const char *realm)
{
    struct announcement a;
    struct error ignored;
    bool found;

    if (!announcement_read(state, realm, &a, &found, &ignored) || !found || a.live)
        return json_null();
    return json_pack("{s:I, s:s, s:I, s:I}", "generation", (json_int_t)a.generation, "from", a.from,
                     "announced_at", (json_int_t)a.announced_at, "expires_at",
                     (json_int_t)a.expires_at);
}

/* What tells this state of the live files from another, while they are those that LAST promoted. */
static json_t *
live_identity(const struct subject *s, const json_t *last)
{
    const char *promoted = json_string_value(json_object_get(last, "identity"));
    struct backend_identity live;
    struct error ignored;

    if (promoted == NULL || !backend_identify(s->backend, s->realm->database, &live, &ignored) ||
        !backend_same_files(promoted, live.text))
        return json_null();
    return json_string(live.text);
}

static json_t *
running(const struct loader_progress *p)
{
    if (!p->running)
        return json_null();
    return json_pack("{s:i, s:f, s:s, s:I}", "pid", p->pid, "since", p->since, "stage", p->stage,
                     "generation", (json_int_t)p->generation);
}

bool
database_verb_outcome(const struct verb_call *call, json_t **reply, struct error *err)
{
    const char *state = call->settings->state;
    struct loader_progress progress;
    long seconds = WAIT_SECONDS;
    struct subject subject;
    json_t *last, *previous;

    if (call->argc > 1) {
        char *end;

        seconds = strtol(call->argv[1], &end, 10);
        if (*end != '\0' || end == call->argv[1] || seconds < 0 || seconds > WAIT_MAX)
            return error_set(err, ERROR_USAGE, "cannot wait for '%s' seconds: not 0 to %d",
                             call->argv[1], WAIT_MAX);
    }
    if (!subject_open(&subject, call->argv[0], NULL, err))
        return false;
    wait_for_load(subject.realm->database, seconds, &progress);
    settle_stash(call, subject.realm);
    *reply = outcome_read(state, subject.realm->name, err);
    if (*reply == NULL && err->code == ERROR_NONE)
        *reply = json_pack("{s:n}", "generation");
    if (*reply != NULL) {
        last = announcement_last_good(state, subject.realm->name, false);
        previous = announcement_last_good(state, subject.realm->name, true);
        json_object_set_new(*reply, "running", running(&progress));
        json_object_set_new(*reply, "live", live_identity(&subject, *reply));
        json_object_set_new(*reply, "pending", pending(state, subject.realm->name));
        json_object_set_new(*reply, "last_good", last != NULL ? last : json_null());
        json_object_set_new(*reply, "previous_good", previous != NULL ? previous : json_null());
        json_object_set_new(
            *reply, "greatest",
            json_integer((json_int_t)announcement_greatest(state, subject.realm->name)));
    }
    subject_close(&subject);
    return *reply != NULL;
}
