/*
 * dump_record - see dump_record.h. The fields are those that krb5's kadmin/dbutil/dump.c writes;
 * what is refused beyond a field that cannot be read is what its load was seen to change or lose
 * (1.20.1).
 */
#include "common/kdb/dump_record.h"

#include "common/base/buffers.h"

#include <ctype.h>
#include <kdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES 32766 /* db2 keeps a name's length, with its NUL, in an int16 */
#define POLICY_NAME_MAX 1023 /* what load reads */

/* A record's line while it is read; FAILED sticks. */
struct reader {
    struct dump_record *record;
    struct error *err;
    const char *line;
    size_t line_len;
    const char *p;
    const char *end;
    bool ended; /* the last field was taken */
    bool failed;
};

/* As a terminal may show them: control characters and cut-off ends become dots. */
static void
show(const char *name, size_t len, char *text, size_t size)
{
    size_t n = len < size - 4 ? len : size - 4;

    for (size_t i = 0; i < n; i++)
        text[i] = (unsigned char)name[i] < 0x20 || name[i] == 0x7f ? '.' : name[i];
    snprintf(text + n, size - n, "%s", n < len ? "..." : "");
}

void
dump_record_name(const char *line, size_t len, char *text, size_t size)
{
    bool policy = len > 7 && memcmp(line, "policy\t", 7) == 0;
    const char *end = line + len, *p = line, *tab;
    int n;

    text[0] = '\0';
    if (!policy && (len < 6 || memcmp(line, "princ\t", 6) != 0))
        return;
    for (int skip = policy ? 1 : 6; skip > 0; skip--) {
        p = memchr(p, '\t', (size_t)(end - p));
        if (p == NULL)
            return;
        p++;
    }
    tab = memchr(p, '\t', (size_t)(end - p));
    if (tab == NULL)
        return; /* it may be cut itself */
    n = snprintf(text, size, policy ? "policy " : "principal ");
    show(p, (size_t)(tab - p), text + n, size - (size_t)n);
}

/* Fail with CODE: "line N: principal NAME: REASON". False. */
static bool __attribute__((format(printf, 3, 4)))
bad(struct reader *r, int code, const char *fmt, ...)
{
    char name[DUMP_NAME_SHOWN], reason[300];
    va_list ap;

    if (r->failed)
        return false;
    r->failed = true;
    va_start(ap, fmt);
    vsnprintf(reason, sizeof(reason), fmt, ap);
    va_end(ap);
    dump_record_name(r->line, r->line_len, name, sizeof(name));
    error_set(r->err, code, "cannot accept the dump: line %llu: %s%s%s",
              (unsigned long long)r->record->line, name, name[0] != '\0' ? ": " : "", reason);
    error_hint(r->err, code == ERROR_FAILED
                           ? "The dump is damaged: look at the disk it lies on and dump again"
                           : "Change or delete it with kadmin on the primary, then dump again");
    return false;
}

/* The next field, up to a tab or the line's end. */
static bool
field(struct reader *r, const char *what, const char **start, size_t *len)
{
    const char *tab;

    *start = NULL;
    *len = 0;
    if (r->failed)
        return false;
    if (r->ended)
        return bad(r, ERROR_FAILED, "it ends before its %s", what);
    tab = memchr(r->p, '\t', (size_t)(r->end - r->p));
    *start = r->p;
    *len = (size_t)((tab != NULL ? tab : r->end) - r->p);
    r->ended = tab == NULL;
    r->p = tab != NULL ? tab + 1 : r->end;
    return true;
}

/* A decimal number from MIN to MAX; 0 on failure. */
static int64_t
number(struct reader *r, const char *what, int64_t min, int64_t max)
{
    const char *p;
    size_t len, i = 0;
    int64_t value = 0;
    bool negative;

    if (!field(r, what, &p, &len))
        return 0;
    negative = len > 1 && p[0] == '-';
    for (i = negative; i < len && i < 12 && p[i] >= '0' && p[i] <= '9'; i++)
        value = value * 10 + (p[i] - '0');
    if (len == 0 || i < len) {
        bad(r, ERROR_FAILED, "its %s is not a number", what);
        return 0;
    }
    if (negative)
        value = -value;
    if (value < min || value > max) {
        bad(r, ERROR_FAILED, "its %s is out of range", what);
        return 0;
    }
    return value;
}

/* A number of 32 bits: some versions of krb5 print them signed, others unsigned. */
static uint32_t
number32(struct reader *r, const char *what)
{
    return (uint32_t)number(r, what, INT32_MIN, UINT32_MAX);
}

/* The value of each hexadecimal digit plus one, 0 for what is none. */
static const unsigned char hex_digits[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

/* SIZE bytes from 2 * SIZE digits; false if one is none. */
static bool
from_hex(const char *digits, size_t size, unsigned char *out)
{
    bool all = true;

    for (size_t i = 0; i < size; i++, digits += 2) {
        unsigned int high = hex_digits[(unsigned char)digits[0]];
        unsigned int low = hex_digits[(unsigned char)digits[1]];

        all &= high != 0 && low != 0;
        out[i] = (unsigned char)((high - 1) << 4 | (low - 1));
    }
    return all;
}

/* SIZE bytes (at most DUMP_OCTETS_MAX) in hexadecimal, "-1" for none, into record->octets. */
static bool
octets(struct reader *r, const char *what, size_t size)
{
    const char *p;
    size_t len;

    if (!field(r, what, &p, &len))
        return false;
    if (size == 0) {
        if (len == 2 && memcmp(p, "-1", 2) == 0)
            return true;
        return bad(r, ERROR_FAILED, "its %s should be empty", what);
    }
    if (len != 2 * size)
        return bad(r, ERROR_FAILED, "its %s is %zu digits long instead of %zu", what, len,
                   2 * size);
    return from_hex(p, size, r->record->octets) ||
           bad(r, ERROR_FAILED, "its %s is not hexadecimal", what);
}

static void
tl_data(struct reader *r, size_t count)
{
    struct dump_record *record = r->record;

    for (size_t i = 0; i < count && !r->failed; i++) {
        int16_t type = (int16_t)number(r, "type of TL data", INT16_MIN, INT16_MAX);
        size_t size = (size_t)number(r, "length of TL data", 0, UINT16_MAX);

        if (!octets(r, "TL data", size))
            return;
        if (type == KRB5_TL_DB_ARGS && !record->policy) {
            bad(r, ERROR_REFUSED, "it holds database arguments, which `kdb5_util load` rejects");
            return;
        }
        if (record->digest != NULL)
            digest_tl(record->digest, type, record->octets, size);
    }
}

static void
keys(struct reader *r, size_t count)
{
    struct digest *digest = r->record->digest;

    for (size_t i = 0; i < count && !r->failed; i++) {
        int16_t version = (int16_t)number(r, "key's version", 0, KRB5_KDB_V1_KEY_DATA_ARRAY);
        uint16_t kvno = (uint16_t)number(r, "key's kvno", 0, UINT16_MAX);

        if (digest != NULL)
            digest_key(digest, version, kvno);
        for (int j = 0; j < version && !r->failed; j++) {
            int16_t type = (int16_t)number(r, "key's type", INT16_MIN, INT16_MAX);
            size_t size = (size_t)number(r, "key's length", 0, UINT16_MAX);

            if (octets(r, "key", size) && digest != NULL)
                digest_key_part(digest, type, r->record->octets, size);
        }
    }
}

/* The name must be what krb5_unparse_name writes, else load stores the record under another. */
static bool
is_unparsed(const char *name, size_t len)
{
    size_t separators = 0;

    for (size_t i = 0; i < len; i++) {
        if (memchr("\0\n\b", name[i], 3) != NULL)
            return false;
        if (name[i] == '/' && separators > 0)
            return false;
        if (name[i] == '@')
            separators++;
        if (name[i] == '\\' && (++i == len || memchr("/@\\tnb0", name[i], 7) == NULL))
            return false;
    }
    return separators == 1;
}

static bool
principal_name(struct reader *r, size_t size)
{
    struct dump_record *record = r->record;

    if (!field(r, "name", &record->name, &record->name_len))
        return false;
    if (record->name_len != size)
        return bad(r, ERROR_FAILED, "its name is %zu bytes long instead of %zu", record->name_len,
                   size);
    if (!is_unparsed(record->name, size))
        return bad(r, ERROR_FAILED, "its name is not spelled as kdb5_util does");
    if (size > NAME_MAX_BYTES)
        return bad(r, ERROR_REFUSED,
                   "its name is so long that it makes the loaded database unreadable");
    if (isspace((unsigned char)record->name[0])) {
        bad(r, ERROR_REFUSED, "its name begins with white space, which `kdb5_util load` drops");
        return error_hint(r->err, "Rename that principal with kadmin's rename_principal");
    }
    return true;
}

static bool
principal(struct reader *r)
{
    struct dump_record *record = r->record;
    int64_t length = number(r, "record length", 0, UINT32_MAX);
    size_t name_len = (size_t)number(r, "name's length", 0, UINT32_MAX);
    size_t n_tl = (size_t)number(r, "number of TL data", 0, INT16_MAX);
    size_t n_keys = (size_t)number(r, "number of keys", 0, INT16_MAX);
    size_t e_len = (size_t)number(r, "length of extra data", 0, UINT16_MAX);
    uint32_t u[8];
    static const char *const what[8] = {
        "attributes",   "maximum life",          "maximum renewable life",
        "expiration",   "password's expiration", "last success",
        "last failure", "failure count",
    };

    if (!principal_name(r, name_len))
        return false;
    for (int i = 0; i < 8; i++)
        u[i] = number32(r, what[i]);
    if (record->digest != NULL && !r->failed)
        digest_principal(record->digest, record->name, record->name_len, u[0], u[1], u[2], u[3],
                         u[4]);
    tl_data(r, n_tl);
    keys(r, n_keys);
    if (!octets(r, "extra data", e_len))
        return false;
    if (!r->ended)
        return bad(r, ERROR_FAILED, "it goes on behind its extra data");
    if (length != KRB5_KDB_V1_BASE_LENGTH)
        return bad(r, ERROR_REFUSED, "`kdb5_util load` crashes on its record length %lld",
                   (long long)length);
    if (e_len > 0)
        return bad(r, ERROR_REFUSED,
                   "its extra data makes the database that `kdb5_util load` writes unreadable");
    return true;
}

static bool
has_space(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (isspace((unsigned char)text[i]))
            return true;
    return false;
}

/* load reads a policy's strings up to white space, of any kind, and no longer than its room. */
static bool
policy_string(struct reader *r, const char *what, size_t max, const char **text, size_t *len)
{
    if (!field(r, what, text, len))
        return false;
    if (*len == 0 || has_space(*text, *len)) {
        bad(r, ERROR_REFUSED, "its %s %s, which `kdb5_util load` cannot read", what,
            *len == 0 ? "is empty" : "holds a space");
        return error_hint(r->err, "Change it with kadmin: a policy's name by making another "
                                  "policy, allowed key salts by separating them with commas");
    }
    if (*len > max || memchr(*text, '\0', *len) != NULL)
        return bad(r, ERROR_REFUSED, "its %s is too long for `kdb5_util load`", what);
    return true;
}

/* The fields of version 7, beyond those of version 6. */
static void
policy_tail(struct reader *r, struct digest_policy *policy, size_t *n_tl)
{
    policy->attributes = number32(r, "attributes");
    policy->max_life = number32(r, "maximum ticket life");
    policy->max_renewable_life = number32(r, "maximum renewable life");
    policy_string(r, "allowed key salts", KRB5_KDB_MAX_ALLOWED_KS_LEN, &policy->allowed_keysalts,
                  &policy->allowed_keysalts_len);
    *n_tl = (size_t)number(r, "number of TL data", 0, INT16_MAX);
}

static bool
policy(struct reader *r)
{
    struct dump_record *record = r->record;
    struct digest_policy policy = { 0 };
    bool seven = record->format == DUMP_IPROPX || record->version == 7;
    size_t n_tl = 0;

    record->policy = true;
    if (!policy_string(r, "name", POLICY_NAME_MAX, &record->name, &record->name_len))
        return false;
    policy.name = record->name;
    policy.name_len = record->name_len;
    policy.pw_min_life = number32(r, "minimum password life");
    policy.pw_max_life = number32(r, "maximum password life");
    policy.pw_min_length = number32(r, "minimum length");
    policy.pw_min_classes = number32(r, "minimum number of classes");
    policy.pw_history_num = number32(r, "history");
    number32(r, "reference count");
    if (seven || record->version == 6) {
        policy.pw_max_fail = number32(r, "maximum of failures");
        policy.pw_failcnt_interval = number32(r, "failure count interval");
        policy.pw_lockout_duration = number32(r, "lockout duration");
    }
    if (seven && !r->ended) /* a dump of iprop made by 1.8 to 1.10 ends here */
        policy_tail(r, &policy, &n_tl);
    if (record->digest != NULL && !r->failed)
        digest_policy(record->digest, &policy);
    tl_data(r, n_tl);
    if (!r->failed && !r->ended)
        return bad(r, ERROR_FAILED, "it goes on behind its last field");
    return !r->failed;
}

bool
dump_record_decode(struct dump_record *record, const char *line, size_t len, struct error *err)
{
    struct reader r = { record, err, line, len, line, line + len, false, false };
    const char *kind;
    size_t kind_len;
    bool ok;

    record->policy = false;
    if (!field(&r, "kind", &kind, &kind_len))
        return false;
    if (kind_len == 5 && memcmp(kind, "princ", 5) == 0) {
        if (line[len - 1] != ';')
            return bad(&r, ERROR_FAILED, "it does not end in ';'");
        r.end--;
        ok = principal(&r);
    } else if (kind_len == 6 && memcmp(kind, "policy", 6) == 0) {
        ok = policy(&r);
    } else {
        return bad(&r, ERROR_FAILED, "it is neither a principal nor a policy");
    }
    if (ok && record->digest != NULL && !digest_end(record->digest)) {
        r.failed = true;
        return error_memory(err);
    }
    return ok;
}
