/* judge_incremental - what a kpropd that runs incrementally (iprop) means to us; see judge.h. */
#include "common/contract/judge.h"

#include "common/contract/refusals.h"

#include <stdio.h>
#include <string.h>

bool
judge_incremental(const json_t *facts)
{
    const json_t *running = fact(facts, "kpropd", "incremental");

    return json_is_boolean(running) ? json_is_true(running) : fact_true(facts, "realm", "iprop");
}

/* What starts the kpropd of FACTS anew. */
static void
restart_lines(const json_t *facts, char *out, size_t size)
{
    const char *unit = fact_text(facts, "kpropd", "unit");
    const char *realm = fact_text(facts, "realm", "name");

    if (json_is_object(fact(facts, "kpropd", "supervised")))
        snprintf(out, size, "kpropctl-agent stop-kpropd %s; kpropctl-agent start-kpropd %s", realm,
                 realm);
    else if (unit[0] != '\0')
        snprintf(out, size, "systemctl restart %s", unit);
    else
        snprintf(out, size, "start kpropd anew");
}

/* The row's own way, with the files and the unit of that host in it. */
void
judge_incremental_ways(const json_t *facts, const char *host, char *out, size_t size)
{
    const char *conf = fact_text(facts, "realm", "kdc_conf");
    char edit[300] = "", restart[200];

    if (fact_true(facts, "realm", "iprop"))
        snprintf(edit, sizeof(edit),
                 "sed -i '/%s *= *{/,/}/s/iprop_enable *=.*/iprop_enable = false/' %s "
                 "/etc/krb5.conf; ",
                 fact_text(facts, "realm", "name"),
                 conf[0] != '\0' ? conf : "/etc/krb5kdc/kdc.conf");
    restart_lines(facts, restart, sizeof(restart));
    snprintf(out, size, "on %s, as root: %s%s; then, on the primary: kpropctl setup-slave %s", host,
             edit, restart, host);
}

enum verdict
judge_whole(const json_t *facts, const char *host, const char *verb, struct judgement *j)
{
    const struct refusal *row = refusal_row(REFUSAL_INCREMENTAL);
    json_int_t pid = fact_integer(facts, "kpropd", "pid");
    char ways[700];

    if (!judge_incremental(facts)) {
        snprintf(j->summary, sizeof(j->summary), "%s takes whole databases", host);
        return judge_backend(facts, host, verb, j);
    }
    if (fact_true(facts, "kpropd", "incremental"))
        snprintf(
            j->summary, sizeof(j->summary),
            "cannot %s %s: its kpropd (pid %lld) runs incrementally (iprop), and would at once "
            "fetch kadmind's database over what it was given",
            verb, host, (long long)pid);
    else
        snprintf(j->summary, sizeof(j->summary),
                 "cannot %s %s: its kdc.conf has iprop_enable: kpropd there runs incrementally "
                 "(iprop) once it runs, and would fetch kadmind's database over what it was given",
                 verb, host);
    judge_incremental_ways(facts, host, ways, sizeof(ways));
    snprintf(j->hint, sizeof(j->hint),
             "kadmind keeps it current; to have it sent and verified by kpropctl instead: %s "
             "(gives up: %s)",
             ways, row->ways[0].gives_up);
    return REFUSED;
}
