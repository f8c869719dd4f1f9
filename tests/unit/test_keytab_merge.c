/* keytab_merge: new keys come in, those of others stay, and a ktadd at the same time waits. */
#include "common/base/files.h"
#include "common/krb5/keytab_file.h"
#include "common/krb5/keytab_merge.h"

#include <krb5.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define HOST "host/kdc2.lab.test@LAB.TEST"
#define HTTP "HTTP/kdc2.lab.test@LAB.TEST"

struct key {
    const char *principal;
    krb5_kvno vno;
    krb5_enctype enctype;
    char fill;
};

struct fixture {
    krb5_context context;
    char folder[64];
    char path[96];
};

static int
set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    assert_int_equal(krb5_init_context(&f->context), 0);
    strcpy(f->folder, "/tmp/kpropctl-keytab-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->path, sizeof(f->path), "%s/krb5.keytab", f->folder);
    *state = f;
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *f = *state;

    unlink(f->path);
    assert_int_equal(rmdir(f->folder), 0);
    krb5_free_context(f->context);
    free(f);
    return 0;
}

static void
add_key(struct fixture *f, const char *path, const struct key *key)
{
    krb5_keytab_entry entry = { .vno = key->vno };
    unsigned char contents[32];
    krb5_keytab keytab;
    char name[128];

    memset(contents, key->fill, sizeof(contents));
    entry.key.enctype = key->enctype;
    entry.key.length = key->enctype == ENCTYPE_AES128_CTS_HMAC_SHA1_96 ? 16 : 32;
    entry.key.contents = contents;
    snprintf(name, sizeof(name), "FILE:%s", path);
    assert_int_equal(krb5_kt_resolve(f->context, name, &keytab), 0);
    assert_int_equal(krb5_parse_name(f->context, key->principal, &entry.principal), 0);
    assert_int_equal(krb5_kt_add_entry(f->context, keytab, &entry), 0);
    krb5_free_principal(f->context, entry.principal);
    krb5_kt_close(f->context, keytab);
}

/* The bytes of a keytab with KEYS, ended by one without a principal. */
static void
make(struct fixture *f, const struct key *keys, struct buffer *out)
{
    char path[128];
    struct error err;

    snprintf(path, sizeof(path), "%s/made", f->folder);
    buffer_init(out, KEYTAB_MAX);
    for (; keys->principal != NULL; keys++)
        add_key(f, path, keys);
    assert_true(file_read(path, out, &err));
    unlink(path);
}

/* The first byte of the key in keytab PATH, or 0. */
static char
look(struct fixture *f, const char *path, const char *principal, krb5_kvno vno, krb5_enctype type)
{
    krb5_keytab_entry entry;
    krb5_principal parsed;
    krb5_keytab keytab;
    char name[128], found = 0;

    snprintf(name, sizeof(name), "FILE:%s", path);
    assert_int_equal(krb5_kt_resolve(f->context, name, &keytab), 0);
    assert_int_equal(krb5_parse_name(f->context, principal, &parsed), 0);
    if (krb5_kt_get_entry(f->context, keytab, parsed, vno, type, &entry) == 0) {
        found = (char)entry.key.contents[0];
        krb5_free_keytab_entry_contents(f->context, &entry);
    }
    krb5_free_principal(f->context, parsed);
    krb5_kt_close(f->context, keytab);
    return found;
}

/* keytab_merge of ADD into the keytab at f->path, if there is one. */
static void
merge_file(struct fixture *f, const struct buffer *add, struct keytab_merged *merged)
{
    struct buffer old, new;
    struct error err;

    buffer_init(&old, KEYTAB_MAX);
    buffer_init(&new, KEYTAB_MAX);
    if (access(f->path, F_OK) == 0)
        assert_true(file_read(f->path, &old, &err));
    assert_true(keytab_merge(&old, add, HOST, &new, merged, &err));
    assert_true(file_replace(f->path, new.data, new.len, 0600, &err));
    buffer_free_secret(&old);
    buffer_free_secret(&new);
}

enum { AES256 = ENCTYPE_AES256_CTS_HMAC_SHA1_96, AES128 = ENCTYPE_AES128_CTS_HMAC_SHA1_96 };

static void
test_new_file(void **state)
{
    static const struct key keys[] = { { HOST, 3, AES256, 'a' }, { HOST, 3, AES128, 'b' }, { 0 } };
    struct fixture *f = *state;
    struct keytab_merged merged;
    struct buffer add;

    make(f, keys, &add);
    merge_file(f, &add, &merged);
    assert_int_equal(merged.added, 2);
    assert_int_equal(look(f, f->path, HOST, 3, AES256), 'a');
    assert_int_equal(look(f, f->path, HOST, 3, AES128), 'b');
    buffer_free_secret(&add);
}

static void
test_others_stay(void **state)
{
    static const struct key there[] = { { HTTP, 2, AES256, 'h' },
                                        { HOST, 1, AES256, 'o' },
                                        { HOST, 2, AES256, 'x' },
                                        { HOST, 2, AES128, 's' },
                                        { 0 } };
    static const struct key keys[] = {
        { HOST, 2, AES256, 'n' }, { HOST, 2, AES128, 's' }, { HOST, 3, AES256, 'm' }, { 0 }
    };
    struct fixture *f = *state;
    struct keytab_merged merged;
    struct buffer add, old;
    struct error err;

    make(f, there, &old);
    make(f, keys, &add);
    assert_true(file_replace(f->path, old.data, old.len, 0640, &err));
    merge_file(f, &add, &merged);
    assert_int_equal(merged.added, 1);
    assert_int_equal(merged.replaced, 1);
    assert_int_equal(merged.present, 1);
    assert_int_equal(merged.kept, 2);
    assert_int_equal(look(f, f->path, HTTP, 2, AES256), 'h');
    assert_int_equal(look(f, f->path, HOST, 1, AES256), 'o');
    assert_int_equal(look(f, f->path, HOST, 2, AES256), 'n');
    assert_int_equal(look(f, f->path, HOST, 2, AES128), 's');
    assert_int_equal(look(f, f->path, HOST, 3, AES256), 'm');
    buffer_free_secret(&old);
    buffer_free_secret(&add);
}

static void
test_nothing_to_do(void **state)
{
    static const struct key keys[] = { { HOST, 2, AES256, 'n' }, { 0 } };
    struct fixture *f = *state;
    struct keytab_merged merged;
    struct buffer add, out;
    struct error err;

    make(f, keys, &add);
    merge_file(f, &add, &merged);
    merge_file(f, &add, &merged);
    assert_int_equal(merged.present, 1);
    assert_int_equal(merged.added + merged.replaced + merged.kept, 0);
    buffer_init(&out, KEYTAB_MAX);
    assert_true(keytab_merge(&add, &add, NULL, &out, &merged, &err));
    assert_int_equal(out.len, add.len);
    assert_memory_equal(out.data, add.data, add.len);
    buffer_free_secret(&out);
    buffer_free_secret(&add);
}

/* An entry that stands twice, in the old keytab or in the new one, is one afterwards. */
static void
test_repeated(void **state)
{
    static const struct key there[] = { { HOST, 2, AES256, 'a' }, { HOST, 2, AES256, 'b' }, { 0 } };
    static const struct key keys[] = { { HOST, 2, AES256, 'b' }, { HOST, 2, AES256, 'c' }, { 0 } };
    struct fixture *f = *state;
    struct keytab_merged merged;
    struct buffer old, add;
    struct error err;

    make(f, there, &old);
    make(f, keys, &add);
    assert_true(file_replace(f->path, old.data, old.len, 0600, &err));
    merge_file(f, &add, &merged);
    assert_int_equal(merged.replaced, 1);
    assert_int_equal(merged.kept, 0);
    assert_int_equal(look(f, f->path, HOST, 2, AES256), 'b');
    buffer_free_secret(&old);
    buffer_free_secret(&add);
}

static void
expect_refused(struct fixture *f, const struct buffer *old, const struct buffer *add, int code,
               const char *words)
{
    struct keytab_merged merged;
    struct buffer out;
    struct error err;

    (void)f;
    buffer_init(&out, KEYTAB_MAX);
    error_clear(&err);
    assert_false(keytab_merge(old, add, HOST, &out, &merged, &err));
    assert_int_equal(err.code, code);
    assert_non_null(strstr(err.text, words));
    assert_int_equal(out.len, 0);
    buffer_free_secret(&out);
}

static void
test_refused(void **state)
{
    static const struct key mixed[] = { { HOST, 2, AES256, 'a' }, { HTTP, 2, AES256, 'b' }, { 0 } };
    static const struct key good[] = { { HOST, 2, AES256, 'a' }, { 0 } };
    static unsigned char head[] = { 5, 2 }, junk[] = "no keytab at all";
    struct fixture *f = *state;
    struct buffer add, broken = { .data = junk, .len = sizeof(junk) };
    struct buffer empty = { .data = head, .len = sizeof(head) };

    make(f, mixed, &add);
    expect_refused(f, NULL, &add, ERROR_REFUSED, HTTP);
    buffer_free_secret(&add);
    make(f, good, &add);
    expect_refused(f, &broken, &add, ERROR_FAILED, "old keytab");
    expect_refused(f, NULL, &broken, ERROR_REFUSED, "new keytab");
    expect_refused(f, NULL, &empty, ERROR_REFUSED, "0 entries");
    add.len--;
    expect_refused(f, NULL, &add, ERROR_REFUSED, "cut off");
    buffer_free_secret(&add);
}

/* What a ktadd writes while we hold the lock comes after us, into the file that is there then. */
static void
test_lock(void **state)
{
    static const struct key keys[] = { { HOST, 2, AES256, 'n' }, { 0 } };
    static const struct key other = { HTTP, 2, AES256, 'h' };
    struct fixture *f = *state;
    struct keytab_merged merged;
    struct buffer add;
    struct error err;
    int fd, status;
    pid_t child;

    make(f, keys, &add);
    error_clear(&err);
    assert_int_equal(keytab_lock(f->path, 0, &err), -1);
    merge_file(f, &add, &merged);
    fd = keytab_lock(f->path, 0, &err);
    assert_true(fd >= 0);
    assert_int_equal(keytab_lock(f->path, 40, &err), -1);
    assert_int_equal(err.code, ERROR_UNREACHABLE);
    child = fork();
    if (child == 0) {
        close(fd); /* the description, and with it the lock, stays with the parent */
        add_key(f, f->path, &other);
        _exit(0);
    }
    usleep(100 * 1000);
    assert_int_equal(waitpid(child, &status, WNOHANG), 0);
    close(fd);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(look(f, f->path, HTTP, 2, AES256), 'h');
    buffer_free_secret(&add);
}

/* A ktadd that had waited for the lock of a keytab that was then renamed away. */
static void
test_late(void **state)
{
    static const struct key there[] = { { HOST, 2, AES256, 'o' }, { 0 } };
    static const struct key keys[] = { { HOST, 2, AES256, 'n' }, { 0 } };
    static const struct key other = { HTTP, 2, AES256, 'h' };
    struct fixture *f = *state;
    struct buffer old, new;
    struct error err;
    struct stat seen;
    char backup[128];
    size_t late;

    make(f, there, &old);
    make(f, keys, &new);
    snprintf(backup, sizeof(backup), "%s/backup", f->folder);
    assert_true(file_replace(backup, old.data, old.len, 0600, &err));
    assert_true(file_replace(f->path, new.data, new.len, 0640, &err));
    assert_int_equal(stat(backup, &seen), 0);
    assert_true(keytab_merge_late(f->path, backup, &seen, &late, &err));
    assert_int_equal(late, 0);
    add_key(f, backup, &other);
    assert_true(keytab_merge_late(f->path, backup, &seen, &late, &err));
    assert_int_equal(late, 1);
    assert_int_equal(look(f, f->path, HTTP, 2, AES256), 'h');
    assert_int_equal(look(f, f->path, HOST, 2, AES256), 'n');
    assert_int_equal(stat(f->path, &seen), 0);
    assert_int_equal(seen.st_mode & 07777, 0640);
    unlink(backup);
    buffer_free_secret(&old);
    buffer_free_secret(&new);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_new_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_others_stay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_to_do, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_repeated, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lock, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_late, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
