/* keytab_bytes: what is written is a keytab to libkrb5, key by key. */
#include "kpropctl/krb5/keytab_bytes.h"

#include "common/base/files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void
check_entry(krb5_context context, krb5_keytab kt, krb5_const_principal principal, unsigned kvno,
            const krb5_keyblock *key)
{
    krb5_keytab_entry entry;

    assert_int_equal(
        krb5_kt_get_entry(context, kt, principal, kvno, (krb5_enctype)key->enctype, &entry), 0);
    assert_int_equal(entry.vno, kvno);
    assert_int_equal(entry.timestamp, 1795000000);
    assert_int_equal(entry.principal->type, principal->type);
    assert_int_equal(entry.key.length, key->length);
    assert_memory_equal(entry.key.contents, key->contents, key->length);
    krb5_free_keytab_entry_contents(context, &entry);
}

static void
test_libkrb5_reads_it(void **state)
{
    static krb5_octet one[] = "0123456789abcdef0123456789abcdef", two[] = "fedcba9876543210";
    const krb5_keyblock first = { .enctype = ENCTYPE_AES256_CTS_HMAC_SHA1_96,
                                  .length = sizeof(one) - 1,
                                  .contents = one },
                        second = { .enctype = ENCTYPE_AES128_CTS_HMAC_SHA1_96,
                                   .length = sizeof(two) - 1,
                                   .contents = two };
    char path[] = "/tmp/kpropctl-keytab-XXXXXX", name[64];
    int fd = mkstemp(path);
    krb5_principal principal;
    krb5_context context;
    krb5_keytab kt;
    struct buffer out;
    struct error err;

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    buffer_init(&out, 0);
    assert_int_equal(krb5_init_context(&context), 0);
    assert_int_equal(krb5_parse_name(context, "host/kdc2.lab.test@LAB.TEST", &principal), 0);
    assert_true(keytab_bytes_begin(&out));
    assert_true(keytab_bytes_add(&out, principal, 3, 1795000000, &first));
    assert_true(keytab_bytes_add(&out, principal, 3, 1795000000, &second));
    /* More than the eight bits of the old field. */
    assert_true(keytab_bytes_add(&out, principal, 300, 1795000000, &second));
    assert_true(file_replace(path, out.data, out.len, 0600, &err));
    snprintf(name, sizeof(name), "FILE:%s", path);
    assert_int_equal(krb5_kt_resolve(context, name, &kt), 0);
    check_entry(context, kt, principal, 3, &first);
    check_entry(context, kt, principal, 3, &second);
    check_entry(context, kt, principal, 300, &second);
    krb5_kt_close(context, kt);
    krb5_free_principal(context, principal);
    krb5_free_context(context);
    buffer_free_secret(&out);
    unlink(path);
}

static void
test_no_room(void **state)
{
    static krb5_octet contents[32];
    const krb5_keyblock key = { .enctype = 18, .length = sizeof(contents), .contents = contents };
    krb5_principal principal;
    krb5_context context;
    struct buffer out;

    (void)state;
    buffer_init(&out, 60);
    assert_int_equal(krb5_init_context(&context), 0);
    assert_int_equal(krb5_parse_name(context, "host/kdc2.lab.test@LAB.TEST", &principal), 0);
    assert_true(keytab_bytes_begin(&out));
    assert_false(keytab_bytes_add(&out, principal, 1, 0, &key));
    krb5_free_principal(context, principal);
    krb5_free_context(context);
    buffer_free_secret(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_libkrb5_reads_it),
        cmocka_unit_test(test_no_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
