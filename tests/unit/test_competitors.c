/* competitors: lines of crontabs and of scripts, and the places where jobs are started from. */
#include "kpropctl/schedule/competitors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void
test_lines_of_shell(void **state)
{
    static const struct {
        const char *line;
        enum job_kind kind;
    } cases[] = {
        { "", JOB_OTHER },
        { "kprop -f /var/x kdc2.lab.test", JOB_KPROP },
        { "/usr/sbin/kprop kdc2", JOB_KPROP },
        { "  for h in a b; do /usr/local/sbin/kprop $h; done", JOB_KPROP },
        { "KPROP=/usr/sbin/kprop", JOB_KPROP },
        { "x=$(kprop kdc2 2>&1)", JOB_KPROP },
        { "if ! 'kprop' kdc2; then", JOB_KPROP },
        { "kdb5_util dump /x && kprop kdc2", JOB_KPROP },
        { "kdb5_util dump /var/backups/kdc", JOB_DUMP },
        { "/usr/sbin/kdb5_util -r LAB.TEST dump /x", JOB_DUMP },
        { "kdb5_util stash; echo dump", JOB_OTHER },
        { "kdb5_util list_mkeys", JOB_OTHER },
        { "# kprop kdc2", JOB_OTHER },
        { "true # then kprop", JOB_OTHER },
        { "kpropd -S", JOB_OTHER },
        { "cat /var/log/kprop", JOB_OTHER },
        { "cat kprop.log", JOB_OTHER },
        { "mykprop", JOB_OTHER },
        { "/usr/sbin/kpropctl propagate -q", JOB_OURS },
        { "kpropctl -r LAB.TEST propagate", JOB_OURS },
        { "kpropctl check", JOB_OTHER },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        if (job_of_line(cases[i].line, strlen(cases[i].line)) != cases[i].kind)
            fail_msg("%s: not '%s'", cases[i].line, job_name(cases[i].kind));
    }
}

static void
test_lines_of_crontabs(void **state)
{
    static const struct {
        const char *line;
        bool with_user;
        const char *command; /* NULL: none */
    } cases[] = {
        { "", true, NULL },
        { "   ", true, NULL },
        { "# 0 * * * * root kprop", true, NULL },
        { "MAILTO=root", true, NULL },
        { "PATH = /bin:/usr/bin", true, NULL },
        { "0 * * * * root kprop kdc2", true, "kprop kdc2" },
        { "\t0\t*\t*\t*\t*\troot\tkprop kdc2", true, "kprop kdc2" },
        { "0 * * * * kprop kdc2", false, "kprop kdc2" },
        { "*/5 * * * * root A=b kprop", true, "A=b kprop" },
        { "@hourly root kprop kdc2", true, "kprop kdc2" },
        { "@daily kprop kdc2", false, "kprop kdc2" },
        { "-*/5 * * * * root kprop", true, "kprop" },
        { "0 * * * *", true, NULL },
        { "0 * * * * root", true, NULL },
        { "@", false, NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const char *command;
        size_t len;

        command = crontab_command(cases[i].line, strlen(cases[i].line), cases[i].with_user, &len);
        if ((command == NULL) != (cases[i].command == NULL))
            fail_msg("'%s': a command, or none?", cases[i].line);
        if (command != NULL) {
            assert_int_equal(len, strlen(cases[i].command));
            assert_memory_equal(command, cases[i].command, len);
        }
    }
}

/* --- places --- */

static int
root_up(void **state)
{
    char *root = strdup("/tmp/kpropctl-cron-XXXXXX");

    assert_non_null(mkdtemp(root));
    *state = root;
    return 0;
}

static int
root_down(void **state)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", (char *)*state);
    assert_int_equal(system(command), 0);
    free(*state);
    return 0;
}

static void
put(const char *root, const char *path, const char *text)
{
    char command[512], full[256];
    FILE *fp;

    snprintf(command, sizeof(command), "mkdir -p $(dirname %s%s)", root, path);
    assert_int_equal(system(command), 0);
    snprintf(full, sizeof(full), "%s%s", root, path);
    fp = fopen(full, "w");
    assert_non_null(fp);
    fputs(text, fp);
    if (strncmp(text, "#!", 2) == 0)
        fchmod(fileno(fp), 0755);
    fclose(fp);
}

static void
test_nothing(void **state)
{
    struct competitors found;
    struct error err;

    assert_true(competitors_find(*state, &found, &err));
    assert_int_equal(found.count, 0);
    assert_false(found.cut);
    competitors_free(&found);
}

static void
test_places(void **state)
{
    static const struct {
        enum job_kind kind;
        const char *file;
        unsigned line;
        const char *script;
        unsigned script_line;
        const char *unit;
    } expected[] = {
        { JOB_KPROP, "/etc/crontab", 3, "", 0, "" },
        { JOB_KPROP, "/etc/anacrontab", 2, "", 0, "" },
        { JOB_KPROP, "/etc/cron.d/kerberos", 2, "/root/prop.sh", 4, "" },
        { JOB_KPROP, "/etc/cron.hourly/krb5-prop", 3, "", 0, "" },
        { JOB_DUMP, "/etc/cron.daily/backup", 2, "/usr/local/bin/backup", 2, "" },
        { JOB_KPROP, "/var/spool/cron/crontabs/root", 1, "", 0, "" },
        { JOB_KPROP, "/etc/systemd/system/prop.service", 4, "/root/prop.sh", 4, "prop.service" },
    };
    const char *root = *state;
    struct competitors found;
    struct error err;

    put(root, "/etc/crontab", "SHELL=/bin/sh\n\n0 * * * * root /usr/sbin/kprop kdc2\n");
    put(root, "/etc/anacrontab", "START_HOURS_RANGE=3-22\n1 5 prop kprop kdc2\n");
    put(root, "/root/prop.sh", "#!/bin/sh\n# kprop\nkdb5_util dump /x\nkprop -f /x kdc2\n");
    put(root, "/etc/cron.d/kerberos",
        "# the old way\n*/15 * * * * root sh /root/prop.sh >/dev/null\n");
    put(root, "/etc/cron.d/ignored.dpkg-old", "0 * * * * root kprop kdc2\n");
    put(root, "/etc/cron.d/other", "0 * * * * root /usr/bin/true\n");
    put(root, "/etc/cron.hourly/krb5-prop", "#!/bin/sh\n\nkprop kdc2");
    put(root, "/usr/local/bin/backup", "#!/bin/sh\nkdb5_util dump /backup\n");
    put(root, "/etc/cron.daily/backup", "#!/bin/sh\n/usr/local/bin/backup\n");
    put(root, "/etc/cron.daily/off", "kprop kdc2\n"); /* not executable */
    put(root, "/var/spool/cron/crontabs/root", "@hourly kprop kdc2\n");
    put(root, "/etc/systemd/system/prop.service",
        "[Unit]\nDescription=kprop\n[Service]\nExecStart=/root/prop.sh\n");
    put(root, "/etc/systemd/system/krb5-kpropd.service",
        "[Service]\nExecStart=/usr/sbin/kpropd -D\n");
    put(root, "/usr/lib/systemd/system/kpropctl-propagate.service",
        "[Service]\nExecStart=/usr/sbin/kpropctl propagate\n");
    assert_true(competitors_find(root, &found, &err));
    assert_int_equal(found.count, sizeof(expected) / sizeof(*expected));
    for (size_t i = 0; i < found.count; i++) {
        assert_string_equal(found.items[i].file, expected[i].file);
        assert_int_equal(found.items[i].kind, expected[i].kind);
        assert_int_equal(found.items[i].line, expected[i].line);
        assert_string_equal(found.items[i].script, expected[i].script);
        assert_int_equal(found.items[i].script_line, expected[i].script_line);
        assert_string_equal(found.items[i].unit, expected[i].unit);
    }
    competitors_free(&found);
}

/* Fifos, folders, loops of links, programs, huge and binary files: passed over, at once. */
static void
test_odd_files(void **state)
{
    const char *root = *state;
    struct competitors found;
    struct error err;
    char path[256];
    FILE *fp;

    put(root, "/etc/cron.d/good",
        "0 * * * * root /fifo; kprop\n0 * * * * root /fifo\n"
        "1 * * * * root /program\n2 * * * * root \033[31m kprop\n");
    snprintf(path, sizeof(path), "%s/fifo", root);
    assert_int_equal(mkfifo(path, 0600), 0);
    snprintf(path, sizeof(path), "%s/etc/crontab", root);
    assert_int_equal(mkfifo(path, 0600), 0);
    snprintf(path, sizeof(path), "%s/etc/cron.d/loop", root);
    assert_int_equal(symlink("loop", path), 0);
    snprintf(path, sizeof(path), "%s/etc/cron.d/folder", root);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/program", root);
    fp = fopen(path, "w");
    fwrite("\177ELF\0kprop\nkprop\n", 1, 17, fp);
    fclose(fp);
    assert_true(competitors_find(root, &found, &err));
    assert_int_equal(found.count, 2);
    assert_string_equal(found.items[0].command, "/fifo; kprop");
    assert_null(strchr(found.items[1].command, '\033'));
    assert_false(found.cut);
    competitors_free(&found);

    snprintf(path, sizeof(path), "%s/etc/cron.d/huge", root);
    fp = fopen(path, "w");
    for (int i = 0; i < 100000; i++)
        fputs("# nothing\n", fp);
    fclose(fp);
    assert_true(competitors_find(root, &found, &err));
    assert_true(found.cut);
    competitors_free(&found);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_of_shell),
        cmocka_unit_test(test_lines_of_crontabs),
        cmocka_unit_test_setup_teardown(test_nothing, root_up, root_down),
        cmocka_unit_test_setup_teardown(test_places, root_up, root_down),
        cmocka_unit_test_setup_teardown(test_odd_files, root_up, root_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
