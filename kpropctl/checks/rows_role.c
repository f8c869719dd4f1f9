/*
 * rows_role - is the replica a primary itself? Sending a database there would destroy it, and on
 * Debian starting kpropd would stop its kadmind.
 *
 * The age of its database says nothing: every login moves it. Its content does: what only the
 * replica has, or has changed later than the primary.
 */
#include "common/contract/refusals.h"
#include "kpropctl/checks/rows.h"
#include "kpropctl/checks/surplus.h"

#include <string.h>

enum { DIGEST_TIMEOUT = 300 };

static enum verdict
refuse(struct walk *walk, struct step *step, const struct surplus *surplus)
{
    const struct refusal_names who = { walk->realm->name, walk->replica.host, walk->primary.host };
    char ways[sizeof(step->hint)], text[sizeof(step->summary)];

    step_summary(step, "%s has %s", walk->replica.host, surplus_text(surplus, text, 400));
    step_hint(step, "if %s is a primary, leave it alone; if it is a replica and these may go: %s",
              walk->replica.host, refusal_ways(REFUSAL_SURPLUS, &who, ways, sizeof(ways)));
    return walk->overwrite ? HOLDS_BUT : REFUSED;
}

/* It still holds what was last sent: then it has nothing of its own, and no list is needed. */
static bool
holds_last(struct walk *walk)
{
    const struct state_content *content = &walk->memory.content;
    const char *argv[] = { "digest", walk->realm->name, content->nonce, NULL };
    json_t *reply = NULL;
    struct error ignored;
    bool same;

    if (content->generation == 0)
        return false;
    same = walk_call(walk, argv, DIGEST_TIMEOUT, &reply, &ignored) &&
           strcmp(fact_text(reply, "digest", NULL), content->digest) == 0;
    json_decref(reply);
    return same;
}

static enum verdict
compare(struct walk *walk, struct step *step)
{
    struct surplus surplus;
    struct error err;

    error_clear(&err);
    if (surplus_find(walk, &surplus, &err)) {
        walk->timeline = TIMELINE_COMPARED;
        if (surplus_any(&surplus))
            return refuse(walk, step, &surplus);
        step_summary(step,
                     "%s is no primary: kadmind is off, and its database has nothing of its "
                     "own",
                     walk->replica.host);
        return HOLDS;
    }
    step_error(step, &err);
    if (err.code != ERROR_FAILED)
        return IMPOSSIBLE;
    /* It cannot be opened: nothing in it can be served, and a load will heal it. */
    step_hint(step, "the propagation will replace it");
    return HOLDS_BUT;
}

/* Why no inventory is needed to tell, as the end of a sentence; NULL if it is. */
static const char *
needs_no_inventory(struct walk *walk, const json_t *facts)
{
    if (timeline_is_ahead(walk))
        return "a replica that another state of this realm was sent to: see row timeline";
    if (walk->kind == WALK_PROPAGATE && walk->memory.content.generation != 0)
        return "a replica that was verified before";
    if (json_is_false(fact(facts, "database", "exists")))
        return "no primary: it has no database yet";
    if (holds_last(walk))
        return "no primary: its database is what was last sent";
    return NULL;
}

enum verdict
see_role(struct walk *walk, struct step *step)
{
    const json_t *facts = walk_facts(walk, step);
    struct judgement j = { .hint = "" };
    enum verdict verdict;
    const char *what;

    if (facts == NULL)
        return walk_is_blind(walk, step) ? UNTOLD : IMPOSSIBLE;
    verdict = judge_kadmind(facts, walk->replica.host, &j);
    if (verdict == UNKNOWN && walk->kind != WALK_CHECK)
        verdict = IMPOSSIBLE; /* nothing is sent to what may be a primary */
    if (verdict != HOLDS)
        return step_judged(step, verdict, &j);
    if (walk->kind == WALK_CHECK) {
        step_summary(step, "kadmind is off on %s", walk->replica.host);
        return HOLDS;
    }
    what = needs_no_inventory(walk, facts);
    if (what == NULL)
        return compare(walk, step);
    step_summary(step, "%s is %s; kadmind is off there", walk->replica.host, what);
    return HOLDS;
}
