/* enroll_plan - see enroll_plan.h. */
#include "agent/enroll/enroll_plan.h"

#include "agent/base/acl.h"
#include "agent/base/own_names.h"
#include "agent/enroll/enroll_paths.h"
#include "agent/enroll/enroll_stash.h"
#include "agent/enroll/krb5_conf.h"
#include "agent/service/kpropd_acl.h"
#include "common/base/files.h"
#include "common/krb5/keytab_file.h"
#include "common/krb5/keytab_merge.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SERVICES "/etc/services"
#define AGENT_ACL KPC_SYSCONFDIR "/agent.acl"
#define AGENT_CONF KPC_SYSCONFDIR "/agent.conf"

enum { TEXT_MAX = 1 << 20, LOCK_TIMEOUT_MS = 10 * 1000, CONF_MODE = 0644, SECRET_MODE = 0600 };

/* What the steps of the planning share. */
struct planner {
    struct bundle *bundle;
    const struct settings *settings;
    bool replace;
    struct enroll_plan *plan;
};

static const char *
path_of(const struct planner *p, const char *name)
{
    return json_string_value(json_object_get(p->plan->paths, name));
}

static const char *
part(const struct planner *p, enum bundle_part which)
{
    return bundle_string(p->bundle, which);
}

/* The target that is the file PATH, its links followed; NULL if none is. */
static const struct enroll_target *
find_target(const struct enroll_plan *plan, const char *path)
{
    char *real = realpath(path, NULL);
    const struct enroll_target *found = NULL;

    for (size_t i = 0; i < plan->count; i++) {
        if (strcmp(plan->targets[i].path, real == NULL ? path : real) == 0)
            found = &plan->targets[i];
    }
    free(real);
    return found;
}

/* A new target for PATH, its links followed; WHAT is in it, and how it is made where it is missing.
 */
static struct enroll_target *
add_target(struct planner *p, const char *what, const char *path, mode_t mode, mode_t folder_mode,
           struct error *err)
{
    struct enroll_target *t = &p->plan->targets[p->plan->count];
    char *real = NULL;
    struct stat st;

    if (p->plan->count == ENROLL_TARGETS || path == NULL || path[0] != '/') {
        error_set(err, ERROR_FAILED, "cannot use %s for the %s: not a file",
                  path == NULL ? "nothing" : path, what);
        return NULL;
    }
    if (find_target(p->plan, path) != NULL) {
        error_set(err, ERROR_FAILED, "cannot use %s for the %s: it is the %s too", path, what,
                  find_target(p->plan, path)->what);
        error_hint(err, "Give each a file of its own, in kdc.conf and agent.conf");
        return NULL;
    }
    *t = (struct enroll_target){
        .what = what, .mode = mode, .folder_mode = folder_mode, .uid = geteuid(), .gid = getegid()
    };
    buffer_init(&t->content, TEXT_MAX);
    if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode) && (real = realpath(path, NULL)) == NULL) {
        error_errno(err, ERROR_FAILED, errno, "cannot follow the link %s", path);
        return NULL;
    }
    snprintf(t->path, sizeof(t->path), "%s", real == NULL ? path : real);
    free(real);
    t->exists = lstat(t->path, &t->seen) == 0;
    if (!t->exists && errno != ENOENT && errno != ENOTDIR) {
        error_errno(err, ERROR_FAILED, errno, "cannot look at %s", t->path);
        return NULL;
    }
    if (t->exists && !S_ISREG(t->seen.st_mode)) {
        error_set(err, ERROR_FAILED, "cannot replace %s: not a regular file", t->path);
        return NULL;
    }
    if (t->exists) {
        t->mode = t->seen.st_mode & 07777;
        t->uid = t->seen.st_uid;
        t->gid = t->seen.st_gid;
    }
    p->plan->count++;
    return t;
}

/* --- configuration files --- */

/* What CONF comes to, as T's action. The text of a conflict is what it would be with --replace. */
static void
take_conf(struct enroll_target *t, struct conf_plan *conf)
{
    const json_t *difference;
    size_t i, added = 0, replaced = 0;

    json_array_foreach(conf->differences, i, difference)
    {
        const char *action = json_string_value(json_object_get(difference, "action"));

        added += action != NULL && strcmp(action, "add") == 0;
        replaced += action != NULL && strcmp(action, "replace") == 0;
    }
    t->differences = json_incref(conf->differences);
    if (conf->result == CONF_CONFLICT)
        t->action = ENROLL_CONFLICT;
    else if (conf->result == CONF_NEW)
        t->action = ENROLL_CREATE;
    else if (conf->result == CONF_MERGED)
        t->action = replaced > 0 ? ENROLL_REPLACE : ENROLL_MERGE;
    if (conf->result == CONF_MERGED && replaced > 0)
        snprintf(t->detail, sizeof(t->detail), "settings: %zu added, %zu replaced", added,
                 replaced);
    else if (conf->result == CONF_MERGED)
        snprintf(t->detail, sizeof(t->detail), "settings: %zu added", added);
    else if (conf->result == CONF_CONFLICT)
        snprintf(t->detail, sizeof(t->detail), "it contradicts the bundle");
    buffer_free(&t->content);
    t->content = conf->text;
    buffer_init(&conf->text, 0);
}

typedef bool conf_function(struct planner *p, const char *path, bool replace,
                           struct conf_plan *conf, struct error *err);

static bool
krb5_conf(struct planner *p, const char *path, bool replace, struct conf_plan *conf,
          struct error *err)
{
    return krb5_conf_plan(path, NULL, part(p, BUNDLE_KRB5_CONF), part(p, BUNDLE_REALM), replace,
                          conf, err);
}

static bool
kdc_conf(struct planner *p, const char *path, bool replace, struct conf_plan *conf,
         struct error *err)
{
    const struct kdc_folders primary = { part(p, BUNDLE_DATA_DIR), part(p, BUNDLE_CONF_DIR) };
    const struct kdc_folders here = { path_of(p, "data_dir"), path_of(p, "conf_dir") };

    return kdc_conf_plan(path, part(p, BUNDLE_KDC_CONF), part(p, BUNDLE_REALM), &primary, &here,
                         replace, conf, err);
}

/* Plan file PATH by FUNCTION. The paths of the realm are then those of the new content. */
static bool
plan_conf(struct planner *p, const char *what, const char *path, mode_t folder_mode,
          conf_function *function, const struct buffer *krb5, const struct buffer **content,
          struct error *err)
{
    struct enroll_target *t = add_target(p, what, path, CONF_MODE, folder_mode, err);
    struct conf_plan conf = { .differences = NULL }, forced = { .differences = NULL };
    json_t *paths = NULL;
    bool ok = t != NULL && function(p, t->path, p->replace, &conf, err);

    *content = NULL;
    if (!ok)
        goto cleanup;
    take_conf(t, &conf);
    if (t->action == ENROLL_CONFLICT) {
        /* So that the other files are looked at as they would be. */
        ok = function(p, t->path, true, &forced, err);
        buffer_free(&t->content);
        t->content = forced.text;
        buffer_init(&forced.text, 0);
    }
    if (t->content.len > 0)
        *content = &t->content;
    ok = ok && enroll_paths_read(part(p, BUNDLE_REALM), krb5 == NULL ? *content : krb5,
                                 krb5 == NULL ? NULL : *content, &paths, err);
    if (ok) {
        json_decref(p->plan->paths);
        p->plan->paths = paths;
    }

cleanup:
    conf_plan_free(&conf);
    conf_plan_free(&forced);
    return ok;
}

/* Both files; what krb5.conf will say decides where kdc.conf is. */
static bool
plan_configuration(struct planner *p, struct error *err)
{
    const struct buffer *krb5, *kdc, *in_force = NULL;
    struct buffer present;
    char *path = enroll_krb5_conf();
    bool ok;

    buffer_init(&present, TEXT_MAX);
    ok = path != NULL && plan_conf(p, "krb5.conf", path, 0755, krb5_conf, NULL, &krb5, err);
    if (ok && krb5 == NULL) {
        ok = file_read(path, &present, err);
        in_force = &present;
    } else {
        in_force = krb5;
    }
    free(path);
    ok =
        ok && plan_conf(p, "kdc.conf", path_of(p, "kdc_conf"), 0700, kdc_conf, in_force, &kdc, err);
    buffer_free(&present);
    return ok;
}

/* --- lists of principals --- */

/* A bundle lets hosts of its realm in, by name: no other file, no person, no realm but its own. */
static bool
names_host(const struct planner *p, const char *line)
{
    const char *at = strrchr(line, '@');

    return strncmp(line, "host/", 5) == 0 && at != NULL && at > line + 5 &&
           (size_t)(at - line) == strcspn(line, "@") &&
           strcspn(line + 5, "/\\") >= (size_t)(at - line - 5) &&
           strcmp(at + 1, part(p, BUNDLE_REALM)) == 0;
}

/* Are all lines of the bundle's lists such names? */
static bool
check_lists(const struct planner *p, struct error *err)
{
    static const enum bundle_part lists[] = { BUNDLE_KPROPD_ACL, BUNDLE_AGENT_ACL };

    for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
        const char *text = part(p, lists[i]);
        char line[1024];

        for (size_t len; *text != '\0'; text += len + (text[len] == '\n')) {
            len = strcspn(text, "\n");
            snprintf(line, sizeof(line), "%.*s", (int)len, text);
            line[strcspn(line, " \t\r")] = '\0';
            if (line[0] == '#' || len == 0 || (len < sizeof(line) && names_host(p, line)))
                continue;
            error_set(
                err, ERROR_REFUSED,
                "cannot take the bundle: it lets in '%.64s', which is no host of its realm %s",
                line, part(p, BUNDLE_REALM));
            return error_hint(err, "Whom else to let in, write into the agent's or kpropd's access "
                                   "list of this host by hand");
        }
    }
    return true;
}

/* Plan file PATH to have all lines of TEXT. */
static bool
plan_lines(struct planner *p, const char *what, const char *path, mode_t folder_mode,
           const char *text, struct error *err)
{
    struct enroll_target *t = add_target(p, what, path, CONF_MODE, folder_mode, err);
    size_t added = 0;

    if (t == NULL || (t->exists && !file_read(t->path, &t->content, err)))
        return false;
    for (size_t len; *text != '\0'; text += len + (text[len] == '\n')) {
        char line[1024];

        len = strcspn(text, "\n");
        if (len == 0 || *text == '#' || len >= sizeof(line))
            continue;
        snprintf(line, sizeof(line), "%.*s", (int)len, text);
        line[strcspn(line, " \t\r")] = '\0';
        if (kpropd_acl_lists(buffer_string(&t->content), t->content.len, line))
            continue;
        if (t->content.len > 0 && t->content.data[t->content.len - 1] != '\n')
            buffer_add_u8(&t->content, '\n');
        buffer_printf(&t->content, "%s\n", line);
        snprintf(t->detail, sizeof(t->detail), "%s added", line);
        added++;
    }
    if (t->content.failed)
        return error_set(err, ERROR_FAILED, "cannot add to %s: file too large", t->path);
    if (added > 1)
        snprintf(t->detail, sizeof(t->detail), "%zu lines added", added);
    if (added > 0)
        t->action = t->exists ? ENROLL_MERGE : ENROLL_CREATE;
    return true;
}

/* Would the agent take tickets for the name that the bundle has for this host? */
static bool
knows_own_name(const struct planner *p)
{
    const char *host = part(p, BUNDLE_HOST);
    struct own_names names;

    own_names_read(p->settings->names, &names);
    return own_names_has(&names, host, strlen(host));
}

/* Make agent.conf name the access list, where NEEDS_ACL, and this host, where the agent could not
 * tell that it has this name. */
static bool
plan_agent_conf(struct planner *p, bool needs_acl, struct error *err)
{
    const char *path = p->settings->file != NULL ? p->settings->file : AGENT_CONF;
    const char *host = knows_own_name(p) ? NULL : part(p, BUNDLE_HOST);
    struct enroll_target *t;

    if (!needs_acl && host == NULL)
        return true;
    t = add_target(p, "agent.conf", path, CONF_MODE, 0755, err);
    if (t == NULL || (t->exists && !file_read(t->path, &t->content, err)))
        return false;
    if (t->content.len > 0 && t->content.data[t->content.len - 1] != '\n')
        buffer_add_u8(&t->content, '\n');
    buffer_printf(&t->content, "# By `kpropctl-agent enroll`: %s.\n[kpropctl-agent]\n",
                  needs_acl ? "the primary has another name than its realm's admin_server"
                            : "the name that the primary has for this host");
    if (needs_acl)
        buffer_add_string(&t->content, "    acl = " AGENT_ACL "\n");
    if (host != NULL)
        buffer_printf(&t->content, "    names = %s\n", host);
    snprintf(t->detail, sizeof(t->detail), "%s%s%s%s added", needs_acl ? "acl = " AGENT_ACL : "",
             needs_acl && host != NULL ? ", " : "", host != NULL ? "names = " : "",
             host != NULL ? host : "");
    t->action = t->exists ? ENROLL_MERGE : ENROLL_CREATE;
    return true;
}

/* Does the access list PATH let the primary in? A missing one lets nobody. */
static bool
acl_lets_in(const char *path, const char *primary, bool *answer, struct error *err)
{
    enum acl_answer said = ACL_NO_MATCH;
    struct stat st;

    *answer = false;
    if (stat(path, &st) != 0)
        return true;
    if (!acl_evaluate_path(path, primary, &said, err))
        return false;
    *answer = said == ACL_PERMIT;
    if (*answer || (said == ACL_NO_MATCH && S_ISREG(st.st_mode)))
        return true;
    error_set(err, ERROR_REFUSED, "cannot let %s in: the agent's access list %s %s", primary, path,
              said == ACL_DENY ? "denies it" : "is a folder that does not name it");
    return error_hint(err, "Name it there, or correct acl in agent.conf, and run this again");
}

/* The agent's own list, for one that had none: whom it lets in now, as another realm's primary, it
 * goes on to. */
static bool
plan_own_list(struct planner *p, const char *by_default, struct error *err)
{
    const char *realm = by_default == NULL ? NULL : strrchr(by_default, '@');
    struct buffer lines;
    bool ok;

    buffer_init(&lines, TEXT_MAX);
    buffer_printf(&lines, "%s\n", part(p, BUNDLE_AGENT_ACL));
    if (realm != NULL && strcmp(realm + 1, part(p, BUNDLE_REALM)) != 0)
        buffer_printf(&lines, "%s\n", by_default);
    ok = plan_lines(p, "agent's access list", AGENT_ACL, 0755, buffer_string(&lines), err) &&
         plan_agent_conf(p, true, err);
    buffer_free(&lines);
    return ok;
}

/* The agent's access list, where what it is would not let the primary in. */
static bool
plan_agent_acl(struct planner *p, struct error *err)
{
    const char *primary = part(p, BUNDLE_PRIMARY), *by_default = path_of(p, "lets_in");
    const char *acl = p->settings->acl;
    bool in;

    if (acl == NULL && (by_default == NULL || strcmp(by_default, primary) != 0))
        return plan_own_list(p, by_default, err);
    if (!plan_agent_conf(p, false, err))
        return false;
    return acl == NULL ||
           (acl_lets_in(acl, primary, &in, err) &&
            (in || find_target(p->plan, acl) != NULL ||
             plan_lines(p, "agent's access list", acl, 0755, part(p, BUNDLE_AGENT_ACL), err)));
}

/* --- keys --- */

/* New keys are for a file's owner and group alone, whoever else could read the old ones. */
static void
keep_from_others(struct enroll_target *t)
{
    size_t len = strlen(t->detail);

    if ((t->mode & 07) == 0)
        return;
    t->mode &= ~(mode_t)07;
    snprintf(t->detail + len, sizeof(t->detail) - len, "; everybody could read it, no more");
}

/* Plan the keytab PATH, whose lock goes to LOCK. */
static bool
plan_keytab(struct planner *p, const char *path, int *lock, struct error *err)
{
    const char *principal = p->plan->host_principal;
    struct keytab_merged merged;
    struct enroll_target *t;
    struct buffer old;
    bool ok;

    *lock = keytab_lock(path, LOCK_TIMEOUT_MS, err);
    if (*lock < 0 && errno != ENOENT && errno != ENOTDIR)
        return false;
    t = add_target(p, "keytab", path, SECRET_MODE, 0755, err);
    if (t == NULL)
        return false;
    buffer_init(&old, KEYTAB_MAX);
    ok = (!t->exists || file_read(t->path, &old, err)) &&
         keytab_merge(&old, &p->bundle->parts[BUNDLE_KEYTAB], principal, &t->content, &merged, err);
    if (!ok)
        error_hint(err, "Look at it: klist -kt %s", t->path);
    buffer_free_secret(&old);
    if (!ok || merged.added + merged.replaced == 0)
        return ok;
    t->action = !t->exists ? ENROLL_CREATE : merged.replaced > 0 ? ENROLL_REPLACE : ENROLL_MERGE;
    snprintf(t->detail, sizeof(t->detail), "keys of %s: %zu added", principal, merged.added);
    if (merged.replaced > 0)
        snprintf(t->detail + strlen(t->detail), sizeof(t->detail) - strlen(t->detail),
                 ", %zu replaced", merged.replaced);
    if (merged.kept > 0)
        snprintf(t->detail + strlen(t->detail), sizeof(t->detail) - strlen(t->detail),
                 "; %zu others kept", merged.kept);
    keep_from_others(t);
    return true;
}

/* The system's keytab, which kpropd reads, and the agent's if agent.conf names another. */
static bool
plan_keytabs(struct planner *p, struct error *err)
{
    const char *system = path_of(p, "keytab"), *own = p->settings->keytab;

    if (own != NULL && strncmp(own, "FILE:", 5) == 0)
        own += 5;
    return plan_keytab(p, system, &p->plan->locks[0], err) &&
           (own == NULL || find_target(p->plan, own) != NULL ||
            plan_keytab(p, own, &p->plan->locks[1], err));
}

static bool
plan_stash(struct planner *p, struct error *err)
{
    const struct buffer *stash = &p->bundle->parts[BUNDLE_STASH];
    enum enroll_stash_verdict verdict;
    struct enroll_target *t;
    struct error ignored;
    struct buffer old;
    bool ok, same, known;

    if (stash->len == 0)
        return true;
    t = add_target(p, "stash", path_of(p, "stash"), SECRET_MODE, 0700, err);
    if (t == NULL || !enroll_stash_check(stash, path_of(p, "master_key"), err))
        return false;
    buffer_init(&old, TEXT_MAX);
    ok = !t->exists || file_read(t->path, &old, err);
    same = t->exists && old.len == stash->len && memcmp(old.data, stash->data, stash->len) == 0;
    known = ok && (old.len == 0 || enroll_stash_check(&old, path_of(p, "master_key"), &ignored));
    buffer_free_secret(&old);
    if (!ok || same)
        return ok;
    if (!buffer_add(&t->content, stash->data, stash->len))
        return error_memory(err);
    t->action = t->exists ? ENROLL_REPLACE : ENROLL_CREATE;
    snprintf(t->detail, sizeof(t->detail), "the key of %s", path_of(p, "master_key"));
    keep_from_others(t);
    if (!t->exists)
        return true;
    /* Where it is, this host's own configuration says; what is there need not be a stash. */
    if (!known && !p->replace) {
        t->action = ENROLL_CONFLICT;
        snprintf(t->detail, sizeof(t->detail), "it is no stash file of %s",
                 path_of(p, "master_key"));
        return true;
    }
    if (!enroll_stash_judge(part(p, BUNDLE_REALM), p->plan->paths, stash, &verdict, err))
        return false;
    if (verdict == STASH_LOCKS_OUT && !p->replace) {
        t->action = ENROLL_CONFLICT;
        snprintf(t->detail, sizeof(t->detail),
                 "it opens the database that is here, and the bundle's stash does not");
    }
    return true;
}

/* --- the services file --- */

static bool
plan_services(struct planner *p, struct error *err)
{
    struct enroll_target *t;

    if (p->settings->kpropd_port != 0 || getservbyname("krb5_prop", "tcp") != NULL)
        return true;
    t = add_target(p, "services", SERVICES, CONF_MODE, 0755, err);
    if (t == NULL || (t->exists && !file_read(t->path, &t->content, err)))
        return false;
    if (t->content.len > 0 && t->content.data[t->content.len - 1] != '\n')
        buffer_add_u8(&t->content, '\n');
    buffer_add_string(&t->content, "krb5_prop\t754/tcp\t\t# Kerberos propagation\n");
    if (t->content.failed)
        return error_set(err, ERROR_FAILED, "cannot add to %s: file too large", t->path);
    snprintf(t->detail, sizeof(t->detail), "krb5_prop 754/tcp added");
    t->action = t->exists ? ENROLL_MERGE : ENROLL_CREATE;
    return true;
}

bool
enroll_plan_make(struct bundle *bundle, const struct settings *settings, bool replace,
                 struct enroll_plan *plan, struct error *err)
{
    struct planner p = { bundle, settings, replace, plan };

    memset(plan, 0, sizeof(*plan));
    for (size_t i = 0; i < ENROLL_LOCKS; i++)
        plan->locks[i] = -1;
    snprintf(plan->host_principal, sizeof(plan->host_principal), "host/%s@%s",
             part(&p, BUNDLE_HOST), part(&p, BUNDLE_REALM));
    /* Reading the keytab has to wait for its lock, and trying a stash takes a while. */
    return check_lists(&p, err) && plan_configuration(&p, err) && plan_stash(&p, err) &&
           plan_keytabs(&p, err) &&
           plan_lines(&p, "kpropd's access list", path_of(&p, "kpropd_acl"), 0700,
                      part(&p, BUNDLE_KPROPD_ACL), err) &&
           plan_agent_acl(&p, err) && plan_services(&p, err);
}

void
enroll_plan_unlock(struct enroll_plan *plan)
{
    for (size_t i = 0; i < ENROLL_LOCKS; i++) {
        if (plan->locks[i] >= 0)
            close(plan->locks[i]);
        plan->locks[i] = -1;
    }
}

void
enroll_plan_free(struct enroll_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        buffer_free_secret(&plan->targets[i].content);
        json_decref(plan->targets[i].differences);
    }
    enroll_plan_unlock(plan);
    json_decref(plan->paths);
    memset(plan, 0, sizeof(*plan));
}

size_t
enroll_plan_count(const struct enroll_plan *plan, enum enroll_action action)
{
    size_t count = 0;

    for (size_t i = 0; i < plan->count; i++)
        count += plan->targets[i].action == action;
    return count;
}
