/* self_check - see self_check.h. */
#include "agent/verbs/self_check.h"

#include "agent/verbs/facts.h"
#include "agent/verbs/verb_port.h"
#include "common/contract/judge.h"
#include "common/host/process.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { SPACE_MARGIN = 1 << 20 };

/* What the rows look at. */
struct subject {
    const json_t *facts;
    const json_t *port; /* the answer of verb port; NULL if there is none */
    const char *host;
};

typedef enum verdict see_function(const struct subject *s, struct judgement *j);

static void __attribute__((format(printf, 2, 3))) say(struct judgement *j, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(j->summary, sizeof(j->summary), fmt, ap);
    va_end(ap);
}

static void
advise(struct judgement *j, const char *text)
{
    snprintf(j->hint, sizeof(j->hint), "%s", text);
}

static enum verdict
see_keytab(const struct subject *s, struct judgement *j)
{
    const json_t *entry;
    const char *file = fact_text(s->facts, "keytab", "file");
    char own[300];
    size_t index;

    snprintf(own, sizeof(own), "host/%s@", fact_text(s->facts, "host", "krb5_name"));
    json_array_foreach(fact(s->facts, "keytab", "entries"), index, entry)
    {
        if (strncmp(fact_text(entry, "principal", NULL), own, strlen(own)) == 0) {
            say(j, "%s holds a key of %s (kvno %lld)", file, fact_text(entry, "principal", NULL),
                (long long)fact_integer(entry, "kvno", NULL));
            return HOLDS;
        }
    }
    if (fact_text(s->facts, "keytab", "error")[0] != '\0')
        say(j, "cannot read keytab %s: %s", file, fact_text(s->facts, "keytab", "error"));
    else
        say(j, "keytab %s has no key of %s…", file, own);
    advise(j, "extract it on the primary: kadmin.local -q 'ktadd -norandkey -k FILE host/THIS'");
    return IMPOSSIBLE;
}

static enum verdict
see_role(const struct subject *s, struct judgement *j)
{
    return judge_kadmind(s->facts, s->host, j);
}

static enum verdict
see_space(const struct subject *s, struct judgement *j)
{
    json_int_t needed = 2 * fact_integer(s->facts, "database", "bytes") + SPACE_MARGIN;
    const json_t *space = fact(s->facts, "space", NULL);
    const char *worse =
        fact_integer(space, "database", "free") < fact_integer(space, "spool", "free") ? "database"
                                                                                       : "spool";
    json_int_t available = fact_integer(space, worse, "free");

    if (!json_is_integer(fact(space, worse, "free"))) {
        say(j, "cannot tell the free space");
        return UNKNOWN;
    }
    say(j, "%lld MB free in %s", (long long)(available / 1000000), fact_text(space, worse, "path"));
    if (available >= needed)
        return HOLDS;
    say(j, "no room for a load: it may need %lld kB, %lld kB are free in %s",
        (long long)(needed / 1000), (long long)(available / 1000), fact_text(space, worse, "path"));
    advise(j, "free space there: kpropd would load a cut dump, and kprop say SUCCEEDED");
    return IMPOSSIBLE;
}

static enum verdict
see_port(const struct subject *s, struct judgement *j)
{
    long long port = (long long)fact_integer(s->port, "port", NULL);

    if (s->port == NULL) {
        say(j, "cannot tell who holds kpropd's port");
        return UNKNOWN;
    }
    if (!fact_true(s->port, "ready", NULL)) {
        say(j, "kpropd cannot have port %lld: it is held", port);
        advise(j, "kpropctl-agent port says by whom, and what to do");
        return IMPOSSIBLE;
    }
    if (json_is_false(fact(s->port, "lasting", NULL))) {
        say(j, "port %lld will be reserved by portreserve again at the next boot", port);
        advise(j, "kpropctl-agent release");
        return HOLDS_BUT;
    }
    say(j, "port %lld is kpropd's, or free", port);
    return HOLDS;
}

static enum verdict
see_acl(const struct subject *s, struct judgement *j)
{
    const char *file = fact_text(s->facts, "acl", "file");

    if (json_array_size(fact(s->facts, "acl", "entries")) > 0) {
        say(j, "%s lists %zu principal%s", file, json_array_size(fact(s->facts, "acl", "entries")),
            json_array_size(fact(s->facts, "acl", "entries")) == 1 ? "" : "s");
        return HOLDS;
    }
    say(j, "%s %s: nobody may propagate to this host", file,
        fact_true(s->facts, "acl", "exists") ? "lists nobody" : "is missing");
    advise(j, "kpropctl-agent acl-add REALM host/PRIMARY@REALM; or run setup-slave on the primary");
    return IMPOSSIBLE;
}

/* Does inetd or a socket unit start kpropd? */
static bool
on_demand(const struct subject *s)
{
    const json_t *holder;
    size_t index;

    json_array_foreach(fact(s->port, "holders", NULL), index, holder)
    {
        if (strcmp(fact_text(holder, "kind", NULL), "activator") == 0)
            return true;
    }
    return false;
}

static enum verdict
see_loader(const struct subject *s, struct judgement *j)
{
    return judge_loader(s->facts, s->host, on_demand(s), j);
}

static enum verdict
see_kpropd(const struct subject *s, struct judgement *j)
{
    if (!fact_true(s->facts, "kpropd", "listening") && on_demand(s)) {
        say(j, "kpropd is started on demand, by inetd or a socket unit");
        return HOLDS;
    }
    return judge_kpropd(s->facts, s->host, j);
}

static enum verdict
see_stalled(const struct subject *s, struct judgement *j)
{
    return judge_stalled(s->facts, s->host, j);
}

static enum verdict
see_leftovers(const struct subject *s, struct judgement *j)
{
    return judge_leftovers(s->facts, s->host, j);
}

/* The last load's own word: whether it is the newest, only the primary can tell. */
static enum verdict
see_content(const struct subject *s, struct judgement *j)
{
    const json_t *last = fact(s->facts, "last", NULL);
    double hours =
        (double)(time(NULL) - (time_t)json_number_value(fact(last, "finished", NULL))) / 3600;
    long long generation = (long long)fact_integer(last, "generation", NULL);

    if (!fact_true(s->facts, "database", "exists")) {
        say(j, "there is no database");
        advise(j, "on the primary: kpropctl setup-slave THIS-HOST");
        return IMPOSSIBLE;
    }
    if (judge_incremental(s->facts) && (!json_is_object(last) || fact_true(last, "loaded", NULL))) {
        say(j, "incremental (iprop): kadmind keeps the database current, and nobody has verified "
               "its content");
        return HOLDS_BUT;
    }
    if (!json_is_object(last)) {
        say(j, "cannot tell what the database holds: no load of kpropctl's loader is known");
        advise(j, "on the primary: kpropctl propagate --force THIS-HOST");
        return UNKNOWN;
    }
    if (!fact_true(last, "loaded", NULL)) {
        say(j, "the last load failed, %.1f h ago: %s", hours, fact_text(last, "error", NULL));
        advise(j, fact_text(last, "hint", NULL));
        return IMPOSSIBLE;
    }
    if (!fact_true(last, "verified", NULL)) {
        say(j, "the last load, %.1f h ago, was not announced, so nobody has verified it", hours);
        advise(j, "find out who runs kprop; on the primary: kpropctl propagate --force THIS-HOST");
        return HOLDS_BUT;
    }
    if (!json_is_false(fact(s->facts, "database", "replaced"))) {
        say(j,
            "the database is not the one that was loaded %.1f h ago: other files are in its place",
            hours);
        advise(j, "on the primary: kpropctl propagate THIS-HOST, which compares the content");
        return UNKNOWN;
    }
    say(j, "loaded and verified generation %lld, %.1f h ago", generation, hours);
    return HOLDS;
}

static enum verdict
see_kdc(const struct subject *s, struct judgement *j)
{
    return judge_kdc(s->facts, s->host, j);
}

static enum verdict
see_stash(const struct subject *s, struct judgement *j)
{
    const char *file = fact_text(s->facts, "stash", "file");

    if (fact_true(s->facts, "stash", "exists")) {
        say(j, "stash %s is there", file);
        return HOLDS;
    }
    say(j, "stash %s is missing: krb5kdc will not start again", file);
    advise(j, "on the primary: kpropctl renew --stash THIS-HOST");
    return IMPOSSIBLE;
}

static enum verdict
see_limits(const struct subject *s, struct judgement *j)
{
    return judge_limits(s->facts, s->host, j);
}

static const struct row {
    const char *id;
    see_function *see;
} rows[] = {
    { "limits", see_limits },   { "replica-keytab", see_keytab },
    { "role", see_role },       { "replica-space", see_space },
    { "port", see_port },       { "acl", see_acl },
    { "loader", see_loader },   { "kpropd", see_kpropd },
    { "stalled", see_stalled }, { "leftovers", see_leftovers },
    { "content", see_content }, { "stash", see_stash },
    { "kdc", see_kdc },
};

/* Of monitoring plugins: the exit statuses, and the order from good to bad. */
static const struct state {
    const char *name;
    int status, rank;
} states[] = { { "OK", 0, 0 }, { "WARNING", 1, 1 }, { "CRITICAL", 2, 3 }, { "UNKNOWN", 3, 2 } };

static const struct state *
state_of(const char *level)
{
    if (strcmp(level, "ok") == 0 || strcmp(level, "skipped") == 0)
        return &states[0];
    if (strcmp(level, "unknown") == 0)
        return &states[3];
    return &states[strcmp(level, "warning") == 0 ? 1 : 2];
}

static const char *
level_of(enum verdict verdict, const struct judgement *j)
{
    switch (verdict) {
    case HOLDS:
        return "ok";
    case HOLDS_BUT:
        return "warning";
    case LACKING:
        return j->mild ? "warning" : "failed";
    case IMPOSSIBLE:
    case REFUSED:
        return "failed";
    case UNTOLD:
        return "skipped";
    case UNKNOWN:
        break;
    }
    return "unknown";
}

static json_t *
clean(const char *text)
{
    char value[1024];

    text_clean(text, strlen(text), value, sizeof(value));
    return json_string(value);
}

static json_t *
judge_all(const struct subject *s)
{
    const struct state *worst = &states[0];
    json_t *list = json_array();

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct judgement j = { .hint = "" };
        const char *level = level_of(rows[i].see(s, &j), &j);

        if (state_of(level)->rank > worst->rank)
            worst = state_of(level);
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:o, s:o}", "id", rows[i].id, "level", level,
                                        "summary", clean(j.summary), "hint", clean(j.hint)));
    }
    return json_pack("{s:s, s:s, s:s, s:o}", "host", s->host, "realm",
                     fact_text(s->facts, "realm", "name"), "status", worst->name, "checks", list);
}

bool
self_check_verb(const struct verb_call *call, json_t **reply, struct error *err)
{
    const struct verb_call bare = { .settings = call->settings, .peer = call->peer };
    struct subject subject = { NULL, NULL, "" };
    json_t *facts = NULL, *port = NULL;
    struct error ignored;

    error_clear(&ignored);
    if (!facts_verb(call, &facts, err))
        return false;
    /* A held port is a failure of that verb, with the report all the same. */
    verb_port(&bare, &port, &ignored);
    subject.facts = facts;
    subject.port = port;
    subject.host = fact_text(facts, "host", "krb5_name");
    *reply = judge_all(&subject);
    json_decref(facts);
    json_decref(port);
    return *reply != NULL || error_memory(err);
}

/* A bar would begin the performance data. */
static void
put(const char *text, FILE *out)
{
    for (; *text != '\0'; text++)
        fputc(*text == '|' ? '/' : *text, out);
}

static void
print_row(const json_t *row, FILE *out)
{
    fprintf(out, "%s: %s: ", state_of(fact_text(row, "level", NULL))->name,
            fact_text(row, "id", NULL));
    put(fact_text(row, "summary", NULL), out);
    if (fact_text(row, "hint", NULL)[0] != '\0') {
        fputs(" (", out);
        put(fact_text(row, "hint", NULL), out);
        fputc(')', out);
    }
    fputc('\n', out);
}

/* One status line, then the rows that are not good, none with a bar: performance data begins so. */
static int
print_plugin(const json_t *reply, FILE *out)
{
    const json_t *row, *worst = NULL;
    const struct state *state = &states[0];
    size_t index, bad = 0;

    json_array_foreach(fact(reply, "checks", NULL), index, row)
    {
        const struct state *own = state_of(fact_text(row, "level", NULL));

        bad += own->rank > 0;
        if (own->rank > state->rank) {
            state = own;
            worst = row;
        }
    }
    fprintf(out, "KPROPCTL-AGENT %s - %s: ", state->name, fact_text(reply, "host", NULL));
    put(worst == NULL ? "all that a replica can tell of itself is good"
                      : fact_text(worst, "summary", NULL),
        out);
    fputc('\n', out);
    json_array_foreach(fact(reply, "checks", NULL), index, row)
    {
        if (bad > 0 && state_of(fact_text(row, "level", NULL))->rank > 0)
            print_row(row, out);
    }
    return state->status;
}

static int
state_status(const char *name)
{
    for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++) {
        if (strcmp(states[i].name, name) == 0)
            return states[i].status;
    }
    return 3;
}

int
self_check_console(const struct verb_call *call, FILE *out)
{
    bool json = call->argc > 0 && strcmp(call->argv[0], "--json") == 0;
    struct verb_call rest = *call;
    json_t *reply = NULL;
    struct error err;
    int status = 3;

    rest.argc -= json;
    rest.argv += json;
    error_clear(&err);
    if (rest.argc > 1 || (rest.argc == 1 && rest.argv[0][0] == '-')) {
        fputs("KPROPCTL-AGENT UNKNOWN - usage: kpropctl-agent check [--json] [REALM]\n", out);
    } else if (!self_check_verb(&rest, &reply, &err)) {
        fprintf(out, "KPROPCTL-AGENT UNKNOWN - %s\n", err.text);
    } else if (json) {
        json_dumpf(reply, out, JSON_INDENT(2));
        fputc('\n', out);
        status = state_status(fact_text(reply, "status", NULL));
    } else {
        status = print_plugin(reply, out);
    }
    json_decref(reply);
    return status;
}
