/* own_ticket - see own_ticket.h. */
#include "kpropctl/krb5/own_ticket.h"

#include "common/base/buffers.h"

#include <krb5.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    LIFE = 300,
    PART_MAX = 16 * 1024,
    DER_INTEGER = 0x02,
    DER_BITS = 0x03,
    DER_OCTETS = 0x04,
    DER_TIME = 0x18,
    DER_STRING = 0x1b,
    DER_SEQUENCE = 0x30,
    DER_ENC_PART = 0x63, /* [APPLICATION 3] */
    DER_TICKET = 0x61,   /* [APPLICATION 1] */
    DER_FIELD = 0xa0,    /* [0], [1]... */
};

/* Failures of a buffer stick, so that nothing below need be checked before the end. */
static void
put(struct buffer *out, int tag, const void *data, size_t len)
{
    buffer_add_u8(out, (uint8_t)tag);
    if (len >= 128)
        buffer_add_u8(out, len >= 256 ? 0x82 : 0x81);
    if (len >= 256)
        buffer_add_u8(out, (uint8_t)(len >> 8));
    buffer_add_u8(out, (uint8_t)len);
    buffer_add(out, data, len);
}

/* CONTENT, which is used up, as one value of TAG. */
static void
put_part(struct buffer *out, int tag, struct buffer *content)
{
    if (content->failed)
        out->failed = true;
    put(out, tag, content->data, content->len);
    buffer_free_secret(content);
}

/* One simple value of TAG in field number FIELD. */
static void
put_field(struct buffer *out, int field, int tag, const void *data, size_t len)
{
    struct buffer part;

    buffer_init(&part, PART_MAX);
    put(&part, tag, data, len);
    put_part(out, DER_FIELD + field, &part);
}

static void
put_number(struct buffer *out, int field, unsigned value)
{
    unsigned char bytes[5] = { 0, (unsigned char)(value >> 24), (unsigned char)(value >> 16),
                               (unsigned char)(value >> 8), (unsigned char)value };
    size_t first = 0;

    while (first < 4 && bytes[first] == 0 && bytes[first + 1] < 0x80)
        first++;
    put_field(out, field, DER_INTEGER, bytes + first, sizeof(bytes) - first);
}

static void
put_time(struct buffer *out, int field, krb5_timestamp at)
{
    time_t seconds = (time_t)(uint32_t)at;
    char text[32];
    struct tm tm;

    gmtime_r(&seconds, &tm);
    put_field(out, field, DER_TIME, text, strftime(text, sizeof(text), "%Y%m%d%H%M%SZ", &tm));
}

/* The sequence CONTENT in field FIELD. */
static void
put_sequence(struct buffer *out, int field, struct buffer *content)
{
    struct buffer part;

    buffer_init(&part, PART_MAX);
    put_part(&part, DER_SEQUENCE, content);
    put_part(out, DER_FIELD + field, &part);
}

static void
put_name(struct buffer *out, int field, krb5_const_principal name)
{
    struct buffer name_part, words;

    buffer_init(&name_part, PART_MAX);
    buffer_init(&words, PART_MAX);
    put_number(&name_part, 0, KRB5_NT_PRINCIPAL);
    for (int i = 0; i < name->length; i++)
        put(&words, DER_STRING, name->data[i].data, name->data[i].length);
    put_sequence(&name_part, 1, &words);
    put_sequence(out, field, &name_part);
}

static void
put_realm(struct buffer *out, int field, krb5_const_principal name)
{
    put_field(out, field, DER_STRING, name->realm.data, name->realm.length);
}

/* EncTicketPart: what only the service reads. */
static void
put_secret_part(struct buffer *out, const krb5_creds *creds)
{
    static const unsigned char flags[5] = { 0 };
    struct buffer all, part;

    buffer_init(&all, PART_MAX);
    buffer_init(&part, PART_MAX);
    put_field(&all, 0, DER_BITS, flags, sizeof(flags));
    put_number(&part, 0, (unsigned)creds->keyblock.enctype);
    put_field(&part, 1, DER_OCTETS, creds->keyblock.contents, creds->keyblock.length);
    put_sequence(&all, 1, &part);
    put_realm(&all, 2, creds->client);
    put_name(&all, 3, creds->client);
    put_number(&part, 0, 1); /* no other realm was transited */
    put_field(&part, 1, DER_OCTETS, "", 0);
    put_sequence(&all, 4, &part);
    put_time(&all, 5, creds->times.authtime);
    put_time(&all, 6, creds->times.starttime);
    put_time(&all, 7, creds->times.endtime);
    buffer_init(&part, PART_MAX);
    put_part(&part, DER_SEQUENCE, &all);
    put_part(out, DER_ENC_PART, &part);
}

/* SECRET, which is used up, encrypted with KEY into OUT. */
static krb5_error_code
encrypt(krb5_context context, const struct keytab_key *key, struct buffer *secret,
        struct buffer *out)
{
    struct keytab_key copy = *key; /* a keyblock is not const */
    krb5_keyblock block = { .enctype = copy.enctype,
                            .length = (unsigned)copy.len,
                            .contents = copy.data };
    krb5_data plain = { .length = (unsigned)secret->len, .data = (char *)secret->data };
    krb5_enc_data cipher = { .ciphertext.length = 0 };
    krb5_error_code code = secret->failed ? KRB5_CRYPTO_INTERNAL : 0;
    size_t len = 0;

    if (code == 0)
        code = krb5_c_encrypt_length(context, block.enctype, secret->len, &len);
    if (code == 0) {
        cipher.ciphertext.data = (char *)buffer_reserve(out, len);
        cipher.ciphertext.length = (unsigned)len;
        code = cipher.ciphertext.data == NULL
                   ? KRB5_CRYPTO_INTERNAL
                   : krb5_c_encrypt(context, &block, KRB5_KEYUSAGE_KDC_REP_TICKET, NULL, &plain,
                                    &cipher);
    }
    if (code == 0)
        out->len += len;
    buffer_free_secret(secret);
    explicit_bzero(&copy, sizeof(copy));
    return code;
}

/* The ticket of CREDS, encrypted with the first of KEYS, into OUT. */
static krb5_error_code
make_ticket(krb5_context context, const krb5_creds *creds, const struct keytab_keys *keys,
            struct buffer *out)
{
    struct buffer secret, cipher, all, part;
    krb5_error_code code;

    buffer_init(&secret, PART_MAX);
    buffer_init(&cipher, PART_MAX);
    buffer_init(&all, PART_MAX);
    buffer_init(&part, PART_MAX);
    put_secret_part(&secret, creds);
    code = encrypt(context, &keys->keys[0], &secret, &cipher);
    put_number(&all, 0, 5); /* tkt-vno */
    put_realm(&all, 1, creds->server);
    put_name(&all, 2, creds->server);
    put_number(&part, 0, (unsigned)keys->keys[0].enctype);
    put_number(&part, 1, keys->kvno);
    put_field(&part, 2, DER_OCTETS, cipher.data, cipher.len);
    put_sequence(&all, 3, &part);
    put_part(&part, DER_SEQUENCE, &all);
    put_part(out, DER_TICKET, &part);
    buffer_free_secret(&cipher);
    return code != 0 ? code : out->failed ? KRB5_CRYPTO_INTERNAL : 0;
}

static krb5_error_code
prepare(krb5_context context, const char *client, const char *service, int enctype,
        krb5_creds *creds)
{
    krb5_timestamp now;
    krb5_error_code code = krb5_timeofday(context, &now);

    if (code == 0)
        code = krb5_parse_name(context, client, &creds->client);
    if (code == 0)
        code = krb5_parse_name(context, service, &creds->server);
    if (code == 0)
        code = krb5_c_make_random_key(context, enctype, &creds->keyblock);
    creds->times.authtime = creds->times.starttime = now;
    creds->times.endtime = now + LIFE;
    return code;
}

bool
own_ticket_make(const char *client, const char *service, const struct keytab_keys *keys,
                struct error *err)
{
    krb5_context context = NULL;
    krb5_ccache cache = NULL;
    struct buffer ticket;
    krb5_creds creds;
    krb5_error_code code;
    const char *text;

    memset(&creds, 0, sizeof(creds));
    buffer_init(&ticket, PART_MAX);
    if (krb5_init_context(&context) != 0)
        return error_set(err, ERROR_USAGE, "cannot read krb5.conf");
    code = prepare(context, client, service, keys->keys[0].enctype, &creds);
    if (code == 0)
        code = make_ticket(context, &creds, keys, &ticket);
    creds.ticket.data = (char *)ticket.data;
    creds.ticket.length = (unsigned)ticket.len;
    if (code == 0)
        code = krb5_cc_default(context, &cache);
    if (code == 0)
        code = krb5_cc_store_cred(context, cache, &creds);
    creds.ticket.data = NULL;
    creds.ticket.length = 0;
    if (code != 0) {
        text = krb5_get_error_message(context, code);
        error_set(err, ERROR_FAILED, "cannot make a ticket for %s: %s", service, text);
        krb5_free_error_message(context, text);
    }
    krb5_free_cred_contents(context, &creds);
    if (cache != NULL)
        krb5_cc_close(context, cache);
    krb5_free_context(context);
    buffer_free_secret(&ticket);
    return code == 0;
}
