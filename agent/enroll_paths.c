/* enroll_paths - see enroll_paths.h. */
#include "agent/enroll_paths.h"

#include "agent/acl.h"
#include "common/forked.h"
#include "common/realm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { TIMEOUT_MS = 20 * 1000 };

struct question {
    const char *realm;
    const struct buffer *krb5_conf, *kdc_conf;
    json_t *answer;
};

/* Let the first file of the list in environment variable NAME be one with CONTENT, in memory: open
 * until this process ends. */
static bool
set_first(const char *name, const struct buffer *content, struct error *err)
{
    const char *list = getenv(name), *rest = list == NULL ? NULL : strchr(list, ':');
    int fd = memfd_create("conf", MFD_CLOEXEC);
    char *value;
    bool ok;

    if (fd < 0 || write(fd, content->data, content->len) != (ssize_t)content->len ||
        asprintf(&value, "/proc/self/fd/%d%s", fd, rest == NULL ? "" : rest) < 0)
        return error_set(err, ERROR_INTERNAL, "cannot put a configuration in memory");
    ok = setenv(name, value, 1) == 0 || error_memory(err);
    free(value);
    return ok;
}

/* Whom acl_permits takes for the primary: the default realm's admin_server. */
static json_t *
let_in(void)
{
    struct realm *realm = NULL;
    struct error ignored;
    char name[1024];
    json_t *answer;

    if (realm_load(NULL, &realm, &ignored) &&
        acl_primary(realm->admin_server, realm->name, name, sizeof(name), &ignored))
        answer = json_string(name);
    else
        answer = json_null();
    realm_free(realm);
    return answer;
}

/* In the child. */
static bool
ask(void *arg, struct forked_outlet *outlet, struct error *err)
{
    const struct question *q = arg;
    struct realm *r = NULL;
    json_t *answer = NULL;
    char *text = NULL;
    bool ok;

    if ((q->krb5_conf != NULL && !set_first("KRB5_CONFIG", q->krb5_conf, err)) ||
        (q->kdc_conf != NULL && !set_first("KRB5_KDC_PROFILE", q->kdc_conf, err)) ||
        !realm_load(q->realm, &r, err))
        return false;
    answer = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o}", "conf_dir",
                       r->conf_dir, "data_dir", r->data_dir, "kdc_conf", r->kdc_conf, "kpropd_acl",
                       r->kpropd_acl, "stash", r->stash, "master_key", r->master_key, "backend",
                       r->backend, "database", r->database, "spool", r->spool, "keytab", r->keytab,
                       "lets_in", let_in());
    text = answer == NULL ? NULL : json_dumps(answer, JSON_COMPACT);
    ok = text != NULL && forked_send(outlet, text, strlen(text));
    if (!ok)
        error_memory(err);
    free(text);
    json_decref(answer);
    realm_free(r);
    return ok;
}

static bool
take(void *arg, const void *data, size_t len, struct error *err)
{
    struct question *q = arg;

    q->answer = json_loadb(data, len, 0, NULL);
    return q->answer != NULL || error_memory(err);
}

bool
enroll_paths_read(const char *realm, const struct buffer *krb5_conf, const struct buffer *kdc_conf,
                  json_t **paths, struct error *err)
{
    struct question q = { realm, krb5_conf, kdc_conf, NULL };
    bool ok = forked_run(ask, take, &q, TIMEOUT_MS, "read the new configuration", err);

    if (ok && q.answer == NULL)
        ok = error_memory(err);
    if (!ok) {
        json_decref(q.answer);
        q.answer = NULL;
    }
    *paths = q.answer;
    return ok;
}

char *
enroll_krb5_conf(void)
{
    const char *list = secure_getenv("KRB5_CONFIG");

    return list != NULL && list[0] == '/' ? strndup(list, strcspn(list, ":"))
                                          : strdup("/etc/krb5.conf");
}
