/* rows_replica - rows that the agent's facts tell, held against what the primary knows. */
#include "common/contract/refusals.h"
#include "common/kdb/backend.h"
#include "common/krb5/brand.h"
#include "kpropctl/base/text.h"
#include "kpropctl/checks/rows.h"
#include "kpropctl/krb5/principals.h"
#include "kpropctl/krb5/recorded.h"
#include "kpropctl/krb5/tickets.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { VERB_TIMEOUT = 60, START_TIMEOUT = 240 };

/* Denied is not absent: it follows another primary, and nothing is sent there behind its back. */
static enum verdict
denied(struct walk *walk, struct step *step)
{
    const struct refusal_names names = { walk->realm->name, walk->replica.host,
                                         walk->primary.host };
    char ways[sizeof(step->hint)];

    if (strcmp(walk->client, walk->primary.principal) == 0) {
        step_hint(step, "%s", refusal_ways(REFUSAL_DENIED, &names, ways, sizeof(ways)));
        return REFUSED;
    }
    step_hint(step,
              "let %s read: on %s add it to the file that acl_read names in "
              "/etc/kpropctl/agent.conf",
              walk->client, walk->replica.host);
    return IMPOSSIBLE;
}

/* Was the host called by its name, or the first part of it? An alias may lead anywhere. */
static bool
is_named_so(const struct walk *walk)
{
    const char *name = walk->replica.host;
    size_t len = strlen(walk->host);

    if (len > 0 && walk->host[len - 1] == '.')
        len--;
    return strncasecmp(walk->host, name, len) == 0 && (name[len] == '\0' || name[len] == '.');
}

/* A lost state database leaves the roster: who is in it was verified by its agent. */
static bool
is_recorded(const struct walk *walk)
{
    char name[sizeof(walk->replica.host)];
    bool whole;

    return walk->memory.known || walk->memory.verified_at > 0 ||
           (recorded_find(walk->configuration->state_dir, walk->realm->name, walk->replica.host,
                          name, sizeof(name), &whole) &&
            whole);
}

/* Its agent has proven before what it is, or nothing else tells that the name is the host meant. */
static bool
needs_its_agent(const struct walk *walk)
{
    return !walk->memory_told || is_recorded(walk) || !is_named_so(walk);
}

/* WHY: what keeps the agent from answering; NULL: nobody asked it. */
static enum verdict
agentless(const struct walk *walk, struct step *step, const struct error *why)
{
    const struct refusal_names who = { walk->realm->name, walk->replica.host, walk->primary.host };
    char ways[sizeof(step->hint)];

    if (why != NULL)
        step_summary(step, "%s; nothing is sent to it without its agent", why->text);
    else
        step_summary(step, "%s is %s: nothing is sent to it without its agent by another name",
                     walk->host, walk->replica.host);
    refusal_ways(REFUSAL_AGENTLESS, &who, ways, sizeof(ways));
    step_hint(step, "%s%s%s", why != NULL ? why->hint : "",
              why != NULL && why->hint[0] != '\0' ? "; or, " : "", ways);
    step->code = why != NULL ? why->code : ERROR_REFUSED;
    return why != NULL ? IMPOSSIBLE : REFUSED;
}

/* A propagation goes on without an agent, unless the host itself is gone, denies us, or was ever a
 * replica. */
static enum verdict
without_agent(struct walk *walk, struct step *step, enum remote_fault fault,
              const struct error *err)
{
    step_error(step, err);
    if (walk->kind == WALK_CHECK) {
        remote_close(walk->agent);
        walk->agent = NULL;
    }
    if (walk->kind == WALK_CHECK && geteuid() != 0 &&
        (fault == REMOTE_NO_TICKET || fault == REMOTE_NOT_AUTHORISED))
        return UNKNOWN;
    if (fault == REMOTE_NOT_AUTHORISED)
        return denied(walk, step);
    if (walk->kind != WALK_PROPAGATE || walk_may_pass(fault) || fault == REMOTE_NAME ||
        fault == REMOTE_NO_TICKET || fault == REMOTE_CLOCK || fault == REMOTE_KEYTAB)
        return IMPOSSIBLE;
    remote_close(walk->agent);
    walk->agent = NULL;
    if (needs_its_agent(walk))
        return agentless(walk, step, err);
    step_detail(step, "without its agent nothing that is sent to %s can be verified",
                walk->replica.host);
    return HOLDS_BUT;
}

/* A person says that the agent is not to be asked. */
static enum verdict
not_asked(struct walk *walk, struct step *step)
{
    if (!is_named_so(walk))
        return agentless(walk, step, NULL);
    step_summary(step, "the agent of %s is not asked (--without-agent): nothing will be verified",
                 walk->replica.host);
    step_detail(step,
                "where its loader knows a verified database it takes an unannounced one only if "
                "that host allows it: kpropctl-agent accept-next %s there, as root, or unannounced "
                "= accept in its agent.conf",
                walk->realm->name);
    return HOLDS_BUT;
}

/* Clients, and whoever runs kprop by hand, are led to any of its addresses. */
static enum verdict
of_other_hosts(const struct walk *walk, struct step *step)
{
    const char *others = remote_others(walk->agent);

    if (others[0] == '\0')
        return HOLDS;
    step_detail(step, "%s", others);
    step_hint(step, "is that address another host's? mend DNS or /etc/hosts: %s has %u addresses",
              walk->replica.host, walk->replica.addresses);
    return HOLDS_BUT;
}

enum verdict
see_agent(struct walk *walk, struct step *step)
{
    enum remote_fault fault = REMOTE_OK;
    struct error err;

    if (walk->dry_run && walk->later_unknown) {
        step_summary(step, "cannot be asked before what is told above is done: the walk ends here");
        walk->blind = true;
        return UNTOLD;
    }
    walk->keytab = walk_keytab(walk);
    if (walk->without_agent)
        return not_asked(walk, step);
    /* Row "enrolled" may have connected. */
    if (walk->agent == NULL && !walk_connect(walk, &fault, &err))
        return without_agent(walk, step, fault, &err);
    if (!walk_fetch_facts(walk, &err))
        return without_agent(
            walk, step, walk->call_fault == REMOTE_OK ? REMOTE_NOT_AGENT : walk->call_fault, &err);
    if (fact_text(walk->facts, "agent", "version")[0] == '\0') {
        error_set(&err, ERROR_UNREACHABLE,
                  "cannot use the facts of the agent on %s: they do not say which version it is",
                  walk->replica.host);
        error_hint(&err, "is it kpropctl-agent that answers there? upgrade its package on %s",
                   walk->replica.host);
        return without_agent(walk, step, REMOTE_NOT_AGENT, &err);
    }
    step_summary(step, "kpropctl-agent %s on %s answers%s%s, and lets %s in",
                 fact_text(walk->facts, "agent", "version"), walk->replica.host,
                 walk->replica.addresses > 1 ? " at " : "",
                 walk->replica.addresses > 1 ? walk->replica.address : "", walk->client);
    if (walk->older_key != 0)
        step_detail(step,
                    "its keytab lacks the current key of %s: let in by kvno %u, which the database "
                    "has kept",
                    walk->replica.principal, walk->older_key);
    return of_other_hosts(walk, step);
}

/* Whoever asks for all hosts alike, all the time, asks for those that take what is sent. */
enum verdict
see_whole(struct walk *walk, struct step *step)
{
    const json_t *facts = walk_facts(walk, step);
    struct judgement j = { .hint = "" };
    enum verdict verdict;

    if (facts == NULL)
        return walk_is_blind(walk, step) ? UNTOLD : IMPOSSIBLE;
    verdict = judge_whole(facts, walk->replica.host,
                          walk->kind == WALK_ROLLBACK ? "roll back" : "propagate to", &j);
    walk->incremental = verdict == REFUSED && judge_incremental(facts);
    if (walk->incremental && walk->automatic) {
        walk->left_alone = true;
        step_summary(step, "%s is left alone: its kpropd runs incrementally", walk->replica.host);
        return UNTOLD;
    }
    /* Whether anything is to be sent there at all, its content tells: row "propagate". */
    if (verdict == REFUSED && !walk->incremental && !walk->force &&
        (walk->kind == WALK_PROPAGATE || (walk->kind == WALK_SETUP && walk->memory.known))) {
        step_summary(step, "%s keeps the realm in lmdb: it is sent no other database than it has",
                     walk->replica.host);
        return HOLDS_BUT;
    }
    return step_judged(step, verdict, &j);
}

enum verdict
see_clock(struct walk *walk, struct step *step)
{
    const char *which = walk->facts_skew < 0 ? "behind" : "ahead";
    double skew = walk->facts_skew < 0 ? -walk->facts_skew : walk->facts_skew;

    if (skew > walk->configuration->max_clock_skew) {
        step_summary(step, "the clock of %s is %.0f s %s", walk->replica.host, skew, which);
        step_hint(step, "start chrony or systemd-timesyncd on both hosts: Kerberos allows 300 s");
        return IMPOSSIBLE;
    }
    if (skew > 30) {
        step_summary(step, "the clock of %s is %.0f s %s: tickets still work, but not for long",
                     walk->replica.host, skew, which);
        step_hint(step, "start chrony or systemd-timesyncd on both hosts");
        return HOLDS_BUT;
    }
    step_summary(step, "the clocks are less than %d s apart", (int)skew + 1);
    return HOLDS;
}

/* Its KDC could not open what it would be sent. */
static enum verdict
no_stash(const struct walk *walk, struct step *step)
{
    const char *host = walk->replica.host;
    char ways[512];

    step_summary(step, "%s has no stash (%s): its KDC could not open the database", host,
                 fact_text(walk->facts, "stash", "file"));
    step_hint(step, "bring it there: %s", delivery_ways(host, "--with-stash ", ways, sizeof(ways)));
    return IMPOSSIBLE;
}

/* kprop of krb5 1.18 and before, and kpropd of 1.22 and later, do not agree on how the size of the
 * database is sealed (seen with 1.18.3 and 1.22.1; 1.20.1 and 1.22.1 do). */
static bool
kprop_reaches(const struct walk *walk, const char *theirs, struct step *step)
{
    bool old = false, before = true;
    char ours[32];

    brand_of_libkrb5(ours, sizeof(ours));
    if (!brand_older(ours, 1, 19, &old) || !brand_older(theirs, 1, 22, &before) || !old || before)
        return true;
    step_summary(step, "kprop of krb5 %s, here, cannot send to kpropd of krb5 %s on %s", ours,
                 theirs, walk->replica.host);
    step_hint(step, "upgrade krb5 on this host to 1.20 or later, or keep that of %s below 1.22",
              walk->replica.host);
    return false;
}

/* Before its next change does not get there. */
static enum verdict
warn_of_lmdb(const struct walk *walk, struct step *step)
{
    const struct refusal_names names = { walk->realm->name, walk->replica.host,
                                         walk->primary.host };
    char ways[sizeof(step->hint)];

    step_summary(step, "%s keeps the realm in lmdb: it is sent no other database than it has",
                 walk->replica.host);
    step_hint(step, "%s", refusal_ways(REFUSAL_LMDB, &names, ways, sizeof(ways)));
    return HOLDS_BUT;
}

enum verdict
see_realm(struct walk *walk, struct step *step)
{
    const json_t *facts = walk_facts(walk, step);
    const struct backend *backend;
    const char *name, *version, *krb5_name;
    json_int_t dump_version;

    if (facts == NULL)
        return walk_is_blind(walk, step) ? UNTOLD : IMPOSSIBLE;
    name = fact_text(facts, "realm", "name");
    version = fact_text(facts, "krb5", "version");
    krb5_name = fact_text(facts, "host", "krb5_name");
    dump_version = fact_integer(facts, "krb5", "dump_version");
    if (strcmp(name, walk->realm->name) != 0) {
        step_summary(step, "%s serves realm %s, not %s", walk->replica.host, name,
                     walk->realm->name);
        return IMPOSSIBLE;
    }
    backend = backend_find(fact_text(facts, "realm", "backend"));
    if (backend != NULL && !backend_has_files(backend)) {
        step_summary(step, "%s keeps the realm in LDAP, which kprop does not replicate",
                     walk->replica.host);
        step_hint(step, "with LDAP all KDCs share the directory");
        return REFUSED;
    }
    if (krb5_name[0] != '\0' && strcasecmp(krb5_name, walk->replica.host) != 0) {
        step_summary(step, "the primary calls the replica %s, it calls itself %s",
                     walk->replica.host, krb5_name);
        step_hint(step,
                  "kpropd would refuse with 'The ticket isn't for us': make hostname, DNS and "
                  "/etc/hosts of %s say %s",
                  walk->replica.address, walk->replica.host);
        return IMPOSSIBLE;
    }
    if (dump_version != 0 && dump_version < 7) {
        step_summary(step, "krb5 %s on %s cannot load the dump format of this host", version,
                     walk->replica.host);
        step_hint(step, "upgrade krb5 on %s to 1.11 or later", walk->replica.host);
        return IMPOSSIBLE;
    }
    if ((walk->kind & (WALK_SETUP | WALK_PROPAGATE | WALK_STASH | WALK_CHECK)) &&
        !kprop_reaches(walk, version, step))
        return IMPOSSIBLE;
    if (walk->kind == WALK_SETUP && !fact_true(facts, "stash", "exists"))
        return no_stash(walk, step);
    if (walk->kind == WALK_CHECK && judge_keeps_lmdb(facts))
        return warn_of_lmdb(walk, step);
    step_summary(step, "%s runs krb5 %s for %s", walk->replica.host,
                 version[0] == '\0' ? "of unknown version" : version, name);
    return HOLDS;
}

enum verdict
see_replica_keytab(struct walk *walk, struct step *step)
{
    const json_t *facts = walk_facts(walk, step), *entries, *entry;
    const char *file, *error;
    char ways[512];
    struct error err;
    json_int_t newest = 0;
    bool current = false;
    size_t index;
    int kvno;

    if (facts == NULL)
        return IMPOSSIBLE;
    if (walk_principals(walk, step) == NULL)
        return IMPOSSIBLE;
    if (!principals_kvno(walk->principals, walk->replica.principal, &kvno, &err)) {
        step_error(step, &err);
        return IMPOSSIBLE;
    }
    if (kvno == 0) {
        step_summary(step, "the database has no %s", walk->replica.principal);
        return UNTOLD;
    }
    file = fact_text(facts, "keytab", "file");
    error = fact_text(facts, "keytab", "error");
    entries = fact(facts, "keytab", "entries");
    json_array_foreach(entries, index, entry)
    {
        json_int_t value = fact_integer(entry, "kvno", NULL);

        if (strcmp(fact_text(entry, "principal", NULL), walk->replica.principal) != 0)
            continue;
        current = current || value == kvno;
        if (value > newest)
            newest = value;
    }
    if (current) {
        step_summary(step, "%s on %s holds the current key (kvno %d) of %s", file,
                     walk->replica.host, kvno, walk->replica.principal);
        return HOLDS;
    }
    if (error[0] != '\0')
        step_summary(step, "%s cannot read its keytab %s: %s", walk->replica.host, file, error);
    else if (newest == 0)
        step_summary(step, "keytab %s on %s has no key of %s", file, walk->replica.host,
                     walk->replica.principal);
    else
        step_summary(step, "keytab %s on %s holds kvno %lld of %s, the database has kvno %d", file,
                     walk->replica.host, (long long)newest, walk->replica.principal, kvno);
    if (walk->renew_keys)
        return LACKING;
    step_hint(step, "kpropctl setup-slave --renew-keys %s puts it there; or bring it: %s",
              walk->replica.host, delivery_ways(walk->replica.host, "", ways, sizeof(ways)));
    return IMPOSSIBLE;
}

/* A number that an agent sent, which may be anything. */
static uint64_t
not_negative(json_int_t number)
{
    return number < 0 ? 0 : (uint64_t)number;
}

enum verdict
see_replica_space(struct walk *walk, struct step *step)
{
    const json_t *facts = walk_facts(walk, step);
    uint64_t needed, available, own, free_database, free_spool;
    char folder[PATH_MAX], need[32], have[32];
    const json_t *space;
    struct error err;

    if (facts == NULL)
        return walk_is_blind(walk, step) ? UNTOLD : IMPOSSIBLE;
    /* Another user than root does not see the size of the database here. */
    if (!spool_space(walk->configuration, walk->realm, &needed, &available, folder, sizeof(folder),
                     &err)) {
        if (geteuid() == 0) {
            step_error(step, &err);
            return IMPOSSIBLE;
        }
        needed = 0;
    }
    own = not_negative(fact_integer(facts, "database", "bytes"));
    if (needed < 2 * own)
        needed = 2 * own;
    space = json_object_get(facts, "space");
    free_database = not_negative(fact_integer(space, "database", "free"));
    free_spool = not_negative(fact_integer(space, "spool", "free"));
    bytes_text(needed, need, sizeof(need));
    bytes_text(free_database < free_spool ? free_database : free_spool, have, sizeof(have));
    if (free_database < needed || free_spool < needed) {
        step_summary(step, "no room on %s: a load may need %s, %s are free in %s",
                     walk->replica.host, need, have,
                     fact_text(space, free_database < free_spool ? "database" : "spool", "path"));
        step_hint(step, "free space there: kpropd would load a cut dump, and kprop say SUCCEEDED");
        return IMPOSSIBLE;
    }
    step_summary(step, "%s free on %s", have, walk->replica.host);
    return HOLDS;
}

enum verdict
see_acl(struct walk *walk, struct step *step)
{
    const json_t *facts = walk_facts(walk, step), *entries, *entry;
    size_t index;

    if (facts == NULL)
        return IMPOSSIBLE;
    entries = fact(facts, "acl", "entries");
    json_array_foreach(entries, index, entry)
    {
        const char *name =
            json_is_string(entry) ? json_string_value(entry) : fact_text(entry, "principal", NULL);

        if (strcmp(name, walk->primary.principal) == 0) {
            step_summary(step, "%s lists %s", fact_text(facts, "acl", "file"),
                         walk->primary.principal);
            return HOLDS;
        }
    }
    step_summary(step,
                 fact_true(facts, "acl", "exists") ? "%s on %s does not list %s"
                                                   : "%s is missing on %s (%s is not listed)",
                 fact_text(facts, "acl", "file"), walk->replica.host, walk->primary.principal);
    return LACKING;
}

bool
make_acl(struct walk *walk, struct step *step, struct error *err)
{
    const char *argv[] = { "acl-add", walk->realm->name, walk->primary.principal, NULL };
    json_t *reply = NULL;
    bool ok = walk_call(walk, argv, VERB_TIMEOUT, &reply, err);

    if (ok)
        step_summary(step, "added %s to %s", walk->primary.principal,
                     fact_text(reply, "file", NULL));
    json_decref(reply);
    return ok;
}

enum verdict
see_loader(struct walk *walk, struct step *step)
{
    const json_t *facts = walk_facts(walk, step);
    struct judgement j = { .hint = "" };
    bool on_demand;

    if (facts == NULL)
        return IMPOSSIBLE;
    on_demand = !fact_true(facts, "kpropd", "listening") && rows_on_demand(walk);
    return step_judged(step, judge_loader(facts, walk->replica.host, on_demand, &j), &j);
}

bool
make_loader(struct walk *walk, struct step *step, struct error *err)
{
    const char *argv[] = { "use-loader", walk->realm->name, NULL };
    json_t *reply = NULL;
    bool ok = walk_call(walk, argv, START_TIMEOUT, &reply, err);

    if (ok)
        step_summary(step,
                     "%s now loads with kpropctl's loader: nothing unverified replaces the "
                     "database",
                     fact_text(reply, "unit", NULL));
    json_decref(reply);
    return ok;
}

static bool
start_service(struct walk *walk, struct step *step, const char *verb, const char *program,
              struct error *err)
{
    const char *argv[] = { verb, walk->realm->name, NULL };
    json_t *reply = NULL;
    bool ok = walk_call(walk, argv, START_TIMEOUT, &reply, err);

    if (ok && fact_true(reply, "supervised", NULL))
        step_summary(step, "the agent started %s and watches it: it listens with pid %lld", program,
                     (long long)fact_integer(reply, "pid", NULL));
    else if (ok)
        step_summary(step, "started and enabled %s: %s listens with pid %lld",
                     fact_text(reply, "unit", NULL), program,
                     (long long)fact_integer(reply, "pid", NULL));
    json_decref(reply);
    return ok;
}

enum verdict
see_kpropd(struct walk *walk, struct step *step)
{
    const json_t *facts = walk_facts(walk, step);
    struct judgement j = { .hint = "" };
    enum verdict verdict;

    if (facts == NULL)
        return IMPOSSIBLE;
    verdict = judge_kpropd(facts, walk->replica.host, &j);
    if (!fact_true(facts, "kpropd", "listening") && rows_on_demand(walk)) {
        step_summary(step, "kpropd is started on demand on %s, by inetd or a socket unit",
                     walk->replica.host);
        return HOLDS;
    }
    return step_judged(step, verdict, &j);
}

bool
make_kpropd(struct walk *walk, struct step *step, struct error *err)
{
    return start_service(walk, step, "start-kpropd", "kpropd", err);
}

enum verdict
see_kdc(struct walk *walk, struct step *step)
{
    const json_t *facts = walk_is_blind(walk, step) ? NULL : walk_facts(walk, step);
    struct judgement j = { .hint = "" };

    if (facts == NULL)
        return walk_is_blind(walk, step) ? UNTOLD : IMPOSSIBLE;
    return step_judged(step, judge_kdc(facts, walk->replica.host, &j), &j);
}

bool
make_kdc(struct walk *walk, struct step *step, struct error *err)
{
    return start_service(walk, step, "start-kdc", "krb5kdc", err);
}
