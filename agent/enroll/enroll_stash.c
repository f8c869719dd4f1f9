/* enroll_stash - see enroll_stash.h. */
#include "agent/enroll/enroll_stash.h"

#include "common/kdb/backend.h"
#include "common/kdb/database.h"
#include "common/kdb/snapshot.h"
#include "common/krb5/keytab_file.h"
#include "common/krb5/keytab_merge.h"

#include <krb5.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { WALK_TIMEOUT_MS = 600 * 1000, OLD_HEAD = sizeof(uint16_t) + sizeof(uint32_t) };

/* The older format: enctype and length as this machine writes numbers, then the key, which must be
 * as long as keys of that enctype are. */
static bool
is_old_format(const struct buffer *stash)
{
    krb5_context context = NULL;
    size_t bytes, key = 0;
    uint16_t enctype;
    uint32_t len;
    bool known;

    if (stash->len <= OLD_HEAD)
        return false;
    memcpy(&enctype, stash->data, sizeof(enctype));
    memcpy(&len, stash->data + sizeof(enctype), sizeof(len));
    if (stash->len != OLD_HEAD + (size_t)len || krb5_init_context(&context) != 0)
        return false;
    known = krb5_c_valid_enctype(enctype) && krb5_c_keylengths(context, enctype, &bytes, &key) == 0;
    krb5_free_context(context);
    return known && key > 0 && len == key;
}

bool
enroll_stash_check(const struct buffer *stash, const char *master_key, struct error *err)
{
    struct keytab_merged merged;
    struct buffer out;
    struct error why;
    bool ok;

    error_clear(&why);
    buffer_init(&out, KEYTAB_MAX);
    ok = is_old_format(stash) || keytab_merge(NULL, stash, master_key, &out, &merged, &why);
    buffer_free_secret(&out);
    if (!ok)
        error_set(err, ERROR_REFUSED,
                  "cannot take the bundle's stash: it is no stash file of %s (%s)", master_key,
                  why.text);
    return ok;
}

/* Does the file STASH (NULL: none) open DB? */
static bool
opens(struct database *db, const char *stash, bool *answer, struct error *err)
{
    struct database_question question = { .stash = true };
    struct database_answer found;

    *answer = false;
    if (stash == NULL || access(stash, R_OK) != 0)
        return true;
    db->stash = stash;
    if (!database_examine(db, &question, WALK_TIMEOUT_MS, &found, err))
        return false;
    *answer = found.stash_opens;
    return true;
}

bool
enroll_stash_judge(const char *realm, const json_t *paths, const struct buffer *stash,
                   enum enroll_stash_verdict *verdict, struct error *err)
{
    const char *path = json_string_value(json_object_get(paths, "database"));
    const struct backend *backend =
        backend_find(json_string_value(json_object_get(paths, "backend")));
    struct database db = { backend, realm, NULL, NULL,
                           json_string_value(json_object_get(paths, "master_key")) };
    struct snapshot *snapshot = NULL;
    bool old = false, new = false, ok = false;
    char name[64];
    int fd;

    *verdict = STASH_FITS;
    if (backend == NULL || !backend_has_files(backend) || !backend_exists(backend, path))
        return true;
    fd = memfd_create("stash", MFD_CLOEXEC);
    if (fd < 0 || write(fd, stash->data, stash->len) != (ssize_t)stash->len) {
        error_set(err, ERROR_INTERNAL, "cannot put the stash in memory");
        goto cleanup;
    }
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    if (!snapshot_new(backend, path, NULL, &snapshot, NULL, err))
        goto cleanup;
    db.path = snapshot_path(snapshot);
    ok = opens(&db, name, &new, err) &&
         (new || opens(&db, json_string_value(json_object_get(paths, "stash")), &old, err));
    if (ok && old && !new)
        *verdict = STASH_LOCKS_OUT;

cleanup:
    snapshot_free(snapshot);
    if (fd >= 0)
        close(fd);
    return ok;
}
