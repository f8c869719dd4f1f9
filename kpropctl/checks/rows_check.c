/* rows_check - what only a health check asks of a replica. Nothing is changed, nothing recorded. */
#include "kpropctl/base/text.h"
#include "kpropctl/checks/rows.h"
#include "kpropctl/krb5/discovery.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { DIGEST_TIMEOUT = 600, CLOCK_SLACK = 300 };

/* Can its agent tell, and does it tell, that kadmind keeps the replica current? */
static bool
is_incremental(struct walk *walk)
{
    struct step ignored = { .id = "" };
    const json_t *facts = walk->agent == NULL ? NULL : walk_facts(walk, &ignored);

    return facts != NULL && judge_incremental(facts);
}

enum verdict
see_age(struct walk *walk, struct step *step)
{
    const struct configuration *configuration = walk->configuration;
    double age = difftime(time(NULL), (time_t)walk->memory.verified_at);
    char text[32];

    if (is_incremental(walk)) {
        step_summary(step, "%s is not verified by kpropctl: incremental", walk->replica.host);
        return UNTOLD;
    }
    if (!walk->memory_told) {
        step_summary(step,
                     "cannot tell when %s was last verified: the state database cannot be "
                     "read",
                     walk->replica.host);
        step_hint(step,
                  "kpropctl check must be able to read %s/state.db: see state_group in "
                  "kpropctl.conf(5)",
                  configuration->state_dir);
        return UNKNOWN;
    }
    if (walk->memory.verified_at == 0) {
        step_summary(step, "%s has never been verified", walk->replica.host);
        step_hint(step, "kpropctl setup-slave %s", walk->replica.host);
        return IMPOSSIBLE;
    }
    if (age < -CLOCK_SLACK) {
        age_text(-age, text, sizeof(text));
        step_summary(step,
                     "cannot tell when %s was last verified: it is recorded %s in the future, the "
                     "clock here was set back",
                     walk->replica.host, text);
        step_hint(step, "once the clock is right: kpropctl propagate %s", walk->replica.host);
        return UNKNOWN;
    }
    age_text(age < 0 ? 0 : age, text, sizeof(text));
    step_summary(step, "%s was verified %s ago, at generation %lld", walk->replica.host, text,
                 (long long)walk->memory.content.generation);
    if (age < configuration->age_warning)
        return HOLDS;
    step_hint(step, "kpropctl propagate %s; kpropctl history %s says why it was not",
              walk->replica.host, walk->replica.host);
    return age < configuration->age_critical ? HOLDS_BUT : IMPOSSIBLE;
}

static enum verdict
compare_digest(struct walk *walk, struct step *step)
{
    const struct state_content *content = &walk->memory.content;
    const char *argv[] = { "digest", walk->realm->name, content->nonce, NULL };
    json_t *reply = NULL;
    struct error err;
    bool same;

    error_clear(&err);
    walk_bound_verbs(walk, 0.8);
    if (!walk_call(walk, argv, DIGEST_TIMEOUT, &reply, &err)) {
        step_error(step, &err);
        json_decref(reply);
        if (err.code == ERROR_UNREACHABLE)
            step_hint(step, "%s; --timeout gives a large database longer", err.hint);
        /* Refused: there is no room for the copy that would be read. */
        return err.code == ERROR_UNREACHABLE || err.code == ERROR_REFUSED ? UNKNOWN : IMPOSSIBLE;
    }
    same = content->digest[0] != '\0' &&
           strcmp(fact_text(reply, "digest", NULL), content->digest) == 0;
    if (same)
        step_summary(step, "%s holds exactly generation %lld (digest compared)", walk->replica.host,
                     (long long)content->generation);
    else
        step_summary(step,
                     "the database of %s is NOT what was sent: %lld principals and %lld "
                     "policies there, %llu and %llu in generation %lld",
                     walk->replica.host, (long long)fact_integer(reply, "principals", NULL),
                     (long long)fact_integer(reply, "policies", NULL),
                     (unsigned long long)content->principals, (unsigned long long)content->policies,
                     (long long)content->generation);
    json_decref(reply);
    return same ? HOLDS : IMPOSSIBLE;
}

/*
 * The agent's word on what its loader did last, against what was sent last. Where the loader last
 * did something else, or the files are not those that it promoted, only the digest can tell: the
 * content may have come without the loader, or a refused dump after it.
 */
static enum verdict
compare_generation(struct walk *walk, struct step *step, const json_t *facts)
{
    const struct state_content *content = &walk->memory.content;
    const json_t *last = json_object_get(facts, "last"), *database;
    json_int_t generation = fact_integer(last, "generation", NULL);

    database = json_object_get(facts, "database");
    if (json_is_false(json_object_get(database, "exists"))) {
        step_summary(step, "%s has no database", walk->replica.host);
        return IMPOSSIBLE;
    }
    if (!fact_true(last, "verified", NULL) || content->digest[0] == '\0' ||
        strcmp(fact_text(last, "digest", NULL), content->digest) != 0 ||
        !json_is_false(json_object_get(database, "replaced")))
        return compare_digest(walk, step);
    if (!json_is_integer(json_object_get(database, "principals"))) {
        step_summary(step,
                     "%s loaded generation %lld; written since, as logins do, and not "
                     "compared now",
                     walk->replica.host, (long long)generation);
        return HOLDS;
    }
    if ((uint64_t)fact_integer(database, "principals", NULL) != content->principals ||
        (uint64_t)fact_integer(database, "policies", NULL) != content->policies) {
        step_summary(step, "%s holds %lld principals and %lld policies, %llu and %llu were sent",
                     walk->replica.host, (long long)fact_integer(database, "principals", NULL),
                     (long long)fact_integer(database, "policies", NULL),
                     (unsigned long long)content->principals,
                     (unsigned long long)content->policies);
        return IMPOSSIBLE;
    }
    step_summary(step, "%s holds generation %lld, untouched: %llu principals, %llu policies",
                 walk->replica.host, (long long)generation, (unsigned long long)content->principals,
                 (unsigned long long)content->policies);
    return HOLDS;
}

/* What it holds is what kadmind has logged since the last full load; that it is the primary's
 * content, neither its serial number nor anything else in the log proves. */
static enum verdict
tell_incremental(const json_t *facts, const char *host, struct step *step)
{
    const json_t *last = json_object_get(facts, "last");
    bool failed = json_is_object(last) && !fact_true(last, "loaded", NULL);

    step_summary(step, "%s is incremental, content not verified%s%s", host,
                 failed ? "; the last load of a whole database failed there: " : "",
                 failed ? fact_text(last, "error", NULL) : "");
    step_hint(step,
              "kadmind keeps it current (kproplog -h there and here compares the places in the "
              "log); kpropctl propagate %s says how to have it verified instead",
              host);
    return HOLDS_BUT;
}

/* iprop_enable was set there, and kpropd not started since. */
static bool
will_be_incremental(const json_t *facts)
{
    return fact_true(facts, "realm", "iprop") &&
           json_is_false(fact(facts, "kpropd", "incremental"));
}

static enum verdict
tell_next_start(const json_t *facts, const char *host, struct step *step)
{
    size_t len = strlen(step->summary);
    char lines[700];

    snprintf(step->summary + len, sizeof(step->summary) - len,
             "; from its next start on its kpropd will be incremental (iprop_enable), and take "
             "nothing from here");
    judge_incremental_ways(facts, host, lines, sizeof(lines));
    step_hint(step, "if that is not meant so: %s", lines);
    return HOLDS_BUT;
}

enum verdict
see_held(struct walk *walk, struct step *step)
{
    const json_t *facts = walk_facts(walk, step);
    enum verdict verdict;

    if (facts == NULL)
        return UNKNOWN;
    if (judge_incremental(facts))
        return tell_incremental(facts, walk->replica.host, step);
    if (!walk->memory_told) {
        step_summary(step, "cannot tell what %s should hold: the state database cannot be read",
                     walk->replica.host);
        return UNKNOWN;
    }
    if (walk->memory.content.generation == 0) {
        step_summary(step, "%s has never been verified to hold anything", walk->replica.host);
        step_hint(step, "kpropctl setup-slave %s", walk->replica.host);
        return IMPOSSIBLE;
    }
    verdict =
        walk->compare_digest ? compare_digest(walk, step) : compare_generation(walk, step, facts);
    if (verdict == IMPOSSIBLE)
        step_hint(step, "kpropctl propagate %s", walk->replica.host);
    if (verdict == HOLDS && walk->memory.behind > 0) {
        size_t len = strlen(step->summary);

        snprintf(step->summary + len, sizeof(step->summary) - len, "; %lld generation%s behind",
                 (long long)walk->memory.behind, walk->memory.behind == 1 ? "" : "s");
        step_hint(step, "kpropctl propagate %s", walk->replica.host);
        return HOLDS_BUT;
    }
    return verdict == HOLDS && will_be_incremental(facts)
               ? tell_next_start(facts, walk->replica.host, step)
               : verdict;
}

enum verdict
see_stalled(struct walk *walk, struct step *step)
{
    const json_t *facts = walk_facts(walk, step);
    struct judgement j = { .hint = "" };

    if (facts == NULL)
        return IMPOSSIBLE;
    return step_judged(step, judge_stalled(facts, walk->replica.host, &j), &j);
}

enum verdict
see_leftovers(struct walk *walk, struct step *step)
{
    const json_t *facts = walk_facts(walk, step);
    struct judgement j = { .hint = "" };

    if (facts == NULL)
        return IMPOSSIBLE;
    return step_judged(step, judge_leftovers(facts, walk->replica.host, &j), &j);
}

enum verdict
see_found(struct walk *walk, struct step *step)
{
    const char *realm = walk->realm->name, *host = walk->replica.host;
    enum discovery how = discovery_try(walk->realm, host, walk->replica.address,
                                       walk->configuration->connect_timeout);

    switch (how) {
    case DISCOVERY_KRB5_CONF:
        step_summary(step, "%s is among the kdc lines of krb5.conf", host);
        return HOLDS;
    case DISCOVERY_SRV:
        step_summary(step, "%s is among the SRV records of %s", host, realm);
        return HOLDS;
    case DISCOVERY_URI:
        step_summary(step, "%s is in the URI record of %s", host, realm);
        return HOLDS;
    case DISCOVERY_NO_ANSWER:
        step_summary(step,
                     "clients may not find %s: krb5.conf here does not name it, and DNS does "
                     "not answer for %s",
                     host, realm);
        break;
    case DISCOVERY_NONE:
        step_summary(step, "clients do not find %s: neither krb5.conf here nor DNS names it", host);
        break;
    }
    step_hint(step, "add 'kdc = %s' to the realm in krb5.conf, or a record _kerberos._udp.%s", host,
              realm);
    return HOLDS_BUT;
}
