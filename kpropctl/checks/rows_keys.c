/*
 * rows_keys - new keys for the replica's host, and the end of old ones.
 *
 * A KDC uses the newest key of its database at once, so a new key is in the replica's keytab before
 * it is in the database, and an old one leaves the keytab only when no KDC of the realm issues
 * tickets for it any more and those that were issued have expired.
 */
#include "common/base/clock.h"
#include "common/base/log.h"
#include "kpropctl/base/text.h"
#include "kpropctl/checks/rows.h"
#include "kpropctl/krb5/principals.h"
#include "kpropctl/krb5/tickets.h"
#include "kpropctl/state/state.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { VERB_TIMEOUT = 60, SKEW = 300, LINE_MAX_BYTES = 8192 };

/* The keys' versions as the primary's database has them; false with STEP telling why not. */
static bool
look_up(struct walk *walk, struct step *step, struct principals_age *age)
{
    struct error err;

    if (walk_principals(walk, step) == NULL)
        return false;
    if (principals_age(walk->principals, walk->replica.principal, age, &err))
        return true;
    step_error(step, &err);
    return false;
}

/* Have the agent put KEYS into its keytab. */
static bool
hand_over(struct walk *walk, const struct keytab_keys *keys, json_t **reply, struct error *err)
{
    struct buffer line;
    bool ok;

    *reply = NULL;
    buffer_init(&line, LINE_MAX_BYTES);
    ok = keytab_keys_write(keys, &line) || error_memory(err);
    if (ok) {
        const char *argv[] = { "keytab-add", walk->realm->name, walk->replica.principal,
                               buffer_string(&line), NULL };

        ok = walk_call(walk, argv, VERB_TIMEOUT, reply, err);
    }
    buffer_free_secret(&line);
    return ok;
}

/* "KVNO of PRINCIPAL, DATE". */
enum verdict
see_renew(struct walk *walk, struct step *step)
{
    struct principals_age age;
    char since[32];

    if (!look_up(walk, step, &age))
        return IMPOSSIBLE;
    step_summary(step, "the key of %s (kvno %d) is of %s", walk->replica.principal, age.kvno,
                 date_text(age.changed_at, since, sizeof(since)));
    return LACKING;
}

/* A new connection, with a new ticket: of which key is that? */
static bool
prove(struct walk *walk, int *kvno, struct error *err)
{
    enum remote_fault fault;

    remote_close(walk->agent);
    walk->agent = NULL;
    if (walk_connect(walk, &fault, err) && tickets_kvno(walk->replica.principal, kvno, err))
        return true;
    error_prefix(err, "both sides have the new key beside the old one, but it could not be proved");
    return error_hint(err, "nothing is lost: run it again when %s answers", walk->replica.host);
}

static void
tell_renewed(const struct walk *walk, struct step *step, unsigned kvno, int proved)
{
    step_summary(step, "%s has a new key, kvno %u, in the database and in its keytab%s",
                 walk->replica.principal, kvno,
                 (unsigned)proved == kvno ? ", proved by a new connection" : "");
    if ((unsigned)proved != kvno)
        step_detail(step,
                    "the KDC that was asked does not know it yet: kvno %d was used, which goes on "
                    "working",
                    proved);
    step_hint(step,
              "propagate the database, and when tickets for the old key have expired drop it: "
              "kpropctl renew --finish %s",
              walk->replica.host);
}

bool
make_renew(struct walk *walk, struct step *step, struct error *err)
{
    const char *principal = walk->replica.principal;
    struct keytab_keys keys;
    json_t *reply = NULL;
    int proved = 0;
    bool ok;

    if (!principals_invent(walk->principals, principal, &keys, err))
        return false;
    ok = hand_over(walk, &keys, &reply, err);
    if (!ok)
        error_prefix(err, "the key of %s is not changed", principal);
    json_decref(reply);
    if (ok)
        ok = principals_add_keys(walk->principals, principal, &keys, err);
    if (ok)
        log_notice("realm %s: new key of %s, kvno %u", walk->realm->name, principal, keys.kvno);
    ok = ok && prove(walk, &proved, err);
    if (ok)
        tell_renewed(walk, step, keys.kvno, proved);
    keytab_keys_wipe(&keys);
    return ok;
}

/* The oldest version of the principal that the replica's keytab holds; 0 if none is there. */
static json_int_t
oldest_there(const struct walk *walk)
{
    const json_t *entries = fact(walk->facts, "keytab", "entries"), *entry;
    json_int_t oldest = 0;
    size_t index;

    json_array_foreach(entries, index, entry)
    {
        json_int_t kvno = fact_integer(entry, "kvno", NULL);

        if (strcmp(fact_text(entry, "principal", NULL), walk->replica.principal) == 0 &&
            (oldest == 0 || kvno < oldest))
            oldest = kvno;
    }
    return oldest;
}

/*
 * From when on nobody needs the older keys: all replicas hold the new one, and the tickets that
 * the last of them could issue before have expired. 0 with WHY if a replica does not.
 */
static int64_t
free_since(const struct walk *walk, const struct principals_age *age, char *why, size_t size)
{
    struct error err;
    char host[256];
    int64_t at = 0;
    struct state *state = state_open(walk->configuration->state_dir, NULL, true, &err);

    if (state == NULL ||
        !state_all_hold(state, walk->realm->name, age->changed_at, &at, host, sizeof(host), &err)) {
        snprintf(why, size, "which replicas know the new key is not known: %.300s", err.text);
        at = 0;
    } else if (at == 0) {
        snprintf(why, size,
                 "%s has not been sent the new key yet, and may issue tickets for an "
                 "older one",
                 host);
    } else {
        at += age->longest_life + SKEW;
    }
    state_close(state);
    return at;
}

/* Too early: a health check is content with that, whoever wants to drop them is not. */
static enum verdict
still_needed(const struct walk *walk, struct step *step, int64_t until, const char *why)
{
    char when[32] = "";

    if (until != 0)
        step_summary(step,
                     "older keys of %s are kept until %s, when the last ticket for them "
                     "expires",
                     walk->replica.principal, date_text(until, when, sizeof(when)));
    else
        step_summary(step, "older keys of %s are kept: %s", walk->replica.principal, why);
    if (walk->kind == WALK_CHECK)
        return HOLDS;
    if (until != 0)
        step_hint(step, "again then; or now, if an old key is in wrong hands: --force");
    else
        step_hint(step, "kpropctl propagate, and wait for the old tickets' end; or now, if an old "
                        "key is in wrong hands: --force");
    return REFUSED;
}

enum verdict
see_old_keys(struct walk *walk, struct step *step)
{
    const json_t *facts = walk_facts(walk, step);
    struct principals_age age;
    char why[512] = "";
    json_int_t there;
    int64_t due;

    if (facts == NULL || !look_up(walk, step, &age))
        return IMPOSSIBLE;
    there = oldest_there(walk);
    if (age.oldest == age.kvno && (walk->kind == WALK_CHECK || there == 0 || there >= age.kvno)) {
        step_summary(step, "no older key of %s is kept than kvno %d", walk->replica.principal,
                     age.kvno);
        return HOLDS;
    }
    due = free_since(walk, &age, why, sizeof(why));
    if ((due == 0 || (double)due > clock_wall()) && !walk->force)
        return still_needed(walk, step, due, why);
    step_summary(step, "%s has older keys than kvno %d, which nothing needs any more",
                 walk->replica.principal, age.kvno);
    if (walk->kind == WALK_CHECK)
        step_hint(step, "kpropctl renew --finish %s drops them", walk->host);
    step->mild = true;
    return LACKING;
}

/* First from the keytab, where they are of use to whoever has one; this connection itself must be
 * one with the newest key. */
bool
make_old_keys(struct walk *walk, struct step *step, struct error *err)
{
    const char *principal = walk->replica.principal;
    struct principals_age age;
    char kvno[16];
    const char *argv[] = { "keytab-drop", walk->realm->name, principal, kvno, NULL };
    json_t *reply = NULL;
    int used;
    bool ok;

    if (!principals_age(walk->principals, principal, &age, err) ||
        !tickets_kvno(principal, &used, err))
        return false;
    if (used != age.kvno) {
        error_set(err, ERROR_REFUSED,
                  "cannot drop older keys of %s: the KDC that was asked still uses kvno %d",
                  principal, used);
        return error_hint(err, "propagate the database to all replicas first");
    }
    snprintf(kvno, sizeof(kvno), "%d", age.kvno);
    ok = walk_call(walk, argv, VERB_TIMEOUT, &reply, err) &&
         principals_drop_older(walk->principals, principal, age.kvno, err);
    if (ok) {
        log_notice("realm %s: keys of %s older than kvno %d dropped", walk->realm->name, principal,
                   age.kvno);
        step_summary(step, "%s has no key but kvno %d any more, in the database and its keytab",
                     principal, age.kvno);
    }
    json_decref(reply);
    return ok;
}

/* The current keys as they are, for a keytab that is stale. */
bool
make_replica_keytab(struct walk *walk, struct step *step, struct error *err)
{
    struct keytab_keys keys;
    json_t *reply = NULL;
    bool ok;

    if (!principals_keys(walk->principals, walk->replica.principal, &keys, err))
        return false;
    ok = hand_over(walk, &keys, &reply, err);
    if (ok)
        step_summary(step, "put the current key (kvno %u) of %s into the keytab on %s", keys.kvno,
                     walk->replica.principal, walk->replica.host);
    keytab_keys_wipe(&keys);
    json_decref(reply);
    return ok;
}

bool
make_keytab(struct walk *walk, struct step *step, struct error *err)
{
    struct keytab_keys keys;
    unsigned dropped = 0;
    bool changed, ok;

    if (!principals_keys(walk->principals, walk->primary.principal, &keys, err))
        return false;
    ok = keytab_put(walk->keytab, walk->primary.principal, &keys, &changed, err) &&
         keytab_drop_newer(walk->keytab, walk->primary.principal, keys.kvno, &dropped, err);
    if (ok)
        step_summary(step, "put the current key (kvno %u) of %s into %s%s", keys.kvno,
                     walk->primary.principal, walk->keytab,
                     dropped > 0 ? ", and took those of another database out" : "");
    keytab_keys_wipe(&keys);
    return ok;
}
