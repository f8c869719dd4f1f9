/*
 * dump - see dump.h. Here: bytes to lines, the header, and what must hold of the dump as a whole.
 * common/kdb/dump_record.c decodes a record.
 */
#include "common/kdb/dump.h"

#include "common/base/buffers.h"
#include "common/kdb/dump_record.h"
#include "common/kdb/evp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HINT_CUT                                                                                   \
    "It was cut off, as by a full disk or a killed kdb5_util: look at the free space and dump "    \
    "again"

struct dump {
    EVP_MD_CTX *sha256;
    struct digest *digest; /* NULL without a nonce */
    struct buffer line;    /* the beginning of a line that has not ended yet */
    char *master_key;      /* the names that must occur, NULL while the realm is not known */
    char *krbtgt;
    char candidate[256]; /* realm of the first krbtgt/R@R, while it is not known */
    unsigned char *octets;
    struct dump_info info;
    struct error err; /* the first failure, for good */
};

struct dump *
dump_new(const char *realm, const char *master_key, const unsigned char *nonce)
{
    struct dump *d = calloc(1, sizeof(*d));
    bool ok = d != NULL;

    if (!ok)
        return NULL;
    buffer_init(&d->line, DUMP_LINE_MAX);
    d->sha256 = EVP_MD_CTX_new();
    d->octets = malloc(DUMP_OCTETS_MAX);
    ok = d->sha256 != NULL && d->octets != NULL &&
         EVP_DigestInit_ex(d->sha256, EVP_sha256(), NULL) == 1;
    if (ok && nonce != NULL)
        ok = (d->digest = digest_new(nonce)) != NULL;
    if (ok && realm != NULL) {
        snprintf(d->info.realm, sizeof(d->info.realm), "%s", realm);
        ok = asprintf(&d->krbtgt, "krbtgt/%s@%s", realm, realm) >= 0;
    }
    if (ok && master_key != NULL)
        ok = (d->master_key = strdup(master_key)) != NULL;
    else if (ok && realm != NULL)
        ok = asprintf(&d->master_key, "K/M@%s", realm) >= 0;
    if (ok)
        return d;
    dump_free(d);
    return NULL;
}

void
dump_also(struct dump *d, const unsigned char *nonce)
{
    if (d->digest != NULL)
        digest_also(d->digest, nonce);
}

void
dump_free(struct dump *d)
{
    if (d == NULL)
        return;
    EVP_MD_CTX_free(d->sha256);
    digest_free(d->digest);
    buffer_free_secret(&d->line);
    free(d->master_key);
    free(d->krbtgt);
    if (d->octets != NULL)
        explicit_bzero(d->octets, DUMP_OCTETS_MAX);
    free(d->octets);
    free(d);
}

/* Read LINE as the header; false if it is none that kdb5_util writes: to the letter, or load balks.
 */
static bool
read_header(const char *line, struct dump_info *info)
{
    unsigned int u[4];
    char same[80] = "";

    if (sscanf(line, "kdb5_util load_dump version %1u", &u[0]) == 1 && u[0] >= 4 && u[0] <= 7) {
        info->format = DUMP_FULL;
        info->version = u[0];
        snprintf(same, sizeof(same), "kdb5_util load_dump version %u", u[0]);
    } else if (sscanf(line, "ipropx %u %u %u %u", &u[0], &u[1], &u[2], &u[3]) == 4 && u[0] <= 1) {
        info->format = u[0] == 0 ? DUMP_IPROP : DUMP_IPROPX;
        info->version = u[0];
        snprintf(same, sizeof(same), "ipropx %u %u %u %u", u[0], u[1], u[2], u[3]);
    } else if (sscanf(line, "iprop %u %u %u", &u[0], &u[1], &u[2]) == 3) {
        info->format = DUMP_IPROP;
        snprintf(same, sizeof(same), "iprop %u %u %u", u[0], u[1], u[2]);
    }
    return same[0] != '\0' && strcmp(same, line) == 0;
}

static bool
take_header(struct dump *d, const char *line, size_t len)
{
    char text[80] = "";

    if (len < sizeof(text))
        memcpy(text, line, len);
    if (strlen(text) == len && read_header(text, &d->info))
        return true;
    error_set(&d->err, ERROR_FAILED,
              "cannot accept the dump: line 1: it is not the header of a dump of version 4 to 7");
    return error_hint(&d->err, "Look whether it was made by `kdb5_util dump` of krb5 1.3 or later");
}

static bool
is(const char *expected, const char *name, size_t len)
{
    return expected != NULL && strlen(expected) == len && memcmp(expected, name, len) == 0;
}

/* Without a realm given, that of the first K/M counts, else that of the first principal. */
static void
guess_realm(struct dump *d, const char *name, size_t len)
{
    const char *at = memrchr(name, '@', len), *slash = memchr(name, '/', len);
    size_t size = (size_t)(name + len - at) - 1;
    char realm[sizeof(d->info.realm)] = "";

    if (size >= sizeof(realm))
        return;
    memcpy(realm, at + 1, size);
    if (d->info.realm[0] == '\0' || strncmp(name, "K/M@", 4) == 0)
        memcpy(d->info.realm, realm, sizeof(realm));
    if (strncmp(name, "K/M@", 4) == 0)
        d->info.has_master_key = true;
    if (strncmp(name, "krbtgt/", 7) == 0 && (size_t)(at - slash) - 1 == size &&
        memcmp(slash + 1, realm, size) == 0 && d->candidate[0] == '\0')
        memcpy(d->candidate, realm, sizeof(realm));
}

static void
note_name(struct dump *d, const char *name, size_t len)
{
    if (is(d->master_key, name, len))
        d->info.has_master_key = true;
    if (is(d->krbtgt, name, len))
        d->info.has_krbtgt = true;
    if (d->krbtgt == NULL && !(d->info.has_master_key && d->candidate[0] != '\0'))
        guess_realm(d, name, len);
}

/* Take one LINE without its newline. */
static bool
take_line(struct dump *d, const char *line, size_t len)
{
    struct dump_record record = { .digest = d->digest,
                                  .octets = d->octets,
                                  .format = d->info.format,
                                  .version = d->info.version,
                                  .line = ++d->info.lines };

    if (record.line == 1)
        return take_header(d, line, len);
    if (!dump_record_decode(&record, line, len, &d->err))
        return false;
    if (record.policy) {
        d->info.policies++;
        return true;
    }
    if (d->info.policies > 0) {
        error_set(&d->err, ERROR_FAILED,
                  "cannot accept the dump: line %llu: a principal after the first policy",
                  (unsigned long long)record.line);
        return error_hint(&d->err, "It looks like two dumps in one file: dump again");
    }
    d->info.principals++;
    note_name(d, record.name, record.name_len);
    return true;
}

static bool
keep(struct dump *d, const char *data, size_t len)
{
    if (buffer_add(&d->line, data, len))
        return true;
    if (d->line.len + len > DUMP_LINE_MAX)
        return error_set(&d->err, ERROR_FAILED,
                         "cannot accept the dump: line %llu is longer than %u bytes",
                         (unsigned long long)d->info.lines + 1, DUMP_LINE_MAX);
    return error_memory(&d->err);
}

/* Split DATA into lines; those that lie in it whole are not copied. */
static bool
split(struct dump *d, const char *data, size_t len)
{
    while (len > 0) {
        const char *newline = memchr(data, '\n', len);
        size_t n = newline != NULL ? (size_t)(newline - data) : len;
        bool whole = newline != NULL && d->line.len == 0;

        if (whole && n <= DUMP_LINE_MAX) {
            if (!take_line(d, data, n))
                return false;
        } else {
            if (!keep(d, data, n))
                return false;
            if (newline != NULL) {
                if (!take_line(d, (const char *)d->line.data, d->line.len))
                    return false;
                buffer_reset(&d->line);
            }
        }
        if (newline == NULL)
            return true;
        data = newline + 1;
        len -= n + 1;
    }
    return true;
}

bool
dump_feed(struct dump *d, const void *data, size_t len, struct error *err)
{
    if (d->err.code == ERROR_NONE) {
        d->info.bytes += len;
        if (len > 0 && EVP_DigestUpdate(d->sha256, data, len) != 1)
            error_memory(&d->err);
        else
            split(d, data, len);
    }
    if (d->err.code == ERROR_NONE)
        return true;
    *err = d->err;
    return false;
}

/* The dump ended inside a line, or too early: say where. */
static bool
check_whole(struct dump *d, struct error *err)
{
    char name[DUMP_NAME_SHOWN];
    const char *line = (const char *)d->line.data;

    if (d->info.bytes == 0) {
        error_set(err, ERROR_FAILED, "cannot accept the dump: it is empty");
        return error_hint(err, HINT_CUT);
    }
    if (d->line.len > 0) {
        dump_record_name(line, d->line.len, name, sizeof(name));
        error_set(err, ERROR_FAILED, "cannot accept the dump: it ends inside line %llu%s%s",
                  (unsigned long long)d->info.lines + 1, name[0] != '\0' ? ", " : "", name);
        return error_hint(err, HINT_CUT);
    }
    if (d->info.principals == 0) {
        error_set(err, ERROR_FAILED, "cannot accept the dump: it holds no principal");
        return error_hint(err, HINT_CUT);
    }
    return true;
}

static bool
check_realm(const struct dump *d, struct error *err)
{
    const struct dump_info *info = &d->info;

    if (info->has_master_key && info->has_krbtgt)
        return true;
    if (!info->has_master_key)
        error_set(err, ERROR_REFUSED, "cannot accept the dump: it does not hold %s%s",
                  d->master_key != NULL ? d->master_key : "K/M@",
                  d->master_key != NULL ? "" : info->realm);
    else
        error_set(err, ERROR_REFUSED, "cannot accept the dump: it does not hold krbtgt/%s@%s",
                  info->realm, info->realm);
    return error_hint(err, "It is of another realm, or of a part of one: dump the whole database "
                           "of this realm");
}

bool
dump_finish(struct dump *d, struct dump_info *info, struct error *err)
{
    unsigned int n;

    if (info != NULL)
        memset(info, 0, sizeof(*info));
    if (d->err.code != ERROR_NONE) {
        *err = d->err;
        return false;
    }
    if (!check_whole(d, &d->err)) {
        *err = d->err;
        return false;
    }
    if (d->krbtgt == NULL)
        d->info.has_krbtgt = d->candidate[0] != '\0' && strcmp(d->candidate, d->info.realm) == 0;
    if (EVP_DigestFinal_ex(d->sha256, d->info.sha256, &n) != 1 ||
        (d->digest != NULL && !digest_value(d->digest, d->info.digest))) {
        error_memory(&d->err);
        *err = d->err;
        return false;
    }
    if (d->digest != NULL)
        digest_also_value(d->digest, d->info.also);
    if (info != NULL)
        *info = d->info;
    return check_realm(d, err);
}

uint64_t
dump_bytes(const struct dump *d)
{
    return d->info.bytes;
}

uint64_t
dump_principals(const struct dump *d)
{
    return d->info.principals;
}
