/* checks - see checks.h: the table, and the walk over it. The rows' functions are in rows_*.c. */
#include "kpropctl/checks/checks.h"

#include "kpropctl/checks/rows.h"
#include "kpropctl/krb5/primary.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    SETUP = WALK_SETUP,
    PROPAGATE = WALK_PROPAGATE,
    ROLLBACK = WALK_ROLLBACK,
    CHECK = WALK_CHECK,
    RENEW = WALK_RENEW,
    STASH = WALK_STASH,
    FINISH = WALK_FINISH,
    PRIMARY = WALK_CHECK_PRIMARY,
};

/* clang-format off */
const struct check checks[] = {
    { .id = "primary", .title = "this host is the realm's primary, with database, stash, kprop and kdb5_util",
      .walks = SETUP | PROPAGATE | RENEW | FINISH | PRIMARY | STASH, .needs = NEEDS_PRIVILEGE, .see = see_primary },
    { .id = "kadmind", .title = "kadmind runs on the primary",
      .walks = PRIMARY, .needs = NEEDS_PRIMARY, .see = see_kadmind_here },
    { .id = "space", .title = "there is room for a dump",
      .walks = SETUP | PROPAGATE | PRIMARY | STASH, .needs = NEEDS_PRIVILEGE, .see = see_space },
    { .id = "state", .title = "the state database can be read, and written by root",
      .walks = PRIMARY, .see = see_state },
    { .id = "debris", .title = "no dump is left of a run that was killed",
      .walks = PRIMARY, .needs = NEEDS_PRIVILEGE, .see = see_debris },
    { .id = "schedule", .title = "something propagates by itself",
      .walks = PRIMARY, .needs = NEEDS_PRIMARY, .see = see_schedule },
    { .id = "competitors", .title = "no other job propagates too",
      .walks = PRIMARY, .needs = NEEDS_PRIVILEGE, .see = see_competitors },
    { .id = "name", .title = "the replica has a name that both sides agree on",
      .walks = SETUP | PROPAGATE | CHECK | ROLLBACK | RENEW | FINISH | STASH, .see = see_name },
    { .id = "found", .title = "clients can find the replica",
      .walks = CHECK, .needs = NEEDS_NAME, .see = see_found },
    { .id = "principals", .title = "both hosts have a host principal in the database",
      .walks = SETUP | CHECK, .needs = NEEDS_PRIVILEGE | NEEDS_NAME, .see = see_principals,
      .make = make_principals, .would = "create them" },
    { .id = "keytab", .title = "the primary's keytab holds its current key",
      .walks = SETUP | PRIMARY, .needs = NEEDS_PRIVILEGE, .see = see_keytab,
      .make = make_keytab, .would = "put the current key into it" },
    { .id = "enrolled", .title = "the replica has its key, the realm's files, and an agent that answers",
      .walks = SETUP, .needs = NEEDS_VIA, .see = see_enrolled,
      .make = make_enrolled, .would = "enrol it" },
    { .id = "agent", .title = "the replica's agent answers, and lets this primary in",
      .walks = SETUP | PROPAGATE | CHECK | ROLLBACK | RENEW | FINISH | STASH, .needs = NEEDS_NAME, .see = see_agent },
    { .id = "age", .title = "the replica was verified lately",
      .walks = CHECK, .see = see_age },
    { .id = "version", .title = "the agent is new enough for this kpropctl",
      .walks = CHECK, .needs = NEEDS_AGENT, .see = see_version },
    { .id = "limits", .title = "the agent has room for its callers",
      .walks = CHECK, .needs = NEEDS_AGENT, .see = see_limits },
    { .id = "clock", .title = "the clocks agree",
      .walks = SETUP | CHECK, .needs = NEEDS_AGENT, .see = see_clock },
    { .id = "realm", .title = "the replica knows the realm, and can load this dump format",
      .walks = SETUP | PROPAGATE | CHECK | ROLLBACK | RENEW | FINISH | STASH, .needs = NEEDS_AGENT, .see = see_realm },
    { .id = "whole", .title = "the replica takes whole databases: not incrementally, nor into lmdb over another",
      .walks = SETUP | PROPAGATE | ROLLBACK | STASH, .see = see_whole },
    { .id = "services", .title = "both services files give krb5_prop the same port",
      .walks = SETUP | CHECK, .needs = NEEDS_AGENT, .see = see_services },
    { .id = "replica-keytab", .title = "the replica's keytab holds its current key",
      .walks = SETUP | CHECK, .needs = NEEDS_PRIVILEGE | NEEDS_AGENT, .see = see_replica_keytab,
      .make = make_replica_keytab, .would = "put the current key into it" },
    { .id = "renew", .title = "the host has a new key, on both sides",
      .walks = RENEW, .see = see_renew,
      .make = make_renew, .would = "make a new key, and give it to both sides", .final = true },
    { .id = "old-keys", .title = "no key of the host is kept that nothing needs any more",
      .walks = FINISH | CHECK, .needs = NEEDS_PRIVILEGE | NEEDS_AGENT, .see = see_old_keys,
      .make = make_old_keys, .would = "drop them on both sides" },
    { .id = "role", .title = "the replica is not a primary itself",
      .walks = SETUP | PROPAGATE | CHECK | STASH, .needs = NEEDS_AGENT, .see = see_role },
    { .id = "timeline", .title = "the replica knows no later state of the realm than this primary",
      .walks = SETUP | PROPAGATE | CHECK | STASH, .needs = NEEDS_AGENT, .see = see_timeline },
    { .id = "replica-space", .title = "the replica has room for a load",
      .walks = SETUP | PROPAGATE | CHECK | STASH, .needs = NEEDS_AGENT, .see = see_replica_space },
    { .id = "port", .title = "kpropd can have its port, also after a reboot",
      .walks = SETUP | CHECK, .needs = NEEDS_AGENT, .see = see_port,
      .make = make_port, .would = "release the reservation, now and at every start of kpropd" },
    { .id = "acl", .title = "kpropd.acl of the replica lists the primary",
      .walks = SETUP | CHECK, .needs = NEEDS_AGENT, .see = see_acl,
      .make = make_acl, .would = "add it" },
    { .id = "loader", .title = "kpropd loads with kpropctl's loader",
      .walks = SETUP | CHECK, .needs = NEEDS_AGENT, .see = see_loader,
      .make = make_loader, .would = "write a drop-in for kpropd's unit" },
    { .id = "kpropd", .title = "kpropd runs, is enabled, and is seen listening",
      .walks = SETUP | CHECK, .needs = NEEDS_AGENT, .see = see_kpropd,
      .make = make_kpropd, .would = "start and enable it" },
    { .id = "stalled", .title = "kpropd is not held up by a silent connection",
      .walks = CHECK, .needs = NEEDS_AGENT, .see = see_stalled },
    { .id = "reach", .title = "the primary reaches kpropd's port",
      .walks = SETUP | CHECK, .needs = NEEDS_NAME, .see = see_reach },
    { .id = "leftovers", .title = "no load was interrupted",
      .walks = CHECK, .needs = NEEDS_AGENT, .see = see_leftovers },
    { .id = "content", .title = "the replica holds what was last sent",
      .walks = CHECK, .needs = NEEDS_AGENT, .see = see_held },
    { .id = "new-stash", .title = "the replica has been given the primary's stash",
      .walks = STASH, .see = see_new_stash,
      .make = make_stash, .would = "give it to its agent" },
    { .id = "dump", .title = "the database can be dumped, and the dump is whole",
      .walks = SETUP | PROPAGATE | STASH, .see = see_dump },
    { .id = "propagate", .title = "the replica has been sent this content",
      .walks = SETUP | PROPAGATE | STASH, .see = see_content,
      .make = make_content, .would = "propagate the database", .final = true },
    { .id = "rollback", .title = "the replica has gone back to a dump that it has kept",
      .walks = ROLLBACK, .see = see_rollback,
      .make = make_rollback, .would = "load it again", .final = true },
    { .id = "digest", .title = "the replica's database is exactly what was dumped",
      .walks = SETUP | PROPAGATE | ROLLBACK | STASH, .see = see_digest },
    { .id = "stash", .title = "the replica's stash opens its database, and has the primary's keys",
      .walks = SETUP | CHECK | STASH, .needs = NEEDS_PRIVILEGE | NEEDS_AGENT, .see = see_stash,
      .make = make_stash, .would = "put the new one in place" },
    { .id = "kdc", .title = "krb5kdc runs on the replica, and is enabled",
      .walks = SETUP | PROPAGATE | CHECK | ROLLBACK | STASH, .needs = NEEDS_AGENT, .see = see_kdc,
      .make = make_kdc, .would = "start and enable it" },
    { .id = "ticket", .title = "the replica's KDC issues a ticket",
      .walks = SETUP | PROPAGATE | CHECK | ROLLBACK | STASH, .needs = NEEDS_NAME, .see = see_ticket,
      .make = make_ticket, .would = "restart krb5kdc" },
    { .id = "record", .title = "the replica is known to the state database",
      .walks = SETUP, .see = see_record,
      .make = make_record, .would = "record it" },
    { .id = NULL },
};
/* clang-format on */

static const char *const level_names[] = { "ok",     "fixed",   "warning", "skipped",
                                           "failed", "refused", "unknown" };

const char *
level_name(enum level level)
{
    return level_names[level];
}

bool
level_from_name(const char *name, enum level *level)
{
    for (size_t i = 0; i < sizeof(level_names) / sizeof(*level_names); i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *level = (enum level)i;
            return true;
        }
    }
    return false;
}

#define STEP_TEXT(function, field)                                                                 \
    void function(struct step *step, const char *fmt, ...)                                         \
    {                                                                                              \
        va_list ap;                                                                                \
                                                                                                   \
        va_start(ap, fmt);                                                                         \
        vsnprintf(step->field, sizeof(step->field), fmt, ap);                                      \
        va_end(ap);                                                                                \
    }

STEP_TEXT(step_summary, summary)
STEP_TEXT(step_detail, detail)
STEP_TEXT(step_hint, hint)

enum verdict
step_judged(struct step *step, enum verdict verdict, const struct judgement *j)
{
    step_summary(step, "%s", j->summary);
    step_hint(step, "%s", j->hint);
    step->mild = j->mild;
    return verdict;
}

void
step_error(struct step *step, const struct error *err)
{
    step_summary(step, "%s", err->text);
    step_hint(step, "%s", err->hint);
    step->code = err->code;
}

static void
would(const struct check *check, struct step *step)
{
    char lacking[sizeof(step->summary)];

    step->would = true;
    snprintf(lacking, sizeof(lacking), "%s", step->summary);
    if (check->would != NULL)
        step_summary(step, "%s: would %s", lacking, check->would);
}

/* The row lacks something that can be made to hold: do so, and look again. */
static enum level
fix(const struct check *check, struct walk *walk, struct step *step)
{
    struct step again = { .id = check->id };
    struct error err;
    enum verdict verdict;

    error_clear(&err);
    if (!check->make(walk, step, &err)) {
        step_error(step, &err);
        if (step->code == ERROR_NONE)
            step->code = ERROR_FAILED;
        return err.code == ERROR_REFUSED ? LEVEL_REFUSED : LEVEL_FAILED;
    }
    json_decref(walk->facts);
    walk->facts = NULL;
    if (check->final)
        return LEVEL_FIXED;
    verdict = check->see(walk, &again);
    if (verdict == HOLDS || verdict == HOLDS_BUT)
        return LEVEL_FIXED;
    *step = again;
    if (step->code == 0)
        step->code = ERROR_FAILED;
    return verdict == REFUSED ? LEVEL_REFUSED : LEVEL_FAILED;
}

static bool
only_looks(const struct walk *walk)
{
    return walk->kind == WALK_CHECK || walk->kind == WALK_CHECK_PRIMARY;
}

/* A health check changes nothing; it says what would. */
static enum level
lacks(const struct check *check, const struct walk *walk, struct step *step)
{
    if (check->would != NULL && step->hint[0] == '\0')
        step_hint(step, "kpropctl setup-slave %s would %s", walk->host, check->would);
    return step->mild ? LEVEL_WARNING : LEVEL_FAILED;
}

static enum level
judge(const struct check *check, struct walk *walk, struct step *step, enum verdict verdict)
{
    switch (verdict) {
    case HOLDS:
        return LEVEL_OK;
    case HOLDS_BUT:
        return LEVEL_WARNING;
    case UNTOLD:
        return LEVEL_SKIPPED;
    case UNKNOWN:
        return LEVEL_UNKNOWN;
    case REFUSED:
        step->code = ERROR_REFUSED;
        return LEVEL_REFUSED;
    case LACKING:
        if (only_looks(walk))
            return lacks(check, walk, step);
        if (walk->dry_run) {
            would(check, step);
            walk->later_unknown = true;
            return LEVEL_SKIPPED;
        }
        if (check->make != NULL)
            return fix(check, walk, step);
        break;
    case IMPOSSIBLE:
        break;
    }
    if (step->code == 0)
        step->code = ERROR_FAILED;
    return LEVEL_FAILED;
}

/* What a health check may lack: the row is then not wrong, but skipped. */
static bool
can_look(const struct check *check, const struct walk *walk, struct step *step)
{
    if (!only_looks(walk))
        return true;
    if ((check->needs & NEEDS_PRIVILEGE) && geteuid() != 0)
        step_summary(step, "only root can see that");
    else if ((check->needs & NEEDS_NAME) && walk->replica.address[0] == '\0')
        step_summary(step, "cannot be told without an address of %s", walk->host);
    else if ((check->needs & NEEDS_AGENT) && walk->agent == NULL)
        step_summary(step, "cannot be told without the agent of %s", walk->host);
    else
        return true;
    return false;
}

static enum level
look(const struct check *check, struct walk *walk, struct step *step)
{
    if (!can_look(check, walk, step))
        return LEVEL_SKIPPED;
    return judge(check, walk, step, check->see(walk, step));
}

/* Rows that were not asked for are still looked at where others stand on them, but told only if
 * they are wrong. */
static bool
asked_for(const struct walk *walk, const struct check *check, enum level level)
{
    /* What a replica is told to start or to schedule would make a second primary of it. */
    if ((check->needs & NEEDS_PRIMARY) && primary_is_elsewhere(walk->realm))
        return false;
    if ((check->needs & NEEDS_VIA) && (walk->delivery == NULL || walk->delivery->via == NULL))
        return false;
    if (walk->only == NULL)
        return true;
    for (size_t i = 0; walk->only[i] != NULL; i++) {
        if (strcmp(walk->only[i], check->id) == 0)
            return true;
    }
    return (strcmp(check->id, "agent") == 0 || strcmp(check->id, "name") == 0) &&
           level >= LEVEL_FAILED;
}

static bool
is_needed(const struct walk *walk, const struct check *check)
{
    return asked_for(walk, check, LEVEL_FAILED);
}

bool
checks_is_id(const char *id)
{
    for (const struct check *check = checks; check->id != NULL; check++) {
        if (strcmp(check->id, id) == 0 && (check->walks & (WALK_CHECK | WALK_CHECK_PRIMARY)))
            return true;
    }
    return false;
}

int
checks_walk(struct walk *walk)
{
    for (const struct check *check = checks; check->id != NULL; check++) {
        struct step step = { .id = check->id };

        if (!(check->walks & (int)walk->kind) || !is_needed(walk, check))
            continue;
        step.level = look(check, walk, &step);
        if (asked_for(walk, check, step.level))
            walk->listener->step(walk->listener->closure, &step);
        if ((step.level == LEVEL_FAILED || step.level == LEVEL_REFUSED) && !only_looks(walk))
            return step.code;
        if (walk->blind || walk->left_alone)
            break;
    }
    return 0;
}
