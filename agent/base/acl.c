/* acl - see acl.h. The semantics are those of remctld(8), "ACLS". */
#include "agent/base/acl.h"

#include "common/base/buffers.h"
#include "common/base/files.h"
#include "common/base/log.h"
#include "common/krb5/realm.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_FILE = 256 * 1024, MAX_LINE = 4096, MAX_DEPTH = 8, MAX_FILES = 256 };

/* One reading of a file and all that it includes. */
struct reader {
    const char *principal;
    int depth;
    int files;
};

struct line {
    const char *name;
    int number;
    const char *principal;
    acl_include *include;
    void *arg;
};

static bool
bad_line(const struct line *line, struct error *err, const char *why, const char *what)
{
    return error_set(err, ERROR_USAGE, "%s:%d: %s '%s'", line->name, line->number, why, what);
}

static bool
take_path(const struct line *line, const char *path, enum acl_answer *answer, struct error *err)
{
    if (path[0] != '/')
        return bad_line(line, err, "included path is not absolute", path);
    if (line->include(line->arg, path, answer, err))
        return true;
    return error_prefix(err, "%s:%d", line->name, line->number);
}

static bool
take_principal(const struct line *line, const char *principal, enum acl_answer *answer,
               struct error *err)
{
    if (strchr(principal, '@') == NULL)
        return bad_line(line, err, "principal without a realm", principal);
    *answer = strcmp(principal, line->principal) == 0 ? ACL_PERMIT : ACL_NO_MATCH;
    return true;
}

/* "princ:X", "file:X", "deny:ENTRY", or a principal. */
static bool
take_entry(const struct line *line, const char *entry, enum acl_answer *answer, struct error *err)
{
    size_t scheme = strcspn(entry, ":@/");
    bool deny = false, ok;

    while (strncmp(entry, "deny:", 5) == 0) {
        if (deny)
            return bad_line(line, err, "deny: twice in", entry);
        deny = true;
        entry += 5;
        scheme = strcspn(entry, ":@/");
    }
    if (strncmp(entry, "princ:", 6) == 0)
        ok = take_principal(line, entry + 6, answer, err);
    else if (strncmp(entry, "file:", 5) == 0)
        ok = take_path(line, entry + 5, answer, err);
    else if (entry[scheme] == ':')
        ok = bad_line(line, err, "scheme is not princ, file or deny in", entry);
    else
        ok = take_principal(line, entry, answer, err);
    if (ok && deny && *answer != ACL_NO_MATCH)
        *answer = *answer == ACL_PERMIT ? ACL_DENY : ACL_NO_MATCH;
    return ok;
}

/* One line without its newline, blanks at its ends removed, in TEXT (which is changed). */
static bool
take_line(const struct line *line, char *text, enum acl_answer *answer, struct error *err)
{
    size_t word = strcspn(text, " \t");
    char *rest = text + word + strspn(text + word, " \t");

    *answer = ACL_NO_MATCH;
    if (text[0] == '\0' || text[0] == '#')
        return true;
    if (*rest == '\0')
        return take_entry(line, text, answer, err);
    if (word != 7 || strncmp(text, "include", 7) != 0 || rest[strcspn(rest, " \t")] != '\0')
        return bad_line(line, err, "cannot understand", text);
    return take_path(line, rest, answer, err);
}

/* The next line of *P into TEXT, blanks at both ends removed. False if it cannot be one. */
static bool
cut_line(const char **p, const char *end, char *text)
{
    const char *start = *p, *stop = memchr(start, '\n', (size_t)(end - start));
    size_t len;

    if (stop == NULL)
        stop = end;
    *p = stop < end ? stop + 1 : end;
    while (start < stop && strchr(" \t\r", *start) != NULL && *start != '\0')
        start++;
    while (stop > start && strchr(" \t\r", stop[-1]) != NULL && stop[-1] != '\0')
        stop--;
    len = (size_t)(stop - start);
    if (len >= MAX_LINE || memchr(start, '\0', len) != NULL)
        return false;
    memcpy(text, start, len);
    text[len] = '\0';
    return true;
}

bool
acl_evaluate(const char *name, const char *text, size_t len, const char *principal,
             acl_include *include, void *arg, enum acl_answer *answer, struct error *err)
{
    struct line line = { name, 0, principal, include, arg };
    const char *p = text, *end = text + len;
    char one[MAX_LINE];

    *answer = ACL_NO_MATCH;
    while (p < end) {
        enum acl_answer said;

        line.number++;
        if (!cut_line(&p, end, one))
            return bad_line(&line, err, "line is too long or not text", "");
        if (!take_line(&line, one, &said, err))
            return false;
        if (*answer == ACL_NO_MATCH)
            *answer = said;
    }
    return true;
}

static acl_include include_path;

static bool
include_file(struct reader *reader, const char *path, enum acl_answer *answer, struct error *err)
{
    struct buffer text;
    bool ok;

    if (++reader->files > MAX_FILES)
        return error_set(err, ERROR_USAGE, "cannot read %s: more than %d files", path, MAX_FILES);
    buffer_init(&text, MAX_FILE);
    ok = file_read(path, &text, err) &&
         acl_evaluate(path, buffer_string(&text), text.len, reader->principal, include_path, reader,
                      answer, err);
    buffer_free(&text);
    return ok;
}

/* Only letters, digits, - and _: what editors and package managers leave behind has other names. */
static bool
good_name(const char *name)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789-_";

    return name[strspn(name, allowed)] == '\0';
}

static bool
include_folder(struct reader *reader, const char *path, enum acl_answer *answer, struct error *err)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    char file[PATH_MAX];
    bool ok = true;

    if (dir == NULL)
        return error_errno(err, ERROR_USAGE, errno, "cannot read folder %s", path);
    while (ok && (entry = readdir(dir)) != NULL) {
        enum acl_answer said = ACL_NO_MATCH;

        if (!good_name(entry->d_name))
            continue;
        if (snprintf(file, sizeof(file), "%s/%s", path, entry->d_name) >= (int)sizeof(file))
            ok = error_set(err, ERROR_USAGE, "cannot read %s: a name is too long", path);
        else
            ok = include_file(reader, file, &said, err);
        if (said > *answer)
            *answer = said;
    }
    closedir(dir);
    return ok;
}

static bool
include_path(void *arg, const char *path, enum acl_answer *answer, struct error *err)
{
    struct reader *reader = arg;
    struct stat st;
    bool ok;

    *answer = ACL_NO_MATCH;
    if (reader->depth >= MAX_DEPTH)
        return error_set(err, ERROR_USAGE, "cannot read %s: included too deep", path);
    if (stat(path, &st) != 0)
        return error_errno(err, ERROR_USAGE, errno, "cannot read %s", path);
    reader->depth++;
    if (S_ISDIR(st.st_mode))
        ok = include_folder(reader, path, answer, err);
    else
        ok = include_file(reader, path, answer, err);
    reader->depth--;
    return ok;
}

bool
acl_evaluate_path(const char *path, const char *principal, enum acl_answer *answer,
                  struct error *err)
{
    struct reader reader = { principal, 0, 0 };

    return include_path(&reader, path, answer, err);
}

/* The answer of file SETTING (its name for the log) for PEER; a fault is a denial. */
static enum acl_answer
ask_file(const char *setting, const char *path, const char *peer)
{
    enum acl_answer answer;
    struct error err;

    error_clear(&err);
    if (acl_evaluate_path(path, peer, &answer, &err))
        return answer;
    log_error("everybody is denied by %s: %s", setting, err.text);
    return ACL_DENY;
}

static bool
is_address(const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];

    return host[0] == '[' || inet_pton(AF_INET, host, address) == 1 ||
           inet_pton(AF_INET6, host, address) == 1;
}

bool
acl_primary(char *const *admin_server, const char *realm, char *name, size_t size,
            struct error *err)
{
    static const char hint[] = "Set admin_server of the realm in krb5.conf to the primary's one "
                               "host name, or acl in agent.conf";
    const char *host, *colon;
    int len;

    if (admin_server == NULL || admin_server[0] == NULL) {
        error_set(err, ERROR_USAGE,
                  "cannot tell the primary: realm %s has no admin_server in "
                  "krb5.conf",
                  realm);
        return error_hint(err, hint);
    }
    host = admin_server[0];
    if (admin_server[1] != NULL || strpbrk(host, " \t,@/") != NULL) {
        error_set(err, ERROR_USAGE,
                  "cannot tell the primary: realm %s has several values of "
                  "admin_server in krb5.conf",
                  realm);
        return error_hint(err, hint);
    }
    colon = strchr(host, ':');
    len = colon == NULL ? (int)strlen(host) : (int)(colon - host);
    if (snprintf(name, size, "%.*s", len, host) >= (int)size || len == 0 || is_address(host) ||
        is_address(name)) {
        error_set(err, ERROR_USAGE,
                  "cannot tell the primary: admin_server '%s' of realm %s in "
                  "krb5.conf is not a host name",
                  host, realm);
        return error_hint(err, hint);
    }
    if (snprintf(name, size, "host/%.*s@%s", len, host, realm) < (int)size)
        return true;
    return error_set(err, ERROR_USAGE, "cannot tell the primary: the name is too long");
}

/* Whether PEER is the primary's host, as krb5.conf alone names it. */
static bool
is_primary(const char *peer)
{
    struct realm *realm = NULL;
    struct error err;
    char name[1024];
    bool ok;

    error_clear(&err);
    ok = realm_load(NULL, &realm, &err) &&
         acl_primary(realm->admin_server, realm->name, name, sizeof(name), &err);
    if (!ok)
        log_error("everybody is denied: %s; %s", err.text, err.hint);
    realm_free(realm);
    return ok && strcmp(name, peer) == 0;
}

bool
acl_permits(const struct settings *settings, const char *peer, enum acl_right right)
{
    enum acl_answer answer = ACL_NO_MATCH;

    if (settings->acl != NULL)
        answer = ask_file("acl", settings->acl, peer);
    else if (is_primary(peer))
        answer = ACL_PERMIT;
    if (answer != ACL_NO_MATCH || right == ACL_CHANGE || settings->acl_read == NULL)
        return answer == ACL_PERMIT;
    return ask_file("acl_read", settings->acl_read, peer) == ACL_PERMIT;
}
