/*
 * rows_timeline - does the replica know a later state of the realm than this primary?
 *
 * It does where this host went back in time (a snapshot of the machine, an old backup), or another
 * primary was at work. What it was sent last, and the greatest number, are held against what this
 * host has recorded; only where they disagree is the content compared, which then decides.
 */
#include "common/contract/refusals.h"
#include "common/kdb/backend.h"
#include "kpropctl/checks/rows.h"
#include "kpropctl/checks/surplus.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { HEAR_SECONDS = 10, LINE = 480 };

/* In the place of an identity: the files were replaced, and it was refused to send what they hold
 * now. Later writes must not hide that. */
static const char replaced[] = "replaced";

/* What the state database knows of contents, without a word where it cannot be read. */
static void
recall(const struct walk *walk, int64_t *newest, bool *known)
{
    const json_t *good = json_object_get(walk->facts, "last_good");
    struct error ignored;
    struct state *state = state_open(walk->configuration->state_dir, NULL, true, &ignored);

    *known = state != NULL &&
             state_content_known(state, walk->realm->name, fact_text(good, "digest", NULL),
                                 fact_text(good, "nonce", NULL));
    *newest = state != NULL ? state_greatest(state, walk->realm->name) : 0;
    state_close(state);
}

/* Files put back keep their old times, a load makes new ones. An administrator's load is looked
 * into as well: it may be of an old dump. */
static bool
files_put_back(const struct walk *walk)
{
    const char *recorded = walk->memory.content.identity;
    const struct backend *backend = backend_find(walk->realm->backend);
    struct backend_identity now;
    struct error ignored;

    if (strcmp(recorded, replaced) == 0)
        return true;
    if (recorded[0] == '\0' || backend == NULL ||
        !backend_identify(backend, walk->realm->database, &now, &ignored))
        return false;
    return !backend_same_files(recorded, now.text) || backend_older(now.text, recorded);
}

/* What the agent says that this host does not know, into WHY; false if there is nothing. */
static bool
knows_more(const struct walk *walk, char *why, size_t size)
{
    const json_t *good = json_object_get(walk->facts, "last_good");
    json_int_t greatest = fact_integer(walk->facts, "generation", NULL);
    const char *host = walk->replica.host;
    int64_t newest;
    bool known;

    recall(walk, &newest, &known);
    if (json_is_object(good) && !known)
        snprintf(why, size,
                 "%s holds generation %lld of %s, which this host has not recorded (its newest is "
                 "%lld)",
                 host, (long long)fact_integer(good, "generation", NULL),
                 fact_text(good, "from", NULL), (long long)newest);
    else if (greatest > newest)
        snprintf(why, size,
                 "%s knows generation %lld, the newest that this host has recorded is "
                 "%lld",
                 host, (long long)greatest, (long long)newest);
    else
        return false;
    return true;
}

/* The same, or what makes us doubt that the replica was sent no more than what is here now. */
static bool
is_doubtful(const struct walk *walk, char *why, size_t size)
{
    if (walk->memory.content.generation == 0)
        return false;
    if (files_put_back(walk))
        snprintf(why, size, "the database of this host was replaced since %s was verified",
                 walk->replica.host);
    else if (fact_integer(walk->facts, "generation", NULL) == 0)
        snprintf(why, size, "%s has been verified, but its agent knows no generation any more",
                 walk->replica.host);
    else
        return false;
    return true;
}

bool
timeline_is_ahead(struct walk *walk)
{
    char ignored[600];

    return walk->facts != NULL && (knows_more(walk, ignored, sizeof(ignored)) ||
                                   is_doubtful(walk, ignored, sizeof(ignored)));
}

/* A health check compares nothing, and says what will. */
static enum verdict
look(struct walk *walk, struct step *step)
{
    char why[400];

    if (!walk->memory_told) {
        step_summary(step, "cannot be told: the state database cannot be read");
        return UNTOLD;
    }
    if (!knows_more(walk, why, sizeof(why))) {
        step_summary(step, "%s holds nothing that this host has not recorded", walk->replica.host);
        return HOLDS;
    }
    step_summary(step, "%s", why);
    step_hint(step,
              "did this host go back in time, or is another primary at work? kpropctl propagate %s "
              "compares the databases, and sends nothing where %s has something newer",
              walk->replica.host, walk->replica.host);
    return IMPOSSIBLE;
}

/* The number of what is dumped is to be above all that any agent of this run knows: all are waited
 * for where this host's own record does not tell. */
static void
share_greatest(struct walk *walk, bool ahead)
{
    int64_t newest;
    bool known;

    if (walk->spool == NULL || walk->heard)
        return;
    walk->heard = true;
    spool_heard(walk->spool, walk->greatest);
    recall(walk, &newest, &known);
    if (ahead || newest == 0)
        spool_hear_all(walk->spool, walk->hosts, HEAR_SECONDS);
}

static bool
gives_up(const struct walk *walk)
{
    return walk->accept_timeline || (walk->kind == WALK_SETUP && walk->overwrite);
}

/*
 * Compare the contents. True, with walk->timeline saying so, if the replica has nothing newer, or
 * that may go; TOLD then is what it has, or "". False with ERR.
 */
static bool
compare(struct walk *walk, const char *why, char *told, size_t size, struct error *err)
{
    const struct refusal_names who = { walk->realm->name, walk->replica.host, walk->primary.host };
    struct surplus surplus;

    told[0] = '\0';
    if (json_is_false(fact(walk->facts, "database", "exists"))) {
        walk->timeline = TIMELINE_COMPARED;
        return true;
    }
    if (!surplus_find(walk, &surplus, err)) {
        /* Where it cannot be asked, nothing can be sent either. */
        if (err->code == ERROR_INTERNAL || err->code == ERROR_UNREACHABLE)
            return false;
        if (!gives_up(walk)) {
            struct error reason = *err;

            return refusal_set(err, REFUSAL_TIMELINE, &who,
                               "%s; what it has cannot be compared: %s", why, reason.text);
        }
        snprintf(told, size, "what cannot be compared: %s", err->text);
        error_clear(err);
    } else if (surplus_any(&surplus)) {
        /* Whole names, in one line of a report with the rest. */
        surplus_text(&surplus, told, size < LINE - strlen(why) ? size : LINE - strlen(why));
        if (!gives_up(walk))
            return refusal_set(err, REFUSAL_TIMELINE, &who, "%s; it has %s", why, told);
    }
    walk->timeline = told[0] == '\0' ? TIMELINE_COMPARED : TIMELINE_GIVEN_UP;
    return true;
}

static void
remember_doubt(const struct walk *walk)
{
    const struct configuration *configuration = walk->configuration;
    struct error ignored;
    struct state *state;

    if (walk->dry_run || !files_put_back(walk))
        return;
    state = state_open(configuration->state_dir, configuration->state_group, false, &ignored);
    if (state != NULL)
        state_content_touch(state, walk->realm->name, walk->memory.content.generation, replaced,
                            &ignored);
    state_close(state);
}

/* Kept until the run has ended well: then it is told once, and is no news to a health check. */
static void
note_seen(struct walk *walk)
{
    const json_t *good = json_object_get(walk->facts, "last_good");
    struct state_seen *seen = &walk->seen;

    seen->generation = fact_integer(walk->facts, "generation", NULL);
    if (seen->generation < fact_integer(good, "generation", NULL))
        seen->generation = fact_integer(good, "generation", NULL);
    snprintf(seen->digest, sizeof(seen->digest), "%s", fact_text(good, "digest", NULL));
    snprintf(seen->nonce, sizeof(seen->nonce), "%s", fact_text(good, "nonce", NULL));
}

static enum verdict
settle(struct walk *walk, struct step *step, const char *why, bool doubtful)
{
    char told[400];
    struct error err;

    error_clear(&err);
    if (!compare(walk, why, told, sizeof(told), &err)) {
        step_error(step, &err);
        if (err.code != ERROR_REFUSED)
            return IMPOSSIBLE;
        if (doubtful)
            remember_doubt(walk);
        step_detail(step,
                    "nothing was sent; to keep such principals, bring them back first: on %s, "
                    "kdb5_util dump FILE NAME...; here, with that file, kdb5_util load -update "
                    "FILE",
                    walk->replica.host);
        return REFUSED;
    }
    note_seen(walk);
    if (told[0] != '\0') {
        step_summary(step, "%s; given up, as asked: %s", why, told);
        return HOLDS_BUT;
    }
    step_summary(step, "%s; compared: it has nothing that is newer than here", why);
    return doubtful ? HOLDS : HOLDS_BUT;
}

enum verdict
see_timeline(struct walk *walk, struct step *step)
{
    const json_t *facts = walk_facts(walk, step);
    char why[400];
    bool ahead, doubtful;

    if (facts == NULL)
        return walk_is_blind(walk, step) ? UNTOLD : IMPOSSIBLE;
    if (walk->kind == WALK_CHECK)
        return look(walk, step);
    walk->greatest = fact_integer(facts, "generation", NULL);
    ahead = knows_more(walk, why, sizeof(why));
    share_greatest(walk, ahead);
    doubtful = !ahead && is_doubtful(walk, why, sizeof(why));
    if (ahead || doubtful)
        return settle(walk, step, why, doubtful);
    if (walk->timeline == TIMELINE_UNTOLD)
        walk->timeline = TIMELINE_KNOWN;
    step_summary(step, "%s holds nothing that this host has not recorded", walk->replica.host);
    return HOLDS;
}

/* It refuses our number: its agent has heard of a greater one since it was asked, or of another
 * content with this one. */
bool
timeline_may_raise(void *closure, int64_t greatest, struct error *err)
{
    struct walk *walk = closure;
    char why[400], told[400];

    if (walk->timeline >= TIMELINE_COMPARED && greatest <= walk->greatest)
        return true;
    json_decref(walk->facts);
    walk->facts = NULL;
    if (!walk_fetch_facts(walk, err))
        return false;
    walk->greatest = greatest;
    snprintf(why, sizeof(why),
             "%s was announced generation %lld by %s, with a content that this host has not "
             "recorded",
             walk->replica.host, (long long)greatest,
             fact_text(walk->facts, "last_good", "from")[0] != '\0'
                 ? fact_text(walk->facts, "last_good", "from")
                 : "another");
    return compare(walk, why, told, sizeof(told), err);
}
