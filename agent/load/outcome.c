/* outcome - see outcome.h. */
#include "agent/load/outcome.h"

#include "common/base/buffers.h"
#include "common/base/files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_LIMIT = 64 * 1024 };

bool
outcome_file_name(const char *state, const char *realm, const char *suffix, char *name, size_t size,
                  struct error *err)
{
    if (realm[0] == '\0' || realm[0] == '.' || strchr(realm, '/') != NULL || strlen(realm) > 200)
        return error_set(err, ERROR_USAGE, "cannot use realm '%s': not a file name", realm);
    if (snprintf(name, size, "%s/%s.%s", state, realm, suffix) < (int)size)
        return true;
    return error_set(err, ERROR_INTERNAL, "cannot use folder %s: name too long", state);
}

bool
outcome_write_json(const char *name, const json_t *object, struct error *err)
{
    char *text = object == NULL ? NULL : json_dumps(object, JSON_INDENT(1));
    bool ok;

    if (text == NULL)
        return error_memory(err);
    ok = file_replace(name, text, strlen(text), 0600, err);
    free(text);
    return ok;
}

json_t *
outcome_read_json(const char *name, struct error *err)
{
    struct buffer text;
    json_t *object = NULL;
    json_error_t where;
    int saved = 0;

    buffer_init(&text, FILE_LIMIT);
    if (!file_read(name, &text, err)) {
        saved = errno;
        goto cleanup;
    }
    object = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, &where);
    if (object == NULL) {
        error_set(err, ERROR_FAILED, "cannot read %s: line %d: %s", name, where.line, where.text);
        saved = EINVAL;
    }

cleanup:
    buffer_free(&text);
    errno = saved;
    return object;
}

json_t *
outcome_hex(const void *data, size_t len)
{
    char text[2 * 64 + 1];

    if (len > 64)
        return NULL;
    hex_encode(data, len, text);
    return json_string(text);
}

/* Text from programs may hold anything; JSON holds UTF-8 alone. */
static json_t *
any_text(const char *text)
{
    json_t *value = json_string(text);
    char *plain;

    if (value != NULL || (plain = strdup(text)) == NULL)
        return value;
    for (char *p = plain; *p != '\0'; p++) {
        if ((unsigned char)*p >= 0x80)
            *p = '?';
    }
    value = json_string(plain);
    free(plain);
    return value;
}

static json_t *
text_or_null(const char *text)
{
    return text[0] == '\0' ? json_null() : any_text(text);
}

static json_t *
hex_or_null(bool there, const unsigned char *data, size_t len)
{
    return there ? outcome_hex(data, len) : json_null();
}

static json_t *
to_json(const struct outcome *o)
{
    json_t *seconds = json_pack("{s:f, s:f, s:f, s:f}", "validate", o->validate, "load", o->load,
                                "verify", o->verify, "promote", o->promote);

    return json_pack(
        "{s:I, s:b, s:b, s:b, s:s, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:o, s:o, s:o, s:I, "
        "s:f, "
        "s:f, s:o, s:i, s:o, s:o}",
        "generation", (json_int_t)o->generation, "announced", o->announced, "loaded", o->loaded,
        "verified", o->verified, "stage", o->stage, "error", text_or_null(o->error), "hint",
        text_or_null(o->hint), "refusal", text_or_null(o->refusal), "left", text_or_null(o->left),
        "note", text_or_null(o->note), "principals", (json_int_t)o->principals, "policies",
        (json_int_t)o->policies, "lockout_carried", (json_int_t)o->carried, "nonce",
        hex_or_null(o->has_digest, o->nonce, sizeof(o->nonce)), "digest",
        hex_or_null(o->has_digest, o->digest, sizeof(o->digest)), "sha256",
        hex_or_null(o->has_sha256, o->sha256, sizeof(o->sha256)), "bytes", (json_int_t)o->bytes,
        "started", o->started, "finished", o->finished, "seconds", seconds, "pid", o->pid,
        "kdb5_util_stderr", text_or_null(o->kdb5_util_stderr), "identity",
        text_or_null(o->loaded ? o->identity : ""));
}

bool
outcome_write(const char *state, const char *realm, const struct outcome *outcome,
              struct error *err)
{
    char name[4096];
    json_t *object;
    bool ok;

    if (!outcome_file_name(state, realm, "outcome", name, sizeof(name), err))
        return false;
    object = to_json(outcome);
    ok = outcome_write_json(name, object, err);
    json_decref(object);
    return ok;
}

json_t *
outcome_read(const char *state, const char *realm, struct error *err)
{
    char name[4096];
    json_t *object;

    if (!outcome_file_name(state, realm, "outcome", name, sizeof(name), err))
        return NULL;
    object = outcome_read_json(name, err);
    if (object == NULL && errno == ENOENT)
        error_clear(err);
    return object;
}

void
outcome_forget(const char *state, const char *realm, uint64_t generation)
{
    struct error ignored;
    json_t *object = outcome_read(state, realm, &ignored);
    char name[4096];

    if ((uint64_t)json_integer_value(json_object_get(object, "generation")) == generation &&
        outcome_file_name(state, realm, "outcome", name, sizeof(name), &ignored))
        unlink(name);
    json_decref(object);
}
