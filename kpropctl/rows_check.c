/* rows_check - what only a health check asks of a replica. Nothing is changed, nothing recorded. */
#include "kpropctl/rows.h"
#include "kpropctl/text.h"

#include <arpa/nameser.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { DIGEST_TIMEOUT = 600, SILENT_SECONDS = 30, MAX_ANSWER = 16384 };

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

    if (facts == NULL || !walk->memory_told) {
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

/* kpropd serves one connection at a time: one that stays silent stops all propagation. */
enum verdict
see_stalled(struct walk *walk, struct step *step)
{
    const json_t *facts = walk_facts(walk, step), *connections, *connection;
    size_t index;

    if (facts == NULL)
        return IMPOSSIBLE;
    connections = json_object_get(json_object_get(facts, "kpropd"), "connections");
    if (!json_is_array(connections)) {
        step_summary(step, "the agent of %s does not tell", walk->replica.host);
        return UNTOLD;
    }
    json_array_foreach(connections, index, connection)
    {
        double idle = json_number_value(json_object_get(connection, "idle"));

        if (idle < SILENT_SECONDS || fact_true(facts, "load", "running"))
            continue;
        step_summary(step,
                     "kpropd on %s is held up by a connection from %s that has been silent "
                     "for %.0f s",
                     walk->replica.host, fact_text(connection, "peer", NULL), idle);
        step_hint(step, "end whatever connects from there; restarting kpropd frees it at once");
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
    step_hint(step, "the next load removes them: kpropctl propagate --force %s",
              walk->replica.host);
    return HOLDS_BUT;
}

static bool
in_krb5_conf(const struct walk *walk)
{
    char name[256];

    for (char **p = walk->realm->kdc; p != NULL && *p != NULL; p++) {
        struct names names;
        struct error ignored;

        snprintf(name, sizeof(name), "%s", *p);
        if (name[0] != '[' && strchr(name, ':') == strrchr(name, ':'))
            name[strcspn(name, ":")] = '\0';
        if (strcasecmp(name, walk->replica.host) == 0 || strcmp(name, walk->replica.address) == 0)
            return true;
        if (names_look_up(name, walk->realm->name, &names, &ignored) &&
            strcmp(names.address, walk->replica.address) == 0)
            return true;
    }
    return false;
}

/* Does an SRV record of the realm name the replica? */
static bool
in_srv(const struct walk *walk, const char *protocol)
{
    unsigned char answer[MAX_ANSWER];
    char query[512], target[NS_MAXDNAME];
    int len;
    ns_msg msg;
    ns_rr rr;

    snprintf(query, sizeof(query), "_kerberos.%s.%s.", protocol, walk->realm->name);
    len = res_query(query, ns_c_in, ns_t_srv, answer, sizeof(answer));
    if (len < 0 || ns_initparse(answer, len, &msg) != 0)
        return false;
    for (int i = 0; i < ns_msg_count(msg, ns_s_an); i++) {
        if (ns_parserr(&msg, ns_s_an, i, &rr) != 0 || ns_rr_type(rr) != ns_t_srv ||
            ns_rr_rdlen(rr) < 7 ||
            ns_name_uncompress(ns_msg_base(msg), ns_msg_end(msg), ns_rr_rdata(rr) + 6, target,
                               sizeof(target)) < 0)
            continue;
        if (strcasecmp(target, walk->replica.host) == 0)
            return true;
    }
    return false;
}

enum verdict
see_found(struct walk *walk, struct step *step)
{
    if (in_krb5_conf(walk)) {
        step_summary(step, "%s is among the kdc lines of krb5.conf", walk->replica.host);
        return HOLDS;
    }
    if (res_init() == 0) {
        _res.retrans = 1;
        _res.retry = 1;
    }
    if (in_srv(walk, "_udp") || in_srv(walk, "_tcp")) {
        step_summary(step, "%s is among the SRV records of %s", walk->replica.host,
                     walk->realm->name);
        return HOLDS;
    }
    step_summary(step, "clients do not find %s: neither krb5.conf here nor an SRV record names it",
                 walk->replica.host);
    step_hint(step, "add 'kdc = %s' to the realm in krb5.conf, or a record _kerberos._udp.%s",
              walk->replica.host, walk->realm->name);
    return HOLDS_BUT;
}
