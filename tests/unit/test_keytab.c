/* keytab: one principal's keys change, all else stays; a line of keys is read or refused. */
#include "common/base/files.h"
#include "common/krb5/keytab.h"
#include "common/krb5/keytab_file.h"

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
#include <krb5.h>

#define ME "host/kdc2.lab.test@LAB.TEST"
#define OTHER "HTTP/kdc2.lab.test@LAB.TEST"

static char folder[64], file[128];

static int
set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/kpropctl-keytab-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof(file), "%s/keytab", folder);
    return 0;
}

static int
tear_down(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -r %s", folder);
    return system(command);
}

static struct keytab_keys
some_keys(unsigned kvno, unsigned char fill)
{
    struct keytab_keys keys = { .kvno = kvno, .count = 2 };

    keys.keys[0] = (struct keytab_key){ .enctype = ENCTYPE_AES256_CTS_HMAC_SHA1_96, .len = 32 };
    keys.keys[1] = (struct keytab_key){ .enctype = ENCTYPE_AES128_CTS_HMAC_SHA1_96, .len = 16 };
    memset(keys.keys[0].data, fill, 32);
    memset(keys.keys[1].data, fill, 16);
    return keys;
}

static bool
put(const char *principal, unsigned kvno, unsigned char fill)
{
    struct keytab_keys keys = some_keys(kvno, fill);
    struct error err;
    bool changed;

    error_clear(&err);
    if (!keytab_put(file, principal, &keys, &changed, &err))
        fail_msg("%s", err.text);
    return changed;
}

/* The entries of PRINCIPAL as "kvno:enctype:first byte" in the file's order. */
static const char *
entries(const char *principal)
{
    static char text[512];
    krb5_context context;
    krb5_keytab kt;
    krb5_keytab_entry entry;
    krb5_kt_cursor cursor;
    char *name;

    text[0] = '\0';
    assert_int_equal(krb5_init_context(&context), 0);
    assert_int_equal(krb5_kt_resolve(context, file, &kt), 0);
    assert_int_equal(krb5_kt_start_seq_get(context, kt, &cursor), 0);
    while (krb5_kt_next_entry(context, kt, &entry, &cursor) == 0) {
        assert_int_equal(krb5_unparse_name(context, entry.principal, &name), 0);
        if (strcmp(name, principal) == 0)
            snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%u:%d:%x",
                     text[0] == '\0' ? "" : " ", entry.vno, entry.key.enctype,
                     entry.key.contents[0]);
        krb5_free_unparsed_name(context, name);
        krb5_free_keytab_entry_contents(context, &entry);
    }
    krb5_kt_end_seq_get(context, kt, &cursor);
    krb5_kt_close(context, kt);
    krb5_free_context(context);
    return text;
}

static void
test_put(void **state)
{
    struct stat st;
    ino_t inode;

    (void)state;
    assert_true(put(ME, 2, 0xa));
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_string_equal(entries(ME), "2:18:a 2:17:a");
    assert_true(put(OTHER, 3, 0xb));
    assert_true(put(ME, 3, 0xc));
    assert_string_equal(entries(ME), "2:18:a 2:17:a 3:18:c 3:17:c");
    assert_int_equal(stat(file, &st), 0);
    inode = st.st_ino;
    assert_false(put(ME, 3, 0xc));
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_ino, inode);
    /* Other keys of a version take the place of the ones that were there. */
    assert_true(put(ME, 3, 0xd));
    assert_string_equal(entries(ME), "2:18:a 2:17:a 3:18:d 3:17:d");
    assert_string_equal(entries(OTHER), "3:18:b 3:17:b");
}

/* Somebody holds the lock, and writes CONTENT before giving it back. */
static pid_t
slow_writer(const struct buffer *content)
{
    int ready[2], lock;
    struct error err;
    pid_t child;
    char byte;

    assert_int_equal(pipe(ready), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        lock = keytab_lock(file, 0, &err);
        if (lock < 0 || write(ready[1], "x", 1) != 1 || usleep(200 * 1000) != 0 ||
            pwrite(lock, content->data, content->len, 0) != (ssize_t)content->len)
            _exit(1);
        _exit(0);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return child;
}

static void
test_waits_for_a_writer(void **state)
{
    struct buffer both;
    struct error err;
    int status;
    pid_t child;

    (void)state;
    put(ME, 2, 0xa);
    put(OTHER, 3, 0xb);
    buffer_init(&both, KEYTAB_MAX);
    assert_true(file_read(file, &both, &err));
    unlink(file);
    put(ME, 2, 0xa);
    child = slow_writer(&both);
    assert_true(put(ME, 4, 0xd));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_string_equal(entries(OTHER), "3:18:b 3:17:b");
    assert_string_equal(entries(ME), "2:18:a 2:17:a 4:18:d 4:17:d");
    buffer_free_secret(&both);
}

/* A change that was killed leaves keys beside the file: the next one removes them, and no other. */
static void
test_debris(void **state)
{
    static const char *const names[] = { ".keytab.a1B2c3", ".keytab.bak", "keytab.a1B2c3" };
    char path[192];

    (void)state;
    put(ME, 2, 0xa);
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        assert_int_equal(link(file, path), 0);
    }
    assert_false(put(ME, 2, 0xa));
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        assert_int_equal(access(path, F_OK), i == 0 ? -1 : 0);
    }
}

static void
test_mode_and_link(void **state)
{
    char other[128];
    struct stat st;

    (void)state;
    put(ME, 2, 0xa);
    assert_int_equal(chmod(file, 0640), 0);
    if (geteuid() == 0)
        assert_int_equal(chown(file, 1, 2), 0);
    snprintf(other, sizeof(other), "%s/real", folder);
    assert_int_equal(rename(file, other), 0);
    assert_int_equal(symlink("real", file), 0);
    put(ME, 300, 0xb);
    assert_int_equal(lstat(file, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    if (geteuid() == 0)
        assert_true(st.st_uid == 1 && st.st_gid == 2);
    assert_string_equal(entries(ME), "2:18:a 2:17:a 300:18:b 300:17:b");
}

static void
test_drop(void **state)
{
    unsigned dropped;
    struct error err;

    (void)state;
    put(ME, 1, 0xa);
    put(OTHER, 1, 0xb);
    put(ME, 2, 0xc);
    error_clear(&err);
    assert_false(keytab_drop_older(file, ME, 3, &dropped, &err));
    assert_int_equal(err.code, ERROR_REFUSED);
    assert_string_equal(entries(ME), "1:18:a 1:17:a 2:18:c 2:17:c");
    assert_true(keytab_drop_older(file, ME, 2, &dropped, &err));
    assert_int_equal(dropped, 2);
    assert_string_equal(entries(ME), "2:18:c 2:17:c");
    assert_string_equal(entries(OTHER), "1:18:b 1:17:b");
    assert_true(keytab_drop_older(file, ME, 2, &dropped, &err));
    assert_int_equal(dropped, 0);
}

/* Those of a database that is gone, whose versions were greater. */
static void
test_drop_newer(void **state)
{
    unsigned dropped;
    struct error err;

    (void)state;
    put(ME, 1, 0xa);
    put(ME, 3, 0xc);
    put(OTHER, 3, 0xb);
    error_clear(&err);
    assert_false(keytab_drop_newer(file, ME, 2, &dropped, &err));
    assert_int_equal(err.code, ERROR_REFUSED);
    assert_true(keytab_drop_newer(file, ME, 1, &dropped, &err));
    assert_int_equal(dropped, 2);
    assert_string_equal(entries(ME), "1:18:a 1:17:a");
    assert_string_equal(entries(OTHER), "3:18:b 3:17:b");
}

/* A key of another length than its type has, or of no type: nothing is touched, nothing left. */
static void
test_bad_keys(void **state)
{
    struct keytab_keys keys = some_keys(2, 0xb);
    char command[128];
    struct error err;
    bool changed;

    (void)state;
    put(ME, 1, 0xa);
    keys.keys[1].len = 15;
    error_clear(&err);
    assert_false(keytab_put(file, ME, &keys, &changed, &err));
    assert_int_equal(err.code, ERROR_USAGE);
    keys = some_keys(2, 0xb);
    keys.keys[0].enctype = 12345;
    assert_false(keytab_put(file, ME, &keys, &changed, &err));
    assert_string_equal(entries(ME), "1:18:a 1:17:a");
    snprintf(command, sizeof(command), "test \"$(ls -A %s)\" = keytab", folder);
    assert_int_equal(system(command), 0);
}

static void
test_damaged_file(void **state)
{
    struct keytab_keys keys = some_keys(2, 0xb);
    struct error err;
    bool changed;
    FILE *f = fopen(file, "w");

    (void)state;
    fputs("this is no keytab", f);
    fclose(f);
    error_clear(&err);
    assert_false(keytab_put(file, ME, &keys, &changed, &err));
    assert_non_null(strstr(err.text, "cannot change keytab"));
}

static void
test_line(void **state)
{
    static const char *const bad[] = {
        "",
        "2",
        "2 ",
        "0 17:00",
        "-1 17:00",
        "70000 17:00",
        "x 17:00",
        "2 17",
        "2 17:",
        "2 17:0",
        "2 17:0g",
        "2 :00",
        "2 17:00 17:11",
        "2  17:00",
        "2 17:00,18:00",
        "2\n17:00",
        "2 +17:00",
        "2 99999999999:00",
        "2 17:00 x",
    };
    struct keytab_keys keys = some_keys(7, 0xe), again;
    struct buffer line;
    struct error err;

    (void)state;
    buffer_init(&line, 4096);
    assert_true(keytab_keys_write(&keys, &line));
    assert_true(strncmp(buffer_string(&line), "7 18:0e0e", 9) == 0);
    error_clear(&err);
    assert_true(keytab_keys_read(buffer_string(&line), &again, &err));
    assert_memory_equal(&keys, &again, sizeof(keys));
    buffer_free_secret(&line);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        if (keytab_keys_read(bad[i], &again, &err))
            fail_msg("'%s' was read", bad[i]);
        assert_int_equal(err.code, ERROR_USAGE);
        assert_int_equal(again.count, 0);
    }
}

/* More keys, and longer ones, than there may be. */
static void
test_line_bounds(void **state)
{
    char text[4096] = "2", long_key[200] = "2 17:";
    struct keytab_keys keys;
    struct error err;

    (void)state;
    for (int i = 1; i <= KEYTAB_KEYS_MAX + 1; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), " %d:00", i);
    assert_false(keytab_keys_read(text, &keys, &err));
    memset(long_key + 5, '0', 2 * KEYTAB_KEY_BYTES + 2);
    assert_false(keytab_keys_read(long_key, &keys, &err));
    long_key[5 + 2 * KEYTAB_KEY_BYTES] = '\0';
    assert_true(keytab_keys_read(long_key, &keys, &err));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_put, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_waits_for_a_writer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_debris, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_mode_and_link, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_drop, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_drop_newer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bad_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged_file, set_up, tear_down),
        cmocka_unit_test(test_line),
        cmocka_unit_test(test_line_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
