/* judge - see judge.h. */
#include "common/contract/judge.h"

#include "common/contract/refusals.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { SILENT_SECONDS = 30, TURNED_AWAY_SECONDS = 3600 };

static void __attribute__((format(printf, 2, 3))) summary(struct judgement *j, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(j->summary, sizeof(j->summary), fmt, ap);
    va_end(ap);
}

static void __attribute__((format(printf, 2, 3))) hint(struct judgement *j, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(j->hint, sizeof(j->hint), fmt, ap);
    va_end(ap);
}

const json_t *
fact(const json_t *object, const char *a, const char *b)
{
    const json_t *value = json_object_get(object, a);

    return b == NULL ? value : json_object_get(value, b);
}

const char *
fact_text(const json_t *object, const char *a, const char *b)
{
    const char *text = json_string_value(fact(object, a, b));

    return text == NULL ? "" : text;
}

json_int_t
fact_integer(const json_t *object, const char *a, const char *b)
{
    return json_integer_value(fact(object, a, b));
}

bool
fact_true(const json_t *object, const char *a, const char *b)
{
    return json_is_true(fact(object, a, b));
}

bool
fact_lists(const json_t *object, const char *a, const char *b, const char *word)
{
    const json_t *one;
    size_t index;

    json_array_foreach(fact(object, a, b), index, one)
    {
        if (json_is_string(one) && strcmp(json_string_value(one), word) == 0)
            return true;
    }
    return false;
}

/* A kpropd that its unit did not start is the administrator's own affair, and left alone. */
static bool
somebody_elses(const json_t *service)
{
    return json_is_integer(json_object_get(service, "pid")) &&
           fact_text(service, "unit", NULL)[0] != '\0' &&
           strcmp(fact_text(service, "active", NULL), "active") != 0;
}

/* The command of SERVICE's init script for ACTION ("start", "enable"), or "" if it has none. */
static const char *
script_command(const json_t *service, const char *action)
{
    return fact_text(json_object_get(service, "init_script"), action, NULL);
}

/* Is a loader of ours out of reach, because kpropd is not started by its unit? */
static bool
cannot_load_ours(const json_t *kpropd, const char *host, bool on_demand, struct judgement *j)
{
    if (on_demand)
        summary(j,
                "kpropd is started on demand on %s: databases are loaded by kdb5_util "
                "itself, and compared afterwards",
                host);
    else if (fact_text(kpropd, "unit", NULL)[0] == '\0')
        summary(j,
                "kpropd has no systemd unit on %s: databases are loaded by kdb5_util "
                "itself, and compared afterwards",
                host);
    else if (somebody_elses(kpropd) && !fact_true(kpropd, "loader", NULL))
        summary(j,
                "kpropd on %s (pid %lld) was not started by its unit %s: databases are "
                "loaded by kdb5_util itself, and compared afterwards",
                host, (long long)fact_integer(kpropd, "pid", NULL),
                fact_text(kpropd, "unit", NULL));
    else
        return false;
    hint(j,
         "start kpropd with -p " KPC_LOADER " to have loads checked before they "
         "replace the database%s",
         script_command(kpropd, "start")[0] == '\0'
             ? ""
             : " (Debian: DAEMON_ARGS in /etc/default/kpropd); or have the agent run it: "
               "supervise = yes in its agent.conf");
    return true;
}

/* A KDC that serves one of UDP and TCP alone may be meant to; clients of the other find none. */
static bool
lacks_transport(const json_t *facts, const char *host, struct judgement *j, const json_t *service)
{
    const char *lacking = json_is_false(json_object_get(service, "udp"))   ? "UDP"
                          : json_is_false(json_object_get(service, "tcp")) ? "TCP"
                                                                           : NULL;
    bool udp = lacking != NULL && strcmp(lacking, "UDP") == 0;

    if (lacking == NULL)
        return false;
    summary(j, "krb5kdc on %s (pid %lld) listens on %s port %lld, but not on %s", host,
            (long long)fact_integer(service, "pid", NULL), udp ? "TCP" : "UDP",
            (long long)fact_integer(facts, "realm", "kdc_port"), lacking);
    hint(j, "see %s in kdc.conf of %s, or who else holds the %s port",
         udp ? "kdc_listen" : "kdc_tcp_listen", host, lacking);
    return true;
}

/* Without systemd nobody but a person starts it: by which commands? */
static bool
tell_script(const json_t *service, const char *host, struct judgement *j)
{
    const char *start = script_command(service, "start");

    if (start[0] == '\0')
        return false;
    if (fact_true(service, "enabled", NULL))
        hint(j, "%s has no systemd; there: %s", host, start);
    else
        hint(j, "%s has no systemd; there: %s; and %s", host, start,
             script_command(service, "enable"));
    return true;
}

/* A service that must be active, enabled and seen listening. */
static enum verdict
judge_service(const json_t *facts, const char *host, const char *key, const char *program,
              struct judgement *j)
{
    const json_t *service;
    const char *unit, *active;

    service = json_object_get(facts, key);
    unit = fact_text(service, "unit", NULL);
    active = fact_text(service, "active", NULL);
    if (!json_is_integer(json_object_get(service, "pid"))) {
        summary(j, "%s does not run on %s%s%s%s", program, host, active[0] != '\0' ? " (" : "",
                active, active[0] != '\0' ? ")" : "");
        return tell_script(service, host, j) ? IMPOSSIBLE : LACKING;
    }
    if (!fact_true(service, "listening", NULL) && !fact_true(service, "udp", NULL) &&
        !fact_true(service, "tcp", NULL)) {
        summary(j, "%s runs on %s (pid %lld) but does not listen", program, host,
                (long long)fact_integer(service, "pid", NULL));
        return LACKING;
    }
    if (somebody_elses(service)) {
        summary(j, "%s runs on %s (pid %lld), but not by its unit %s: it was started by hand",
                program, host, (long long)fact_integer(service, "pid", NULL), unit);
        hint(j, "see that it starts at boot too; or end it and run again, then %s does", unit);
        return HOLDS_BUT;
    }
    if (unit[0] != '\0' && !fact_true(service, "enabled", NULL)) {
        summary(j, "%s runs on %s, but is not enabled: it will be gone after a reboot", unit, host);
        return LACKING;
    }
    if (json_is_object(json_object_get(service, "init_script")) &&
        !fact_true(service, "enabled", NULL)) {
        summary(j, "%s runs on %s, but is not started at boot: it will be gone after a reboot",
                program, host);
        hint(j, "on %s: %s", host, script_command(service, "enable"));
        return IMPOSSIBLE;
    }
    if (lacks_transport(facts, host, j, service))
        return HOLDS_BUT;
    summary(j, "%s is seen listening on %s (pid %lld)%s%s", program, host,
            (long long)fact_integer(service, "pid", NULL), unit[0] != '\0' ? ", enabled as " : "",
            unit);
    return HOLDS;
}

/* Something else would start another kpropd at the next boot: tell of it. */
static bool
starts_twice(const json_t *kpropd, const char *host, struct judgement *j)
{
    const char *unit = fact_text(kpropd, "unit", NULL);

    if (!fact_true(kpropd, "enabled", NULL))
        return false;
    summary(j, "the agent runs kpropd on %s, but %s starts another one at boot", host,
            unit[0] != '\0' ? unit : fact_text(kpropd, "init_script", "path"));
    if (unit[0] != '\0')
        hint(j, "on %s: systemctl disable %s", host, unit);
    else
        hint(j, "on %s: %s", host, script_command(kpropd, "disable"));
    return true;
}

/* One that the agent does not see listening. */
static enum verdict
judge_unseen(const json_t *watched, const char *host, struct judgement *j)
{
    const char *failure = fact_text(watched, "last_failure", "text");
    long long failures = (long long)fact_integer(watched, "failures", NULL);

    if (!fact_true(watched, "wanted", NULL))
        summary(j, "kpropd on %s is stopped, and the agent is not to start it", host);
    else if (failure[0] == '\0' || strcmp(fact_text(watched, "state", NULL), "waiting") != 0)
        summary(j, "the agent is starting kpropd on %s: it does not listen yet", host);
    else if (failures > 1)
        summary(j, "kpropd on %s has failed %lld times in a row: %s", host, failures, failure);
    else
        summary(j, "kpropd on %s has failed: %s", host, failure);
    if (!fact_true(watched, "wanted", NULL))
        hint(j, "on %s: kpropctl-agent start-kpropd REALM", host);
    else if (fact_text(watched, "last_failure", "hint")[0] != '\0')
        hint(j, "%s", fact_text(watched, "last_failure", "hint"));
    else
        hint(j, "the agent starts it again by itself, at most a minute later; what it says: "
                "kpropctl-agent logs");
    return LACKING;
}

/* One that the agent itself runs (supervise = yes). */
static enum verdict
judge_watched(const json_t *kpropd, const json_t *watched, const char *host, struct judgement *j)
{
    const char *state = fact_text(watched, "state", NULL);
    long long restarts = (long long)fact_integer(watched, "restarts", NULL);
    long long pid = (long long)fact_integer(watched, "pid", NULL);

    if (state[0] == '\0') {
        summary(j, "no daemon of the agent answers on %s, and kpropd is to be run by it", host);
        hint(j, "%s", fact_text(watched, "hint", NULL));
        return IMPOSSIBLE;
    }
    if (strcmp(state, "up") != 0)
        return judge_unseen(watched, host, j);
    if (starts_twice(kpropd, host, j))
        return HOLDS_BUT;
    if (fact_integer(watched, "failures", NULL) > 1) {
        summary(j, "kpropd runs on %s (pid %lld) after %lld restarts; it last failed with: %s",
                host, pid, restarts, fact_text(watched, "last_failure", "text"));
        hint(j, "what it says: kpropctl-agent logs");
        return HOLDS_BUT;
    }
    summary(j, "kpropd is seen listening on %s (pid %lld), run and watched by the agent", host,
            pid);
    return HOLDS;
}

enum verdict
judge_kpropd(const json_t *facts, const char *host, struct judgement *j)
{
    const json_t *watched = fact(facts, "kpropd", "supervised");

    if (json_is_object(watched))
        return judge_watched(json_object_get(facts, "kpropd"), watched, host, j);
    return judge_service(facts, host, "kpropd", "kpropd", j);
}

enum verdict
judge_kdc(const json_t *facts, const char *host, struct judgement *j)
{
    return judge_service(facts, host, "kdc", "krb5kdc", j);
}

/* Nothing unverified replaces the database, unless the host's own configuration says so; and what
 * was refused so may be a job that somebody misses. */
static enum verdict
loads_with_ours(const json_t *facts, const char *host, const char *whose, struct judgement *j)
{
    const struct refusal_names names = { fact_text(facts, "realm", "name"), host, NULL };
    const char *refusal = fact_text(facts, "last", "refusal");

    if (strcmp(fact_text(facts, "unannounced", "rule"), "accept") == 0) {
        summary(j,
                "%s loads with kpropctl's loader, but takes what nobody announced, from whoever is "
                "in kpropd.acl (unannounced = accept)",
                whose);
        hint(j, "set unannounced = refuse in /etc/kpropctl/agent.conf of %s", host);
        return HOLDS_BUT;
    }
    for (int id = 0; refusal[0] != '\0' && id < REFUSALS; id++) {
        if (strcmp(refusal_row((enum refusal_id)id)->id, refusal) != 0)
            continue;
        summary(j, "%s refused the last dump: %s", host, fact_text(facts, "last", "error"));
        refusal_ways((enum refusal_id)id, &names, j->hint, sizeof(j->hint));
        return HOLDS_BUT;
    }
    summary(j, "%s loads with kpropctl's loader: nothing unverified replaces the database", whose);
    return HOLDS;
}

enum verdict
judge_loader(const json_t *facts, const char *host, bool on_demand, struct judgement *j)
{
    const json_t *kpropd;
    bool running, supervised;
    char whose[300];

    kpropd = json_object_get(facts, "kpropd");
    running = json_is_integer(json_object_get(kpropd, "pid"));
    supervised = json_is_object(json_object_get(kpropd, "supervised"));
    snprintf(whose, sizeof(whose), "kpropd on %s", host);
    if (supervised && fact_true(facts, "unannounced", "released")) {
        summary(j, "%s loads with kdb5_util alone, which can destroy the database", whose);
        j->mild = true;
        return LACKING;
    }
    if ((supervised && !running) || ((supervised || fact_text(kpropd, "unit", NULL)[0] == '\0') &&
                                     fact_true(kpropd, "loader", NULL)))
        return loads_with_ours(facts, host, whose, j);
    if (cannot_load_ours(kpropd, host, on_demand, j))
        return HOLDS_BUT;
    if (fact_true(kpropd, "dropin", NULL) && (!running || fact_true(kpropd, "loader", NULL)))
        return loads_with_ours(facts, host, fact_text(kpropd, "unit", NULL), j);
    summary(j,
            running && fact_true(kpropd, "loader", NULL)
                ? "the drop-in of %s that names kpropctl's loader is gone: from its next "
                  "start on it loads with kdb5_util alone, which can destroy the database"
                : "%s loads with kdb5_util alone, which can destroy the database",
            fact_text(kpropd, "unit", NULL));
    j->mild = true;
    return LACKING;
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

/* What a person restarts it with. */
static void
restart_command(const json_t *kpropd, char *text, size_t size)
{
    const char *unit = fact_text(kpropd, "unit", NULL);
    const char *script = fact_text(json_object_get(kpropd, "init_script"), "path", NULL);

    if (json_is_object(json_object_get(kpropd, "supervised")))
        snprintf(text, size, "'kpropctl-agent stop-kpropd REALM' and start-kpropd");
    else if (unit[0] == '\0' && script[0] != '\0')
        snprintf(text, size, "'%s restart'", script);
    else
        snprintf(text, size, "'systemctl restart %s'", unit[0] != '\0' ? unit : "kpropd");
}

/* kpropd serves one connection at a time: one that stays silent stops all propagation. */
enum verdict
judge_stalled(const json_t *facts, const char *host, struct judgement *j)
{
    const json_t *kpropd, *connections, *worst;
    char restart[300];

    kpropd = json_object_get(facts, "kpropd");
    connections = json_object_get(kpropd, "connections");
    if (!json_is_array(connections)) {
        summary(j, "the agent of %s does not tell", host);
        return UNTOLD;
    }
    if (fact_true(facts, "load", "running")) {
        summary(j, "kpropd on %s is loading a database", host);
        return HOLDS;
    }
    restart_command(kpropd, restart, sizeof(restart));
    if ((worst = most_silent(connections, false)) != NULL) {
        summary(j,
                "kpropd on %s is held up by a connection from %s that has been silent "
                "for %.0f s: nobody can propagate meanwhile",
                host, fact_text(worst, "peer", NULL),
                json_number_value(json_object_get(worst, "idle")));
        hint(j, "end what connects from there; on %s %s frees kpropd", host, restart);
        return IMPOSSIBLE;
    }
    if ((worst = most_silent(connections, true)) != NULL) {
        summary(j,
                "kpropd on %s (pid %lld) does not accept the connection from %s, for %.0f s "
                "now",
                host, (long long)fact_integer(kpropd, "pid", NULL), fact_text(worst, "peer", NULL),
                json_number_value(json_object_get(worst, "idle")));
        hint(j, "it is stopped, or hangs: on %s %s", host, restart);
        return IMPOSSIBLE;
    }
    summary(j, "no silent connection holds kpropd up");
    return HOLDS;
}

enum verdict
judge_leftovers(const json_t *facts, const char *host, struct judgement *j)
{
    const json_t *leftovers;

    leftovers = json_object_get(facts, "leftovers");
    if (fact_true(facts, "load", "running")) {
        summary(j, "a load is running on %s", host);
        return UNTOLD;
    }
    if (!json_is_array(leftovers)) {
        summary(j, "the agent of %s does not tell", host);
        return UNTOLD;
    }
    if (json_array_size(leftovers) == 0) {
        summary(j, "nothing is left of an interrupted load");
        return HOLDS;
    }
    summary(j, "an interrupted load has left %zu file%s on %s: %s", json_array_size(leftovers),
            json_array_size(leftovers) == 1 ? "" : "s", host,
            json_string_value(json_array_get(leftovers, 0)));
    hint(j,
         "they may hold keys and fill the disk; the next load removes what is its own: "
         "kpropctl propagate --force %s; remove what is still there then",
         host);
    return HOLDS_BUT;
}

enum verdict
judge_kadmind(const json_t *facts, const char *host, struct judgement *j)
{
    const json_t *kadmind = json_object_get(facts, "kadmind");
    bool runs = json_is_integer(json_object_get(kadmind, "pid"));
    const char *script = script_command(kadmind, runs ? "stop" : "disable");

    if (!json_is_boolean(json_object_get(kadmind, "enabled"))) {
        summary(j, "cannot tell whether kadmind runs on %s: its agent does not say", host);
        return UNKNOWN;
    }
    if (!runs && !fact_true(kadmind, "enabled", NULL)) {
        summary(j, "kadmind is off on %s", host);
        return HOLDS;
    }
    summary(j, "kadmind %s on %s: it looks like a primary", runs ? "runs" : "is enabled", host);
    hint(j,
         "if it is one, leave it alone; if it is to be a replica, disable kadmind there: "
         "%s%s",
         script[0] != '\0' ? script : "systemctl disable --now ",
         script[0] != '\0'                             ? ""
         : fact_text(kadmind, "unit", NULL)[0] != '\0' ? fact_text(kadmind, "unit", NULL)
                                                       : "krb5-admin-server");
    return REFUSED;
}

enum verdict
judge_limits(const json_t *facts, const char *host, struct judgement *j)
{
    const json_t *limits = fact(facts, "agent", "limits"),
                 *at = fact(limits, "turned_away_at", NULL);
    long long may = (long long)fact_integer(limits, "descriptors", NULL);
    long long needs = (long long)fact_integer(limits, "descriptors_needed", NULL);
    double ago = json_number_value(fact(facts, "time", NULL)) - json_number_value(at);

    if (!json_is_object(limits)) {
        summary(j, "the agent of %s does not tell", host);
        return UNTOLD;
    }
    if (may < needs) {
        summary(j, "kpropctl-agent on %s may have %lld files open, and needs %lld when it is busy",
                host, may, needs);
        hint(j, "raise LimitNOFILE= of kpropctl-agent.service on %s: systemctl edit kpropctl-agent",
             host);
        return HOLDS_BUT;
    }
    if (json_is_number(at) && ago < TURNED_AWAY_SECONDS) {
        summary(j,
                "kpropctl-agent on %s had too many callers: %lld were turned away since it was "
                "started, the last %.0f min ago",
                host, (long long)fact_integer(limits, "turned_away", NULL), ago > 0 ? ago / 60 : 0);
        hint(j,
             "on %s: ss -tn 'sport = :4373' tells who is connected; kpropctl-agent(8) has the "
             "limits",
             host);
        return HOLDS_BUT;
    }
    summary(j, "kpropctl-agent on %s has room for its callers", host);
    return HOLDS;
}
