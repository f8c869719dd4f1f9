/* checks - see checks.h: the table, and the walk over it. The rows' functions are in rows_*.c. */
#include "kpropctl/checks.h"

#include "kpropctl/principals.h"
#include "kpropctl/rows.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { BOTH = WALK_SETUP | WALK_PROPAGATE, ALL = BOTH | WALK_ROLLBACK };

const struct check checks[] = {
    { "primary", "this host is the realm's primary, with database, stash, kprop and kdb5_util",
      BOTH, see_primary, NULL, NULL, false },
    { "space", "there is room for a dump", BOTH, see_space, NULL, NULL, false },
    { "name", "the replica has a name that both sides agree on", ALL, see_name, NULL, NULL, false },
    { "principals", "both hosts have a host principal in the database", WALK_SETUP, see_principals,
      make_principals, "create them", false },
    { "keytab", "the primary's keytab holds its current key", WALK_SETUP, see_keytab, NULL, NULL,
      false },
    { "agent", "the replica's agent answers, and lets this primary in", ALL, see_agent, NULL, NULL,
      false },
    { "clock", "the clocks agree", WALK_SETUP, see_clock, NULL, NULL, false },
    { "realm", "the replica knows the realm, and can load this dump format", ALL, see_realm, NULL,
      NULL, false },
    { "services", "both services files give krb5_prop the same port", WALK_SETUP, see_services,
      NULL, NULL, false },
    { "replica-keytab", "the replica's keytab holds its current key", WALK_SETUP,
      see_replica_keytab, NULL, NULL, false },
    { "role", "the replica is not a primary itself", BOTH, see_role, NULL, NULL, false },
    { "replica-space", "the replica has room for a load", BOTH, see_replica_space, NULL, NULL,
      false },
    { "port", "kpropd can have its port, also after a reboot", WALK_SETUP, see_port, make_port,
      "release the reservation, now and at every start of kpropd", false },
    { "acl", "kpropd.acl of the replica lists the primary", WALK_SETUP, see_acl, make_acl, "add it",
      false },
    { "loader", "kpropd loads with kpropctl's loader", WALK_SETUP, see_loader, make_loader,
      "write a drop-in for kpropd's unit", false },
    { "kpropd", "kpropd runs, is enabled, and is seen listening", WALK_SETUP, see_kpropd,
      make_kpropd, "start and enable it", false },
    { "reach", "the primary reaches kpropd's port", WALK_SETUP, see_reach, NULL, NULL, false },
    { "dump", "the database can be dumped, and the dump is whole", BOTH, see_dump, NULL, NULL,
      false },
    { "propagate", "the replica has been sent this content", BOTH, see_content, make_content,
      "propagate the database", true },
    { "rollback", "the replica has gone back to a dump that it has kept", WALK_ROLLBACK,
      see_rollback, make_rollback, "load it again", true },
    { "digest", "the replica's database is exactly what was dumped", ALL, see_digest, NULL, NULL,
      false },
    { "stash", "the replica's stash opens its database", WALK_SETUP, see_stash, NULL, NULL, false },
    { "kdc", "krb5kdc runs on the replica, and is enabled", ALL, see_kdc, make_kdc,
      "start and enable it", false },
    { "ticket", "the replica's KDC issues a ticket", ALL, see_ticket, NULL, NULL, false },
    { "record", "the replica is known to the state database", WALK_SETUP, see_record, make_record,
      "record it", false },
    { NULL, NULL, 0, NULL, NULL, NULL, false },
};

static const char *const level_names[] = {
    "ok", "fixed", "warning", "skipped", "failed", "refused"
};

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

static enum level
look(const struct check *check, struct walk *walk, struct step *step)
{
    switch (check->see(walk, step)) {
    case HOLDS:
        return LEVEL_OK;
    case HOLDS_BUT:
        return LEVEL_WARNING;
    case UNTOLD:
        return LEVEL_SKIPPED;
    case REFUSED:
        step->code = ERROR_REFUSED;
        return LEVEL_REFUSED;
    case LACKING:
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

int
checks_walk(struct walk *walk)
{
    for (const struct check *check = checks; check->id != NULL; check++) {
        struct step step = { .id = check->id };

        if (!(check->walks & (int)walk->kind))
            continue;
        step.level = look(check, walk, &step);
        walk->listener->step(walk->listener->closure, &step);
        if (step.level == LEVEL_FAILED || step.level == LEVEL_REFUSED)
            return step.code;
        if (walk->blind)
            break;
    }
    return 0;
}

void
walk_finish(struct walk *walk)
{
    principals_close(walk->principals);
    walk->principals = NULL;
    remote_close(walk->agent);
    walk->agent = NULL;
    json_decref(walk->facts);
    walk->facts = NULL;
}
