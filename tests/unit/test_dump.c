/* dump: every slicing, every cut, every kind of damage, on a dump that is small enough to read. */
#include "common/base/buffers.h"
#include "common/kdb/dump.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "between.h"

#define HEADER "kdb5_util load_dump version 7\n"
#define MASTER                                                                                     \
    "princ\t38\t10\t3\t1\t0\tK/M@U.TEST\t64\t86400\t0\t0\t0\t0\t0\t0\t8\t2\t0100\t9\t8\t"          \
    "0100010000000000\t2\t5\t0102030405\t1\t1\t18\t8\t0102030405060708\t-1;\n"
#define KRBTGT                                                                                     \
    "princ\t38\t20\t0\t2\t0\tkrbtgt/U.TEST@U.TEST\t0\t86400\t0\t0\t0\t1\t2\t3\t2\t2\t18\t4\t"      \
    "deadbeef\t4\t3\t616263\t1\t1\t17\t2\tcafe\t-1;\n"
#define USER                                                                                       \
    "princ\t38\t8\t1\t0\t0\tu@U.TEST\t128\t86400\t0\t4294967295\t-1\t0\t0\t0\t1792\t0\t-1\t-1;\n"
#define FULL                                                                                       \
    "policy\tfull\t1\t2\t3\t4\t5\t0\t6\t7\t8\t9\t10\t11\taes256-cts:normal,aes128-cts:normal\t1\t" \
    "300\t1\taa\n"
#define PLAIN "policy\tplain\t0\t0\t1\t1\t1\t0\t0\t0\t0\t0\t0\t0\t-\t0\n"
#define SAMPLE HEADER MASTER KRBTGT USER FULL PLAIN

/* From tests/lib/digest_reference.py over SAMPLE with the nonce of decode(). */
#define SAMPLE_DIGEST "a217da1cd6571b2c4732eedc0cc8c1c7f77a4eca77959240eadd529f30709424"
#define SAMPLE_SHA256 "11cce6a1fde78e34032caaabc6ef20966ca8afc6a59847ef8a90d560001528da"

struct result {
    bool fed; /* every dump_feed succeeded */
    bool ok;
    struct dump_info info;
    struct error err;
    char digest[2 * DIGEST_SIZE + 1];
};

/* Decode TEXT as a dump of REALM, fed in pieces of SLICE bytes, the first of FIRST. */
static struct result
decode_sliced(const char *text, size_t len, const char *realm, size_t first, size_t slice)
{
    unsigned char nonce[DIGEST_NONCE_SIZE];
    struct result r;
    struct dump *d;
    size_t at = 0, n = first;

    memset(&r, 0, sizeof(r));
    for (size_t i = 0; i < sizeof(nonce); i++)
        nonce[i] = (unsigned char)i;
    d = dump_new(realm, NULL, nonce);
    assert_non_null(d);
    r.fed = true;
    while (r.fed && at < len) {
        char *piece; /* of its own, for the address sanitizer */

        n = n < len - at ? n : len - at;
        piece = malloc(n + 1);
        assert_non_null(piece);
        memcpy(piece, text + at, n);
        r.fed = dump_feed(d, piece, n, &r.err);
        free(piece);
        at += n;
        n = slice;
    }
    r.ok = dump_finish(d, &r.info, &r.err);
    dump_free(d);
    hex_encode(r.info.digest, DIGEST_SIZE, r.digest);
    return r;
}

static struct result
decode(const char *text)
{
    return decode_sliced(text, strlen(text), "U.TEST", strlen(text) + 1, 1);
}

static void
assert_good(const struct result *r)
{
    char sha256[2 * DUMP_SHA256_SIZE + 1];

    if (!r->ok)
        fail_msg("%s", r->err.text);
    hex_encode(r->info.sha256, DUMP_SHA256_SIZE, sha256);
    assert_string_equal(r->digest, SAMPLE_DIGEST);
    assert_string_equal(sha256, SAMPLE_SHA256);
}

static void
test_sample(void **state)
{
    struct result r = decode(SAMPLE);

    (void)state;
    assert_good(&r);
    assert_int_equal(r.info.format, DUMP_FULL);
    assert_int_equal(r.info.version, 7);
    assert_int_equal(r.info.bytes, strlen(SAMPLE));
    assert_int_equal(r.info.lines, 6);
    assert_int_equal(r.info.principals, 3);
    assert_int_equal(r.info.policies, 2);
    assert_true(r.info.has_master_key && r.info.has_krbtgt);
    assert_string_equal(r.info.realm, "U.TEST");
}

static void
test_slices(void **state)
{
    size_t len = strlen(SAMPLE);

    (void)state;
    for (size_t n = 1; n <= len; n++) {
        struct result even = decode_sliced(SAMPLE, len, "U.TEST", n, n);
        struct result two = decode_sliced(SAMPLE, len, "U.TEST", n, len);

        assert_good(&even);
        assert_good(&two);
    }
}

/* Each prefix fails, but those that end between records and hold what a realm needs. */
static void
test_cuts(void **state)
{
    size_t len = strlen(SAMPLE);

    (void)state;
    for (size_t n = 0; n < len; n++) {
        struct result r = decode_sliced(SAMPLE, n, "U.TEST", n + 1, 1);

        assert_true(r.fed);
        if (n > 0 && SAMPLE[n - 1] == '\n' && n >= strlen(HEADER MASTER KRBTGT)) {
            assert_true(r.ok);
            assert_string_not_equal(r.digest, SAMPLE_DIGEST);
        } else {
            assert_false(r.ok);
            assert_int_equal(r.err.code, n == strlen(HEADER MASTER) ? ERROR_REFUSED : ERROR_FAILED);
            assert_true(r.err.hint[0] != '\0');
        }
    }
}

/* No byte can be changed without notice: refused, or another digest (or only SHA-256, in what is
 * not replicated). */
static void
test_every_byte(void **state)
{
    static const char bytes[] = "\t\n ;-0f9@\\z\0\xff";
    size_t len = strlen(SAMPLE), accepted = 0;
    char *text = strdup(SAMPLE);

    (void)state;
    assert_non_null(text);
    for (size_t i = 0; i < len; i++) {
        for (size_t j = 0; j < sizeof(bytes) - 1; j++) {
            struct result r;

            if (SAMPLE[i] == bytes[j])
                continue;
            text[i] = bytes[j];
            r = decode_sliced(text, len, "U.TEST", len, 1);
            if (r.ok && strcmp(r.digest, SAMPLE_DIGEST) == 0)
                accepted++;
        }
        text[i] = SAMPLE[i];
    }
    free(text);
    /* Those of last success, last failure, failure count, reference count, zeros' signs. */
    assert_between(accepted, 1, 80);
}

struct damage {
    const char *from; /* its first occurrence in SAMPLE is replaced */
    const char *to;
    int code;
    const char *text; /* that the message holds */
};

static const struct damage damages[] = {
    { HEADER, "", ERROR_FAILED, "line 1: it is not the header" },
    { "version 7", "version 8", ERROR_FAILED, "line 1: it is not the header" },
    { "version 7", "version 3", ERROR_FAILED, "line 1: it is not the header" },
    { "version 7", "version 7 ", ERROR_FAILED, "line 1: it is not the header" },
    { "load_dump", " load_dump", ERROR_FAILED, "line 1: it is not the header" },
    { "version 7", "version\t7", ERROR_FAILED, "line 1: it is not the header" },
    { HEADER, "iprop +1 1 1\n", ERROR_FAILED, "line 1: it is not the header" },
    { HEADER, "iprop 4294967296 1 1\n", ERROR_FAILED, "line 1: it is not the header" },
    { HEADER, "ipropx 2 1 1 1\n", ERROR_FAILED, "line 1: it is not the header" },
    { HEADER, "ipropx 1 1 1\n", ERROR_FAILED, "line 1: it is not the header" },
    { HEADER, "iprop 1 1\n", ERROR_FAILED, "line 1: it is not the header" },
    { MASTER, "\n" MASTER, ERROR_FAILED, "line 2: it is neither a principal nor a policy" },
    { MASTER, "End of database\n", ERROR_FAILED, "line 2: it is neither" },
    { USER, USER HEADER, ERROR_FAILED, "line 5: it is neither" },
    { FULL, FULL USER, ERROR_FAILED, "line 6: a principal after the first policy" },
    { "-1;\n", "-1\n", ERROR_FAILED, "line 2: principal K/M@U.TEST: it does not end in ';'" },
    { "-1;\n", "-1;;\n", ERROR_FAILED, "extra data should be empty" },
    { "-1;\n", "-1\t-1;\n", ERROR_FAILED, "goes on behind its extra data" },
    { "\t-1;\n", ";\n", ERROR_FAILED, "it ends before its extra data" },
    { "-1;\n", "0;\n", ERROR_FAILED, "extra data should be empty" },
    { "\t10\t3", "\t11\t3", ERROR_FAILED, "name is 10 bytes long instead of 11" },
    { "\t10\t3", "\tx\t3", ERROR_FAILED, "name's length is not a number" },
    { "\t10\t3", "\t-10\t3", ERROR_FAILED, "name's length is out of range" },
    { "\t10\t3", "\t\t3", ERROR_FAILED, "name's length is not a number" },
    { "\t10\t3", "\t99999999999999999999\t3", ERROR_FAILED, "is not a number" },
    { "\t10\t3\t1", "\t10\t4\t1", ERROR_FAILED, "key's version is out of range" },
    { "\t10\t3\t1", "\t10\t32768\t1", ERROR_FAILED, "number of TL data is out of range" },
    { "\t10\t3\t1", "\t10\t3\t2", ERROR_FAILED, "key's" },
    { "\t10\t3\t1", "\t10\t3\t32768", ERROR_FAILED, "number of keys is out of range" },
    { "\t10\t3\t1\t0", "\t10\t3\t1\t65536", ERROR_FAILED, "extra data is out of range" },
    { "\t64\t86400", "\t4294967296\t86400", ERROR_FAILED, "attributes is out of range" },
    { "\t64\t86400", "\t64\t-2147483649", ERROR_FAILED, "maximum life is out of range" },
    { "\t8\t2\t0100", "\t8\t3\t0100", ERROR_FAILED, "4 digits long instead of 6" },
    { "\t8\t2\t0100", "\t8\t2\t01x0", ERROR_FAILED, "TL data is not hexadecimal" },
    { "\t8\t2\t0100", "\t8\t65536\t0100", ERROR_FAILED, "length of TL data is out of range" },
    { "\t8\t2\t0100", "\t32768\t2\t0100", ERROR_FAILED, "type of TL data is out of range" },
    { "0405060708", "040506070", ERROR_FAILED, "its key is 15 digits long instead of 16" },
    { "0405060708", "04050607g8", ERROR_FAILED, "its key is not hexadecimal" },
    { "\t1\t1\t18", "\t3\t1\t18", ERROR_FAILED, "key's version is out of range" },
    { "\t1\t1\t18", "\t-1\t1\t18", ERROR_FAILED, "key's version is out of range" },
    { "\t1\t1\t18", "\t1\t65536\t18", ERROR_FAILED, "kvno is out of range" },
    { "\t1\t1\t18", "\t1\t1\t40000", ERROR_FAILED, "key's type is out of range" },
    { "1792\t0\t-1", "1792\t0\t", ERROR_FAILED, "TL data should be empty" },
    { "full\t1", "full\tx", ERROR_FAILED, "policy full: its minimum password life" },
    { "\t300\t1\taa", "", ERROR_FAILED, "policy full: it ends before its type of TL data" },
    { "\t300\t1\taa", "\t300\t1\taa\t", ERROR_FAILED, "policy full: it goes on" },
    { "\t-\t0\n", "\t-\t0\t\n", ERROR_FAILED, "policy plain: it goes on" },
    { "\t-\t0\n", "\n", ERROR_FAILED, "policy plain: it ends before its allowed key salts" },
    { "\t1792\t0\t-1", "\t32767\t1\t00", ERROR_REFUSED, "u@U.TEST: it holds database arguments" },
    { "princ\t38\t8\t", "princ\t40\t8\t", ERROR_REFUSED, "crashes on its record length 40" },
    { "policy\tfull", "policy\tfu ll", ERROR_REFUSED, "line 5: policy fu ll: its name holds a" },
    { "policy\tfull", "policy\tfu\rll", ERROR_REFUSED, "policy fu.ll: its name holds a space" },
    { "policy\tfull", "policy\t", ERROR_REFUSED, "its name is empty" },
    { "normal,aes", "normal aes", ERROR_REFUSED, "policy full: its allowed key salts holds a" },
    { "\t-\t0\n", "\t\t0\n", ERROR_REFUSED, "policy plain: its allowed key salts is empty" },
    { "8\t1\t0\t0\tu@U.TEST", "9\t1\t0\t0\t u@U.TEST", ERROR_REFUSED, "begins with white space" },
    { "8\t1\t0\t0\tu@U.TEST", "9\t1\t0\t0\t\ru@U.TEST", ERROR_REFUSED, "begins with white" },
    { "8\t1\t0\t0\tu@U.TEST", "1\t1\t0\t0\tu", ERROR_FAILED, "name is not spelled as" },
    { "8\t1\t0\t0\tu@U.TEST", "0\t1\t0\t0\t", ERROR_FAILED, "name is not spelled as" },
    { "8\t1\t0\t0\tu@U.TEST", "9\t1\t0\t0\t\\u@U.TEST", ERROR_FAILED, "not spelled as" },
    { "8\t1\t0\t0\tu@U.TEST", "8\t1\t0\t0\tu@U.TES\\", ERROR_FAILED, "not spelled as" },
    { "8\t1\t0\t0\tu@U.TEST", "8\t1\t0\t0\tu@U/TEST", ERROR_FAILED, "not spelled as" },
    { "8\t1\t0\t0\tu@U.TEST", "8\t1\t0\t0\tu@U@TEST", ERROR_FAILED, "not spelled as" },
    { "1792\t0\t-1\t-1;", "1792\t0\t-1\taabb;", ERROR_FAILED, "extra data should be empty" },
    { "8\t1\t0\t0\tu@U.TEST", "8\t1\t0\t2\tu@U.TEST", ERROR_FAILED, "extra data is 2 digits" },
    { MASTER, "", ERROR_REFUSED, "it does not hold K/M@U.TEST" },
    { KRBTGT, "", ERROR_REFUSED, "it does not hold krbtgt/U.TEST@U.TEST" },
    { MASTER KRBTGT USER, "", ERROR_FAILED, "it holds no principal" },
};

/* SAMPLE with FROM replaced by TO. */
static char *
replace(const char *from, const char *to)
{
    const char *at = strstr(SAMPLE, from);
    char *text;

    assert_non_null(at);
    text = malloc(strlen(SAMPLE) + strlen(to) + 1);
    assert_non_null(text);
    sprintf(text, "%.*s%s%s", (int)(at - SAMPLE), SAMPLE, to, at + strlen(from));
    return text;
}

static void
test_damage(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        const struct damage *damage = &damages[i];
        char *text = replace(damage->from, damage->to);
        struct result whole = decode(text);
        struct result bytes = decode_sliced(text, strlen(text), "U.TEST", 1, 1);

        if (whole.ok || whole.err.code != damage->code ||
            strstr(whole.err.text, damage->text) == NULL)
            fail_msg("%zu: %d %s", i, whole.err.code, whole.err.text);
        assert_false(bytes.ok);
        assert_string_equal(bytes.err.text, whole.err.text);
        assert_string_equal(bytes.err.hint, whole.err.hint);
        assert_true(whole.err.hint[0] != '\0');
        free(text);
    }
}

/* What load takes over as it is, if it looks odd. */
static void
test_odd_but_good(void **state)
{
    static const char *const pairs[][2] = {
        { "8\t1\t0\t0\tu@U.TEST", "23\t1\t0\t0\ta b\\@c\\\\\\t\\n\\b\\0@U.TEST" },
        { "8\t1\t0\t0\tu@U.TEST", "9\t1\t0\t0\tu @U.TEST" },
        { "8\t1\t0\t0\tu@U.TEST", "10\t1\t0\t0\tu//@U.TEST" },
        { "8\t1\t0\t0\tu@U.TEST", "10\t1\t0\t0\t\xc3\xbcx@U.TEST" },
        { "1792\t0\t-1", "-1\t1\tAF" },
        { "\t1\t1\t17\t2\tcafe", "\t1\t1\t-17\t0\t-1" },
        { "\t1\t1\t17\t2\tcafe", "\t0\t65535" },
        { FULL, "policy\tfull\t1\t2\t3\t4\t5\t0\t6\t7\t8\n" },
        { "policy\tfull\t1\t2", "policy\tfull\t-1\t4294967295" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        char *text = replace(pairs[i][0], pairs[i][1]);
        struct result r = decode(text);

        if (!r.ok)
            fail_msg("%zu: %s", i, r.err.text);
        assert_string_not_equal(r.digest, SAMPLE_DIGEST);
        free(text);
    }
}

/* The same content in other words, and what is not replicated: the same digest. */
static void
test_equal(void **state)
{
    static const char *const pairs[][2] = {
        { "4294967295\t-1\t", "-1\t4294967295\t" },
        { "\t1\t2\t3\t2\t2", "\t9\t8\t7\t2\t2" },
        { "deadbeef", "DEADbeef" },
        { "full\t1\t2\t3\t4\t5\t0", "full\t1\t2\t3\t4\t5\t77" },
        { "2\t2\t18\t4\tdeadbeef\t4\t3\t616263\t1\t1\t17\t2\tcafe",
          "1\t1\t17\t2\tcafe\t2\t2\t18\t4\tdeadbeef\t4\t3\t616263" },
        { MASTER KRBTGT USER FULL PLAIN, USER KRBTGT MASTER PLAIN FULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        char *text = replace(pairs[i][0], pairs[i][1]);
        struct result r = decode(text);

        assert_true(r.ok);
        assert_string_equal(r.digest, SAMPLE_DIGEST);
        free(text);
    }
}

static void
test_other_versions(void **state)
{
    static const struct {
        const char *header, *policy;
        bool ok;
        enum dump_format format;
        unsigned int version;
    } tests[] = {
#define P7 "policy\tp\t1\t2\t3\t4\t5\t0"
        { "kdb5_util load_dump version 4\n", P7 "\n", true, DUMP_FULL, 4 },
        { "kdb5_util load_dump version 5\n", P7 "\n", true, DUMP_FULL, 5 },
        { "kdb5_util load_dump version 5\n", P7 "\t1\t2\t3\n", false, DUMP_FULL, 5 },
        { "kdb5_util load_dump version 6\n", P7 "\t1\t2\t3\n", true, DUMP_FULL, 6 },
        { "kdb5_util load_dump version 6\n", P7 "\n", false, DUMP_FULL, 6 },
        { "kdb5_util load_dump version 6\n", FULL, false, DUMP_FULL, 6 },
        { "iprop 5 1234567890 4294967295\n", P7 "\n", true, DUMP_IPROP, 0 },
        { "ipropx 0 5 6 7\n", P7 "\n", true, DUMP_IPROP, 0 },
        { "ipropx 1 5 6 7\n", P7 "\t1\t2\t3\n", true, DUMP_IPROPX, 1 },
        { "ipropx 1 5 6 7\n", FULL, true, DUMP_IPROPX, 1 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        char text[2048];
        struct result r;

        snprintf(text, sizeof(text), "%s%s%s", tests[i].header, MASTER KRBTGT, tests[i].policy);
        r = decode(text);
        if (r.ok != tests[i].ok)
            fail_msg("%zu: %s", i, r.err.text);
        if (!r.ok)
            continue;
        assert_int_equal(r.info.format, tests[i].format);
        assert_int_equal(r.info.version, tests[i].version);
        assert_int_equal(r.info.policies, 1);
    }
}

static void
test_realm(void **state)
{
    size_t len = strlen(SAMPLE);
    struct result r = decode_sliced(SAMPLE, len, NULL, len, 1);
    struct dump_info info;
    struct error err;
    struct dump *d;

    (void)state;
    assert_true(r.ok);
    assert_string_equal(r.info.realm, "U.TEST");
    r = decode_sliced(SAMPLE, len, "OTHER.TEST", len, 1);
    assert_false(r.ok);
    assert_int_equal(r.err.code, ERROR_REFUSED);
    assert_non_null(strstr(r.err.text, "K/M@OTHER.TEST"));
    assert_int_equal(r.info.principals, 3);
    assert_string_equal(r.digest, SAMPLE_DIGEST);
    d = dump_new("U.TEST", "u@U.TEST", NULL);
    assert_non_null(d);
    assert_true(dump_feed(d, SAMPLE, len, &err));
    assert_int_equal(dump_bytes(d), len);
    assert_int_equal(dump_principals(d), 3);
    assert_true(dump_finish(d, &info, &err));
    assert_true(info.has_master_key && info.has_krbtgt);
    assert_int_equal(info.digest[0] | info.digest[DIGEST_SIZE - 1], 0);
    dump_free(d);
    dump_free(NULL);
}

/* What names, keys and lines may grow to. */
static void
test_bounds(void **state)
{
    struct buffer b;
    char *name = malloc(40000), *hex = malloc(2 * 65535 + 1);
    size_t len, part = 1 << 20;
    struct error err = { 0 };
    struct dump *d;
    struct result r;

    (void)state;
    assert_true(name != NULL && hex != NULL);
    memset(hex, 'a', 2 * 65535);
    hex[2 * 65535] = '\0';
    for (len = 32766; len <= 32767; len++) {
        memset(name, 'n', len);
        memcpy(name + len - 7, "@U.TEST", 8);
        buffer_init(&b, 0);
        buffer_printf(&b,
                      HEADER MASTER KRBTGT "princ\t38\t%zu\t1\t0\t0\t%s\t0\t0\t0\t0\t0\t0\t0\t0"
                                           "\t5\t65535\t%s\t-1;\n",
                      len, name, hex);
        r = decode(buffer_string(&b));
        assert_int_equal(r.ok, len == 32766);
        if (!r.ok) {
            assert_int_equal(r.err.code, ERROR_REFUSED);
            assert_non_null(strstr(r.err.text, "nnn...: its name is so long"));
        }
        buffer_free(&b);
    }
    d = dump_new(NULL, NULL, NULL);
    assert_true(dump_feed(d, HEADER "princ\t", strlen(HEADER) + 6, &err));
    memset(name, 'x', 40000);
    for (len = 0; len < DUMP_LINE_MAX + part && dump_feed(d, name, 40000, &err); len += 40000)
        ;
    assert_between(len, DUMP_LINE_MAX - 80000, DUMP_LINE_MAX);
    assert_non_null(strstr(err.text, "line 2 is longer than"));
    assert_false(dump_feed(d, "\n", 1, &err));
    assert_false(dump_finish(d, NULL, &err));
    dump_free(d);
    free(name);
    free(hex);
}

/* Keys never come up in a message, however the fields are shifted. */
static void
test_no_secret(void **state)
{
    (void)state;
    for (size_t i = strlen(HEADER); i < strlen(HEADER MASTER KRBTGT); i++) {
        char text[2048];
        struct result r;

        if (SAMPLE[i] != '\t')
            continue;
        snprintf(text, sizeof(text), "%.*s%s", (int)i, SAMPLE, &SAMPLE[i + 1]);
        r = decode(text);
        assert_false(r.ok);
        assert_null(strstr(r.err.text, "beef"));
        assert_null(strstr(r.err.text, "0405"));
        snprintf(text, sizeof(text), "%.*s\t%s", (int)i, SAMPLE, &SAMPLE[i]);
        r = decode(text);
        assert_false(r.ok);
        assert_null(strstr(r.err.text, "beef"));
        assert_null(strstr(r.err.text, "0405"));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sample),    cmocka_unit_test(test_slices),
        cmocka_unit_test(test_cuts),      cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_damage),    cmocka_unit_test(test_odd_but_good),
        cmocka_unit_test(test_equal),     cmocka_unit_test(test_other_versions),
        cmocka_unit_test(test_realm),     cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_no_secret),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
