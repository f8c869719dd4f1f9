/*
 * rows_role - is the replica a primary itself? Sending a database there would destroy it, and on
 * Debian starting kpropd would stop its kadmind.
 *
 * The age of its database says nothing: every login moves it. Its content does: what only the
 * replica has, or has changed later than the primary.
 */
#include "common/database.h"
#include "common/refusals.h"
#include "common/snapshot.h"
#include "kpropctl/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { INVENTORY_TIMEOUT = 300, WALK_TIMEOUT_MS = 600 * 1000, NAMES_TOLD = 5 };

/* What the replica has beyond the primary's database. */
struct surplus {
    json_t *principals; /* name -> time of its last change, of the replica; entries are taken out */
    json_t *policies;
    char later[600]; /* names changed later there */
    unsigned later_count;
};

static void
add_name(char *list, size_t size, unsigned *count, const char *name)
{
    size_t len = strlen(list);

    if (*count < NAMES_TOLD)
        snprintf(list + len, size - len, "%s%s", len > 0 ? ", " : "", name);
    else if (*count == NAMES_TOLD)
        snprintf(list + len, size - len, ", ...");
    ++*count;
}

/* An entry of the primary: what is left at the end is the replica's alone. */
static bool
compare_entry(void *arg, enum database_kind kind, const char *name, time_t modified)
{
    struct surplus *surplus = arg;

    if (kind == DATABASE_POLICY) {
        json_object_del(surplus->policies, name);
        return true;
    }
    if (json_integer_value(json_object_get(surplus->principals, name)) > (json_int_t)modified)
        add_name(surplus->later, sizeof(surplus->later), &surplus->later_count, name);
    json_object_del(surplus->principals, name);
    return true;
}

static bool
subtract_primary(const struct realm *realm, struct surplus *surplus, struct error *err)
{
    const struct backend *backend = backend_find(realm->backend);
    struct database db = { backend, realm->name, NULL, realm->stash, realm->master_key };
    struct snapshot *snapshot = NULL;
    bool ok;

    if (!snapshot_new(backend, realm->database, NULL, &snapshot, NULL, err))
        return false;
    db.path = snapshot_path(snapshot);
    ok = database_inventory(&db, WALK_TIMEOUT_MS, compare_entry, surplus, err);
    snapshot_free(snapshot);
    return ok;
}

static unsigned
list_names(json_t *object, char *list, size_t size)
{
    const char *name;
    json_t *value;
    unsigned count = 0;

    json_object_foreach(object, name, value) add_name(list, size, &count, name);
    return count;
}

static enum verdict
refuse(struct walk *walk, struct step *step, const char *what, const char *names, unsigned count)
{
    const struct refusal_names who = { walk->realm->name, walk->replica.host, walk->primary.host };
    char ways[sizeof(step->hint)];

    step_summary(step, "%s has %u %s: %s", walk->replica.host, count, what, names);
    step_hint(step, "if %s is a primary, leave it alone; if it is a replica and these may go: %s",
              walk->replica.host, refusal_ways(REFUSAL_SURPLUS, &who, ways, sizeof(ways)));
    return walk->overwrite ? HOLDS_BUT : REFUSED;
}

static enum verdict
judge(struct walk *walk, struct step *step, struct surplus *surplus)
{
    char names[600] = "";
    unsigned count = list_names(surplus->principals, names, sizeof(names));

    if (count > 0)
        return refuse(walk, step, "principals that the primary does not have", names, count);
    count = list_names(surplus->policies, names, sizeof(names));
    if (count > 0)
        return refuse(walk, step, "policies that the primary does not have", names, count);
    if (surplus->later_count > 0)
        return refuse(walk, step, "principals changed later than the primary's", surplus->later,
                      surplus->later_count);
    step_summary(step, "%s is no primary: kadmind is off, and its database has nothing of its own",
                 walk->replica.host);
    return HOLDS;
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
    same = walk_call(walk, argv, INVENTORY_TIMEOUT, &reply, &ignored) &&
           strcmp(fact_text(reply, "digest", NULL), content->digest) == 0;
    json_decref(reply);
    return same;
}

static bool
fetch_inventory(struct walk *walk, struct surplus *surplus, struct error *err)
{
    const char *argv[] = { "inventory", walk->realm->name, NULL };
    json_t *reply = NULL;
    bool ok = walk_call(walk, argv, INVENTORY_TIMEOUT, &reply, err);

    if (ok) {
        surplus->principals = json_incref(json_object_get(reply, "principals"));
        surplus->policies = json_incref(json_object_get(reply, "policies"));
        ok = json_is_object(surplus->principals) && json_is_object(surplus->policies);
        if (!ok)
            error_set(err, ERROR_UNREACHABLE, "cannot read the inventory of %s",
                      walk->replica.host);
    }
    json_decref(reply);
    return ok;
}

enum verdict
see_role(struct walk *walk, struct step *step)
{
    const json_t *facts = walk_facts(walk, step), *exists;
    struct surplus surplus = { NULL, NULL, "", 0 };
    struct judgement j = { .hint = "" };
    enum verdict verdict;
    struct error err;

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
    if (walk->kind == WALK_PROPAGATE && walk->memory.content.generation != 0) {
        step_summary(step, "%s is a replica that was verified before, and its kadmind is off",
                     walk->replica.host);
        return HOLDS;
    }
    exists = json_object_get(json_object_get(facts, "database"), "exists");
    if (json_is_false(exists)) {
        step_summary(step, "%s is no primary: kadmind is off, and it has no database yet",
                     walk->replica.host);
        return HOLDS;
    }
    if (holds_last(walk)) {
        step_summary(step,
                     "%s is no primary: kadmind is off, and its database is what was last "
                     "sent",
                     walk->replica.host);
        return HOLDS;
    }
    error_clear(&err);
    if (fetch_inventory(walk, &surplus, &err)) {
        verdict = subtract_primary(walk->realm, &surplus, &err) ? judge(walk, step, &surplus)
                                                                : IMPOSSIBLE;
        if (verdict == IMPOSSIBLE)
            step_error(step, &err);
    } else if (err.code == ERROR_FAILED) {
        /* It cannot be opened: nothing in it can be served, and a load will heal it. */
        step_error(step, &err);
        step_hint(step, "the propagation will replace it");
        verdict = HOLDS_BUT;
    } else {
        step_error(step, &err);
        verdict = IMPOSSIBLE;
    }
    json_decref(surplus.principals);
    json_decref(surplus.policies);
    return verdict;
}
