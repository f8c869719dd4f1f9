/* rows_content - the dump, its propagation, and the proof that the replica holds and serves it. */
#include "kpropctl/transfer/propagation.h"

#include "common/base/clock.h"
#include "kpropctl/base/text.h"
#include "kpropctl/checks/rows.h"
#include "kpropctl/krb5/tickets.h"
#include "kpropctl/state/roster.h"
#include "kpropctl/state/state.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    BELIEVED_SECONDS = 3600,
    DIGEST_TIMEOUT = 600,
    TICKET_TIMEOUT = 15,
    RESTART_TIMEOUT = 240,
    ROLLBACK_TIMEOUT = 120
};

enum verdict
see_dump(struct walk *walk, struct step *step)
{
    const struct spool_dump *dump = &walk->dump;
    struct error err;
    char bytes[32];

    if (walk->dry_run) {
        step_summary(step, "would dump the database, and validate the dump");
        return UNTOLD;
    }
    error_clear(&err);
    if (!spool_content(walk->spool, &walk->dump, &err)) {
        step_error(step, &err);
        return err.code == ERROR_REFUSED ? REFUSED : IMPOSSIBLE;
    }
    if (dump->untouched)
        step_summary(step,
                     "the database is untouched since generation %lld was dumped: %llu "
                     "principals, %llu policies",
                     (long long)dump->generation, (unsigned long long)dump->principals,
                     (unsigned long long)dump->policies);
    else
        step_summary(step, "dumped %llu principals and %llu policies: %s in %.1f s, whole%s",
                     (unsigned long long)dump->principals, (unsigned long long)dump->policies,
                     bytes_text(dump->bytes, bytes, sizeof(bytes)), dump->seconds,
                     dump->same_content ? "; only logins since the last time" : "");
    if (dump->state_failed) {
        step_detail(step, "%s", dump->state_error);
        step_hint(step, "the run goes on, but is not recorded");
        return HOLDS_BUT;
    }
    return HOLDS;
}

/* Does a copy of the replica's live database have the dump's digest? False with ERR if not told. */
static bool
compare_digest(struct walk *walk, json_t **reply, bool *same, struct error *err)
{
    const char *argv[] = { "digest", walk->realm->name, walk->dump.nonce, NULL };
    double start = clock_monotonic();
    bool ok = walk_call(walk, argv, DIGEST_TIMEOUT, reply, err);

    walk->verify_seconds += clock_monotonic() - start;
    *same = ok && walk->dump.digest[0] != '\0' &&
            strcmp(fact_text(*reply, "digest", NULL), walk->dump.digest) == 0;
    walk->stash_told = ok;
    walk->stash_opens = ok && fact_true(*reply, "stash_opens", NULL);
    snprintf(walk->stash_error, sizeof(walk->stash_error), "%s",
             fact_text(*reply, "stash_error", NULL));
    return ok;
}

/* SINCE is less than SECONDS ago; a time that is yet to come, before the clock was set back, tells
 * nothing. */
static bool
is_recent(int64_t since, int seconds)
{
    int64_t age = (int64_t)time(NULL) - since;

    return since > 0 && age >= 0 && age < seconds;
}

/* The replica's loader has verified this very content: another primary may use the same numbers. */
static bool
loaded_there(const struct walk *walk)
{
    const json_t *last = json_object_get(walk->facts, "last");

    return fact_true(last, "verified", NULL) &&
           fact_integer(last, "generation", NULL) == walk->dump.generation &&
           walk->dump.digest[0] != '\0' &&
           strcmp(fact_text(last, "digest", NULL), walk->dump.digest) == 0;
}

/* And the files have not been written since: no need to read them again. */
static bool
untouched_there(const struct walk *walk)
{
    return walk->kind == WALK_PROPAGATE && loaded_there(walk) &&
           json_is_integer(json_object_get(json_object_get(walk->facts, "database"), "principals"));
}

/* Nor since the end of the run that verified it last, whose own login was the last to write. Since
 * somebody else may have written in the instant before that end, it is not believed for ever. */
static bool
as_we_left_it(const struct walk *walk)
{
    const struct state_memory *memory = &walk->memory;

    return walk->kind == WALK_PROPAGATE && memory->identity[0] != '\0' &&
           is_recent(memory->digested_at, BELIEVED_SECONDS) &&
           memory->content.generation == walk->dump.generation &&
           strcmp(memory->content.digest, walk->dump.digest) == 0 &&
           strcmp(memory->identity, fact_text(walk->facts, "database", "identity")) == 0;
}

/* Written since (by logins, as a rule), though not replaced, but compared lately enough. */
static bool
compared_lately(const struct walk *walk)
{
    const struct state_memory *memory = &walk->memory;

    return walk->kind == WALK_PROPAGATE && walk->configuration->digest_interval > 0 &&
           memory->content.generation == walk->dump.generation && loaded_there(walk) &&
           json_is_false(json_object_get(json_object_get(walk->facts, "database"), "replaced")) &&
           is_recent(memory->digested_at, walk->configuration->digest_interval);
}

/* What its loader has verified last is an older generation, and only logins have written the files
 * since. Should they be damaged, its loader will say so, and not mind. */
static bool
loader_knows_older(const struct walk *walk)
{
    const json_t *facts = walk->facts, *last = json_object_get(facts, "last");
    int64_t generation = fact_integer(last, "generation", NULL);

    /* Numbers tell only where they are ours; what was found the same by its digest kept its own. */
    return walk->timeline == TIMELINE_KNOWN &&
           walk->memory.content.generation < walk->dump.generation &&
           fact_true(facts, "kpropd", "dropin") && fact_true(facts, "kpropd", "loader") &&
           json_is_false(fact(facts, "database", "replaced")) &&
           fact_true(last, "verified", NULL) && generation > 0 &&
           generation < walk->dump.generation;
}

/* Its files are as our last run left them, which was of an older generation. */
static bool
as_we_left_older(const struct walk *walk)
{
    const struct state_memory *memory = &walk->memory;
    int64_t generation = memory->content.generation;

    return memory->identity[0] != '\0' &&
           strcmp(memory->identity, fact_text(walk->facts, "database", "identity")) == 0 &&
           generation > 0 && generation < walk->dump.generation;
}

/* It is known to lack this content, and need not make a copy of its database to say so. */
static bool
holds_older(const struct walk *walk)
{
    return walk->kind == WALK_PROPAGATE && (loader_knows_older(walk) || as_we_left_older(walk));
}

static enum verdict
blind_content(struct walk *walk, struct step *step)
{
    if (walk->memory.content.generation == walk->dump.generation && !walk->force) {
        step_summary(step,
                     "%s was sent this content before; whether it still holds it cannot be "
                     "told without its agent",
                     walk->replica.host);
        return HOLDS_BUT;
    }
    step_summary(step, "%s has not been sent this content", walk->replica.host);
    return LACKING;
}

enum verdict
see_content(struct walk *walk, struct step *step)
{
    json_t *reply = NULL;
    struct error err;
    bool same = false;

    if (walk->dry_run) {
        step_summary(step, "would propagate the database, unless %s holds this content already",
                     walk->replica.host);
        return UNTOLD;
    }
    if (walk->agent == NULL)
        return blind_content(walk, step);
    if (walk->force) {
        step_summary(step, "sent because of --force");
        return LACKING;
    }
    error_clear(&err);
    if (untouched_there(walk) || as_we_left_it(walk) || compared_lately(walk)) {
        same = true;
    } else if (holds_older(walk)) {
        same = false;
    } else if (compare_digest(walk, &reply, &same, &err)) {
        walk->digested = same;
        if (walk->kind == WALK_PROPAGATE && fact_integer(reply, "principals", NULL) == 0)
            snprintf(walk->damage, sizeof(walk->damage), "it was empty");
    } else if (err.code == ERROR_FAILED && walk->kind == WALK_PROPAGATE) {
        snprintf(walk->damage, sizeof(walk->damage), "%s", err.text);
    }
    json_decref(reply);
    walk->content_verified = same;
    step_summary(step,
                 same ? "%s holds exactly this content already: nothing sent"
                      : "%s does not hold this content",
                 walk->replica.host);
    return same ? HOLDS : LACKING;
}

static void
propagation_progress(void *closure, uint64_t done, uint64_t total, double seconds)
{
    const struct walk_listener *listener = ((struct walk *)closure)->listener;

    if (listener->progress != NULL)
        listener->progress(listener->closure, "propagate", done, total, seconds);
}

/* What is remarkable of a transfer that went well. */
static void
tell_repair(const struct walk *walk, const struct step *loader, const char *note, struct step *step)
{
    if (walk->damage[0] == '\0')
        step_detail(step, "%s", note);
    else
        step_detail(step, "the database of %s was damaged, and is repaired now: %s%s%s%s%s",
                    walk->replica.host, walk->damage, loader->summary[0] != '\0' ? "\n" : "",
                    loader->summary, note[0] != '\0' ? "\n" : "", note);
}

/*
 * kdb5_util may refuse to load where the database is damaged; our loader does not need to open it.
 * Elsewhere whoever took the loader away is told by checks alone. If it cannot be put in place,
 * kdb5_util has its try.
 */
static void
put_loader_in_place(struct walk *walk, struct step *loader)
{
    struct step seen = { .id = "" };
    struct error err;

    if (walk->kind != WALK_PROPAGATE || walk->damage[0] == '\0' ||
        !json_is_integer(fact(walk->facts, "kpropd", "pid")) || see_loader(walk, &seen) != LACKING)
        return;
    error_clear(&err);
    if (!make_loader(walk, loader, &err))
        step_summary(loader, "it still loads with kdb5_util alone: %s", err.text);
    json_decref(walk->facts);
    walk->facts = NULL;
}

static bool
take_result(struct walk *walk, const struct propagation *p)
{
    walk->transfer_seconds = p->transfer_seconds;
    walk->load_seconds =
        json_number_value(json_object_get(json_object_get(p->outcome, "seconds"), "load"));
    walk->sent = true;
    walk->loader_verified = json_is_true(json_object_get(p->outcome, "verified"));
    walk->stash_told =
        walk->loader_verified; /* it refuses a database that the stash does not open */
    walk->stash_opens = walk->loader_verified;
    return walk->loader_verified;
}

/* An lmdb database that holds something else; row "whole" has let it pass. */
static bool
may_take_another(struct walk *walk, struct step *step, struct error *err)
{
    const json_t *facts = walk->agent != NULL ? walk_facts(walk, step) : NULL;
    struct judgement j = { .hint = "" };

    if (facts == NULL || judge_backend(facts, walk->replica.host, "propagate to", &j) != REFUSED)
        return true;
    error_set(err, ERROR_REFUSED, "%s", j.summary);
    return error_hint(err, "%s", j.hint);
}

bool
make_content(struct walk *walk, struct step *step, struct error *err)
{
    struct propagation p = {
        .configuration = walk->configuration,
        .realm = walk->realm->name,
        .host = walk->replica.host,
        .from = walk->primary.principal,
        .address = walk_address(walk),
        .keytab = walk->keytab,
        .agent = walk->agent,
        .spool = walk->spool,
        .dump = &walk->dump,
        .slowest_rate = walk->memory.slowest_rate,
        .may_raise = timeline_may_raise,
        .progress = propagation_progress,
        .closure = walk,
    };
    struct step loader = { .id = "" };
    char bytes[32];
    bool ok;

    if (!may_take_another(walk, step, err) || !spool_file(walk->spool, &walk->dump, err))
        return false;
    put_loader_in_place(walk, &loader);
    ok = propagation_send(&p, err);
    step_detail(step, "%s%s%s", loader.summary,
                loader.summary[0] != '\0' && p.detail[0] != '\0' ? "\n" : "", p.detail);
    if (ok) {
        bool verified = take_result(walk, &p);

        bytes_text(walk->dump.bytes, bytes, sizeof(bytes));
        step_summary(step, "sent %s to %s in %.1f s (generation %lld)%s", bytes, walk->replica.host,
                     p.transfer_seconds, (long long)walk->dump.generation,
                     verified ? ", loaded and verified there" : "");
        tell_repair(walk, &loader, fact_text(p.outcome, "note", NULL), step);
    }
    json_decref(p.outcome);
    return ok;
}

/* Whoever asked for it has seen what the replica keeps, and chosen. */
enum verdict
see_rollback(struct walk *walk, struct step *step)
{
    step_summary(step, "%s is to go back to generation %lld", walk->replica.host,
                 (long long)walk->rollback);
    return LACKING;
}

static void
tell_revival(const json_t *reply, struct step *step)
{
    const char *error = fact_text(reply, "kdc", "error");

    if (fact_true(reply, "kdc", "started"))
        step_detail(step, "krb5kdc had ended there, and was started again");
    else if (error[0] != '\0')
        step_detail(step, "%s", error);
    else
        step_detail(step, "%s", fact_text(reply, "note", NULL));
}

bool
make_rollback(struct walk *walk, struct step *step, struct error *err)
{
    char generation[32];
    const char *argv[] = { "rollback", walk->realm->name, generation, NULL };
    struct spool_dump *dump = &walk->dump;
    double start = clock_monotonic();
    json_t *reply;
    bool ok;

    snprintf(generation, sizeof(generation), "%lld", (long long)walk->rollback);
    ok = walk_call(walk, argv, ROLLBACK_TIMEOUT, &reply, err);
    if (ok) {
        dump->generation = walk->rollback;
        dump->principals = (uint64_t)fact_integer(reply, "principals", NULL);
        dump->policies = (uint64_t)fact_integer(reply, "policies", NULL);
        snprintf(dump->digest, sizeof(dump->digest), "%s", fact_text(reply, "digest", NULL));
        snprintf(dump->nonce, sizeof(dump->nonce), "%s", fact_text(reply, "nonce", NULL));
        walk->sent = true;
        walk->load_seconds = clock_monotonic() - start;
        step_summary(
            step, "%s went back to generation %lld: %llu principals, %llu policies, in %.1f s",
            walk->replica.host, (long long)dump->generation, (unsigned long long)dump->principals,
            (unsigned long long)dump->policies, walk->load_seconds);
        tell_revival(reply, step);
    }
    json_decref(reply);
    return ok;
}

static enum verdict
compare_now(struct walk *walk, struct step *step)
{
    json_t *reply = NULL;
    struct error err;
    bool same = false;

    error_clear(&err);
    if (!compare_digest(walk, &reply, &same, &err)) {
        step_error(step, &err);
    } else if (!same) {
        step_summary(step,
                     "the database of %s is NOT what was sent: %lld principals and %lld "
                     "policies there, %llu and %llu in the dump",
                     walk->replica.host, (long long)fact_integer(reply, "principals", NULL),
                     (long long)fact_integer(reply, "policies", NULL),
                     (unsigned long long)walk->dump.principals,
                     (unsigned long long)walk->dump.policies);
        step_hint(step, "run again; if it stays so, look at journalctl -u krb5-kpropd there");
    }
    json_decref(reply);
    walk->content_verified = walk->digested = same;
    return same ? HOLDS : IMPOSSIBLE;
}

/* What was seen before a send that was not needed is not asked twice. */
enum verdict
see_digest(struct walk *walk, struct step *step)
{
    if (walk->dry_run) {
        step_summary(step, "would compare the digest of the replica's database with the dump's");
        return UNTOLD;
    }
    if (walk->agent == NULL) {
        step->code = ERROR_FAILED;
        step_summary(step,
                     walk->sent ? "%s was sent the database, but nothing of it is verified"
                                : "nothing of %s is verified",
                     walk->replica.host);
        step_hint(step, "install or start kpropctl-agent there: kpropctl setup-slave %s",
                  walk->replica.host);
        return IMPOSSIBLE;
    }
    if (walk->kind == WALK_PROPAGATE && walk->loader_verified)
        walk->content_verified = true;
    else if (!walk->content_verified && compare_now(walk, step) != HOLDS)
        return IMPOSSIBLE;
    step_summary(step, "the database of %s is exactly what was dumped (digest %.16s...)",
                 walk->replica.host, walk->dump.digest);
    return HOLDS;
}

/* A krb5kdc that runs may not find the way from its master keys to new ones, or was started before
 * the stash was replaced. Where the stash opens the database, to start it anew is all it takes. */
static enum verdict
judge_ticket(const struct walk *walk, struct step *step, const struct ticket_proof *proof,
             const struct error *err)
{
    if (walk->kind == WALK_STASH)
        return err->code == ERROR_FAILED ? LACKING : IMPOSSIBLE;
    if (!proof->other_master_key || !walk->stash_opens)
        return IMPOSSIBLE;
    step_hint(step,
              "the stash of %s opens the database, so its krb5kdc was started with another master "
              "key: kpropctl setup-slave %s starts it anew",
              walk->replica.host, walk->replica.host);
    return walk->kind == WALK_SETUP ? LACKING : IMPOSSIBLE;
}

enum verdict
see_ticket(struct walk *walk, struct step *step)
{
    const json_t *facts;
    struct ticket_proof proof;
    struct error err;
    int port, timeout = TICKET_TIMEOUT;

    if (walk->dry_run) {
        step_summary(step, "would get a ticket from the KDC of %s alone", walk->replica.host);
        return UNTOLD;
    }
    if (walk->keytab == NULL) {
        step_summary(step, "cannot be told without a keytab of our own");
        return UNTOLD;
    }
    if (walk->kind == WALK_PROPAGATE && walk->configuration->ticket_interval > 0 &&
        is_recent(walk->memory.ticketed_at, walk->configuration->ticket_interval)) {
        walk->ticket_verified = true;
        step_summary(step, "the KDC of %s issued a ticket %lld s ago", walk->replica.host,
                     (long long)(time(NULL) - walk->memory.ticketed_at));
        return HOLDS;
    }
    if (walk->kind == WALK_CHECK && walk_patience(walk) < timeout)
        timeout = walk_patience(walk);
    facts = walk->agent != NULL ? walk_facts(walk, step) : NULL;
    if (facts == NULL && walk->kind != WALK_CHECK)
        return IMPOSSIBLE;
    port = facts != NULL ? (int)fact_integer(facts, "realm", "kdc_port") : walk->realm->kdc_port;
    if (!tickets_prove(walk->client, walk->keytab, walk->realm->name, walk->replica.address,
                       port > 0 && port < 65536 ? port : 88, timeout, &proof, &err)) {
        step_error(step, &err);
        return judge_ticket(walk, step, &proof, &err);
    }
    walk->ticket_verified = walk->ticketed = true;
    step_summary(step, "the KDC of %s issued a ticket for %s in %.0f ms", walk->replica.host,
                 walk->client, proof.seconds * 1000);
    return HOLDS;
}

bool
make_ticket(struct walk *walk, struct step *step, struct error *err)
{
    const char *argv[] = { "restart-kdc", walk->realm->name, NULL };
    json_t *reply = NULL;
    bool ok = walk_call(walk, argv, RESTART_TIMEOUT, &reply, err);

    if (ok)
        step_summary(step,
                     "restarted krb5kdc on %s, which now issues tickets with the new master key",
                     walk->replica.host);
    json_decref(reply);
    return ok;
}

enum verdict
see_record(struct walk *walk, struct step *step)
{
    step_summary(step,
                 walk->memory.known ? "%s is in the state database"
                                    : "%s is not yet in the state database",
                 walk->replica.host);
    return walk->memory.known ? HOLDS : LACKING;
}

/* From now on, also where the state database is lost before the next run for all. */
static void
keep_roster(const struct walk *walk, struct state *state)
{
    struct error ignored;
    json_t *replicas = state_replicas(state, walk->realm->name, &ignored);

    if (replicas != NULL)
        roster_keep(walk->configuration->state_dir, walk->realm->name, replicas);
    json_decref(replicas);
}

bool
make_record(struct walk *walk, struct step *step, struct error *err)
{
    struct state *state =
        state_open(walk->configuration->state_dir, walk->configuration->state_group, false, err);
    bool is_new, ok;

    ok = state != NULL &&
         state_replica_record(state, walk->realm->name, walk->replica.host, &is_new, err);
    if (ok)
        keep_roster(walk, state);
    state_close(state);
    if (!ok)
        return false;
    walk->memory.known = true;
    step_summary(step, "recorded %s as a replica of %s", walk->replica.host, walk->realm->name);
    return true;
}
