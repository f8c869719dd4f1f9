/*
 * rows_stash - the replica's stash: does it open its database, and has it the primary's keys?
 *
 * docs/architecture.md has the table of which stash opens which database after a change of the
 * master key, and why a new stash may have to wait on the replica for the database to come.
 */
#include "common/base/log.h"
#include "common/krb5/stash.h"
#include "kpropctl/checks/rows.h"
#include "kpropctl/enroll/delivery.h"
#include "kpropctl/krb5/principals.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "common/base/files.h"

enum { STASH_TIMEOUT = 180, WAYS_MAX = 600 };

/* The primary's stash must have what a replica needs: the newest master key of the database. */
static bool
read_own(struct walk *walk, struct stash_keys *keys, struct error *err)
{
    const struct realm *realm = walk->realm;
    int newest = 0;

    if (!stash_read(realm->stash, realm->master_key, keys, err) ||
        !principals_kvno(walk->principals, realm->master_key, &newest, err))
        return false;
    if ((int)stash_newest(keys) >= newest)
        return true;
    stash_wipe(keys);
    error_set(err, ERROR_FAILED,
              "the primary's own stash %s lacks master key %d, which its database has",
              realm->stash, newest);
    return error_hint(err, "on this host: kdb5_util stash");
}

/* Which of the primary's master keys has the replica? */
static bool
ask(struct walk *walk, json_t **reply, struct error *err)
{
    char marks[STASH_KEYS_MAX * (STASH_MARK_SIZE + 8)] = "", mark[STASH_MARK_SIZE];
    char hex[2 * STASH_NONCE_SIZE + 1];
    unsigned char nonce[STASH_NONCE_SIZE];
    const char *argv[] = { "stash", walk->realm->name, hex, marks, NULL };
    struct stash_keys keys;
    bool ok = true;

    *reply = NULL;
    if (!read_own(walk, &keys, err))
        return false;
    if (getrandom(nonce, sizeof(nonce), 0) != (ssize_t)sizeof(nonce))
        ok = error_errno(err, ERROR_INTERNAL, errno, "cannot make a nonce");
    hex_encode(nonce, sizeof(nonce), hex);
    for (size_t i = 0; ok && i < keys.count; i++) {
        size_t used = strlen(marks);

        ok = stash_mark(nonce, &keys.keys[i], mark) || error_memory(err);
        snprintf(marks + used, sizeof(marks) - used, "%s%u:%s", i > 0 ? "," : "", keys.keys[i].kvno,
                 mark);
    }
    stash_wipe(&keys);
    return ok && walk_call(walk, argv, STASH_TIMEOUT, reply, err);
}

/* "1 and 2" of a list of numbers. */
static const char *
list_text(const json_t *list, char *text, size_t size)
{
    const json_t *value;
    size_t index, count = json_array_size(list), used = 0;

    text[0] = '\0';
    json_array_foreach(list, index, value)
    {
        used += (size_t)snprintf(text + used, used < size ? size - used : 0, "%s%lld",
                                 index == 0           ? ""
                                 : index + 1 == count ? " and "
                                                      : ", ",
                                 (long long)json_integer_value(value));
        if (used >= size)
            break;
    }
    return text;
}

/* What the replica tells of its stash; WAITING is as good as there before the database is sent. */
static enum verdict
judge(const struct walk *walk, const json_t *reply, bool waiting, struct step *step)
{
    const char *file = fact_text(reply, "file", NULL), *host = walk->replica.host;
    const json_t *missing = json_object_get(reply, "missing");
    char list[128];

    if (json_is_array(missing) && json_array_size(missing) == 0) {
        step_summary(step, "stash %s on %s has the primary's master key%s (%s)", file, host,
                     json_array_size(json_object_get(reply, "held")) == 1 ? "" : "s",
                     list_text(json_object_get(reply, "held"), list, sizeof(list)));
        return HOLDS;
    }
    if (waiting && fact_true(reply, "waiting", NULL)) {
        step_summary(step, "the new stash waits on %s for the database that it opens", host);
        return HOLDS;
    }
    if (!fact_true(reply, "exists", NULL))
        step_summary(step, "stash %s is missing on %s: krb5kdc will not start again", file, host);
    else
        step_summary(step, "stash %s on %s lacks master key %s, which the primary's has%s%s", file,
                     host, list_text(missing, list, sizeof(list)),
                     fact_text(reply, "error", NULL)[0] != '\0' ? ": " : "",
                     fact_text(reply, "error", NULL));
    step->mild = fact_true(reply, "exists", NULL);
    return LACKING;
}

static enum verdict
see_keys(struct walk *walk, struct step *step, bool waiting)
{
    enum verdict verdict = IMPOSSIBLE;
    json_t *reply = NULL;
    struct error err;

    error_clear(&err);
    if (walk_principals(walk, step) == NULL)
        return IMPOSSIBLE;
    if (ask(walk, &reply, &err))
        verdict = judge(walk, reply, waiting, step);
    else
        step_error(step, &err);
    json_decref(reply);
    /* Row `agent` says whether it is out of reach; a connection that another row has used up says
       nothing of a stash. */
    if (walk->kind == WALK_CHECK && err.code == ERROR_UNREACHABLE)
        return UNKNOWN;
    return verdict;
}

enum verdict
see_new_stash(struct walk *walk, struct step *step)
{
    return see_keys(walk, step, true);
}

/* The primary's stash as it is, in hexadecimal, into TEXT. */
static bool
read_bytes(const char *file, struct buffer *text, struct error *err)
{
    struct buffer bytes;
    unsigned char *hex;
    bool ok;

    buffer_init(&bytes, STASH_MAX);
    ok = file_read(file, &bytes, err);
    if (ok) {
        hex = buffer_reserve(text, 2 * bytes.len + 1);
        ok = hex != NULL || error_memory(err);
        if (ok) {
            hex_encode(bytes.data, bytes.len, (char *)hex);
            text->len += 2 * bytes.len;
        }
    }
    buffer_free_secret(&bytes);
    return ok;
}

bool
make_stash(struct walk *walk, struct step *step, struct error *err)
{
    const char *argv[] = { "stash-put", walk->realm->name, NULL, NULL };
    struct buffer text;
    json_t *reply = NULL;
    bool ok;

    buffer_init(&text, 3 * STASH_MAX);
    ok = read_bytes(walk->realm->stash, &text, err);
    argv[2] = buffer_string(&text);
    ok = ok && walk_call(walk, argv, STASH_TIMEOUT, &reply, err);
    buffer_free_secret(&text);
    if (ok) {
        bool waits = strcmp(fact_text(reply, "state", NULL), "waiting") == 0;

        log_notice("realm %s: the stash on %s is %s", walk->realm->name, walk->replica.host,
                   waits ? "waiting for the database that it opens" : "the primary's");
        step_summary(step,
                     waits ? "gave %s the primary's stash, which waits there for the database that "
                             "it opens"
                           : "gave %s the primary's stash, which opens its database",
                     walk->replica.host);
    }
    json_decref(reply);
    return ok;
}

/* What the agent tried on the snapshot whose digest it told. */
static enum verdict
see_opens(struct walk *walk, struct step *step)
{
    char ways[WAYS_MAX];
    const json_t *facts;
    const char *file;

    if (!walk->stash_told) {
        step_summary(step, "would see whether the stash of %s opens the database",
                     walk->replica.host);
        return UNTOLD;
    }
    facts = walk_facts(walk, step);
    if (facts == NULL)
        return IMPOSSIBLE;
    file = fact_text(facts, "stash", "file");
    if (walk->stash_opens) {
        step_summary(step, "stash %s on %s opens the database", file, walk->replica.host);
        return HOLDS;
    }
    step_summary(step, "stash %s on %s does not open the database: %s", file, walk->replica.host,
                 walk->stash_error);
    step_hint(step, "bring the primary's there: kpropctl renew --stash %s; or %s",
              walk->replica.host,
              delivery_ways(walk->replica.host, "--with-stash ", ways, sizeof(ways)));
    return IMPOSSIBLE;
}

enum verdict
see_stash(struct walk *walk, struct step *step)
{
    enum verdict verdict;

    if (walk->kind == WALK_SETUP)
        return see_opens(walk, step);
    if (walk->dry_run && walk->later_unknown) {
        step_summary(step, "would put it in place once it opens the database there");
        return UNTOLD;
    }
    verdict = see_keys(walk, step, false);
    if (verdict == LACKING && walk->kind == WALK_CHECK)
        step_hint(step, "kpropctl renew --stash %s, before the old master key is purged",
                  walk->replica.host);
    return verdict;
}
