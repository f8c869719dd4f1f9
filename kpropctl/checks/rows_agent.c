/* rows_agent - is the agent itself what the other rows need? */
#include "common/contract/capabilities.h"
#include "kpropctl/base/text.h"
#include "kpropctl/checks/rows.h"

#include <stdio.h>
#include <string.h>

/* What kpropctl calls. */
static const char *const needed_verbs[] = {
    "port",         "release",   "facts",       "logs",       "digest",         "inventory",
    "outcome",      "announce",  "acl-add",     "keytab-add", "keytab-drop",    "use-loader",
    "start-kpropd", "start-kdc", "stop-kpropd", "rollback",   "release-loader",
};

/* The first verb that is not in the agent's list, or NULL. */
static const char *
missing_verb(const json_t *facts)
{
    for (size_t i = 0; i < sizeof(needed_verbs) / sizeof(*needed_verbs); i++) {
        if (!fact_lists(facts, "agent", "verbs", needed_verbs[i]))
            return needed_verbs[i];
    }
    return NULL;
}

/* What an agent with these capabilities does that ours does not, as words; "" if nothing. */
static void
tell_missing(const json_t *facts, char *text, size_t size)
{
    size_t len = 0;

    text[0] = '\0';
    for (const struct capability *one = capabilities_table(); one->name != NULL; one++) {
        if (!fact_lists(facts, "agent", "capabilities", one->name) && len < size)
            len +=
                (size_t)snprintf(text + len, size - len, "%s%s", len > 0 ? "; " : "", one->without);
    }
}

/* By what the agent says that it can, not by its number. */
enum verdict
see_version(struct walk *walk, struct step *step)
{
    const json_t *facts = walk_facts(walk, step);
    const char *version = fact_text(facts, "agent", "version"), *host = walk->replica.host;
    const char *verb = missing_verb(facts);
    char without[300];

    if (facts == NULL)
        return IMPOSSIBLE;
    tell_missing(facts, without, sizeof(without));
    if (verb == NULL && without[0] == '\0') {
        step_summary(step, "kpropctl-agent on %s is version %s%s", host, version,
                     version_order(version, KPC_VERSION) > 0 ? ", newer than this kpropctl" : "");
        return HOLDS;
    }
    if (verb != NULL)
        step_summary(
            step, "kpropctl-agent %s on %s has no verb '%s', which this kpropctl needs%s%s",
            version, host, verb, without[0] != '\0' ? ", and is older than it: " : "", without);
    else
        step_summary(step, "kpropctl-agent %s on %s is older than this kpropctl: %s", version, host,
                     without);
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
