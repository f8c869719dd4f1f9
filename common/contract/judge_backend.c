/* judge_backend - what the library that keeps a replica's database means to a load; see judge.h. */
#include "common/contract/judge.h"

#include "common/contract/refusals.h"

#include <stdio.h>
#include <string.h>

/* By either name that krb5 takes for it. What the library means is in common/kdb/backend.c. */
bool
judge_keeps_lmdb(const json_t *facts)
{
    const char *library = fact_text(facts, "realm", "backend");

    return strcmp(library, "klmdb") == 0 || strcmp(library, "lmdb") == 0;
}

enum verdict
judge_backend(const json_t *facts, const char *host, const char *verb, struct judgement *j)
{
    const struct refusal_names names = { .realm = fact_text(facts, "realm", "name"),
                                         .replica = host };
    char ways[900];

    if (!judge_keeps_lmdb(facts))
        return HOLDS;
    refusal_ways(REFUSAL_LMDB, &names, ways, sizeof(ways));
    if (fact_true(facts, "database", "exists")) {
        snprintf(j->summary, sizeof(j->summary),
                 "cannot %s %s: it keeps the realm in lmdb, where a load that fails destroys the "
                 "database that is there",
                 verb, host);
        snprintf(j->hint, sizeof(j->hint), "%s", ways);
        return REFUSED;
    }
    snprintf(j->summary, sizeof(j->summary),
             "%s keeps the realm in lmdb and has no database yet: the first one can be loaded, and "
             "no other after it",
             host);
    snprintf(j->hint, sizeof(j->hint), "better before that one than after it: %s", ways);
    return HOLDS_BUT;
}
