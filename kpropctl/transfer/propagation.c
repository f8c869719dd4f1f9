/* propagation - see propagation.h. */
#include "kpropctl/transfer/propagation.h"

#include "common/base/buffers.h"
#include "common/base/clock.h"
#include "common/base/subprocess.h"
#include "common/krb5/realm.h"
#include "kpropctl/symptoms/catalogue.h"
#include "kpropctl/transfer/kprop.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    VERB_TIMEOUT = 60,
    OUTCOME_LEAST = 2, /* seconds to wait for a load that kprop did not wait for */
    OUTCOME_MOST = 3600,
    SILENCE = 15,   /* of an agent that waits for a load */
    LATE_MS = 2000, /* until a load must have begun after kprop's end */
    LATE_TRIES = 10,
    BASE_SECONDS = 120,
    SLOWEST_RATE = 128 * 1024, /* bytes per second, of a replica not yet known */
    SLACK = 4,                 /* times slower than ever before is too slow */
    LONGEST = 86400,
    LOG_MS = 5000,   /* until kpropd's reason is in the replica's log, on a busy host too */
    CLOCK_SLACK = 5, /* seconds that the replica's clock may be behind */
};

int
propagation_deadline(const struct configuration *configuration, uint64_t bytes, double rate)
{
    double expected = (double)bytes / SLOWEST_RATE;

    if (configuration->timeout > 0)
        return configuration->timeout;
    if (rate > 0)
        expected = SLACK * (double)bytes / rate;
    return BASE_SECONDS + (int)(expected < LONGEST ? expected : LONGEST);
}

static int
deadline_of(const struct propagation *p)
{
    return propagation_deadline(p->configuration, p->dump->bytes, p->slowest_rate);
}

static bool
call(struct propagation *p, const char *const *argv, int timeout, json_t **reply, struct error *err)
{
    enum remote_fault fault;

    return remote_call(p->agent, argv, timeout, NULL, NULL, reply, &fault, err);
}

/* One attempt with the dump's generation. *GREATEST is the one the replica knows, if it says so. */
static bool
announce_once(struct propagation *p, int64_t *greatest, struct error *err)
{
    const struct spool_dump *dump = p->dump;
    time_t at = time(NULL);
    json_t *object = json_pack(
        "{s:I, s:s, s:s, s:s, s:I, s:I, s:I, s:s, s:I, s:I}", "generation",
        (json_int_t)dump->generation, "sha256", dump->sha256, "nonce", dump->nonce, "digest",
        dump->digest, "size", (json_int_t)dump->bytes, "principals", (json_int_t)dump->principals,
        "policies", (json_int_t)dump->policies, "from", p->from, "announced_at", (json_int_t)at,
        "expires_at", (json_int_t)at + deadline_of(p) + BASE_SECONDS);
    char *text = object == NULL ? NULL : json_dumps(object, JSON_COMPACT);
    const char *argv[] = { "announce", p->realm, text, NULL };
    json_t *reply = NULL;
    bool ok = text != NULL ? call(p, argv, VERB_TIMEOUT, &reply, err) : error_memory(err);

    *greatest = json_integer_value(json_object_get(reply, "greatest"));
    json_decref(reply);
    json_decref(object);
    free(text);
    return ok;
}

/* After a lost state file here, the replica remembers a greater generation: the greatest wins, if
 * what it holds is not later than what it is to be sent. */
static bool
announce(struct propagation *p, struct error *err)
{
    int64_t greatest = 0;
    struct error raise;

    if (announce_once(p, &greatest, err))
        return true;
    if (err->code != ERROR_REFUSED || greatest < p->dump->generation)
        return false;
    error_clear(&raise);
    if (!p->may_raise(p->closure, greatest, &raise)) {
        *err = raise;
        return false;
    }
    if (!spool_raise(p->spool, greatest, p->dump, &raise) && raise.code == ERROR_REFUSED) {
        error_set(err, ERROR_REFUSED,
                  "cannot number this dump for %s: it says that it knows generation %lld", p->host,
                  (long long)greatest);
        return error_hint(err,
                          "no realm has so many: on %s remove %s.generation from the folder of "
                          "kpropctl-agent's state (/var/lib/kpropctl-agent), then run again",
                          p->host, p->realm);
    }
    error_clear(err);
    return announce_once(p, &greatest, err);
}

static bool
run_kprop(struct propagation *p, struct subprocess_result *result, struct error *err)
{
    const struct kprop kprop = {
        .configuration = p->configuration,
        .realm = p->realm,
        .client = p->from,
        .host = p->host,
        .address = p->address,
        .keytab = p->keytab,
        .dump = p->dump->path,
        .bytes = p->dump->bytes,
        .seconds = deadline_of(p),
        .progress = p->progress,
        .closure = p->closure,
    };
    bool ok = kprop_run(&kprop, result, err);

    p->transfer_seconds = result->seconds;
    return ok;
}

/*
 * The last lines of kpropd's log there, which have the reason that kprop hides. Returns the offset
 * in p->detail of those later than SINCE: the others are of former runs.
 */
static size_t
fetch_log(struct propagation *p, double since)
{
    const char *argv[] = { "logs", "8", NULL };
    json_t *reply = NULL, *line;
    size_t index, len = strlen(p->detail), recent = SIZE_MAX;
    struct error ignored;

    if (!call(p, argv, VERB_TIMEOUT, &reply, &ignored)) {
        json_decref(reply);
        return len;
    }
    json_array_foreach(json_object_get(reply, "kpropd"), index, line)
    {
        const char *text = json_string_value(json_object_get(line, "text"));

        if (text == NULL || len + 1 >= sizeof(p->detail))
            continue;
        if (recent == SIZE_MAX && json_number_value(json_object_get(line, "time")) >= since)
            recent = len;
        snprintf(p->detail + len, sizeof(p->detail) - len, "%s%s: kpropd: %s", len > 0 ? "\n" : "",
                 p->host, text);
        len = strlen(p->detail);
    }
    json_decref(reply);
    return recent < len ? recent : len;
}

static void
note_running(struct propagation *p, const json_t *running)
{
    const char *stage = json_string_value(json_object_get(running, "stage"));

    if (json_is_object(running))
        snprintf(p->loading, sizeof(p->loading),
                 "; a load is still running there (pid %lld, at %s)",
                 (long long)json_integer_value(json_object_get(running, "pid")),
                 stage == NULL ? "an unknown stage" : stage);
}

/* Another primary may have sent its own generation of the same number meanwhile. */
static bool
is_of_another(const struct propagation *p, const json_t *outcome)
{
    const char *digest = json_string_value(json_object_get(outcome, "digest"));

    return json_is_true(json_object_get(outcome, "verified")) &&
           (digest == NULL || strcmp(digest, p->dump->digest) != 0);
}

/* The outcome of this generation's load, waiting for one that still runs (its agent says so every
 * few seconds); NULL if there is none. */
static json_t *
ask_outcome(struct propagation *p)
{
    char seconds[16];
    const char *argv[] = { "outcome", p->realm, seconds, NULL };
    int left = deadline_of(p) - (int)p->transfer_seconds;
    json_t *reply = NULL;
    struct error ignored;

    if (left < OUTCOME_LEAST)
        left = OUTCOME_LEAST;
    snprintf(seconds, sizeof(seconds), "%d", left < OUTCOME_MOST ? left : OUTCOME_MOST);
    if (!call(p, argv, SILENCE, &reply, &ignored)) {
        json_decref(reply);
        return NULL;
    }
    note_running(p, json_object_get(reply, "running"));
    if (json_integer_value(json_object_get(reply, "generation")) != p->dump->generation ||
        is_of_another(p, reply)) {
        json_decref(reply);
        return NULL;
    }
    return reply;
}

/* What kprop says of troubles that pass by themselves: kpropd restarts, a network comes back. */
static bool
may_pass(const struct subprocess_result *result)
{
    static const char *const texts[] = { "Connection refused",     "Connection reset",
                                         "Connection timed out",   "No route to host",
                                         "Network is unreachable", "Network is down",
                                         "temporarily unavailable" };
    char last[512];

    if (subprocess_succeeded(result) || result->timed_out)
        return false;
    subprocess_last_line(result, last, sizeof(last));
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        if (strstr(last, texts[i]) != NULL)
            return true;
    }
    return false;
}

/* A transfer that broke off is loaded all the same, so far as it came: after kprop has given up. */
static json_t *
fetch_outcome(struct propagation *p, const struct subprocess_result *result)
{
    static const struct timespec nap = { 0, LATE_MS / LATE_TRIES * 1000 * 1000 };
    bool late = !subprocess_succeeded(result) && !result->timed_out && !may_pass(result);
    json_t *outcome = ask_outcome(p);

    for (int tries = 0; outcome == NULL && late && tries < LATE_TRIES && p->loading[0] == '\0';
         tries++) {
        nanosleep(&nap, NULL);
        outcome = ask_outcome(p);
    }
    return outcome;
}

/* Has OBJECT a text KEY? */
static bool
is_there(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text != NULL && text[0] != '\0';
}

static bool
says_intact(const char *hint)
{
    return strstr(hint, "database is as it was") != NULL;
}

static bool
outcome_failed(struct propagation *p, struct error *err)
{
    const char *text = json_string_value(json_object_get(p->outcome, "error"));
    const char *hint = json_string_value(json_object_get(p->outcome, "hint"));
    const char *said = json_string_value(json_object_get(p->outcome, "kdb5_util_stderr"));
    size_t len = strlen(p->detail);

    if (said != NULL && said[0] != '\0')
        snprintf(p->detail + len, sizeof(p->detail) - len, "%s%s: kdb5_util: %s",
                 len > 0 ? "\n" : "", p->host, said);
    error_set(err, is_there(p->outcome, "refusal") ? ERROR_REFUSED : ERROR_FAILED,
              "%s refused the database: %s", p->host,
              text != NULL && text[0] != '\0' ? text : "the load was not verified");
    /* What became of its database, an older agent says without having looked. */
    if (is_there(p->outcome, "left"))
        return error_hint(err, "%s", hint == NULL ? "" : hint);
    return error_hint(err, "%s%swhat became of its database tells: kpropctl check %s",
                      hint == NULL || says_intact(hint) ? "" : hint,
                      hint == NULL || hint[0] == '\0' || says_intact(hint) ? "" : "; ", p->host);
}

/* What the catalogue makes of all that kprop SAID, with the replica's LOG: how sure it is. */
static int
look_up(const struct propagation *p, const char *said, const struct subprocess_result *result,
        const char *log, char *hint, size_t size)
{
    const char *slash = strchr(p->from, '/');
    char primary[256];
    struct catalogue_names names = { p->host, primary, p->realm };
    struct buffer text;
    int certainty;

    snprintf(primary, sizeof(primary), "%s", slash == NULL ? "PRIMARY" : slash + 1);
    primary[strcspn(primary, "@")] = '\0';
    buffer_init(&text, 0);
    buffer_printf(&text, "%s\n%s\n", said, log);
    buffer_add(&text, result->err.data, result->err.len);
    certainty = catalogue_hint(buffer_string(&text), &names, hint, size);
    buffer_free(&text);
    return certainty;
}

/* The hint, with the replica's log in p->detail: kpropd's reason may take a moment to get there. */
static void
explain_kprop(struct propagation *p, const char *said, const struct subprocess_result *result,
              char *hint, size_t size)
{
    static const struct timespec nap = { 0, 300 * 1000 * 1000 };
    double since = (double)time(NULL) - result->seconds - CLOCK_SLACK;
    bool refused = strstr(said, "while sending") != NULL || strstr(said, "response") != NULL;
    double end = clock_monotonic() + LOG_MS / 1000.0;
    size_t len = strlen(p->detail);

    for (;;) {
        size_t recent = p->agent == NULL ? len : fetch_log(p, since);
        int certainty = look_up(p, said, result, p->detail + recent, hint, size);

        if (certainty == SURE || !refused || p->agent == NULL || clock_monotonic() > end)
            return;
        nanosleep(&nap, NULL);
        p->detail[len] = '\0';
    }
}

static bool
kprop_failed(struct propagation *p, const struct subprocess_result *result, struct error *err)
{
    char how[256], last[512], said[800], hint[sizeof(err->hint)];

    subprocess_last_line(result, last, sizeof(last));
    snprintf(said, sizeof(said), "kprop: %s (%s)", last[0] != '\0' ? last : "nothing said",
             subprocess_describe(result, how, sizeof(how)));
    explain_kprop(p, said, result, hint, sizeof(hint));
    error_set(err, result->timed_out ? ERROR_UNREACHABLE : ERROR_FAILED,
              "cannot propagate to %s: %s%s", p->host, said, p->loading);
    if (p->loading[0] != '\0')
        return error_hint(err,
                          "wait for the load to end and run again; if it always takes so long, "
                          "raise timeout in kpropctl.conf");
    if (hint[0] != '\0')
        return error_hint(err, "%s", hint);
    return error_hint(err,
                      "the lines above are %s's own log; what became of its database tells: "
                      "kpropctl check %s",
                      p->host, p->host);
}

static bool
send_once(struct propagation *p, bool *again, struct error *err)
{
    struct subprocess_result result;
    bool ok = false;

    *again = false;
    p->detail[0] = p->loading[0] = '\0';
    p->outcome = NULL;
    subprocess_result_init(&result);
    if ((p->agent != NULL && !announce(p, err)) || !run_kprop(p, &result, err))
        goto cleanup;
    if (p->agent != NULL)
        p->outcome = fetch_outcome(p, &result);
    *again = p->outcome == NULL && p->loading[0] == '\0' && may_pass(&result);
    if (p->outcome != NULL && json_is_true(json_object_get(p->outcome, "verified")))
        ok = true;
    else if (p->outcome != NULL)
        outcome_failed(p, err);
    else if (subprocess_succeeded(&result))
        ok = true;
    else
        kprop_failed(p, &result, err);

cleanup:
    subprocess_result_free(&result);
    return ok;
}

bool
propagation_send(struct propagation *p, struct error *err)
{
    unsigned delay = (unsigned)p->configuration->retry_delay;
    bool again;

    for (int retries = p->configuration->retries;; retries--) {
        error_clear(err);
        if (send_once(p, &again, err))
            return true;
        if (!again || retries <= 0)
            return false;
        sleep(delay);
        delay *= 2;
    }
}
