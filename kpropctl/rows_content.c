/* rows_content - the dump, its propagation, and the proof that the replica holds and serves it. */
#include "kpropctl/propagation.h"
#include "kpropctl/rows.h"
#include "kpropctl/state.h"
#include "kpropctl/tickets.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { DIGEST_TIMEOUT = 600, TICKET_TIMEOUT = 15 };

static double
now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

enum verdict
see_dump(struct walk *walk, struct step *step)
{
    struct error err;
    char bytes[32];

    if (walk->dry_run) {
        step_summary(step, "would dump the database, and validate the dump");
        return UNTOLD;
    }
    error_clear(&err);
    if (!spool_dump(walk->spool, walk->reason, &walk->dump, &err)) {
        step_error(step, &err);
        return err.code == ERROR_REFUSED ? REFUSED : IMPOSSIBLE;
    }
    walk->generation = walk->dump.generation;
    step_summary(step, "dumped %llu principals and %llu policies: %s in %.1f s, whole",
                 (unsigned long long)walk->dump.principals, (unsigned long long)walk->dump.policies,
                 bytes_text(walk->dump.bytes, bytes, sizeof(bytes)), walk->dump.seconds);
    if (walk->dump.state_failed) {
        step_detail(step, "%s", walk->dump.state_error);
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
    double start = now();
    bool ok = walk_call(walk, argv, DIGEST_TIMEOUT, reply, err);

    walk->verify_seconds = now() - start;
    *same = ok && strcmp(fact_text(*reply, "digest", NULL), walk->dump.digest) == 0;
    walk->stash_told = ok;
    walk->stash_opens = ok && fact_true(*reply, "stash_opens", NULL);
    snprintf(walk->stash_error, sizeof(walk->stash_error), "%s",
             fact_text(*reply, "stash_error", NULL));
    return ok;
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
    error_clear(&err);
    if (compare_digest(walk, &reply, &same, &err) && same) {
        walk->content_verified = true;
        step_summary(step, "%s holds exactly this content already: nothing sent",
                     walk->replica.host);
    } else {
        step_summary(step, "%s does not hold this content", walk->replica.host);
    }
    json_decref(reply);
    return same ? HOLDS : LACKING;
}

static void
propagation_progress(void *closure, uint64_t done, uint64_t total, double seconds)
{
    const struct walk_listener *listener = ((struct walk *)closure)->listener;

    if (listener->progress != NULL)
        listener->progress(listener->closure, "propagate", done, total, seconds);
}

bool
make_content(struct walk *walk, struct step *step, struct error *err)
{
    struct propagation p = {
        .configuration = walk->configuration,
        .realm = walk->realm->name,
        .host = walk->replica.host,
        .from = walk->primary.principal,
        .keytab = walk->keytab,
        .agent = walk->agent,
        .dump = &walk->dump,
        .progress = propagation_progress,
        .closure = walk,
    };
    bool ok = propagation_send(&p, err);
    char bytes[32];

    walk->generation = p.generation;
    walk->transfer_seconds = p.transfer_seconds;
    walk->load_seconds =
        json_number_value(json_object_get(json_object_get(p.outcome, "seconds"), "load"));
    step_detail(step, "%s", p.detail);
    walk->sent = true;
    if (ok) {
        bytes_text(walk->dump.bytes, bytes, sizeof(bytes));
        step_summary(step, "sent %s to %s and loaded it there in %.1f s (generation %lld)", bytes,
                     walk->replica.host, p.transfer_seconds, (long long)p.generation);
        step_detail(step, "%s", fact_text(p.outcome, "note", NULL));
    }
    json_decref(p.outcome);
    return ok;
}

/* What was just seen before a send that was not needed is not asked twice. */
enum verdict
see_digest(struct walk *walk, struct step *step)
{
    json_t *reply = NULL;
    struct error err;
    bool same = walk->content_verified, ok = true;

    if (walk->dry_run) {
        step_summary(step, "would compare the digest of the replica's database with the dump's");
        return UNTOLD;
    }
    error_clear(&err);
    if (!same)
        ok = compare_digest(walk, &reply, &same, &err);
    if (!ok) {
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
    } else {
        walk->content_verified = true;
        step_summary(step, "the database of %s is exactly what was dumped (digest %.16s…)",
                     walk->replica.host, walk->dump.digest);
    }
    json_decref(reply);
    return ok && same ? HOLDS : IMPOSSIBLE;
}

/* The agent tried it on the copy whose digest it told. */
enum verdict
see_stash(struct walk *walk, struct step *step)
{
    const json_t *facts;
    const char *file;

    if (!walk->stash_told) {
        step_summary(step, "would see whether the stash of %s opens the database",
                     walk->replica.host);
        return UNTOLD;
    }
    facts = walk_facts(walk, step);
    if (facts == NULL)
        return IMPOSSIBLE;
    file = fact_text(facts, "stash", "file");
    if (walk->stash_opens) {
        step_summary(step, "stash %s on %s opens the database", file, walk->replica.host);
        return HOLDS;
    }
    step_summary(step, "stash %s on %s does not open the database: %s", file, walk->replica.host,
                 walk->stash_error);
    step_hint(step, "copy the primary's stash %s there (mode 0600), and restart krb5kdc",
              walk->realm->stash);
    return IMPOSSIBLE;
}

enum verdict
see_ticket(struct walk *walk, struct step *step)
{
    const json_t *facts;
    struct ticket_proof proof;
    struct error err;
    int port;

    if (walk->dry_run) {
        step_summary(step, "would get a ticket from the KDC of %s alone", walk->replica.host);
        return UNTOLD;
    }
    facts = walk_facts(walk, step);
    if (facts == NULL)
        return IMPOSSIBLE;
    port = (int)fact_integer(facts, "realm", "kdc_port");
    if (!tickets_prove(walk->primary.principal, walk->keytab, walk->realm->name,
                       walk->replica.address, port > 0 && port < 65536 ? port : 88, TICKET_TIMEOUT,
                       &proof, &err)) {
        step_error(step, &err);
        return IMPOSSIBLE;
    }
    walk->ticket_verified = true;
    step_summary(step, "the KDC of %s issued a ticket for %s in %.0f ms", walk->replica.host,
                 walk->primary.principal, proof.seconds * 1000);
    return HOLDS;
}

enum verdict
see_record(struct walk *walk, struct step *step)
{
    struct error err;
    struct state *state = state_open(walk->configuration->state_dir, true, &err);
    bool known = false;

    if (state != NULL)
        state_replica_known(state, walk->realm->name, walk->replica.host, &known, &err);
    state_close(state);
    step_summary(step,
                 known ? "%s is in the state database" : "%s is not yet in the state database",
                 walk->replica.host);
    return known ? HOLDS : LACKING;
}

bool
make_record(struct walk *walk, struct step *step, struct error *err)
{
    struct state *state = state_open(walk->configuration->state_dir, false, err);
    bool is_new, ok;

    ok = state != NULL &&
         state_replica_record(state, walk->realm->name, walk->replica.host, &is_new, err);
    state_close(state);
    if (ok)
        step_summary(step, "recorded %s as a replica of %s", walk->replica.host, walk->realm->name);
    return ok;
}
