/* rows_primary - rows that the primary can tell alone, before anybody else is asked. */
#include "kpropctl/base/text.h"
#include "kpropctl/checks/rows.h"
#include "kpropctl/krb5/primary.h"
#include "kpropctl/krb5/principals.h"
#include "kpropctl/krb5/recorded.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static enum verdict
see_programs(struct walk *walk, struct step *step)
{
    char path[PATH_MAX];
    struct error err;

    if ((walk->configuration->kprop == NULL &&
         !realm_find_program("kprop", path, sizeof(path), &err)) ||
        (walk->configuration->kdb5_util == NULL &&
         !realm_find_program("kdb5_util", path, sizeof(path), &err))) {
        step_error(step, &err);
        return IMPOSSIBLE;
    }
    return HOLDS;
}

enum verdict
see_primary(struct walk *walk, struct step *step)
{
    const struct realm *realm = walk->realm;
    struct error err;

    error_clear(&err);
    if (!primary_is_here(realm, &err)) {
        step_error(step, &err);
        return REFUSED;
    }
    if (see_programs(walk, step) != HOLDS)
        return IMPOSSIBLE;
    if (walk_principals(walk, step) == NULL)
        return IMPOSSIBLE;
    if (!names_look_up(NULL, realm->name, &walk->primary, &err)) {
        step_error(step, &err);
        return IMPOSSIBLE;
    }
    step_summary(step, "%s has database, stash, kprop and kdb5_util of %s", walk->primary.host,
                 realm->name);
    return HOLDS;
}

enum verdict
see_space(struct walk *walk, struct step *step)
{
    char folder[PATH_MAX], need[32], have[32];
    uint64_t needed, available;
    struct error err;

    if (!spool_space(walk->configuration, walk->realm, &needed, &available, folder, sizeof(folder),
                     &err)) {
        step_error(step, &err);
        return IMPOSSIBLE;
    }
    bytes_text(needed, need, sizeof(need));
    bytes_text(available, have, sizeof(have));
    if (available < needed) {
        step_summary(step, "no room for a dump in %s: it may need %s, %s are free", folder, need,
                     have);
        step_hint(step, "free space there, or set state_dir in kpropctl.conf");
        return IMPOSSIBLE;
    }
    step_summary(step, "%s free for dumps in %s", have, folder);
    return HOLDS;
}

/* What the state database remembers; that it cannot be read makes nothing wrong, only slower. */
static void
load_memory(struct walk *walk)
{
    struct error ignored;
    struct state *state = state_open(walk->configuration->state_dir, NULL, true, &ignored);

    walk->memory_told = state != NULL && state_memory(state, walk->realm->name, walk->replica.host,
                                                      &walk->memory, &ignored);
    if (!walk->memory_told)
        memset(&walk->memory, 0, sizeof(walk->memory));
    state_close(state);
}

enum verdict
see_name(struct walk *walk, struct step *step)
{
    struct names *names = &walk->replica;
    struct error err;

    error_clear(&err);
    if (!recorded_look_up(walk->configuration->state_dir, walk->realm->name, walk->host, names,
                          &err) ||
        (walk->primary.host[0] == '\0' &&
         !names_look_up(NULL, walk->realm->name, &walk->primary, &err))) {
        step_error(step, &err);
        /* What is remembered of it is known by its full name all the same. */
        names->address[0] = '\0';
        if (names->host[0] == '\0')
            snprintf(names->host, sizeof(names->host), "%s", walk->host);
        load_memory(walk);
        return err.code == ERROR_REFUSED ? REFUSED : IMPOSSIBLE;
    }
    load_memory(walk);
    if (!names_suit_replica(names, walk->host, &err)) {
        step_error(step, &err);
        return err.code == ERROR_REFUSED ? REFUSED : IMPOSSIBLE;
    }
    if (names->reverse[0] != '\0' && strcasecmp(names->reverse, names->host) != 0) {
        step_summary(step, "%s is %s, but the name of that address is %s", names->host,
                     names->address, names->reverse);
        step_hint(step, "make DNS or /etc/hosts agree, or set rdns = false in krb5.conf of both "
                        "hosts");
        return HOLDS_BUT;
    }
    step_summary(step, "%s is %s%s", names->host, names->address,
                 names->reverse[0] == '\0' ? ", which has no reverse name" : ", both ways");
    return HOLDS;
}

/* Which of the two host principals are not in the database: 0 to 2 names into MISSING. */
static int
missing_principals(struct walk *walk, const char **missing, struct error *err)
{
    const char *names[] = { walk->primary.principal, walk->replica.principal };
    int count = 0, kvno;

    for (int i = 0; i < 2; i++) {
        if (!principals_kvno(walk->principals, names[i], &kvno, err))
            return -1;
        if (kvno == 0)
            missing[count++] = names[i];
    }
    return count;
}

enum verdict
see_principals(struct walk *walk, struct step *step)
{
    const char *missing[2];
    struct error err;
    int count;

    if (walk_principals(walk, step) == NULL)
        return IMPOSSIBLE;
    count = missing_principals(walk, missing, &err);
    if (count < 0) {
        step_error(step, &err);
        return IMPOSSIBLE;
    }
    if (count > 0) {
        step_summary(step, "the database has no %s%s%s", missing[0], count > 1 ? " and no " : "",
                     count > 1 ? missing[1] : "");
        return LACKING;
    }
    step_summary(step, "%s and %s exist", walk->primary.principal, walk->replica.principal);
    return HOLDS;
}

bool
make_principals(struct walk *walk, struct step *step, struct error *err)
{
    const char *missing[2];
    int count = missing_principals(walk, missing, err);

    for (int i = 0; i < count; i++) {
        if (!principals_create(walk->principals, missing[i], err))
            return false;
    }
    step_summary(step, "created %s%s%s", count > 0 ? missing[0] : "nothing",
                 count > 1 ? " and " : "", count > 1 ? missing[1] : "");
    return count >= 0;
}

enum verdict
see_keytab(struct walk *walk, struct step *step)
{
    enum keytab_state state;
    struct error err;

    walk->keytab = walk_keytab(walk);
    error_clear(&err);
    if (walk->dry_run && walk->later_unknown) {
        step_summary(step, "cannot be told before the principals exist");
        return UNTOLD;
    }
    if (walk_principals(walk, step) == NULL)
        return IMPOSSIBLE;
    if (walk->primary.principal[0] == '\0' &&
        !names_look_up(NULL, walk->realm->name, &walk->primary, &err)) {
        step_error(step, &err);
        return IMPOSSIBLE;
    }
    if (!principals_match_keytab(walk->principals, walk->primary.principal, walk->keytab, &state,
                                 &err)) {
        step_error(step, &err);
        return IMPOSSIBLE;
    }
    if (state == KEYTAB_CURRENT) {
        step_summary(step, "%s holds the current key of %s", walk->keytab, walk->primary.principal);
        return HOLDS;
    }
    step_error(step, &err);
    /* After the realm was destroyed and created anew the old key is of no use to anybody. */
    if (walk->renew_keys || (walk->overwrite && (state == KEYTAB_NEWER || state == KEYTAB_WRONG)))
        return LACKING;
    step_hint(step,
              "on this host: kpropctl setup-slave --renew-keys, or kadmin.local -q 'ktadd "
              "-norandkey -k %s %s'",
              walk->keytab, walk->primary.principal);
    return IMPOSSIBLE;
}
