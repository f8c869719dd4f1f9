/* acceptance - see acceptance.h. */
#include "agent/load/acceptance.h"

#include "agent/load/outcome.h"
#include "common/base/buffers.h"
#include "common/base/files.h"
#include "common/krb5/realm.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SUFFIX "accept"

static json_t *
to_json(const struct acceptance *a)
{
    return json_pack("{s:I, s:o}", "until", (json_int_t)a->until, "sha256",
                     a->named ? outcome_hex(a->sha256, sizeof(a->sha256)) : json_null());
}

bool
acceptance_give(const char *state, const char *realm, const char *sha256, struct acceptance *a,
                struct error *err)
{
    char name[PATH_MAX];
    json_t *object;
    bool ok;

    memset(a, 0, sizeof(*a));
    a->named = sha256 != NULL;
    if (a->named && !hex_decode(sha256, a->sha256, sizeof(a->sha256)))
        return error_set(err, ERROR_USAGE,
                         "cannot accept dump '%s': not 64 hexadecimal digits, as sha256sum prints "
                         "them",
                         sha256);
    a->given = true;
    a->until = (int64_t)time(NULL) + ACCEPTANCE_SECONDS;
    if (!file_make_folder(state, 0755, err) ||
        !outcome_file_name(state, realm, SUFFIX, name, sizeof(name), err))
        return false;
    object = to_json(a);
    ok = outcome_write_json(name, object, err);
    json_decref(object);
    return ok;
}

void
acceptance_read(const char *state, const char *realm, struct acceptance *a)
{
    char name[PATH_MAX];
    const char *sha256;
    struct error ignored;
    json_t *object;
    int64_t left;

    memset(a, 0, sizeof(*a));
    if (!outcome_file_name(state, realm, SUFFIX, name, sizeof(name), &ignored))
        return;
    object = outcome_read_json(name, &ignored);
    a->until = json_integer_value(json_object_get(object, "until"));
    sha256 = json_string_value(json_object_get(object, "sha256"));
    a->named = sha256 != NULL;
    /* One that ends later than any may is from before the clock was set back. */
    left = a->until - (int64_t)time(NULL);
    a->given = left > 0 && left <= ACCEPTANCE_SECONDS &&
               (!a->named || hex_decode(sha256, a->sha256, sizeof(a->sha256)));
    json_decref(object);
}

bool
acceptance_take(const char *state, const char *realm, struct error *err)
{
    char name[PATH_MAX];

    if (!outcome_file_name(state, realm, SUFFIX, name, sizeof(name), err))
        return false;
    if (unlink(name) != 0)
        return error_errno(err, ERROR_FAILED, errno, "cannot use up %s", name);
    return file_sync_folder_of(name, err);
}

json_t *
acceptance_json(const char *state, const char *realm)
{
    struct acceptance a;

    acceptance_read(state, realm, &a);
    return a.given ? to_json(&a) : json_null();
}

bool
acceptance_verb(const struct verb_call *call, json_t **reply, struct error *err)
{
    const char *sha256 = call->argc > 1 ? call->argv[1] : NULL;
    struct realm *realm = NULL;
    struct acceptance a;
    bool ok;

    ok = realm_load(call->argv[0], &realm, err) &&
         acceptance_give(call->settings->state, realm->name, sha256, &a, err);
    if (ok)
        *reply = json_pack("{s:b, s:s, s:I, s:o, s:b}", "changed", true, "realm", realm->name,
                           "until", (json_int_t)a.until, "sha256",
                           a.named ? outcome_hex(a.sha256, sizeof(a.sha256)) : json_null(),
                           "resync_only", realm->iprop);
    realm_free(realm);
    return ok;
}
