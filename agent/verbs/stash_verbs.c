/* stash_verbs - see stash_verbs.h. */
#include "agent/verbs/stash_verbs.h"

#include "agent/load/stash.h"
#include "common/base/buffers.h"
#include "common/base/files.h"
#include "common/krb5/realm.h"
#include "common/krb5/stash.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* KEYS has one of KVNO with MARK under NONCE. */
static bool
has_mark(const struct stash_keys *keys, const unsigned char *nonce, unsigned kvno, const char *mark)
{
    char own[STASH_MARK_SIZE];

    for (size_t i = 0; i < keys->count; i++) {
        if (keys->keys[i].kvno == kvno && stash_mark(nonce, &keys->keys[i], own) &&
            strcmp(own, mark) == 0)
            return true;
    }
    return false;
}

/* Sort the asked keys of TEXT into HELD and MISSING; false if the text is bad. */
static bool
sort_marks(const char *text, const struct stash_keys *keys, const unsigned char *nonce,
           json_t *held, json_t *missing)
{
    char mark[STASH_MARK_SIZE];
    unsigned kvno, count = 0;
    int used;

    while (*text != '\0') {
        if (count++ == STASH_KEYS_MAX || sscanf(text, "%5u:%64[0-9a-f]%n", &kvno, mark, &used) != 2)
            return false;
        json_array_append_new(has_mark(keys, nonce, kvno, mark) ? held : missing,
                              json_integer((json_int_t)kvno));
        text += used;
        if (*text != '\0' && *text++ != ',')
            return false;
    }
    return count > 0;
}

/* A new stash waits, and has all keys that were asked for. */
static bool
waits_with_all(const struct verb_call *call, const struct realm *realm, const unsigned char *nonce)
{
    json_t *held = json_array(), *missing = json_array();
    struct stash_keys keys;
    struct error ignored;
    char path[PATH_MAX];
    bool all = stash_waiting(call->settings->state, realm->name, path, sizeof(path), &ignored) &&
               access(path, F_OK) == 0 && stash_read(path, realm->master_key, &keys, &ignored) &&
               sort_marks(call->argv[2], &keys, nonce, held, missing) &&
               json_array_size(missing) == 0;

    stash_wipe(&keys);
    json_decref(held);
    json_decref(missing);
    return all;
}

bool
stash_verb(const struct verb_call *call, json_t **reply, struct error *err)
{
    unsigned char nonce[STASH_NONCE_SIZE];
    json_t *held = json_array(), *missing = json_array();
    struct realm *realm = NULL;
    enum stash_settled settled;
    struct stash_keys keys;
    struct error why;
    bool ok;

    memset(&keys, 0, sizeof(keys));
    error_clear(&why);
    ok = realm_load(call->argv[0], &realm, err);
    if (ok && !hex_decode(call->argv[1], nonce, sizeof(nonce)))
        ok = error_set(err, ERROR_USAGE, "cannot use the nonce: not %d hexadecimal digits",
                       2 * STASH_NONCE_SIZE);
    if (ok && stash_settle(call->settings->state, realm, &settled, &why))
        error_clear(&why);
    if (ok && why.code == ERROR_NONE)
        stash_read(realm->stash, realm->master_key, &keys, &why);
    if (ok && !sort_marks(call->argv[2], &keys, nonce, held, missing))
        ok = error_set(err, ERROR_USAGE, "cannot read the marks: not KVNO:MARK,KVNO:MARK...");
    if (ok)
        *reply = json_pack("{s:s, s:b, s:s?, s:O, s:O, s:b}", "file", realm->stash, "exists",
                           access(realm->stash, F_OK) == 0, "error",
                           why.code != ERROR_NONE ? why.text : NULL, "held", held, "missing",
                           missing, "waiting", waits_with_all(call, realm, nonce));
    stash_wipe(&keys);
    json_decref(held);
    json_decref(missing);
    realm_free(realm);
    return ok;
}

/* Every key of A is in B. */
static bool
is_part_of(const struct stash_keys *a, const struct stash_keys *b)
{
    for (size_t i = 0; i < a->count; i++) {
        bool found = false;

        for (size_t j = 0; j < b->count && !found; j++)
            found = a->keys[i].kvno == b->keys[j].kvno && a->keys[i].len == b->keys[j].len &&
                    a->keys[i].enctype == b->keys[j].enctype &&
                    memcmp(a->keys[i].data, b->keys[j].data, a->keys[i].len) == 0;
        if (!found)
            return false;
    }
    return true;
}

/* The bytes of hexadecimal TEXT as file PATH (0600), where a new stash waits. */
static bool
store(const char *text, const char *path, struct error *err)
{
    size_t len = strlen(text) / 2;
    unsigned char *bytes = NULL;
    bool ok = false;

    if (len == 0 || len > STASH_MAX || strlen(text) != 2 * len || (bytes = malloc(len)) == NULL ||
        !hex_decode(text, bytes, len))
        error_set(err, ERROR_USAGE, "cannot read the stash: not 1 to %d bytes in hexadecimal",
                  STASH_MAX);
    else
        ok = file_replace(path, bytes, len, 0600, err);
    if (bytes != NULL)
        explicit_bzero(bytes, len);
    free(bytes);
    return ok;
}

static json_t *
versions(const struct stash_keys *keys)
{
    json_t *list = json_array();

    for (size_t i = 0; i < keys->count; i++)
        json_array_append_new(list, json_integer((json_int_t)keys->keys[i].kvno));
    return list;
}

/* What waits is known to be a stash of this realm: put it in place, if it is another one. */
static bool
take_over(const char *state, const struct realm *realm, const char *waiting,
          const struct stash_keys *keys, const char **what, struct error *err)
{
    enum stash_settled settled = STASH_NONE;
    struct stash_keys now;
    struct error ignored;
    bool same = stash_read(realm->stash, realm->master_key, &now, &ignored) &&
                is_part_of(keys, &now) && is_part_of(&now, keys);

    stash_wipe(&now);
    *what = "same";
    if (same) {
        unlink(waiting);
        return true;
    }
    if (!stash_settle(state, realm, &settled, err))
        return false;
    *what = settled == STASH_INSTALLED ? "installed" : "waiting";
    return true;
}

bool
stash_verb_put(const struct verb_call *call, json_t **reply, struct error *err)
{
    /* Ours since the request: nobody reads it after us. */
    char *secret = (char *)(uintptr_t)call->argv[1], waiting[PATH_MAX];
    const char *state = call->settings->state, *what = NULL;
    struct realm *realm = NULL;
    struct stash_keys keys;
    bool ok;

    memset(&keys, 0, sizeof(keys));
    ok = realm_load(call->argv[0], &realm, err) && file_make_folder(state, 0755, err) &&
         stash_waiting(state, realm->name, waiting, sizeof(waiting), err) &&
         store(secret, waiting, err);
    explicit_bzero(secret, strlen(secret));
    if (ok && !stash_read(waiting, realm->master_key, &keys, err)) {
        unlink(waiting);
        err->code = ERROR_REFUSED;
        ok = false;
    }
    ok = ok && take_over(state, realm, waiting, &keys, &what, err);
    if (ok)
        *reply = json_pack("{s:b, s:s, s:s, s:o}", "changed", strcmp(what, "installed") == 0,
                           "state", what, "file", realm->stash, "kvnos", versions(&keys));
    stash_wipe(&keys);
    realm_free(realm);
    return ok;
}
