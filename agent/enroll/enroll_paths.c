/* enroll_paths - see enroll_paths.h. */
#include "agent/enroll/enroll_paths.h"

#include "agent/base/acl.h"
#include "common/base/forked.h"
#include "common/krb5/realm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define DEFAULT_FILE "/etc/krb5.conf"

enum { TIMEOUT_MS = 20 * 1000 };

struct question {
    const char *realm;
    const struct buffer *krb5_conf, *kdc_conf;
    json_t *answer;
};

/* In front of every krb5.conf that the child reads: no plugin of any kind is loaded by its
 * contexts, whatever a file names. (The * makes libprofile look no further.) */
static const char no_plugins[] = "[plugins]*\n\tnone = none\n"
                                 "[libdefaults]\n\tplugin_base_dir* = /dev/null/none\n";

/* A file with CONTENT in memory, open until this process ends: its name into NAME. */
static bool
put_in_memory(const void *content, size_t len, char *name, size_t size, struct error *err)
{
    int fd = memfd_create("conf", MFD_CLOEXEC);

    if (fd < 0 || write(fd, content, len) != (ssize_t)len)
        return error_set(err, ERROR_INTERNAL, "cannot put a configuration in memory");
    snprintf(name, size, "/proc/self/fd/%d", fd);
    return true;
}

/* Let the first file of the list in environment variable NAME be one with CONTENT, in memory. */
static bool
set_first(const char *name, const struct buffer *content, struct error *err)
{
    const char *list = getenv(name), *rest = list == NULL ? NULL : strchr(list, ':');
    char file[64], *value;
    bool ok;

    if (!put_in_memory(content->data, content->len, file, sizeof(file), err))
        return false;
    if (asprintf(&value, "%s%s", file, rest == NULL ? "" : rest) < 0)
        return error_memory(err);
    ok = setenv(name, value, 1) == 0 || error_memory(err);
    free(value);
    return ok;
}

/* Put no_plugins before the files of KRB5_CONFIG. */
static bool
forbid_plugins(struct error *err)
{
    const char *list = getenv("KRB5_CONFIG");
    char file[64], *value;
    bool ok;

    if (!put_in_memory(no_plugins, strlen(no_plugins), file, sizeof(file), err))
        return false;
    if (asprintf(&value, "%s:%s", file, list == NULL ? DEFAULT_FILE : list) < 0)
        return error_memory(err);
    ok = setenv("KRB5_CONFIG", value, 1) == 0 || error_memory(err);
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
        !forbid_plugins(err) || !realm_load(q->realm, &r, err))
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
                                          : strdup(DEFAULT_FILE);
}
