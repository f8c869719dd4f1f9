/*
 * fuzz_security: the tokens of an unauthenticated client, as far as they get without a good ticket.
 *
 * The keytab is in memory and holds a key for the server that the seeds name.
 */
#include "common/remctl/security.h"

#include <stdlib.h>
#include <string.h>

#include <krb5/krb5.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define KEYTAB "MEMORY:fuzz"

/* The keytab lives as long as a handle to it is open: until the end of the process. */
static gss_cred_id_t
make_credential(void)
{
    static unsigned char key[32] = { 1 };
    static krb5_keytab keytab;
    static krb5_context ctx;
    krb5_keytab_entry entry;
    gss_cred_id_t cred;
    struct error err;

    setenv("KRB5_CONFIG", "/dev/null", 1);
    setenv("KRB5RCACHENAME", "none:", 1);
    memset(&entry, 0, sizeof(entry));
    entry.vno = 1;
    entry.key.enctype = ENCTYPE_AES256_CTS_HMAC_SHA1_96;
    entry.key.length = sizeof(key);
    entry.key.contents = key;
    if (krb5_init_context(&ctx) != 0 ||
        krb5_parse_name(ctx, "host/replica.unit.test@UNIT.TEST", &entry.principal) != 0 ||
        krb5_kt_resolve(ctx, KEYTAB, &keytab) != 0 || krb5_kt_add_entry(ctx, keytab, &entry) != 0 ||
        !security_acquire_acceptor(KEYTAB, &cred, &err))
        abort();
    krb5_free_principal(ctx, entry.principal);
    return cred;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static gss_cred_id_t cred = GSS_C_NO_CREDENTIAL;
    struct security *sec;
    struct buffer reply;
    struct error err;

    if (cred == GSS_C_NO_CREDENTIAL)
        cred = make_credential();
    sec = security_new_acceptor(cred, &err);
    if (sec == NULL)
        abort();
    buffer_init(&reply, 65536);
    if (size > 0 && security_step(sec, data, size, &reply, &err) == SECURITY_DONE)
        abort(); /* nobody has the key */
    if (security_peer(sec) != NULL || security_lifetime(sec) != 0)
        abort();
    buffer_free(&reply);
    security_free(sec);
    return 0;
}
