/* security - see security.h. */
#include "common/remctl/security.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <gssapi/gssapi_ext.h>
#include <gssapi/gssapi_krb5.h>

#define FLAGS_REQUIRED                                                                             \
    (GSS_C_MUTUAL_FLAG | GSS_C_CONF_FLAG | GSS_C_INTEG_FLAG | GSS_C_REPLAY_FLAG |                  \
     GSS_C_SEQUENCE_FLAG)

struct security {
    bool initiator;
    bool done;
    gss_cred_id_t cred; /* borrowed */
    gss_name_t target;
    gss_ctx_id_t context;
    char *peer, *server;
    time_t deadline; /* CLOCK_BOOTTIME, seconds */
    OM_uint32 minor;
};

/* RFC 1964: 1.2.840.113554.1.2.2, as DER in the head of every token of the mechanism. */
static const unsigned char krb5_oid[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02 };

static time_t
boot_seconds(void)
{
    struct timespec ts = { 0 };

    clock_gettime(CLOCK_BOOTTIME, &ts);
    return ts.tv_sec;
}

/* Append what GSS-API says of STATUS to TEXT, unless it says that the minor status knows more. */
static void
describe(char *text, size_t size, OM_uint32 status, int type)
{
    OM_uint32 minor, more = 0;
    gss_buffer_desc part;

    do {
        size_t len = strlen(text);

        if (gss_display_status(&minor, status, type, gss_mech_krb5, &more, &part) != GSS_S_COMPLETE)
            return;
        snprintf(text + len, size - len, "%s%.*s", len > 0 ? ", " : "", (int)part.length,
                 (const char *)part.value);
        gss_release_buffer(&minor, &part);
    } while (more != 0);
}

/* Set ERR to "WHAT: reason"; the minor status says more than the major where there is one. */
static bool
fail_gss(OM_uint32 major, OM_uint32 minor, struct error *err, const char *what)
{
    char text[512] = "";

    if (minor != 0)
        describe(text, sizeof(text), minor, GSS_C_MECH_CODE);
    if (text[0] == '\0')
        describe(text, sizeof(text), major, GSS_C_GSS_CODE);
    return error_set(err, ERROR_UNREACHABLE, "%s: %s", what, text);
}

static struct security *
security_new(bool initiator, gss_cred_id_t cred, struct error *err)
{
    struct security *sec = calloc(1, sizeof(*sec));

    if (sec == NULL) {
        error_memory(err);
        return NULL;
    }
    sec->initiator = initiator;
    sec->cred = cred;
    sec->target = GSS_C_NO_NAME;
    sec->context = GSS_C_NO_CONTEXT;
    return sec;
}

struct security *
security_new_acceptor(gss_cred_id_t cred, struct error *err)
{
    return security_new(false, cred, err);
}

struct security *
security_new_initiator(gss_name_t target, gss_cred_id_t cred, struct error *err)
{
    struct security *sec = security_new(true, cred, err);
    OM_uint32 major, minor;

    if (sec == NULL)
        return NULL;
    major = gss_duplicate_name(&minor, target, &sec->target);
    if (major != GSS_S_COMPLETE) {
        fail_gss(major, minor, err, "cannot copy the name of the server");
        security_free(sec);
        return NULL;
    }
    return sec;
}

void
security_free(struct security *sec)
{
    OM_uint32 minor;

    if (sec == NULL)
        return;
    gss_delete_sec_context(&minor, &sec->context, GSS_C_NO_BUFFER);
    gss_release_name(&minor, &sec->target);
    free(sec->peer);
    free(sec->server);
    free(sec);
}

static const char *
step_verb(const struct security *sec)
{
    return sec->initiator ? "cannot authenticate to the server" : "cannot authenticate the client";
}

/* The mechanism layer would hand other tokens to other mechanisms and their parsers: SPNEGO,
 * NegoEx, IAKERB, and a bare AP-REQ. Only `60 LENGTH 06 09 OID` goes on. */
static bool
token_is_krb5(const void *token, size_t len)
{
    struct cursor c;
    const unsigned char *oid;
    uint8_t first;

    cursor_init(&c, token, len);
    if (cursor_u8(&c) != 0x60)
        return false;
    first = cursor_u8(&c);
    if (first >= 0x80)
        cursor_bytes(&c, first & 0x7f);
    if (cursor_u8(&c) != 0x06 || cursor_u8(&c) != sizeof(krb5_oid))
        return false;
    oid = cursor_bytes(&c, sizeof(krb5_oid));
    return oid != NULL && memcmp(oid, krb5_oid, sizeof(krb5_oid)) == 0;
}

/* Keep the printed form of NAME as *KEPT. krb5 escapes few control characters, so a name with any
 * is refused here: it will be logged and compared. */
static bool
take_name(struct security *sec, gss_name_t name, char **kept, struct error *err)
{
    gss_buffer_desc text = GSS_C_EMPTY_BUFFER;
    OM_uint32 major, minor;
    gss_OID type;
    bool ok = false;

    major = gss_display_name(&minor, name, &text, &type);
    if (major != GSS_S_COMPLETE)
        return fail_gss(major, minor, err, "cannot print the name of the peer");
    if (gss_oid_equal(type, GSS_C_NT_ANONYMOUS) || text.length == 0) {
        error_set(err, ERROR_UNREACHABLE, "%s: it is anonymous", step_verb(sec));
        goto cleanup;
    }
    for (size_t i = 0; i < text.length; i++) {
        unsigned char byte = ((const unsigned char *)text.value)[i];

        if (byte < 0x20 || byte == 0x7f) {
            error_set(err, ERROR_UNREACHABLE, "%s: its name holds control characters",
                      step_verb(sec));
            goto cleanup;
        }
    }
    *kept = strndup(text.value, text.length);
    ok = *kept != NULL || error_memory(err);

cleanup:
    gss_release_buffer(&minor, &text);
    return ok;
}

/* The context is established: hold it to what was asked for, and learn the peer and the lifetime.
 */
static bool
finish(struct security *sec, struct error *err)
{
    gss_name_t source = GSS_C_NO_NAME, target = GSS_C_NO_NAME;
    OM_uint32 major, minor, flags = 0, lifetime = 0;
    gss_OID mech = GSS_C_NO_OID;
    int open = 0;
    bool ok = false;

    major = gss_inquire_context(&minor, sec->context, &source, &target, &lifetime, &mech, &flags,
                                NULL, &open);
    if (major != GSS_S_COMPLETE) {
        sec->minor = minor;
        fail_gss(major, minor, err, step_verb(sec));
    } else if (!open || !gss_oid_equal(mech, gss_mech_krb5)) {
        error_set(err, ERROR_UNREACHABLE, "%s: the mechanism is not krb5", step_verb(sec));
    } else if ((flags & FLAGS_REQUIRED) != FLAGS_REQUIRED ||
               (flags & (GSS_C_DCE_STYLE | GSS_C_ANON_FLAG)) != 0) {
        error_set(err, ERROR_UNREACHABLE,
                  "%s: it did not agree to mutual authentication, encryption and replay protection",
                  step_verb(sec));
    } else if (lifetime == 0) {
        error_set(err, ERROR_UNREACHABLE, "%s: the ticket has expired", step_verb(sec));
    } else {
        sec->deadline = boot_seconds() + (time_t)lifetime;
        ok = take_name(sec, sec->initiator ? target : source, &sec->peer, err) &&
             take_name(sec, target, &sec->server, err);
    }
    gss_release_name(&minor, &source);
    gss_release_name(&minor, &target);
    sec->done = ok;
    return ok;
}

static OM_uint32
step_initiator(struct security *sec, gss_buffer_t token, gss_buffer_t answer)
{
    return gss_init_sec_context(&sec->minor, sec->cred, &sec->context, sec->target, gss_mech_krb5,
                                FLAGS_REQUIRED, 0, GSS_C_NO_CHANNEL_BINDINGS, token, NULL, answer,
                                NULL, NULL);
}

static OM_uint32
step_acceptor(struct security *sec, gss_buffer_t token, gss_buffer_t answer)
{
    return gss_accept_sec_context(&sec->minor, &sec->context, sec->cred, token,
                                  GSS_C_NO_CHANNEL_BINDINGS, NULL, NULL, answer, NULL, NULL, NULL);
}

enum security_state
security_step(struct security *sec, const void *token, size_t len, struct buffer *reply,
              struct error *err)
{
    gss_buffer_desc in = GSS_C_EMPTY_BUFFER, out = GSS_C_EMPTY_BUFFER;
    enum security_state state = SECURITY_FAILED;
    bool first = sec->initiator && sec->context == GSS_C_NO_CONTEXT;
    OM_uint32 major, ignored;

    error_clear(err);
    in.value = (void *)(uintptr_t)token;
    in.length = len;
    if (!first && !token_is_krb5(token, len)) {
        error_set(err, ERROR_UNREACHABLE, "%s: the mechanism is not krb5", step_verb(sec));
        return SECURITY_FAILED;
    }
    major = sec->initiator ? step_initiator(sec, first ? GSS_C_NO_BUFFER : &in, &out)
                           : step_acceptor(sec, &in, &out);
    if (GSS_ERROR(major)) {
        fail_gss(major, sec->minor, err, step_verb(sec));
    } else {
        sec->minor = 0;
        if ((major & GSS_S_CONTINUE_NEEDED) != 0)
            state = SECURITY_CONTINUE;
        else if (finish(sec, err))
            state = SECURITY_DONE;
    }
    /* On failure this is the token that tells the peer why, if the mechanism made one. */
    if (out.length > 0 && (GSS_ERROR(major) || state != SECURITY_FAILED) &&
        !buffer_add(reply, out.value, out.length)) {
        error_memory(err);
        state = SECURITY_FAILED;
    }
    gss_release_buffer(&ignored, &out);
    return state;
}

static bool
check_alive(struct security *sec, struct error *err)
{
    if (!sec->done)
        return error_set(err, ERROR_INTERNAL, "cannot use the channel: not authenticated yet");
    if (security_lifetime(sec) == 0)
        return error_set(err, ERROR_UNREACHABLE, "cannot use the channel: its ticket has expired");
    return true;
}

bool
security_wrap(struct security *sec, const void *plain, size_t len, struct buffer *out,
              struct error *err)
{
    gss_buffer_desc in = GSS_C_EMPTY_BUFFER, token = GSS_C_EMPTY_BUFFER;
    OM_uint32 major, ignored;
    int encrypted = 0;
    bool ok = false;

    if (!check_alive(sec, err))
        return false;
    in.value = (void *)(uintptr_t)plain;
    in.length = len;
    major = gss_wrap(&sec->minor, sec->context, 1, GSS_C_QOP_DEFAULT, &in, &encrypted, &token);
    if (major != GSS_S_COMPLETE)
        fail_gss(major, sec->minor, err, "cannot encrypt a message");
    else if (!encrypted)
        error_set(err, ERROR_INTERNAL, "cannot encrypt a message: the ticket has no cipher");
    else
        ok = buffer_add(out, token.value, token.length) || error_memory(err);
    gss_release_buffer(&ignored, &token);
    return ok;
}

bool
security_unwrap(struct security *sec, const void *token, size_t len, struct buffer *plain,
                struct error *err)
{
    gss_buffer_desc in = GSS_C_EMPTY_BUFFER, out = GSS_C_EMPTY_BUFFER;
    OM_uint32 major, ignored;
    int encrypted = 0;
    bool ok = false;

    if (!check_alive(sec, err))
        return false;
    in.value = (void *)(uintptr_t)token;
    in.length = len;
    major = gss_unwrap(&sec->minor, sec->context, &in, &out, &encrypted, NULL);
    if (GSS_ERROR(major))
        fail_gss(major, sec->minor, err, "cannot decrypt a message");
    else if (major != GSS_S_COMPLETE)
        error_set(err, ERROR_UNREACHABLE, "cannot accept a message: %s",
                  (major & (GSS_S_DUPLICATE_TOKEN | GSS_S_OLD_TOKEN)) != 0
                      ? "it came before"
                      : "one before it is missing");
    else if (!encrypted)
        error_set(err, ERROR_UNREACHABLE, "cannot accept a message: it is not encrypted");
    else
        ok = buffer_add(plain, out.value, out.length) || error_memory(err);
    if (out.value != NULL)
        explicit_bzero(out.value, out.length);
    gss_release_buffer(&ignored, &out);
    return ok;
}

const char *
security_peer(const struct security *sec)
{
    return sec->done ? sec->peer : NULL;
}

const char *
security_target(const struct security *sec)
{
    return sec->done ? sec->server : NULL;
}

uint32_t
security_lifetime(const struct security *sec)
{
    OM_uint32 minor, wall = 0;
    time_t now = boot_seconds();
    uint32_t left;

    if (!sec->done || now >= sec->deadline ||
        gss_context_time(&minor, sec->context, &wall) != GSS_S_COMPLETE)
        return 0;
    left = (uint32_t)(sec->deadline - now);
    return wall < left ? wall : left;
}

uint32_t
security_minor(const struct security *sec)
{
    return sec->minor;
}

bool
security_acquire_acceptor(const char *keytab, gss_cred_id_t *cred, struct error *err)
{
    gss_OID_set_desc mechs = { 1, gss_mech_krb5 };
    gss_key_value_element_desc element = { "keytab", keytab };
    gss_key_value_set_desc store = { 1, &element };
    OM_uint32 major, minor;

    *cred = GSS_C_NO_CREDENTIAL;
    major = gss_acquire_cred_from(&minor, GSS_C_NO_NAME, GSS_C_INDEFINITE, &mechs, GSS_C_ACCEPT,
                                  keytab != NULL ? &store : NULL, cred, NULL, NULL);
    if (major == GSS_S_COMPLETE)
        return true;
    fail_gss(major, minor, err, "cannot read the keytab");
    err->code = ERROR_FAILED;
    return false;
}

bool
security_import_target(const char *host, const char *principal, gss_name_t *name, struct error *err)
{
    char text[1024];
    gss_buffer_desc buffer;
    OM_uint32 major, minor;
    int len;

    *name = GSS_C_NO_NAME;
    len = principal != NULL ? snprintf(text, sizeof(text), "%s", principal)
                            : snprintf(text, sizeof(text), "host@%s", host);
    if (len < 0 || (size_t)len >= sizeof(text))
        return error_set(err, ERROR_USAGE, "cannot use the name of the server: it is too long");
    buffer.value = text;
    buffer.length = (size_t)len;
    major = gss_import_name(
        &minor, &buffer,
        principal != NULL ? GSS_KRB5_NT_PRINCIPAL_NAME : GSS_C_NT_HOSTBASED_SERVICE, name);
    if (major == GSS_S_COMPLETE)
        return true;
    return fail_gss(major, minor, err, "cannot use the name of the server");
}
