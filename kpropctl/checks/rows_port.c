/* rows_port - who holds kpropd's port on the replica, and does the primary reach it? */
#include "common/port/ports.h"
#include "kpropctl/checks/rows.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { VERB_TIMEOUT = 60 };

/* kpropd's port of this realm, as the primary knows it. */
static bool
own_port(const struct walk *walk, struct port_spec *spec, struct error *err)
{
    char number[16];

    if (walk->configuration->port == 0)
        return ports_resolve(NULL, spec, err);
    snprintf(number, sizeof(number), "%d", walk->configuration->port);
    return ports_resolve(number, spec, err);
}

enum verdict
see_services(struct walk *walk, struct step *step)
{
    const json_t *facts = walk_facts(walk, step);
    struct port_spec spec;
    struct error err;
    json_int_t there;

    if (facts == NULL)
        return IMPOSSIBLE;
    if (!own_port(walk, &spec, &err)) {
        step_summary(step, "the services file of this host has no krb5_prop/tcp");
        step_hint(step, "add to /etc/services on this host: krb5_prop 754/tcp");
        return IMPOSSIBLE;
    }
    there = fact_integer(facts, "services", "port");
    if (there == 0) {
        step_summary(step, "the services file of %s has no krb5_prop/tcp", walk->replica.host);
        step_hint(step, "add to /etc/services on %s: krb5_prop %d/tcp", walk->replica.host,
                  spec.port);
        return IMPOSSIBLE;
    }
    if (there != spec.port) {
        step_summary(step,
                     "krb5_prop is port %d on this host, and %lld on %s: kprop and kpropd "
                     "miss each other",
                     spec.port, (long long)there, walk->replica.host);
        step_hint(step, "make /etc/services of both hosts agree (krb5_prop is 754/tcp), or port in "
                        "kpropctl.conf and kpropd_port in agent.conf");
        return IMPOSSIBLE;
    }
    step_summary(step, "kpropd's port is %d on both hosts", spec.port);
    return HOLDS;
}

/* The first holder that stands in kpropd's way. */
static const json_t *
obstacle(const json_t *report, const char *kind)
{
    const json_t *holder;
    size_t index;

    json_array_foreach(json_object_get(report, "holders"), index, holder)
    {
        if (json_is_false(json_object_get(holder, "obstacle")))
            continue;
        if (kind == NULL || strcmp(fact_text(holder, "kind", NULL), kind) == 0)
            return holder;
    }
    return NULL;
}

/* A process, or what is known of a socket whose process cannot be seen. */
static void
name_holder(struct step *step, const struct walk *walk, const json_t *report, const json_t *holder)
{
    const char *unit = fact_text(holder, "unit", NULL), *peer = fact_text(holder, "peer", NULL);
    const char *user = fact_text(holder, "user", NULL), *state = fact_text(holder, "state", NULL);
    json_int_t pid = fact_integer(holder, "pid", NULL);
    long long port = (long long)fact_integer(report, "port", NULL);

    if (strcmp(state, "TIME_WAIT") == 0)
        step_summary(step, "port %lld on %s is held by what is left of finished connections", port,
                     walk->replica.host);
    else if (pid != 0)
        step_summary(step, "port %lld on %s is held by %s (pid %lld, %s, user %s%s%s)", port,
                     walk->replica.host, fact_text(holder, "program", NULL), (long long)pid, state,
                     user, unit[0] != '\0' ? ", unit " : "", unit);
    else
        step_summary(step, "port %lld on %s is held by a process out of view (%s, inode %lld%s%s)",
                     port, walk->replica.host, state,
                     (long long)fact_integer(holder, "inode", NULL),
                     user[0] != '\0' ? ", user " : "", user);
    step_detail(step, "%s%s%s%s%s%s%s", pid != 0 ? "command line: " : "",
                fact_text(holder, "command", NULL), pid != 0 ? "\n" : "",
                peer[0] != '\0' ? "peer: " : "", peer, peer[0] != '\0' ? "\n" : "",
                fact_text(holder, "note", NULL));
}

/* inetd or the like starts kpropd: good, unless kpropd has to fetch increments by itself. */
static bool
refuse_activator(struct walk *walk, struct step *step, const json_t *report)
{
    const json_t *activator = obstacle(report, "activator"), *facts;

    if (activator == NULL || (facts = walk_facts(walk, step)) == NULL ||
        !fact_true(facts, "realm", "iprop"))
        return false;
    step_summary(step,
                 "port %lld on %s is held by %s, which starts kpropd for each connection; with "
                 "incremental propagation (iprop_enable) kpropd has to stand alone",
                 (long long)fact_integer(report, "port", NULL), walk->replica.host,
                 fact_text(activator, "program", NULL));
    step_hint(step, "take kpropd out of %s on %s, then run this again",
              fact_text(activator, "file", NULL), walk->replica.host);
    return true;
}

static enum verdict
judge_holders(struct walk *walk, struct step *step, const json_t *report)
{
    const json_t *reservation = obstacle(report, "reservation"), *other = NULL, *holder;
    size_t index;

    json_array_foreach(json_object_get(report, "holders"), index, holder)
    {
        const char *kind = fact_text(holder, "kind", NULL);

        if (!json_is_false(json_object_get(holder, "obstacle")) &&
            strcmp(kind, "reservation") != 0 && strcmp(kind, "kpropd") != 0 &&
            strcmp(kind, "activator") != 0)
            other = holder;
    }
    if (other != NULL) {
        name_holder(step, walk, report, other);
        step_hint(step, "%s", fact_text(other, "advice", NULL));
        if (step->hint[0] == '\0')
            step_hint(step,
                      "stop that program, or give it another port; kpropctl does not touch it");
        return strcmp(fact_text(other, "state", NULL), "TIME_WAIT") == 0 ? IMPOSSIBLE : REFUSED;
    }
    if (refuse_activator(walk, step, report))
        return REFUSED;
    if (reservation != NULL) {
        step_summary(step,
                     "port %lld on %s is reserved by portreserve (pid %lld, file %s): bound, not "
                     "listening, so netstat and lsof show nobody",
                     (long long)fact_integer(report, "port", NULL), walk->replica.host,
                     (long long)fact_integer(reservation, "pid", NULL),
                     fact_text(reservation, "file", NULL));
        step_detail(step, "%s", fact_text(report, "warning", NULL));
        return LACKING;
    }
    if (!json_is_boolean(json_object_get(report, "ready")) ||
        !json_is_array(json_object_get(report, "holders"))) {
        step_summary(step, "the agent of %s does not say whether kpropd can have its port",
                     walk->replica.host);
        step_hint(step, "on %s: kpropctl-agent port", walk->replica.host);
        return IMPOSSIBLE;
    }
    if (json_is_false(json_object_get(report, "ready"))) {
        step_summary(step, "port %lld on %s is held, and nobody can be seen who holds it",
                     (long long)fact_integer(report, "port", NULL), walk->replica.host);
        step_hint(step, "on %s: kpropctl-agent port", walk->replica.host);
        return IMPOSSIBLE;
    }
    if (json_is_false(json_object_get(report, "lasting"))) {
        step_summary(step, "port %lld on %s will be reserved by portreserve again at the next boot",
                     (long long)fact_integer(report, "port", NULL), walk->replica.host);
        step->mild = true;
        return LACKING;
    }
    return HOLDS;
}

/* The agent's report on kpropd's port into *REPORT, owned by the caller. */
static bool
fetch_report(struct walk *walk, json_t **report, struct error *err)
{
    struct port_spec spec;
    char number[16];
    const char *argv[] = { "port", number, NULL };

    *report = NULL;
    error_clear(err);
    if (!own_port(walk, &spec, err))
        return false;
    snprintf(number, sizeof(number), "%u", spec.port);
    /* A held port is status 1, with the report all the same. */
    if (walk_call(walk, argv, VERB_TIMEOUT, report, err) ||
        json_object_get(*report, "holders") != NULL) {
        walk->on_demand = obstacle(*report, "activator") != NULL;
        walk->port_told = true;
        return true;
    }
    json_decref(*report);
    *report = NULL;
    return false;
}

bool
rows_on_demand(struct walk *walk)
{
    json_t *report = NULL;
    struct error ignored;

    if (!walk->port_told && walk->agent != NULL)
        fetch_report(walk, &report, &ignored);
    json_decref(report);
    return walk->on_demand;
}

enum verdict
see_port(struct walk *walk, struct step *step)
{
    json_t *report;
    enum verdict verdict;
    struct error err;

    if (!fetch_report(walk, &report, &err)) {
        step_error(step, &err);
        return IMPOSSIBLE;
    }
    verdict = judge_holders(walk, step, report);
    if (verdict == HOLDS)
        step_summary(step, "port %lld on %s is %s", (long long)fact_integer(report, "port", NULL),
                     walk->replica.host,
                     obstacle(report, "kpropd") != NULL      ? "kpropd's"
                     : obstacle(report, "activator") != NULL ? "kpropd's, by inetd or a socket unit"
                                                             : "free");
    json_decref(report);
    return verdict;
}

/* What was done, what else was lost, and without systemd what is left to do. */
static void
tell_release(struct step *step, const char *before, const json_t *reply)
{
    const char *dropin = fact_text(reply, "dropin", NULL), *lost = fact_text(reply, "lost", NULL);
    const char *init = fact_text(reply, "init", NULL);

    if (dropin[0] != '\0')
        step_summary(step, "%s; released it, and %s releases it at every start of kpropd", before,
                     dropin);
    else
        step_summary(step, "%s; released it", before);
    if (init[0] != '\0')
        step_hint(step, "to make that last: %s", init);
    if (lost[0] != '\0')
        step_detail(step, "%s is no longer reserved either: restart portreserve once kpropd runs",
                    lost);
}

bool
make_port(struct walk *walk, struct step *step, struct error *err)
{
    char before[sizeof(step->summary)], number[16];
    const char *argv[] = { "release", number, NULL };
    struct port_spec spec;
    json_t *reply = NULL;
    bool ok;

    if (!own_port(walk, &spec, err))
        return false;
    snprintf(number, sizeof(number), "%u", spec.port);
    ok = walk_call(walk, argv, VERB_TIMEOUT, &reply, err);

    snprintf(before, sizeof(before), "%s", step->summary);
    if (ok)
        tell_release(step, before, reply);
    json_decref(reply);
    return ok;
}

/* Connect and close at once: kpropd serves one connection at a time, a held one would stop it. */
static int
touch_port(const char *address, int port, int timeout)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST }, *ai = NULL;
    struct pollfd p = { -1, POLLOUT, 0 };
    socklen_t len = sizeof(int);
    char service[16];
    int code = 0;

    snprintf(service, sizeof(service), "%d", port);
    if (getaddrinfo(address, service, &hints, &ai) != 0)
        return EINVAL;
    p.fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (p.fd < 0 || connect(p.fd, ai->ai_addr, ai->ai_addrlen) != 0)
        code = errno;
    if (code == EINPROGRESS) {
        if (poll(&p, 1, timeout * 1000) <= 0)
            code = ETIMEDOUT;
        else if (getsockopt(p.fd, SOL_SOCKET, SO_ERROR, &code, &len) != 0)
            code = errno;
    }
    if (p.fd >= 0)
        close(p.fd);
    freeaddrinfo(ai);
    return code;
}

/* The agent's word that kpropd listens is what makes it a matter of firewalls. */
static void
reach_hint(const struct walk *walk, struct step *step, int port, int code)
{
    const char *host = walk->replica.host;

    if (walk->facts == NULL)
        step_hint(step,
                  "is %s up, and does kpropd run there? if so, open %d/tcp from %s in the "
                  "firewalls",
                  host, port, walk->primary.address);
    else if (fact_true(walk->facts, "security", "firewalld"))
        step_hint(step,
                  "firewalld runs on %s: firewall-cmd --permanent --add-port=%d/tcp, then "
                  "firewall-cmd --reload",
                  host, port);
    else if (code == ECONNREFUSED)
        step_hint(step,
                  "kpropd was seen listening there, so something in between refuses: look for "
                  "a firewall rule that rejects port %d",
                  port);
    else
        step_hint(step,
                  "kpropd was seen listening there, so something in between drops packets: "
                  "open %d/tcp from %s in the firewalls",
                  port, walk->primary.address);
}

enum verdict
see_reach(struct walk *walk, struct step *step)
{
    struct port_spec spec;
    struct error err;
    int code;

    if (walk->later_unknown) {
        step_summary(step, "cannot be told before kpropd runs");
        return UNTOLD;
    }
    if (!own_port(walk, &spec, &err)) {
        step_error(step, &err);
        return IMPOSSIBLE;
    }
    if (walk->facts != NULL &&
        json_is_false(json_object_get(json_object_get(walk->facts, "kpropd"), "listening")) &&
        !rows_on_demand(walk)) {
        step_summary(step, "cannot be told while kpropd does not listen on %s", walk->replica.host);
        return UNTOLD;
    }
    if (json_array_size(json_object_get(json_object_get(walk->facts, "kpropd"), "connections")) >
        0) {
        /* Ours would wait behind it, and fill the queue in the long run. */
        step_summary(step, "not tried while kpropd on %s serves a connection", walk->replica.host);
        return UNTOLD;
    }
    code = touch_port(walk->replica.address, spec.port, walk_patience(walk));
    if (code == 0) {
        step_summary(step, "port %d of %s can be reached from here", spec.port, walk->replica.host);
        return HOLDS;
    }
    step->code = ERROR_UNREACHABLE;
    step_summary(step, "port %d of %s (%s) cannot be reached from here: %s", spec.port,
                 walk->replica.host, walk->replica.address, strerror(code));
    reach_hint(walk, step, spec.port, code);
    return IMPOSSIBLE;
}
