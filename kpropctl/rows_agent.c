/* rows_agent - is the agent itself what the other rows need? */
#include "kpropctl/rows.h"
#include "kpropctl/text.h"

#include <string.h>

/* The oldest agent whose facts have all that the rows judge. */
static const char oldest_agent[] = "0.1.0";

/* What kpropctl calls. */
static const char *const needed_verbs[] = {
    "port",         "release",   "facts",       "logs",       "digest",      "inventory",
    "outcome",      "announce",  "acl-add",     "keytab-add", "keytab-drop", "use-loader",
    "start-kpropd", "start-kdc", "stop-kpropd", "rollback",
};

/* The first verb that is not in the agent's list, or NULL. */
static const char *
missing_verb(const json_t *verbs)
{
    for (size_t i = 0; i < sizeof(needed_verbs) / sizeof(*needed_verbs); i++) {
        const json_t *verb;
        bool found = false;
        size_t index;

        json_array_foreach(verbs, index, verb)
        {
            const char *name = json_string_value(verb);

            found = found || (name != NULL && strcmp(name, needed_verbs[i]) == 0);
        }
        if (!found)
            return needed_verbs[i];
    }
    return NULL;
}

enum verdict
see_version(struct walk *walk, struct step *step)
{
    const json_t *facts = walk_facts(walk, step);
    const char *version = fact_text(facts, "agent", "version"), *host = walk->replica.host;
    const char *missing = missing_verb(fact(facts, "agent", "verbs"));

    if (facts == NULL)
        return IMPOSSIBLE;
    if (version_order(version, oldest_agent) >= 0 && missing == NULL) {
        step_summary(step, "kpropctl-agent on %s is version %s%s", host, version,
                     version_order(version, KPC_VERSION) > 0 ? ", newer than this kpropctl" : "");
        return HOLDS;
    }
    if (version_order(version, oldest_agent) < 0)
        step_summary(step,
                     "kpropctl-agent on %s is version %s, and this kpropctl needs %s: not all that "
                     "is checked can be told",
                     host, version, oldest_agent);
    else
        step_summary(step, "kpropctl-agent %s on %s has no verb '%s', which this kpropctl needs",
                     version, host, missing);
    step_hint(step, "upgrade the package kpropctl-agent on %s to " KPC_VERSION, host);
    return HOLDS_BUT;
}

enum verdict
see_limits(struct walk *walk, struct step *step)
{
    const json_t *facts = walk_facts(walk, step);
    struct judgement j = { .hint = "" };

    if (facts == NULL)
        return IMPOSSIBLE;
    return step_judged(step, judge_limits(facts, walk->replica.host, &j), &j);
}
