/* announcement - see announcement.h. */
#include "agent/load/announcement.h"

#include "agent/load/outcome.h"
#include "common/base/buffers.h"
#include "common/base/files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The greatest is remembered for ever: it must leave room for those to come. Also what JSON's
 * numbers hold everywhere. */
#define GENERATION_MAX (UINT64_C(1) << 53)

enum { LIFETIME_MIN = 60, LIFETIME_MAX = 24 * 3600, LIFETIME_DEFAULT = 3600 };

/* The number KEY of OBJECT, not negative. */
static bool
get_number(const json_t *object, const char *key, uint64_t *value, struct error *err)
{
    const json_t *item = json_object_get(object, key);

    if (!json_is_integer(item) || json_integer_value(item) < 0)
        return error_set(err, ERROR_USAGE, "cannot read the announcement: '%s' is no number", key);
    *value = (uint64_t)json_integer_value(item);
    return true;
}

static bool
get_hash(const json_t *object, const char *key, unsigned char *value, struct error *err)
{
    const char *text = json_string_value(json_object_get(object, key));

    if (text == NULL || !hex_decode(text, value, 32))
        return error_set(err, ERROR_USAGE,
                         "cannot read the announcement: '%s' is not 64 hexadecimal digits", key);
    return true;
}

static bool
from_json(const json_t *object, struct announcement *a, struct error *err)
{
    const char *from = json_string_value(json_object_get(object, "from"));

    memset(a, 0, sizeof(*a));
    if (!json_is_object(object))
        return error_set(err, ERROR_USAGE, "cannot read the announcement: not a JSON object");
    if (!get_number(object, "generation", &a->generation, err) ||
        !get_hash(object, "sha256", a->sha256, err) || !get_hash(object, "nonce", a->nonce, err) ||
        !get_hash(object, "digest", a->digest, err) || !get_number(object, "size", &a->size, err) ||
        !get_number(object, "principals", &a->principals, err) ||
        !get_number(object, "policies", &a->policies, err))
        return false;
    if (a->generation == 0 || a->generation > GENERATION_MAX)
        return error_set(err, ERROR_USAGE, "cannot read the announcement: generation %llu",
                         (unsigned long long)a->generation);
    snprintf(a->from, sizeof(a->from), "%s", from != NULL ? from : "");
    a->announced_at = json_integer_value(json_object_get(object, "announced_at"));
    a->expires_at = json_integer_value(json_object_get(object, "expires_at"));
    return true;
}

static json_t *
to_json(const struct announcement *a)
{
    return json_pack("{s:I, s:o, s:o, s:o, s:I, s:I, s:I, s:s, s:I, s:I}", "generation",
                     (json_int_t)a->generation, "sha256", outcome_hex(a->sha256, sizeof(a->sha256)),
                     "nonce", outcome_hex(a->nonce, sizeof(a->nonce)), "digest",
                     outcome_hex(a->digest, sizeof(a->digest)), "size", (json_int_t)a->size,
                     "principals", (json_int_t)a->principals, "policies", (json_int_t)a->policies,
                     "from", a->from, "announced_at", (json_int_t)a->announced_at, "expires_at",
                     (json_int_t)a->expires_at);
}

bool
announcement_parse(const json_t *object, const char *from, struct announcement *a,
                   struct error *err)
{
    int64_t lifetime;

    if (!from_json(object, a, err))
        return false;
    if (a->expires_at > 0 && a->announced_at > 0)
        lifetime = a->expires_at - a->announced_at;
    else
        lifetime = LIFETIME_DEFAULT;
    if (lifetime < LIFETIME_MIN)
        lifetime = LIFETIME_MIN;
    if (lifetime > LIFETIME_MAX)
        lifetime = LIFETIME_MAX;
    a->announced_at = (int64_t)time(NULL);
    a->expires_at = a->announced_at + lifetime;
    if (from != NULL)
        snprintf(a->from, sizeof(a->from), "%s", from);
    return true;
}

static bool
write_file(const char *state, const char *realm, const char *suffix, json_t *object,
           struct error *err)
{
    char name[4096];
    bool ok;

    ok = outcome_file_name(state, realm, suffix, name, sizeof(name), err) &&
         outcome_write_json(name, object, err);
    json_decref(object);
    return ok;
}

static json_t *
read_file(const char *state, const char *realm, const char *suffix, struct error *err)
{
    char name[4096];

    if (!outcome_file_name(state, realm, suffix, name, sizeof(name), err)) {
        errno = EINVAL;
        return NULL;
    }
    return outcome_read_json(name, err);
}

uint64_t
announcement_greatest(const char *state, const char *realm)
{
    struct error ignored;
    json_t *object = read_file(state, realm, "generation", &ignored);
    json_int_t value = json_integer_value(json_object_get(object, "greatest"));

    json_decref(object);
    return value > 0 ? (uint64_t)value : 0;
}

/* Is the content of A the one that the greatest number was announced for? True also where an agent
 * of former times has not kept it, and nothing else tells. */
static bool
is_greatest(const char *state, const char *realm, const struct announcement *a)
{
    static const char *const records[] = { "generation", "announced", "last_good" };
    bool same = true;

    for (size_t i = 0; i < 3; i++) {
        struct error ignored;
        json_t *object = read_file(state, realm, records[i], &ignored);
        json_int_t number =
            json_integer_value(json_object_get(object, i == 0 ? "greatest" : "generation"));
        unsigned char digest[DIGEST_SIZE], nonce[DIGEST_NONCE_SIZE];
        bool told = number == (json_int_t)a->generation &&
                    get_hash(object, "digest", digest, &ignored) &&
                    get_hash(object, "nonce", nonce, &ignored);

        json_decref(object);
        if (told) {
            same = memcmp(digest, a->digest, sizeof(digest)) == 0 &&
                   memcmp(nonce, a->nonce, sizeof(nonce)) == 0;
            break;
        }
    }
    return same;
}

bool
announcement_store(const char *state, const char *realm, const struct announcement *a,
                   struct error *err)
{
    uint64_t greatest = announcement_greatest(state, realm);

    if (a->generation < greatest) {
        error_set(err, ERROR_REFUSED, "cannot take generation %llu: generation %llu is known",
                  (unsigned long long)a->generation, (unsigned long long)greatest);
        return error_hint(err, "an older dump never replaces a newer one: number the next "
                               "generation above the greatest that any agent knows");
    }
    if (a->generation == greatest && !is_greatest(state, realm, a)) {
        error_set(err, ERROR_REFUSED,
                  "cannot take generation %llu: another content is known by this number",
                  (unsigned long long)a->generation);
        return error_hint(err, "two primaries, or one that went back in time: see whose content "
                               "is the newer one, and number that above the greatest");
    }
    if (a->generation > greatest &&
        !write_file(state, realm, "generation",
                    json_pack("{s:I, s:o, s:o}", "greatest", (json_int_t)a->generation, "nonce",
                              outcome_hex(a->nonce, sizeof(a->nonce)), "digest",
                              outcome_hex(a->digest, sizeof(a->digest))),
                    err))
        return false;
    return write_file(state, realm, "announced", to_json(a), err);
}

/* A mark beside the announcement, of that one alone: it may be replaced at any time. */
static bool
is_live(const char *state, const char *realm, const struct announcement *a)
{
    struct error ignored;
    json_t *mark = read_file(state, realm, "live", &ignored);
    bool live =
        mark != NULL &&
        json_integer_value(json_object_get(mark, "generation")) == (json_int_t)a->generation &&
        json_integer_value(json_object_get(mark, "announced_at")) == (json_int_t)a->announced_at;

    json_decref(mark);
    return live;
}

bool
announcement_seen(const char *state, const char *realm, const unsigned char *nonce,
                  const unsigned char *digest, struct error *err)
{
    struct announcement a;
    bool found;

    if (!announcement_read(state, realm, &a, &found, err))
        return false;
    if (!found || a.live || memcmp(nonce, a.nonce, sizeof(a.nonce)) != 0 ||
        memcmp(digest, a.digest, sizeof(a.digest)) != 0)
        return true;
    return write_file(state, realm, "live",
                      json_pack("{s:I, s:I}", "generation", (json_int_t)a.generation,
                                "announced_at", (json_int_t)a.announced_at),
                      err);
}

bool
announcement_read(const char *state, const char *realm, struct announcement *a, bool *found,
                  struct error *err)
{
    json_t *object = read_file(state, realm, "announced", err);
    int64_t left;
    bool ok;

    *found = false;
    memset(a, 0, sizeof(*a));
    if (object == NULL) {
        if (errno == ENOENT)
            error_clear(err);
        return errno == ENOENT;
    }
    ok = from_json(object, a, err);
    json_decref(object);
    /* One that ends later than any may is from before the clock was set back: it must not keep
     * others out until then. */
    left = a->expires_at - (int64_t)time(NULL);
    *found = ok && left > 0 && left <= LIFETIME_MAX;
    a->live = *found && is_live(state, realm, a);
    return ok;
}

bool
announcement_make_way(const char *state, const char *realm, const struct announcement *a,
                      bool *other, struct error *err)
{
    json_t *before = announcement_last_good(state, realm, false);
    struct announcement last;
    struct error ignored;

    *other = before != NULL && from_json(before, &last, &ignored) &&
             memcmp(last.sha256, a->sha256, sizeof(a->sha256)) != 0;
    if (*other)
        return write_file(state, realm, "last_good.1", before, err);
    json_decref(before);
    return true;
}

bool
announcement_done(const char *state, const char *realm, const struct announcement *a,
                  struct error *err)
{
    json_t *object = to_json(a);
    struct announcement pending;
    char name[4096];
    bool found;

    json_object_set_new(object, "loaded_at", json_integer((json_int_t)time(NULL)));
    if (!write_file(state, realm, "last_good", object, err) ||
        !outcome_file_name(state, realm, "announced", name, sizeof(name), err))
        return false;
    /* The next one may have been announced while this was being loaded. */
    if (announcement_read(state, realm, &pending, &found, err) &&
        (pending.generation != a->generation ||
         memcmp(pending.sha256, a->sha256, sizeof(a->sha256)) != 0))
        return true;
    if (unlink(name) != 0 && errno != ENOENT)
        return error_errno(err, ERROR_INTERNAL, errno, "cannot remove %s", name);
    return true;
}

json_t *
announcement_last_good(const char *state, const char *realm, bool previous)
{
    struct error ignored;

    return read_file(state, realm, previous ? "last_good.1" : "last_good", &ignored);
}

bool
announcement_of_last_good(const json_t *object, struct announcement *a, struct error *err)
{
    return from_json(object, a, err);
}
