/* conf_wanted - see conf_wanted.h. */
#include "agent/enroll/conf_wanted.h"
#include "agent/enroll/conf_text.h"

#include <errno.h>
#include <krb5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define WANTED_MAX 4096

bool
conf_failed(const char *what, long code, struct error *err)
{
    krb5_context context = NULL;
    const char *text;

    if (krb5_init_context_profile(NULL, 0, &context) != 0)
        context = NULL;
    text = krb5_get_error_message(context, (krb5_error_code)code);
    error_set(err, ERROR_REFUSED, "cannot read %s: %s", what, text);
    krb5_free_error_message(context, text);
    krb5_free_context(context);
    return error_hint(err, "correct it by hand: each line is `[section]`, `name = value`, "
                           "`name = {` or `}` (krb5.conf(5))");
}

static bool
fill(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, text, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        text += n;
        len -= (size_t)n;
    }
    return true;
}

bool
conf_open_text(const char *what, const char *text, size_t len, bool lone, profile_t *profile,
               int *fd, struct error *err)
{
    char path[64];
    const_profile_filespec_t files[] = { path, NULL };
    long code;

    *profile = NULL;
    *fd = -1;
    if (lone && conf_has_includes(text, len))
        return error_set(err, ERROR_REFUSED, "cannot take %s: it includes another file", what);
    *fd = memfd_create("profile", MFD_CLOEXEC);
    if (*fd < 0 || !fill(*fd, text, len)) {
        error_errno(err, ERROR_INTERNAL, errno, "cannot keep %s in memory", what);
        goto failed;
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", *fd);
    code = profile_init(files, profile);
    if (code == 0)
        return true;
    *profile = NULL;
    conf_failed(what, code, err);

failed:
    conf_close(NULL, *fd);
    *fd = -1;
    return false;
}

/* The profile first: libprofile looks at its file again each second. */
void
conf_close(profile_t profile, int fd)
{
    if (profile != NULL)
        profile_release(profile);
    if (fd >= 0)
        close(fd);
}

size_t
conf_count(char *const *list)
{
    size_t n = 0;

    while (list != NULL && list[n] != NULL)
        n++;
    return n;
}

static void
free_strings(char **list)
{
    for (char **p = list; p != NULL && *p != NULL; p++)
        free(*p);
    free(list);
}

static char **
copy_strings(char *const *list)
{
    size_t n = conf_count(list);
    char **copy = calloc(n + 1, sizeof(*copy));

    for (size_t i = 0; copy != NULL && i < n; i++) {
        copy[i] = strdup(list[i]);
        if (copy[i] == NULL) {
            free_strings(copy);
            return NULL;
        }
    }
    return copy;
}

bool
conf_has(char *const *list, const char *s)
{
    for (; list != NULL && *list != NULL; list++) {
        if (strcmp(*list, s) == 0)
            return true;
    }
    return false;
}

static void
free_relation(struct conf_relation *r)
{
    for (size_t i = 0; i < CONF_DEPTH; i++)
        free(r->names[i]);
    free_strings(r->values);
}

void
conf_wanted_free(struct conf_wanted *wanted)
{
    for (size_t i = 0; i < wanted->count; i++)
        free_relation(&wanted->list[i]);
    free(wanted->list);
    wanted->list = NULL;
    wanted->count = 0;
}

void
conf_leave_out(struct conf_wanted *wanted, bool (*drop)(const struct conf_relation *relation))
{
    size_t kept = 0;

    for (size_t i = 0; i < wanted->count; i++) {
        struct conf_relation *r = &wanted->list[i];

        if (drop(r))
            free_relation(r);
        else
            wanted->list[kept++] = *r;
    }
    wanted->count = kept;
}

static bool
add_relation(struct conf_wanted *wanted, const char *const *names, char *const *values,
             enum conf_rule rule, struct error *err)
{
    struct conf_relation *grown, *r;
    bool ok = true;

    if (wanted->count >= WANTED_MAX)
        return error_set(err, ERROR_REFUSED, "cannot merge more than %d relations of a realm",
                         WANTED_MAX);
    grown = realloc(wanted->list, (wanted->count + 1) * sizeof(*grown));
    if (grown == NULL)
        return error_memory(err);
    wanted->list = grown;
    r = &grown[wanted->count];
    memset(r, 0, sizeof(*r));
    r->rule = rule;
    for (size_t i = 0; i < CONF_DEPTH && names[i] != NULL; i++) {
        r->names[i] = strdup(names[i]);
        ok = ok && r->names[i] != NULL;
    }
    r->values = copy_strings(values);
    if (!ok || r->values == NULL) {
        free_relation(r);
        return error_memory(err);
    }
    wanted->count++;
    return true;
}

bool
conf_want(struct conf_wanted *wanted, profile_t profile, const char *const *names,
          enum conf_rule rule, struct error *err)
{
    char **values = NULL;
    bool ok = true;

    if (profile_get_values(profile, (const char **)(uintptr_t)names, &values) == 0 &&
        values != NULL && values[0] != NULL)
        ok = add_relation(wanted, names, values, rule, err);
    profile_free_list(values);
    return ok;
}
