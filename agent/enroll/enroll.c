/* enroll - see enroll.h. */
#include "agent/enroll/enroll.h"

#include "agent/base/change_lock.h"
#include "agent/enroll/enroll_output.h"
#include "agent/enroll/enroll_plan.h"
#include "agent/enroll/enroll_start.h"
#include "agent/enroll/install.h"
#include "agent/service/services.h"
#include "common/base/files.h"
#include "common/base/log.h"
#include "common/contract/bundle.h"
#include "common/host/systemd.h"
#include "common/krb5/keytab_file.h"
#include "common/krb5/keytab_merge.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    CHUNK = 64 * 1024,
    LOCK_WAIT_MS = 30 * 1000,

    NAME_SIZE = 256
};

/* In the agent's folder, from before the first file is new until an agent was started after it. */
#define RESTART "enrolment.restart"

/* One enrolment. */
struct enrolment {
    const struct settings *settings;
    bool dry_run, replace, no_start, json;
    const char *as; /* --host, or NULL */
    struct bundle bundle;
    struct enroll_plan plan;
    struct enroll_report report;
};

static void
usage(FILE *out)
{
    fputs("Usage: kpropctl-agent enroll [OPTION...] <BUNDLE\n"
          "On the primary: kpropctl enroll HOST | ssh root@HOST kpropctl-agent enroll\n"
          "\n"
          "  --dry-run    show what would be done\n"
          "  --replace    what is here and contradicts the bundle gives way\n"
          "  --host NAME  this host is NAME, where it cannot tell so itself\n"
          "  --no-start   leave the agent as it is\n"
          "  --json       tell a program\n"
          "  --help       this text\n",
          out);
}

static bool
read_options(const struct verb_call *call, struct enrolment *e, struct error *err)
{
    for (size_t i = 0; i < call->argc; i++) {
        const char *word = call->argv[i];

        if (strcmp(word, "--dry-run") == 0)
            e->dry_run = true;
        else if (strcmp(word, "--replace") == 0)
            e->replace = true;
        else if (strcmp(word, "--no-start") == 0)
            e->no_start = true;
        else if (strcmp(word, "--json") == 0)
            e->json = true;
        else if (strcmp(word, "--host") == 0 && i + 1 < call->argc)
            e->as = call->argv[++i];
        else {
            error_set(err, ERROR_USAGE, "cannot use argument '%.64s'", word);
            return error_hint(err, "Try 'kpropctl-agent enroll --help'");
        }
    }
    return true;
}

/* --- the bundle --- */

static bool
read_input(struct buffer *input, struct error *err)
{
    static const char how[] = "On the primary: kpropctl enroll HOST | ssh root@HOST kpropctl-agent "
                              "enroll";
    ssize_t n;

    if (isatty(STDIN_FILENO)) {
        error_set(err, ERROR_USAGE, "cannot read a bundle: standard input is a terminal");
        return error_hint(err, how);
    }
    do {
        size_t left = input->max - input->len, size = left < CHUNK ? left : CHUNK;
        unsigned char *p;

        if (left == 0)
            return error_set(err, ERROR_REFUSED, "cannot take the bundle: larger than %u bytes",
                             BUNDLE_MAX);
        p = buffer_reserve(input, size);
        if (p == NULL)
            return error_memory(err);
        n = read(STDIN_FILENO, p, size);
        if (n > 0)
            input->len += (size_t)n;
    } while (n > 0 || (n < 0 && errno == EINTR));
    if (n < 0)
        return error_errno(err, ERROR_FAILED, errno, "cannot read the bundle");
    if (input->len > 0)
        return true;
    error_set(err, ERROR_REFUSED, "cannot read a bundle: standard input is empty");
    return error_hint(err, "See what the command before the pipe said; %s", how);
}

/* This host's name, and its canonical one ("" if there is none). */
static void
own_names(char *name, char *canonical)
{
    struct addrinfo hints = { .ai_flags = AI_CANONNAME, .ai_socktype = SOCK_STREAM }, *found = NULL;

    name[0] = canonical[0] = '\0';
    gethostname(name, NAME_SIZE - 1);
    name[NAME_SIZE - 1] = '\0';
    if (getaddrinfo(name, NULL, &hints, &found) == 0) {
        if (found->ai_canonname != NULL)
            snprintf(canonical, NAME_SIZE, "%s", found->ai_canonname);
        freeaddrinfo(found);
    }
}

static bool
is_host_name(const char *name)
{
    if (!isalnum((unsigned char)name[0]) || strlen(name) >= NAME_SIZE)
        return false;
    for (; *name != '\0'; name++) {
        if (!isalnum((unsigned char)*name) && *name != '-' && *name != '.' && *name != '_')
            return false;
    }
    return true;
}

/* Is the bundle for this host, which is not the primary itself? */
static bool
check_host(struct enrolment *e, struct error *err)
{
    const char *host = e->report.host;
    char name[NAME_SIZE], canonical[NAME_SIZE], own[NAME_SIZE + 8];

    own_names(name, canonical);
    if (!is_host_name(host))
        return error_set(err, ERROR_REFUSED, "cannot take the bundle: it is for no valid host");
    if (strcasecmp(host, e->as != NULL ? e->as : name) != 0 &&
        (e->as != NULL || strcasecmp(host, canonical) != 0)) {
        error_set(err, ERROR_REFUSED, "cannot take the bundle: it is for %s, and this host is %s",
                  host,
                  e->as != NULL          ? e->as
                  : canonical[0] != '\0' ? canonical
                                         : name);
        if (e->as == NULL)
            error_hint(err,
                       "On the primary: kpropctl enroll %s; or, if this is %s after all, give its "
                       "name with --host %s",
                       canonical[0] != '\0' ? canonical : name, host, host);
        return false;
    }
    for (int i = 0; i < 2; i++) {
        snprintf(own, sizeof(own), "host/%s@", i == 0 ? name : canonical);
        if (own[5] != '@' && strncasecmp(e->report.primary, own, strlen(own)) == 0) {
            error_set(err, ERROR_REFUSED, "cannot enroll %s: it is the realm's primary itself",
                      host);
            return error_hint(err, "Run this on the host that is to be a replica");
        }
    }
    return true;
}

/* Do the parts speak of one realm? */
static bool
check_realm(struct enrolment *e, struct error *err)
{
    const char *primary = e->report.primary, *at = strchr(primary, '@');

    if (strncmp(primary, "host/", 5) == 0 && at != NULL && strcmp(at + 1, e->report.realm) == 0 &&
        strpbrk(e->report.realm, " \t/@\\{}=") == NULL)
        return true;
    return error_set(err, ERROR_REFUSED,
                     "cannot take the bundle: its primary %s is not host/… of "
                     "its realm %s",
                     primary, e->report.realm);
}

static bool
take_bundle(struct enrolment *e, struct error *err)
{
    struct buffer input;
    bool ok;

    buffer_init(&input, BUNDLE_MAX + 1); /* the one byte shows that it is too long */
    ok = read_input(&input, err) && bundle_read(input.data, input.len, &e->bundle, err);
    buffer_free_secret(&input);
    if (!ok)
        return false;
    e->report.host = bundle_string(&e->bundle, BUNDLE_HOST);
    e->report.realm = bundle_string(&e->bundle, BUNDLE_REALM);
    e->report.primary = bundle_string(&e->bundle, BUNDLE_PRIMARY);
    return check_host(e, err) && check_realm(e, err);
}

/* --- this host --- */

/* A host where kadmind runs is a primary, of this realm or of another. */
static bool
check_kadmind(struct error *err)
{
    struct service_state kadmind;
    struct systemd *sd = NULL;
    struct error ignored;
    bool ok;

    if (!systemd_open(&sd, &ignored))
        sd = NULL;
    ok = services_see(sd, SERVICE_KADMIND, NULL, 0, &kadmind, err);
    systemd_close(sd);
    if (!ok || kadmind.pid == 0)
        return ok;
    error_set(err, ERROR_REFUSED,
              "cannot enroll this host: kadmind (pid %d) runs here, so it is a primary",
              (int)kadmind.pid);
    return error_hint(err,
                      "Run this on the host that is to be a replica; if it is this one: "
                      "systemctl disable --now %s",
                      kadmind.unit != NULL ? kadmind.unit : "krb5-admin-server");
}

/* Take the lock of changes; say so when it has to be waited for. */
static bool
lock(struct enrolment *e, int *fd, FILE *errors, struct error *err)
{
    if (verbs_lock_changes(e->settings, "enroll", 0, fd, err))
        return true;
    if (err->code != ERROR_UNREACHABLE)
        return false;
    fprintf(errors, "kpropctl-agent: %s: waiting for it\n", strchr(err->text, ':') + 2);
    error_clear(err);
    return verbs_lock_changes(e->settings, "enroll", LOCK_WAIT_MS, fd, err);
}

static bool
recover(struct enrolment *e, struct error *err)
{
    enum install_recovered what;

    if (e->dry_run) {
        if (!install_pending(e->settings->state))
            return true;
        error_set(err, ERROR_UNREACHABLE, "cannot look at this host: an enrolment was killed here");
        return error_hint(err, "Enroll it without --dry-run, or start the agent: either completes "
                               "or undoes that one first");
    }
    if (!install_recover(e->settings->state, &what, err))
        return false;
    e->report.recovered = what == INSTALL_COMPLETED ? "completed"
                          : what == INSTALL_UNDONE  ? "undone"
                                                    : NULL;
    return true;
}

/* --- doing it --- */

static bool
refuse_conflicts(struct enrolment *e, struct error *err)
{
    const struct enroll_target *first = NULL;

    if (enroll_plan_count(&e->plan, ENROLL_CONFLICT) == 0)
        return true;
    for (size_t i = 0; first == NULL && i < e->plan.count; i++) {
        if (e->plan.targets[i].action == ENROLL_CONFLICT)
            first = &e->plan.targets[i];
    }
    error_set(err, ERROR_REFUSED, "cannot enroll this host: %s: %s", first->path, first->detail);
    return error_hint(err, "Nothing was changed. If the bundle is right, run this again with "
                           "--replace: backups are kept");
}

static bool
install(struct enrolment *e, struct error *err)
{
    struct install_file files[ENROLL_TARGETS];
    size_t index[ENROLL_TARGETS], count = 0;
    sigset_t all, before;
    bool ok;

    memset(files, 0, sizeof(files));
    for (size_t i = 0; i < e->plan.count; i++) {
        const struct enroll_target *t = &e->plan.targets[i];

        if (t->action == ENROLL_UNCHANGED)
            continue;
        index[count] = i;
        files[count++] = (struct install_file){ .path = t->path,
                                                .data = t->content.data,
                                                .len = t->content.len,
                                                .mode = t->mode,
                                                .uid = t->uid,
                                                .gid = t->gid,
                                                .folder_mode = t->folder_mode,
                                                .exists = t->exists,
                                                .seen = t->seen };
    }
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    ok = install_files(e->settings->state, files, count, err);
    sigprocmask(SIG_SETMASK, &before, NULL);
    for (size_t i = 0; ok && i < count; i++)
        snprintf(e->plan.targets[index[i]].backup, PATH_MAX, "%s", files[i].backup);
    return ok;
}

/* --- what a killed enrolment may have left to be done: the agent's restart --- */

static const char *
restart_path(const struct settings *settings, char *path, size_t size)
{
    snprintf(path, size, "%s/" RESTART, settings->state);
    return path;
}

static bool
want_restart(const struct settings *settings, struct error *err)
{
    char path[PATH_MAX];
    int fd;

    if (!file_make_folder(settings->state, 0700, err))
        return false;
    restart_path(settings, path, sizeof(path));
    fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_errno(err, ERROR_INTERNAL, errno, "cannot write %s", path);
    close(fd);
    return file_sync_folder_of(path, err);
}

static bool
restart_is_wanted(const struct settings *settings)
{
    char path[PATH_MAX];

    return access(restart_path(settings, path, sizeof(path)), F_OK) == 0;
}

static void
forget_restart(const struct settings *settings)
{
    char path[PATH_MAX];

    unlink(restart_path(settings, path, sizeof(path)));
}

/* kpropd receives into a folder that it does not make. */
static bool
make_data_folder(struct enrolment *e, struct error *err)
{
    static const char *const names[] = { "spool", "database" };
    char folder[PATH_MAX];

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        const char *path = json_string_value(json_object_get(e->plan.paths, names[i]));
        const char *slash = path == NULL ? NULL : strrchr(path, '/');

        if (slash == NULL || slash == path)
            continue;
        snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path), path);
        if (access(folder, F_OK) != 0 && !file_make_folder(folder, 0700, err))
            return false;
    }
    return true;
}

/* A ktadd that waited for the lock of the old keytab has written into it once it was let go. */
static bool
take_late_keys(struct enrolment *e, struct error *err)
{
    bool ok = true;

    for (size_t i = 0; ok && i < e->plan.count; i++) {
        struct enroll_target *t = &e->plan.targets[i];
        size_t late, len = strlen(t->detail);

        if (strcmp(t->what, "keytab") != 0 || t->backup[0] == '\0')
            continue;
        ok = keytab_merge_late(t->path, t->backup, &t->seen, &late, err);
        if (late > 0)
            snprintf(t->detail + len, sizeof(t->detail) - len,
                     "; %zu that somebody added meanwhile kept", late);
    }
    return ok;
}

static bool
start_agent(struct enrolment *e, bool changed, struct error *err)
{
    if (!e->no_start) {
        changed = changed || restart_is_wanted(e->settings);
        if (!enroll_start(changed, &e->report.agent, &e->report.agent_text, err))
            return false;
        if (e->report.agent_text == NULL)
            forget_restart(e->settings);
        return true;
    }
    e->report.agent = "not started";
    e->report.agent_text = "as asked for; restart it before setup-slave";
    return true;
}

/* Plan and install, with nobody else changing this host. */
static bool
change(struct enrolment *e, bool *changed, struct error *err)
{
    bool ok =
        recover(e, err) && enroll_plan_make(&e->bundle, e->settings, e->replace, &e->plan, err);

    if (ok || enroll_plan_count(&e->plan, ENROLL_CONFLICT) > 0)
        e->report.plan = &e->plan;
    ok = ok && refuse_conflicts(e, err);
    if (ok && !e->dry_run) {
        *changed = enroll_plan_count(&e->plan, ENROLL_UNCHANGED) < e->plan.count;
        ok = make_data_folder(e, err) && (!*changed || want_restart(e->settings, err)) &&
             install(e, err);
        e->report.installed = ok;
        if (ok && *changed)
            log_notice("enrolled as a replica of realm %s", e->report.realm);
    }
    enroll_plan_unlock(&e->plan);
    return ok && (e->dry_run || take_late_keys(e, err));
}

static bool
enroll(struct enrolment *e, FILE *errors, struct error *err)
{
    bool changed = false, ok;
    int fd;

    if (!take_bundle(e, err) || !check_kadmind(err) || !lock(e, &fd, errors, err))
        return false;
    ok = change(e, &changed, err);
    close(fd);
    return ok && (e->dry_run || start_agent(e, changed, err));
}

int
enroll_console(const struct verb_call *call, FILE *out, FILE *errors)
{
    static const struct rlimit no_core = { 0, 0 };
    struct enrolment e = { .settings = call->settings };
    struct error err;
    json_t *json;
    bool ok;

    if (call->argc == 1 && strcmp(call->argv[0], "--help") == 0) {
        usage(out);
        return 0;
    }
    error_clear(&err);
    bundle_init(&e.bundle);
    setrlimit(RLIMIT_CORE, &no_core);
    umask(022); /* modes are what the plan says, whoever has called */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    ok = read_options(call, &e, &err);
    e.report.dry_run = e.dry_run;
    ok = ok && enroll(&e, errors, &err);
    if (e.json) {
        json = enroll_json(&e.report, ok ? NULL : &err);
        json_dumpf(json, out, JSON_INDENT(2));
        fputc('\n', out);
        json_decref(json);
    } else {
        enroll_print(&e.report, !ok, out);
    }
    fflush(out);
    if (!ok)
        fprintf(errors, "kpropctl-agent: %s\n%s%s", err.text, err.hint,
                err.hint[0] != '\0' ? "\n" : "");
    enroll_plan_free(&e.plan);
    bundle_free(&e.bundle);
    return ok ? 0 : err.code;
}

bool
enroll_verb(const struct verb_call *call, json_t **reply, struct error *err)
{
    (void)call;
    *reply = NULL;
    return error_set(err, ERROR_REFUSED, "cannot enroll: only at the host's own console");
}

bool
enroll_recover(const struct settings *settings)
{
    enum install_recovered what = INSTALL_NOTHING;
    struct error err;
    int fd;

    error_clear(&err);
    forget_restart(settings);
    if (!install_pending(settings->state))
        return false;
    if (!verbs_lock_changes(settings, "the recovery of an enrolment", 0, &fd, &err)) {
        log_warning("%s", err.text);
        return false;
    }
    if (!install_recover(settings->state, &what, &err))
        log_error("%s", err.text);
    else if (what != INSTALL_NOTHING)
        log_notice("an enrolment that was killed has been %s",
                   what == INSTALL_COMPLETED ? "completed" : "undone");
    close(fd);
    return what == INSTALL_COMPLETED;
}
