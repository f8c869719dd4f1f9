/* rows_check - what only a health check asks of a replica. Nothing is changed, nothing recorded. */
#include "kpropctl/discovery.h"
#include "kpropctl/rows.h"
#include "kpropctl/text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { DIGEST_TIMEOUT = 600, SILENT_SECONDS = 30 };

enum verdict
see_age(struct walk *walk, struct step *step)
{
    const struct configuration *configuration = walk->configuration;
    double age = difftime(time(NULL), (time_t)walk->memory.verified_at);
    char text[32];

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
    if (!walk_call(walk, argv, DIGEST_TIMEOUT, &reply, &err)) {
        step_error(step, &err);
        json_decref(reply);
        return err.code == ERROR_UNREACHABLE ? UNKNOWN : IMPOSSIBLE;
    }
    same = strcmp(fact_text(reply, "digest", NULL), content->digest) == 0;
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

/* The agent's word on what its loader did last, against what was sent last. */
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
    if (!json_is_true(json_object_get(last, "verified")) || generation != content->generation) {
        step_summary(step,
                     "%s last loaded generation %lld (%s), generation %lld was verified there "
                     "before",
                     walk->replica.host, (long long)generation,
                     fact_true(last, "verified", NULL) ? "verified" : "NOT verified",
                     (long long)content->generation);
        return IMPOSSIBLE;
    }
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

enum verdict
see_held(struct walk *walk, struct step *step)
{
    const json_t *facts = walk_facts(walk, step);
    enum verdict verdict;

    if (facts == NULL)
        return UNKNOWN;
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
    return verdict;
}

/* The connection that has been silent for the longest, of those served (or of those waiting). */
static const json_t *
most_silent(const json_t *connections, bool waiting)
{
    const json_t *connection, *worst = NULL;
    double longest = SILENT_SECONDS;
    size_t index;

    json_array_foreach(connections, index, connection)
    {
        double idle = json_number_value(json_object_get(connection, "idle"));

        if (fact_true(connection, "waiting", NULL) == waiting && idle >= longest) {
            longest = idle;
            worst = connection;
        }
    }
    return worst;
}

/* kpropd serves one connection at a time: one that stays silent stops all propagation. */
enum verdict
see_stalled(struct walk *walk, struct step *step)
{
    const json_t *facts = walk_facts(walk, step), *kpropd, *connections, *worst;
    const char *unit;

    if (facts == NULL)
        return IMPOSSIBLE;
    kpropd = json_object_get(facts, "kpropd");
    connections = json_object_get(kpropd, "connections");
    if (!json_is_array(connections)) {
        step_summary(step, "the agent of %s does not tell", walk->replica.host);
        return UNTOLD;
    }
    if (fact_true(facts, "load", "running")) {
        step_summary(step, "kpropd on %s is loading a database", walk->replica.host);
        return HOLDS;
    }
    unit = fact_text(kpropd, "unit", NULL);
    if ((worst = most_silent(connections, false)) != NULL) {
        step_summary(step,
                     "kpropd on %s is held up by a connection from %s that has been silent "
                     "for %.0f s: nobody can propagate meanwhile",
                     walk->replica.host, fact_text(worst, "peer", NULL),
                     json_number_value(json_object_get(worst, "idle")));
        step_hint(step, "end what connects from there; on %s 'systemctl restart %s' frees kpropd",
                  walk->replica.host, unit[0] != '\0' ? unit : "kpropd");
        return IMPOSSIBLE;
    }
    if ((worst = most_silent(connections, true)) != NULL) {
        step_summary(step,
                     "kpropd on %s (pid %lld) does not accept the connection from %s, for %.0f s "
                     "now",
                     walk->replica.host, (long long)fact_integer(kpropd, "pid", NULL),
                     fact_text(worst, "peer", NULL),
                     json_number_value(json_object_get(worst, "idle")));
        step_hint(step, "it is stopped, or hangs: on %s 'systemctl restart %s'", walk->replica.host,
                  unit[0] != '\0' ? unit : "kpropd");
        return IMPOSSIBLE;
    }
    step_summary(step, "no silent connection holds kpropd up");
    return HOLDS;
}

enum verdict
see_leftovers(struct walk *walk, struct step *step)
{
    const json_t *facts = walk_facts(walk, step), *leftovers;

    if (facts == NULL)
        return IMPOSSIBLE;
    leftovers = json_object_get(facts, "leftovers");
    if (fact_true(facts, "load", "running")) {
        step_summary(step, "a load is running on %s", walk->replica.host);
        return UNTOLD;
    }
    if (!json_is_array(leftovers)) {
        step_summary(step, "the agent of %s does not tell", walk->replica.host);
        return UNTOLD;
    }
    if (json_array_size(leftovers) == 0) {
        step_summary(step, "nothing is left of an interrupted load");
        return HOLDS;
    }
    step_summary(step, "an interrupted load has left %zu file%s on %s: %s",
                 json_array_size(leftovers), json_array_size(leftovers) == 1 ? "" : "s",
                 walk->replica.host, json_string_value(json_array_get(leftovers, 0)));
    step_hint(step,
              "they may hold keys and fill the disk; the next load removes what is its own: "
              "kpropctl propagate --force %s; remove what is still there then",
              walk->replica.host);
    return HOLDS_BUT;
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
