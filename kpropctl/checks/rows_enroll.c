/* rows_enroll - row: a bare host gets its key, its configuration and the agent, by way of --via. */
#include "kpropctl/checks/rows.h"
#include "kpropctl/enroll/enrollment.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { START_TRIES = 25, START_NAP_MS = 200, SAID_MAX = 4 << 20 };

/* Troubles that an enrolment mends; of the others row "agent" tells. */
static bool
would_help(enum remote_fault fault)
{
    switch (fault) {
    case REMOTE_REFUSED:
    case REMOTE_KEYTAB:
    case REMOTE_NOT_AGENT:
    case REMOTE_NOT_AUTHORISED:
    /* The port may be closed to us, and the host be there by another way. */
    case REMOTE_NO_ROUTE:
    case REMOTE_TIMEOUT:
        return true;
    case REMOTE_OK:
    case REMOTE_NAME:
    case REMOTE_NO_TICKET:
    case REMOTE_UNKNOWN:
    case REMOTE_CLOCK:
    case REMOTE_LOST:
        break;
    }
    return false;
}

/* The agent answers, and a newer one was given. */
static bool
is_older(const struct walk *walk)
{
    return walk->delivery->package != NULL && !walk->package_installed && walk->facts != NULL &&
           delivery_is_newer(walk->delivery, fact_text(walk->facts, "agent", "version"));
}

/* The agent answers: does its host lack what a bundle has? */
static enum verdict
judge_facts(struct walk *walk, struct step *step)
{
    struct step keytab = { .id = step->id };
    enum verdict verdict = see_replica_keytab(walk, &keytab);

    if ((verdict == IMPOSSIBLE || verdict == LACKING) && walk->facts != NULL &&
        walk->principals != NULL) {
        step_summary(step, "%s", keytab.summary);
        return LACKING;
    }
    if (walk->delivery->with_stash && !fact_true(walk->facts, "stash", "exists")) {
        step_summary(step, "%s has no stash", walk->replica.host);
        return LACKING;
    }
    if (is_older(walk)) {
        step_summary(step, "kpropctl-agent %s on %s is older than %s",
                     fact_text(walk->facts, "agent", "version"), walk->replica.host,
                     walk->delivery->package);
        return LACKING;
    }
    step_summary(step, "%s has its key, and an agent that answers", walk->replica.host);
    return HOLDS;
}

static enum verdict
see_lacking(struct walk *walk, struct step *step)
{
    enum remote_fault fault = REMOTE_OK;
    struct error err;

    error_clear(&err);
    if (walk->agent == NULL && !walk_connect(walk, &fault, &err)) {
        step_error(step, &err);
        if (would_help(fault))
            return LACKING;
        step_summary(step, "not what is wrong: %s", err.text);
        return UNTOLD;
    }
    if (walk_fetch_facts(walk, &err))
        return judge_facts(walk, step);
    step_error(step, &err);
    return err.code != ERROR_UNREACHABLE || would_help(walk->call_fault) ? LACKING : UNTOLD;
}

static bool
write_bundle(struct walk *walk, struct buffer *bytes, struct error *err)
{
    struct enrollment enrollment = { .realm = walk->realm,
                                     .primary = &walk->primary,
                                     .replica = &walk->replica,
                                     .principals = walk->principals,
                                     .with_stash = walk->delivery->with_stash };
    struct bundle bundle;
    bool ok;

    bundle_init(&bundle);
    ok = enrollment_bundle(&enrollment, &bundle, err) && bundle_write(&bundle, bytes, err);
    bundle_free(&bundle);
    return ok;
}

static bool
enroll(struct walk *walk, struct step *step, bool *missing, struct error *err)
{
    struct buffer bytes, said;
    bool ok;

    *missing = false;
    buffer_init(&bytes, BUNDLE_MAX);
    buffer_init(&said, SAID_MAX);
    ok = write_bundle(walk, &bytes, err) &&
         delivery_enroll(walk->delivery, walk->host, &bytes, walk->dry_run, &said, missing, err);
    step_detail(step, "%s", buffer_string(&said));
    buffer_free_secret(&bytes);
    buffer_free(&said);
    return ok;
}

/* What was seen is about to be mended: it is told no more. */
static void
forget_trouble(struct step *step)
{
    step->code = ERROR_NONE;
    step->hint[0] = '\0';
}

/* In a dry run the host's agent says what it would do; nothing is changed there either. */
static enum verdict
look_there(struct walk *walk, struct step *step)
{
    struct error err;
    bool missing;

    error_clear(&err);
    forget_trouble(step);
    if (walk->later_unknown) {
        step_summary(step, "%s has no key yet", walk->replica.host);
        return LACKING;
    }
    missing = is_older(walk);
    if (!missing && enroll(walk, step, &missing, &err))
        return LACKING;
    if (missing && walk->delivery->package != NULL) {
        step_detail(step, "would install %s there first", walk->delivery->package);
        return LACKING;
    }
    step_error(step, &err);
    return err.code == ERROR_REFUSED ? REFUSED : IMPOSSIBLE;
}

enum verdict
see_enrolled(struct walk *walk, struct step *step)
{
    enum verdict verdict;

    if (walk_principals(walk, step) == NULL)
        return IMPOSSIBLE;
    if (walk->dry_run && walk->later_unknown)
        return look_there(walk, step);
    walk->keytab = walk_keytab(walk);
    verdict = see_lacking(walk, step);
    return verdict == LACKING && walk->dry_run ? look_there(walk, step) : verdict;
}

/* It has been started; where nobody waits for that to be done, its port is closed for a moment. */
static void
await_agent(struct walk *walk)
{
    const struct timespec nap = { 0, START_NAP_MS * 1000 * 1000 };
    enum remote_fault fault;
    struct error ignored;

    for (int i = 0; i < START_TRIES && !walk_connect(walk, &fault, &ignored); i++) {
        if (fault != REMOTE_REFUSED && fault != REMOTE_NOT_AGENT)
            return;
        nanosleep(&nap, NULL);
    }
}

/* An enrolled host whose agent is newer now lacks nothing else. */
static bool
is_enough(struct walk *walk)
{
    struct step ignored = { .id = "enrolled" };
    struct error err;

    json_decref(walk->facts);
    walk->facts = NULL;
    await_agent(walk);
    return walk->agent != NULL && walk_fetch_facts(walk, &err) &&
           judge_facts(walk, &ignored) == HOLDS;
}

/* ENROLLED: the agent has answered until now. */
static bool
deliver(struct walk *walk, bool enrolled, struct step *step, struct error *err)
{
    bool installed = false, missing;
    char way[256];

    if (walk->delivery->package != NULL &&
        !delivery_install(walk->delivery, walk->host, &installed, err))
        return false;
    walk->package_installed = installed;
    if (installed && enrolled && is_enough(walk)) {
        step_summary(step, "installed kpropctl-agent %s on %s",
                     fact_text(walk->facts, "agent", "version"), walk->replica.host);
        return true;
    }
    remote_close(walk->agent);
    walk->agent = NULL;
    if (!enroll(walk, step, &missing, err))
        return false;
    via_describe(walk->delivery->via, walk->host, way, sizeof(way));
    step_summary(step, "%senrolled %s by '%s'%s", installed ? "installed kpropctl-agent, and " : "",
                 walk->replica.host, way, walk->delivery->with_stash ? ", with the stash" : "");
    return true;
}

bool
make_enrolled(struct walk *walk, struct step *step, struct error *err)
{
    bool enrolled = walk->agent != NULL && walk->facts != NULL, ok;
    sigset_t before;

    forget_trouble(step);
    /* It will be started anew. */
    remote_close(walk->agent);
    walk->agent = NULL;
    via_hold_signals(&before);
    ok = deliver(walk, enrolled, step, err);
    via_release_signals(&before);
    if (ok && walk->agent == NULL)
        await_agent(walk);
    return ok;
}
