/* bundle - see bundle.h, and docs/bundle.md for the format. */
#include "common/contract/bundle.h"

#include <openssl/evp.h>
#include <string.h>

#define MAGIC "kpropctl-bundle\n"
#define VERSION 1
#define DIGEST_LEN 32

/* Magic, version, length of all, number of parts. */
#define HEAD_LEN (sizeof(MAGIC) - 1 + 4 + 4 + 1)

#define AGAIN "run `kpropctl enroll` on the primary again, and send what it writes unchanged"

enum kind { LINE, TEXT, BYTES };

static const struct part {
    const char *name;
    enum kind kind;
    bool optional;
} parts[BUNDLE_PARTS] = {
    [BUNDLE_REALM] = { "realm", LINE, false },
    [BUNDLE_HOST] = { "host", LINE, false },
    [BUNDLE_PRIMARY] = { "primary", LINE, false },
    [BUNDLE_CREATED] = { "created", LINE, false },
    [BUNDLE_DATA_DIR] = { "data-dir", LINE, false },
    [BUNDLE_CONF_DIR] = { "conf-dir", LINE, false },
    [BUNDLE_KEYTAB] = { "keytab", BYTES, false },
    [BUNDLE_KRB5_CONF] = { "krb5.conf", TEXT, false },
    [BUNDLE_KDC_CONF] = { "kdc.conf", TEXT, false },
    [BUNDLE_KPROPD_ACL] = { "kpropd.acl", TEXT, false },
    [BUNDLE_AGENT_ACL] = { "agent.acl", TEXT, false },
    [BUNDLE_STASH] = { "stash", BYTES, true },
};

void
bundle_init(struct bundle *b)
{
    for (int i = 0; i < BUNDLE_PARTS; i++)
        buffer_init(&b->parts[i], BUNDLE_PART_MAX);
}

void
bundle_free(struct bundle *b)
{
    for (int i = 0; i < BUNDLE_PARTS; i++)
        buffer_free_secret(&b->parts[i]);
}

const char *
bundle_part_name(enum bundle_part part)
{
    return parts[part].name;
}

const char *
bundle_string(struct bundle *b, enum bundle_part part)
{
    return buffer_string(&b->parts[part]);
}

/* A line has no control character at all, a text line ends and tabs. */
static bool
is_clean(enum kind kind, const unsigned char *data, size_t len)
{
    if (kind == BYTES)
        return true;
    for (size_t i = 0; i < len; i++) {
        if (data[i] == 0x7f || (data[i] < 0x20 && (kind == LINE || !strchr("\t\n\r", data[i]))) ||
            data[i] == '\0')
            return false;
    }
    return true;
}

bool
bundle_set(struct bundle *b, enum bundle_part part, const void *data, size_t len, struct error *err)
{
    struct buffer *to = &b->parts[part];
    const char *name = parts[part].name;
    size_t max = parts[part].kind == LINE ? 1024 : BUNDLE_PART_MAX;

    if (len > max)
        return error_set(err, ERROR_REFUSED,
                         "cannot put %zu bytes into the bundle's part '%s': at most %zu", len, name,
                         max);
    if (!is_clean(parts[part].kind, data, len))
        return error_set(err, ERROR_REFUSED,
                         "cannot take the bundle's part '%s': control characters in it", name);
    buffer_reset(to);
    return buffer_add(to, data, len) || error_memory(err);
}

static bool
sha256(const void *data, size_t len, unsigned char out[DIGEST_LEN], struct error *err)
{
    unsigned int size = 0;

    if (EVP_Digest(data, len, out, &size, EVP_sha256(), NULL) == 1 && size == DIGEST_LEN)
        return true;
    return error_set(err, ERROR_INTERNAL, "cannot compute SHA-256 of the bundle");
}

bool
bundle_write(struct bundle *b, struct buffer *out, struct error *err)
{
    unsigned char digest[DIGEST_LEN];
    size_t begin = out->len, total = HEAD_LEN + DIGEST_LEN;
    unsigned int count = 0;

    for (int i = 0; i < BUNDLE_PARTS; i++) {
        if (b->parts[i].len == 0 && !parts[i].optional)
            return error_set(err, ERROR_INTERNAL, "cannot write the bundle: part '%s' is missing",
                             parts[i].name);
        if (b->parts[i].len == 0)
            continue;
        count++;
        total += 1 + strlen(parts[i].name) + 4 + b->parts[i].len;
    }
    if (total > BUNDLE_MAX)
        return error_set(err, ERROR_REFUSED,
                         "cannot write the bundle: %zu bytes are more than the %u that it may have",
                         total, BUNDLE_MAX);
    buffer_add_string(out, MAGIC);
    buffer_add_u32(out, VERSION);
    buffer_add_u32(out, (uint32_t)total);
    buffer_add_u8(out, (uint8_t)count);
    for (int i = 0; i < BUNDLE_PARTS; i++) {
        if (b->parts[i].len == 0)
            continue;
        buffer_add_u8(out, (uint8_t)strlen(parts[i].name));
        buffer_add_string(out, parts[i].name);
        buffer_add_u32(out, (uint32_t)b->parts[i].len);
        buffer_add(out, b->parts[i].data, b->parts[i].len);
    }
    if (out->failed)
        return error_memory(err);
    if (!sha256(out->data + begin, out->len - begin, digest, err))
        return false;
    return buffer_add(out, digest, sizeof(digest)) || error_memory(err);
}

static bool
refuse(struct error *err, const char *why)
{
    error_set(err, ERROR_REFUSED, "cannot read the bundle: %s", why);
    return error_hint(err, AGAIN);
}

/* Is it a bundle, of our version, whole, alone, and unaltered? C stands behind the head then. */
static bool
check_whole(const unsigned char *data, size_t len, struct cursor *c, struct error *err)
{
    unsigned char digest[DIGEST_LEN];
    const unsigned char *magic;
    uint32_t version, total;

    cursor_init(c, data, len);
    magic = cursor_bytes(c, sizeof(MAGIC) - 1);
    version = cursor_u32(c);
    total = cursor_u32(c);
    if (len == 0)
        return refuse(err, "there is nothing to read");
    if (memcmp(data, MAGIC, len < sizeof(MAGIC) - 1 ? len : sizeof(MAGIC) - 1) != 0)
        return refuse(err, "it does not begin as what `kpropctl enroll` writes does");
    if (magic == NULL || c->failed)
        return refuse(err, "it is cut off");
    if (version != VERSION) {
        error_set(err, ERROR_REFUSED,
                  "cannot read the bundle: it has version %lu, and this program knows version %d",
                  (unsigned long)version, VERSION);
        return error_hint(err, "install the same version of kpropctl on the primary and of "
                               "kpropctl-agent here");
    }
    if (total > BUNDLE_MAX || total < HEAD_LEN + DIGEST_LEN)
        return refuse(err, "it was altered: its length cannot be");
    if (len < total) {
        error_set(err, ERROR_REFUSED,
                  "cannot read the bundle: it is cut off after %zu of %lu bytes", len,
                  (unsigned long)total);
        return error_hint(err, AGAIN);
    }
    if (len > total)
        return refuse(err, "something follows it");
    if (!sha256(data, len - DIGEST_LEN, digest, err))
        return false;
    if (memcmp(digest, data + len - DIGEST_LEN, DIGEST_LEN) != 0)
        return refuse(err, "it was altered: its digest does not fit");
    return true;
}

static int
find_part(const unsigned char *name, size_t len)
{
    for (int i = 0; i < BUNDLE_PARTS; i++) {
        if (strlen(parts[i].name) == len && memcmp(parts[i].name, name, len) == 0)
            return i;
    }
    return -1;
}

static bool
read_part(struct cursor *c, struct bundle *out, struct error *err)
{
    size_t name_len = cursor_u8(c), len;
    const unsigned char *name = cursor_bytes(c, name_len), *data;
    int part;

    len = cursor_u32(c);
    data = cursor_bytes(c, len);
    if (c->failed || name == NULL || data == NULL)
        return refuse(err, "its parts are longer than it is");
    part = find_part(name, name_len);
    if (part < 0)
        return refuse(err, "it has a part that this program does not know");
    if (out->parts[part].len > 0)
        return refuse(err, "it has a part twice");
    if (len == 0)
        return refuse(err, "it has an empty part");
    if (!bundle_set(out, (enum bundle_part)part, data, len, err)) {
        error_prefix(err, "cannot read the bundle");
        return error_hint(err, AGAIN);
    }
    return true;
}

bool
bundle_read(const void *data, size_t len, struct bundle *out, struct error *err)
{
    struct cursor c;
    bool ok;

    if (!check_whole(data, len, &c, err))
        return false;
    c.left -= DIGEST_LEN;
    ok = true;
    for (unsigned int count = cursor_u8(&c); ok && count > 0; count--)
        ok = read_part(&c, out, err);
    if (ok && !cursor_done(&c))
        ok = refuse(err, "there is more in it than it says");
    for (int i = 0; ok && i < BUNDLE_PARTS; i++) {
        if (out->parts[i].len == 0 && !parts[i].optional) {
            error_set(err, ERROR_REFUSED, "cannot read the bundle: its part '%s' is missing",
                      parts[i].name);
            ok = error_hint(err, AGAIN);
        }
    }
    if (!ok)
        bundle_free(out);
    return ok;
}
