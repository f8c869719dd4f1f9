/* verbs - see verbs.h. */
#include "agent/verbs/verbs.h"

#include "agent/base/acl.h"
#include "agent/base/change_lock.h"
#include "agent/base/progress.h"
#include "agent/enroll/enroll.h"
#include "agent/load/acceptance.h"
#include "agent/load/rollback.h"
#include "agent/service/served.h"
#include "agent/verbs/database_verbs.h"
#include "agent/verbs/facts.h"
#include "agent/verbs/keytab_verbs.h"
#include "agent/verbs/kpropd.h"
#include "agent/verbs/self_check.h"
#include "agent/verbs/stash_verbs.h"
#include "agent/verbs/verb_port.h"
#include "common/base/log.h"
#include "common/host/process.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOCK_WAIT_MS = 30 * 1000, SECRET_MAX = 64 * 1024 };

static bool
verb_version(const struct verb_call *call, json_t **reply, struct error *err)
{
    (void)call;
    *reply = json_pack("{s:s, s:s}", "program", "kpropctl-agent", "version", KPC_VERSION);
    return *reply != NULL || error_memory(err);
}

static bool
verb_help(const struct verb_call *call, json_t **reply, struct error *err)
{
    json_t *list = json_array();

    (void)call;
    for (const struct verb *v = verbs_table(); v->name != NULL; v++) {
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:b}", "verb", v->name, "usage",
                                              v->usage, "summary", v->summary, "changes",
                                              v->kind == VERB_CHANGING));
    }
    *reply = json_pack("{s:o}", "verbs", list);
    return *reply != NULL || error_memory(err);
}

/* clang-format off */
static const struct verb table[] = {
    { "port", "[SERVICE|PORT]", "could kpropd bind its port, and who holds it",
      0, 3, VERB_READING, false, 60, verb_port },
    { "release", "[SERVICE|PORT]", "make portreserve let go of the port, now and at each start",
      0, 1, VERB_CHANGING, false, 120, verb_release },
    { "release-at-start", "PORT", "what kpropd's unit runs before kpropd; no lock, no drop-in",
      1, 1, VERB_READING, true, 30, verb_release_at_start },
    { "facts", "[REALM]", "everything the primary's checks want to know of this host",
      0, 1, VERB_READING, false, 30, facts_verb },
    { "check", "[REALM]", "what this host can tell of its own health; at the console as a plugin",
      0, 1, VERB_READING, false, 60, self_check_verb },
    { "logs", "[LINES]", "the last lines of kpropd, krb5kdc and the agent",
      0, 1, VERB_READING, false, 30, kpropd_verb_logs },
    { "digest", "REALM NONCEHEX", "the digest of a copy of the live database",
      2, 2, VERB_READING, false, 1200, database_verb_digest },
    { "inventory", "REALM [PART/PARTS]", "its principals and policies, and when they were changed",
      1, 2, VERB_READING, false, 1200, database_verb_inventory },
    { "outcome", "REALM [SECONDS]", "what became of the last load; waits for one that runs",
      1, 2, VERB_READING, false, 3700, database_verb_outcome },
    { "stash", "REALM NONCE MARKS", "which of these master keys the stash has",
      3, 3, VERB_READING, false, 120, stash_verb },
    { "announce", "REALM JSON", "take no other dump than this one",
      2, 2, VERB_CHANGING, false, 30, database_verb_announce },
    { "acl-add", "REALM PRINCIPAL", "let PRINCIPAL propagate to this host",
      2, 2, VERB_CHANGING, false, 60, kpropd_verb_acl_add },
    { "use-loader", "REALM", "make kpropd load databases with our loader",
      1, 1, VERB_CHANGING, false, 400, kpropd_verb_use_loader },
    { "start-kpropd", "REALM", "start and enable kpropd, and see it listening",
      1, 1, VERB_CHANGING, false, 180, kpropd_verb_start },
    { "start-kdc", "REALM", "start and enable krb5kdc, and see it listening",
      1, 1, VERB_CHANGING, false, 180, kpropd_verb_start_kdc },
    { "stop-kpropd", "REALM", "stop and disable kpropd, unless a load is running",
      1, 1, VERB_CHANGING, false, 180, kpropd_verb_stop },
    { "keytab-add", "REALM PRINCIPAL KEYS", "put new keys of this host beside the old ones",
      3, 3, VERB_CHANGING, false, 60, keytab_verb_add, .secret = true },
    { "keytab-drop", "REALM PRINCIPAL KVNO", "drop this host's keys that are older than KVNO",
      3, 3, VERB_CHANGING, false, 60, keytab_verb_drop },
    { "stash-put", "REALM STASH", "a new stash, in place once it opens the database",
      2, 2, VERB_CHANGING, false, 120, stash_verb_put, .secret = true },
    { "restart-kdc", "REALM", "start krb5kdc anew, if it runs, and see it listening",
      1, 1, VERB_CHANGING, false, 180, kpropd_verb_restart_kdc },
    { "rollback", "REALM [previous|GENERATION]", "load the last good dump again, or the one before",
      1, 2, VERB_CHANGING, false, 3700, rollback_verb },
    { "release-loader", "REALM", "give kpropd its stock loader back: nothing is checked any more",
      1, 1, VERB_CHANGING, false, 400, kpropd_verb_release_loader },
    { "accept-next", "REALM [SHA256]", "load the next dump though nobody announced it, once",
      1, 2, VERB_CHANGING, true, 60, acceptance_verb },
    { "enroll", "[OPTION...]", "make this host ready to become a replica, from the bundle on stdin",
      0, 6, VERB_CHANGING, true, 300, enroll_verb },
    { "version", "", "the agent's version", 0, 0, VERB_READING, false, 10, verb_version },
    { "help", "", "this list", 0, 0, VERB_READING, false, 10, verb_help },
    { NULL },
};
/* clang-format on */

const struct verb *
verbs_table(void)
{
    return table;
}

const struct verb *
verbs_find(const char *name)
{
    for (const struct verb *v = table; v->name != NULL; v++) {
        if (strcmp(v->name, name) == 0)
            return v;
    }
    return NULL;
}

/* Which argument is a realm, the usage tells. */
static bool
names_realm(const struct verb *verb)
{
    return strncmp(verb->usage, "REALM", 5) == 0;
}

/* Check the arguments, lock, run. */
static bool
run_row(const struct verb *verb, const struct verb_call *call, json_t **reply, struct error *err)
{
    bool ok;
    int lock = -1;

    if (call->argc < verb->min_args || call->argc > verb->max_args) {
        error_set(err, ERROR_USAGE, "cannot run %s: it takes %s%s", verb->name,
                  verb->usage[0] == '\0' ? "no arguments" : "the arguments ", verb->usage);
        return error_hint(err, "Usage: %s %s", verb->name, verb->usage);
    }
    if (verb->kind == VERB_CHANGING && names_realm(verb) &&
        !served_check(call->settings, call->argv[0], verb->name, err))
        return false;
    if (verb->kind == VERB_CHANGING &&
        !verbs_lock_changes(call->settings, verb->name, LOCK_WAIT_MS, &lock, err))
        return false;
    ok = verb->run(call, reply, err);
    if (!ok && err->code == ERROR_NONE)
        error_set(err, ERROR_INTERNAL, "cannot run %s: it failed without a reason", verb->name);
    if (lock >= 0)
        close(lock);
    return ok;
}

/* TEXT as a JSON string; it may quote whatever a caller sent. */
static json_t *
clean_text(const char *text)
{
    char clean[2048];

    text_clean(text, strlen(text), clean, sizeof(clean));
    return json_string(clean);
}

int
verbs_run(const struct verb *verb, const struct verb_call *call, FILE *out, FILE *errors)
{
    struct verb_call full = *call;
    struct error err;
    json_t *reply = NULL;
    const char *peer = call->peer == NULL ? "the console" : call->peer;
    bool ok;

    full.table = table;
    error_clear(&err);
    /* A caller that goes away must not end a change half-way. */
    signal(SIGPIPE, SIG_IGN);
    if (verb->kind == VERB_CHANGING) {
        signal(SIGHUP, SIG_IGN);
        log_notice("%s asked for by %s", verb->name, peer);
    }
    ok = run_row(verb, &full, &reply, &err);
    if (!ok) {
        if (reply == NULL)
            reply = json_object();
        json_object_set_new(reply, "error", clean_text(err.text));
        json_object_set_new(reply, "hint", err.hint[0] ? clean_text(err.hint) : json_null());
        fprintf(errors, "kpropctl-agent: %s\n", err.text);
        if (err.hint[0] != '\0')
            fprintf(errors, "%s\n", err.hint);
        fflush(errors);
    }
    if (verb->kind == VERB_CHANGING)
        log_notice("%s for %s: %s", verb->name, peer, ok ? "done" : err.text);
    print_reply(reply, out);
    json_decref(reply);
    return ok ? 0 : err.code;
}

/* Up to SECRET_MAX bytes of FD into TEXT; false with errno. */
static bool
read_all(int fd, char *text, size_t *len)
{
    ssize_t n = 1;

    for (*len = 0; n != 0 && *len < SECRET_MAX;) {
        n = read(fd, text + *len, SECRET_MAX - *len);
        if (n < 0 && errno != EINTR)
            return false;
        *len += n > 0 ? (size_t)n : 0;
    }
    return true;
}

char *
verbs_read_secret(const struct verb *verb, size_t argc, int fd, struct error *err)
{
    char *text = NULL;
    size_t len = 0;

    if (argc >= verb->max_args) {
        error_set(err, ERROR_USAGE,
                  "cannot run %s: its last argument must not be on a command line", verb->name);
        error_hint(err, "Give it on standard input: others can see the arguments of a process");
        return NULL;
    }
    text = calloc(1, SECRET_MAX + 1);
    if (text == NULL) {
        error_memory(err);
    } else if (!read_all(fd, text, &len) || len == 0 || len == SECRET_MAX) {
        error_set(err, ERROR_USAGE, "cannot run %s: %s", verb->name,
                  len == 0 ? "nothing came on standard input" : "too much came on standard input");
        explicit_bzero(text, len);
        free(text);
        text = NULL;
    } else {
        text[strcspn(text, "\r\n")] = '\0';
    }
    return text;
}

int
verbs_serve(const struct settings *settings, const char *peer, size_t argc, const char *const *argv,
            FILE *out, FILE *errors)
{
    const struct verb *verb = argc > 0 ? verbs_find(argv[0]) : NULL;
    struct verb_call call = { settings, peer, argc - 1, argv + 1 };

    if (verb == NULL || verb->console_only)
        return VERBS_UNKNOWN;
    if (!acl_permits(settings, peer, verb->kind == VERB_CHANGING ? ACL_CHANGE : ACL_READ)) {
        log_warning("%s denied to %s", verb->name, peer);
        return VERBS_DENIED;
    }
    return verbs_run(verb, &call, out, errors);
}

void
verbs_usage(FILE *out)
{
    for (const struct verb *v = table; v->name != NULL; v++) {
        char left[80];

        snprintf(left, sizeof(left), "%s %s", v->name, v->usage);
        fprintf(out, "  %-34s %s%s\n", left, v->summary, v->console_only ? " (console only)" : "");
    }
}
