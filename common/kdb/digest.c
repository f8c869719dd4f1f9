/*
 * digest - see digest.h.
 *
 * The canonical form; integers are big-endian, u32 counts the bytes that follow it:
 *
 *   principal: 'P', u32 name, u32 attributes, max_life, max_renewable_life, expiration,
 *              pw_expiration; then items: TL data, keys, e_data
 *   policy:    'O', u32 name, u32 of each number in the order of struct digest_policy;
 *              u8 0, or u8 1 and u32 allowed_keysalts; then items: TL data
 *   TL data:   'T', u16 type, u32 contents
 *   key:       'K', u16 version, u16 kvno; then its parts: 'C', u16 type, u32 contents
 *   e_data:    'E', u32 contents, absent if empty
 *
 * Keys are sorted by kvno, the greatest first (stable). A policy's TL data are sorted by their
 * bytes, because libkadm5's XDR decoder hands them out in reverse: each dump and load turns them.
 *
 * HMAC is done by copying two contexts that have swallowed the padded key: that is the cheapest way
 * that every OpenSSL since 1.0.2 offers without deprecated calls (some 0.5 us a record with 3.0).
 */
#include "common/kdb/digest.h"

#include "common/base/buffers.h"
#include "common/kdb/evp.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE 64 /* of SHA-256 */

/* One nonce, and the sum under it. */
struct sum {
    EVP_MD_CTX *inner; /* has taken key ^ ipad; NULL: no such nonce */
    EVP_MD_CTX *outer; /* has taken key ^ opad */
    unsigned char value[DIGEST_SIZE];
};

struct digest {
    struct sum sums[2];
    EVP_MD_CTX *work;
    struct buffer record; /* the canonical form so far of the record begun last */
    bool policy;          /* that record is a policy */
    size_t items;         /* where the items that may need sorting begin, 0 if there are none */
    size_t n_items;
    uint16_t kvno; /* of the last key */
    bool disordered;
    bool failed;
    uint64_t principals;
    uint64_t policies;
};

/* One key with its parts, or one TL data, inside the record. */
struct item {
    const unsigned char *data;
    size_t len;
    size_t index;
    uint16_t kvno;
};

static bool
start_hash(EVP_MD_CTX *ctx, const unsigned char *nonce, unsigned char pad)
{
    unsigned char block[BLOCK_SIZE];
    bool ok;

    memset(block, pad, sizeof(block));
    for (size_t i = 0; i < DIGEST_NONCE_SIZE; i++)
        block[i] ^= nonce[i];
    ok = EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
         EVP_DigestUpdate(ctx, block, sizeof(block)) == 1;
    OPENSSL_cleanse(block, sizeof(block));
    return ok;
}

static bool
start_sum(struct sum *sum, const unsigned char *nonce)
{
    sum->inner = EVP_MD_CTX_new();
    sum->outer = EVP_MD_CTX_new();
    return sum->inner != NULL && sum->outer != NULL && start_hash(sum->inner, nonce, 0x36) &&
           start_hash(sum->outer, nonce, 0x5c);
}

struct digest *
digest_new(const unsigned char nonce[DIGEST_NONCE_SIZE])
{
    struct digest *d = calloc(1, sizeof(*d));

    if (d == NULL)
        return NULL;
    buffer_init(&d->record, DIGEST_RECORD_MAX);
    d->work = EVP_MD_CTX_new();
    if (d->work == NULL || !start_sum(&d->sums[0], nonce)) {
        digest_free(d);
        return NULL;
    }
    return d;
}

void
digest_also(struct digest *d, const unsigned char nonce[DIGEST_NONCE_SIZE])
{
    if (d->sums[1].inner != NULL || !start_sum(&d->sums[1], nonce))
        d->failed = true;
}

void
digest_free(struct digest *d)
{
    if (d == NULL)
        return;
    for (size_t i = 0; i < 2; i++) {
        EVP_MD_CTX_free(d->sums[i].inner);
        EVP_MD_CTX_free(d->sums[i].outer);
    }
    EVP_MD_CTX_free(d->work);
    buffer_free_secret(&d->record);
    free(d);
}

static unsigned char *
put_u16(unsigned char *p, uint16_t v)
{
    p[0] = (unsigned char)(v >> 8);
    p[1] = (unsigned char)v;
    return p + 2;
}

static unsigned char *
put_u32(unsigned char *p, uint32_t v)
{
    p = put_u16(p, (uint16_t)(v >> 16));
    return put_u16(p, (uint16_t)v);
}

static void
add(struct digest *d, const void *data, size_t len)
{
    if (len > 0 && (data == NULL || !buffer_add(&d->record, data, len)))
        d->failed = true;
}

/* Append u32 LEN and the bytes. A length that u32 cannot hold is past DIGEST_RECORD_MAX anyway. */
static void
add_counted(struct digest *d, const void *data, size_t len)
{
    unsigned char head[4];

    put_u32(head, (uint32_t)len);
    add(d, head, sizeof(head));
    add(d, data, len);
}

static void
add_tagged(struct digest *d, unsigned char tag, uint16_t type, const void *data, size_t len)
{
    unsigned char head[7] = { tag };

    put_u32(put_u16(head + 1, type), (uint32_t)len);
    add(d, head, sizeof(head));
    add(d, data, len);
}

static void
begin(struct digest *d, bool policy, const char *name, size_t len)
{
    unsigned char tag = policy ? 'O' : 'P';

    buffer_reset(&d->record);
    d->policy = policy;
    d->items = 0;
    d->n_items = 0;
    d->disordered = false;
    add(d, &tag, 1);
    add_counted(d, name, len);
}

void
digest_principal(struct digest *d, const char *name, size_t len, uint32_t attributes,
                 uint32_t max_life, uint32_t max_renewable_life, uint32_t expiration,
                 uint32_t pw_expiration)
{
    unsigned char fields[20], *p = fields;

    begin(d, false, name, len);
    p = put_u32(p, attributes);
    p = put_u32(p, max_life);
    p = put_u32(p, max_renewable_life);
    p = put_u32(p, expiration);
    put_u32(p, pw_expiration);
    add(d, fields, sizeof(fields));
}

void
digest_policy(struct digest *d, const struct digest_policy *policy)
{
    const uint32_t numbers[] = {
        policy->pw_min_life,         policy->pw_max_life,
        policy->pw_min_length,       policy->pw_min_classes,
        policy->pw_history_num,      policy->pw_max_fail,
        policy->pw_failcnt_interval, policy->pw_lockout_duration,
        policy->attributes,          policy->max_life,
        policy->max_renewable_life,
    };
    const char *keysalts = policy->allowed_keysalts;
    unsigned char fields[sizeof(numbers) + 1], *p = fields;

    if (policy->allowed_keysalts_len == 1 && keysalts[0] == '-')
        keysalts = NULL;
    begin(d, true, policy->name, policy->name_len);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        p = put_u32(p, numbers[i]);
    *p = keysalts != NULL;
    add(d, fields, sizeof(fields));
    if (keysalts != NULL)
        add_counted(d, keysalts, policy->allowed_keysalts_len);
}

void
digest_tl(struct digest *d, int16_t type, const void *data, size_t len)
{
    if (d->policy) {
        if (d->items == 0)
            d->items = d->record.len;
        d->n_items++;
        d->disordered = d->n_items > 1;
    }
    add_tagged(d, 'T', (uint16_t)type, data, len);
}

void
digest_key(struct digest *d, int16_t version, uint16_t kvno)
{
    unsigned char head[5] = { 'K' };

    if (d->items == 0)
        d->items = d->record.len;
    else if (kvno > d->kvno)
        d->disordered = true;
    d->n_items++;
    d->kvno = kvno;
    put_u16(put_u16(head + 1, (uint16_t)version), kvno);
    add(d, head, sizeof(head));
}

void
digest_key_part(struct digest *d, int16_t type, const void *data, size_t len)
{
    add_tagged(d, 'C', (uint16_t)type, data, len);
}

/* Read the next item of the record, with what belongs to it. */
static void
read_item(struct cursor *c, struct item *item)
{
    item->data = c->p;
    item->kvno = 0;
    if (cursor_u8(c) == 'K') {
        cursor_u16(c);
        item->kvno = cursor_u16(c);
        while (c->left > 0 && *c->p == 'C') {
            cursor_bytes(c, 3);
            cursor_bytes(c, cursor_u32(c));
        }
    } else {
        cursor_u16(c);
        cursor_bytes(c, cursor_u32(c));
    }
    item->len = (size_t)(c->p - item->data);
}

static int
compare_items(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    size_t shorter = x->len < y->len ? x->len : y->len;
    int order;

    if (x->kvno != y->kvno)
        return x->kvno > y->kvno ? -1 : 1;
    if (*x->data == 'T') {
        order = memcmp(x->data, y->data, shorter);
        if (order != 0)
            return order;
    }
    return (x->index > y->index) - (x->index < y->index);
}

/* Bring the items from d->items to the record's end into their canonical order. */
static bool
sort_items(struct digest *d)
{
    size_t total = d->record.len - d->items;
    struct item *items = calloc(d->n_items, sizeof(*items));
    unsigned char *sorted = malloc(total), *p = sorted;
    struct cursor c;
    bool ok = items != NULL && sorted != NULL;

    if (!ok)
        goto cleanup;
    cursor_init(&c, d->record.data + d->items, total);
    for (size_t i = 0; i < d->n_items; i++) {
        read_item(&c, &items[i]);
        items[i].index = i;
    }
    ok = cursor_done(&c);
    if (!ok)
        goto cleanup;
    qsort(items, d->n_items, sizeof(*items), compare_items);
    for (size_t i = 0; i < d->n_items; i++) {
        memcpy(p, items[i].data, items[i].len);
        p += items[i].len;
    }
    memcpy(d->record.data + d->items, sorted, total);

cleanup:
    if (sorted != NULL)
        OPENSSL_cleanse(sorted, total);
    free(sorted);
    free(items);
    return ok;
}

/* Sort what needs it; nothing that is to be sorted may follow. */
static void
settle(struct digest *d)
{
    if (d->disordered && !d->failed && !sort_items(d))
        d->failed = true;
    d->disordered = false;
}

void
digest_e_data(struct digest *d, const void *data, size_t len)
{
    unsigned char tag = 'E';

    settle(d);
    if (len == 0)
        return;
    add(d, &tag, 1);
    add_counted(d, data, len);
}

static bool
hash_record(struct digest *d, const struct sum *sum, unsigned char out[DIGEST_SIZE])
{
    EVP_MD_CTX *w = d->work;
    unsigned int n;

    return EVP_MD_CTX_copy_ex(w, sum->inner) == 1 &&
           EVP_DigestUpdate(w, d->record.data, d->record.len) == 1 &&
           EVP_DigestFinal_ex(w, out, &n) == 1 && EVP_MD_CTX_copy_ex(w, sum->outer) == 1 &&
           EVP_DigestUpdate(w, out, DIGEST_SIZE) == 1 && EVP_DigestFinal_ex(w, out, &n) == 1;
}

static void
add_record(struct digest *d, struct sum *sum)
{
    unsigned char mac[DIGEST_SIZE];
    unsigned int carry = 0;

    if (sum->inner == NULL || d->failed)
        return;
    if (!hash_record(d, sum, mac)) {
        d->failed = true;
        return;
    }
    for (size_t i = DIGEST_SIZE; i-- > 0;) {
        carry += sum->value[i] + mac[i];
        sum->value[i] = (unsigned char)carry;
        carry >>= 8;
    }
}

bool
digest_end(struct digest *d)
{
    settle(d);
    add_record(d, &d->sums[0]);
    add_record(d, &d->sums[1]);
    if (d->failed)
        return false;
    if (d->policy)
        d->policies++;
    else
        d->principals++;
    return true;
}

static bool
value_of(const struct digest *d, size_t which, unsigned char out[DIGEST_SIZE])
{
    memset(out, 0, DIGEST_SIZE);
    if (d->failed || d->sums[which].inner == NULL)
        return false;
    memcpy(out, d->sums[which].value, DIGEST_SIZE);
    return true;
}

bool
digest_value(const struct digest *d, unsigned char out[DIGEST_SIZE])
{
    return value_of(d, 0, out);
}

bool
digest_also_value(const struct digest *d, unsigned char out[DIGEST_SIZE])
{
    return value_of(d, 1, out);
}

void
digest_fail(struct digest *d)
{
    d->failed = true;
}

uint64_t
digest_principals(const struct digest *d)
{
    return d->principals;
}

uint64_t
digest_policies(const struct digest *d)
{
    return d->policies;
}
