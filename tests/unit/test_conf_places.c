/* conf_places: which files and libraries a bundle's kdc.conf may name here. */
#include "agent/enroll/krb5_conf.h"
#include "common/base/files.h"

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

static const struct kdc_folders primary = { "/var/lib/krb5kdc", "/etc/krb5kdc" };

/* A host of its own: the folders of its KDC, one that is not, and its kdc.conf. */
struct host {
    char root[64], data[96], conf[96], other[96], file[128];
    struct kdc_folders folders;
};

static void
in(const char *folder, const char *name, char *path, size_t size)
{
    snprintf(path, size, "%s/%s", folder, name);
}

static void
put(const char *folder, const char *name, const char *text)
{
    char path[256];
    struct error err;

    in(folder, name, path, sizeof(path));
    if (!file_replace(path, text, strlen(text), 0644, &err))
        fail_msg("%s", err.text);
}

static int
set_up(void **state)
{
    struct host *h = calloc(1, sizeof(*h));

    *state = h;
    strcpy(h->root, "/tmp/test_conf_places.XXXXXX");
    if (mkdtemp(h->root) == NULL)
        return -1;
    in(h->root, "data", h->data, sizeof(h->data));
    in(h->root, "conf", h->conf, sizeof(h->conf));
    in(h->root, "other", h->other, sizeof(h->other));
    in(h->conf, "kdc.conf", h->file, sizeof(h->file));
    h->folders = (struct kdc_folders){ h->data, h->conf };
    return mkdir(h->data, 0700) == 0 && mkdir(h->conf, 0700) == 0 && mkdir(h->other, 0700) == 0
               ? 0
               : -1;
}

static int
tear_down(void **state)
{
    struct host *h = *state;
    char command[128];
    int rc;

    snprintf(command, sizeof(command), "rm -rf %s", h->root);
    rc = system(command);
    free(h);
    return rc;
}

/* Plan a kdc.conf that says RELATION = VALUE, in [realms] or, with MODULE, in [dbmodules]. */
static bool
plan(const struct host *h, bool module, const char *relation, const char *value, bool replace,
     struct error *err)
{
    struct conf_plan conf;
    char text[8192];
    bool ok;

    snprintf(text, sizeof(text), "[%s]\n\tLAB.TEST = {\n\t\t%s = %s\n\t}\n",
             module ? "dbmodules" : "realms", relation, value);
    error_clear(err);
    ok = kdc_conf_plan(h->file, text, "LAB.TEST", &primary, &h->folders, replace, &conf, err);
    conf_plan_free(&conf);
    return ok;
}

static void
refused(const struct host *h, bool module, const char *relation, const char *value)
{
    struct error err;
    char line[512];

    for (int replace = 0; replace <= 1; replace++) {
        if (plan(h, module, relation, value, replace != 0, &err))
            fail_msg("%s = %s is taken", relation, value);
        assert_int_equal(err.code, ERROR_REFUSED);
    }
    /* The refusal ends with the line that lets it, its folder moved, and the file that it is for.
     */
    snprintf(line, sizeof(line), "%s: %s = %s", h->file, relation,
             strncmp(value, "/var/lib/krb5kdc/", 17) == 0 ? h->data
             : strncmp(value, "/etc/krb5kdc/", 13) == 0   ? h->conf
                                                          : value);
    if (strstr(err.hint, line) == NULL)
        fail_msg("no '%s' in: %s", line, err.hint);
}

static void
taken(const struct host *h, bool module, const char *relation, const char *value)
{
    struct error err;

    if (!plan(h, module, relation, value, false, &err))
        fail_msg("%s = %s: %s", relation, value, err.text);
}

static void
test_paths(void **state)
{
    static const char *const bad[] = {
        "/etc/cron.d/x",
        "/tmp/x",
        "principal",
        "../principal",
        "./x",
        "/var/lib/krb5kdc/../../../etc/cron.d/x",
        "/var/lib/krb5kdc/./principal",
        "/var/lib/krb5kdc//principal",
        "/var/lib/krb5kdc/..",
        "/var/lib/krb5kdc/",
        "/var/lib/krb5kdcx/principal",
        "/",
        "/var/lib/krb5kdc/%{uid}",
        "/var/lib/krb5kdc/a b",
        "/etc",
        "/etc/systemd/system/x.service.d/y.conf",
        "FILE:/etc/x",
        "~/x",
        "$HOME/x",
        "/root/.ssh/authorized_keys",
        "/proc/self/environ",
        "/dev/shm/x",
    };
    static const char *const relations[] = { "database_name", "acl_file", "dict_file" };
    const struct host *h = *state;
    char value[8192];

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        for (size_t r = 0; r < 3; r++)
            refused(h, false, relations[r], bad[i]);
        refused(h, true, "database_name", bad[i]);
    }
    taken(h, false, "dict_file", "/var/lib/krb5kdc/dict");
    taken(h, false, "acl_file", "/etc/krb5kdc/kadm5.acl");
    taken(h, false, "dict_file", "/usr/share/dict/words"); /* RHEL's */
    refused(h, false, "database_name", "/usr/share/dict/words");
    taken(h, false, "database_name", "/var/lib/krb5kdc/principal");
    taken(h, true, "database_name", "/var/lib/krb5kdc/lab/deep/principal");
    snprintf(value, sizeof(value), "%s/principal", h->data);
    taken(h, false, "database_name", value);
    refused(h, false, "database_name", "/etc/krb5kdc/kdc.conf");
    refused(h, false, "database_name", "/etc/krb5kdc/principal");
}

/* A folder of ours that leads elsewhere, and a name in it that does. */
static void
test_links(void **state)
{
    const struct host *h = *state;
    char path[256];

    in(h->data, "link", path, sizeof(path));
    assert_int_equal(symlink(h->other, path), 0);
    refused(h, false, "database_name", "/var/lib/krb5kdc/link/principal");
    refused(h, false, "dict_file", "/var/lib/krb5kdc/link/deep/dict");
    in(h->data, "name", path, sizeof(path));
    assert_int_equal(symlink("/etc/passwd", path), 0);
    refused(h, false, "acl_file", "/var/lib/krb5kdc/name");
    in(h->data, "dangling", path, sizeof(path));
    assert_int_equal(symlink("/nowhere/at/all", path), 0);
    refused(h, false, "dict_file", "/var/lib/krb5kdc/dangling");
    in(h->data, "inside", path, sizeof(path));
    assert_int_equal(symlink(".", path), 0);
    taken(h, false, "dict_file", "/var/lib/krb5kdc/inside/dict");
}

/* The whole folder is a link to where the disk is: that is this host's word. */
static void
test_linked_folder(void **state)
{
    struct host *h = *state;
    char path[128];

    in(h->root, "linked", path, sizeof(path));
    assert_int_equal(symlink(h->data, path), 0);
    h->folders.data_dir = path;
    taken(h, false, "database_name", "/var/lib/krb5kdc/principal");
    in(h->root, "none", path, sizeof(path));
    taken(h, false, "database_name", "/var/lib/krb5kdc/principal");
}

/* What is there and no database does not become one. */
static void
test_other_files(void **state)
{
    const struct host *h = *state;

    put(h->data, "notes", "");
    refused(h, false, "database_name", "/var/lib/krb5kdc/notes");
    put(h->data, "notes.ok", "");
    taken(h, false, "database_name", "/var/lib/krb5kdc/notes");
    refused(h, false, "database_name", "/var/lib/krb5kdc/from_master");
    refused(h, true, "database_name", "/var/lib/krb5kdc/from_master.new");
}

/* What this host's own file says stands, and shows where else its files are. */
static void
test_own_file(void **state)
{
    const struct host *h = *state;
    char own[512], value[256];

    snprintf(own, sizeof(own),
             "[realms]\n\tELSE.TEST = {\n\t\tdatabase_name = %s/principal\n"
             "\t\tacl_file = /etc/acl\n\t}\n",
             h->other);
    put(h->conf, "kdc.conf", own);
    snprintf(value, sizeof(value), "%s/lab", h->other);
    taken(h, false, "database_name", value);
    taken(h, true, "database_name", value);
    taken(h, false, "dict_file", value);
    snprintf(value, sizeof(value), "%s/sub/lab", h->other);
    refused(h, false, "database_name", value);
    taken(h, false, "dict_file", "/etc/dict");
    refused(h, false, "dict_file", "/etc/cron.d/dict");
    refused(h, false, "database_name", "/etc/principal"); /* no database is there */
    snprintf(own, sizeof(own), "[realms]\n\tLAB.TEST = {\n\t\tdatabase_name = /srv/x\n\t}\n");
    put(h->conf, "kdc.conf", own);
    taken(h, false, "database_name", "/etc/cron.d/principal"); /* it stays out */
    refused(h, true, "database_name", "/etc/cron.d/principal");
}

/* A file that is there for something else, by its name or by this host's word. */
static void
test_roles(void **state)
{
    static const char *const taken_names[] = { "kpropd.acl",   "kdc.conf",      "stash",
                                               ".k5.LAB.TEST", "kadm5.keytab",  "krb5.keytab",
                                               "from_master",  "principal.ulog" };
    static const char *const of_database[] = { "principal", "principal.ok", "principal.kadm5.lock",
                                               "principal~", "principal.kpropctl" };
    static const char *const relations[] = { "database_name", "acl_file", "dict_file" };
    const struct host *h = *state;
    char value[256], own[1024];

    for (size_t r = 0; r < 3; r++) {
        for (size_t i = 0; i < sizeof(taken_names) / sizeof(*taken_names); i++) {
            in("/var/lib/krb5kdc", taken_names[i], value, sizeof(value));
            refused(h, false, relations[r], value);
        }
        for (size_t i = 0; r > 0 && i < sizeof(of_database) / sizeof(*of_database); i++) {
            in("/var/lib/krb5kdc", of_database[i], value, sizeof(value));
            refused(h, false, relations[r], value);
        }
    }
    refused(h, false, "dict_file", "/etc/krb5kdc/kadm5.acl");
    refused(h, false, "acl_file", "/etc/krb5kdc/kadm5.dict");
    refused(h, false, "database_name", "/var/lib/krb5kdc/kadm5.acl");
    /* By its own kdc.conf. */
    snprintf(own, sizeof(own),
             "[realms]\n\tELSE.TEST = {\n\t\tdatabase_name = %s/else\n\t\tacl_file = %s/let\n"
             "\t\tkey_stash_file = %s/key\n\t\tadmin_keytab = FILE:%s/admin\n\t}\n",
             h->data, h->conf, h->data, h->conf);
    put(h->conf, "kdc.conf", own);
    refused(h, false, "database_name", "/var/lib/krb5kdc/else");
    refused(h, false, "database_name", "/var/lib/krb5kdc/key");
    refused(h, false, "dict_file", "/etc/krb5kdc/let");
    refused(h, false, "dict_file", "/etc/krb5kdc/admin");
    refused(h, false, "acl_file", "/var/lib/krb5kdc/else.kadm5");
    taken(h, false, "acl_file", "/etc/krb5kdc/let"); /* realms may share it */
    taken(h, false, "database_name", "/var/lib/krb5kdc/elsewhere");
    /* The update log of a database is beside it. */
    snprintf(own, sizeof(own),
             "[realms]\n\tLAB.TEST = {\n\t\tiprop_logfile = %s/principal.ulog\n\t}\n", h->data);
    put(h->conf, "kdc.conf", own);
    taken(h, false, "database_name", "/var/lib/krb5kdc/principal");
}

/* Two relations of one bundle. */
static void
test_roles_of_one_bundle(void **state)
{
    const struct host *h = *state;
    struct error err;

    assert_false(
        plan(h, false, "acl_file", "/etc/krb5kdc/x\n\t\tdict_file = /etc/krb5kdc/x", false, &err));
    assert_int_equal(err.code, ERROR_REFUSED);
    assert_non_null(strstr(err.text, "something else"));
    assert_false(plan(h, false, "database_name",
                      "/var/lib/krb5kdc/x\n\t\tdict_file = /var/lib/krb5kdc/x.ok", false, &err));
    assert_false(plan(h, false, "dict_file",
                      "/var/lib/krb5kdc/x\n\t\tdatabase_name = /var/lib/krb5kdc/x", true, &err));
    taken(h, false, "database_name", "/var/lib/krb5kdc/x\n\t\tdict_file = /var/lib/krb5kdc/xy");
}

static void
test_a_library_of_another_name(void **state)
{
    static const char *const bad[] = { "../../../../../../var/lib/krb5kdc/from_master",
                                       "kldap",
                                       "/tmp/evil",
                                       "db2/../evil",
                                       "DB2",
                                       "db2.so",
                                       "lmdb",
                                       "./db2",
                                       "test" };
    const struct host *h = *state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        refused(h, true, "db_library", bad[i]);
    taken(h, true, "db_library", "db2");
    taken(h, true, "db_library", "klmdb");
    /* The way out: this host says so itself. */
    put(h->conf, "kdc.conf", "[dbmodules]\n\tLAB.TEST = {\n\t\tdb_library = test\n\t}\n");
    taken(h, true, "db_library", "test");
    refused(h, true, "db_library", "kldap");
}

/* Relations that run code or write files stay out, wherever they stand. */
static void
test_left_out(void **state)
{
    static const char bundle[] =
        "[kdcdefaults]\n\tkdc_ports = 88\n\tpkinit_identity = PKCS11:/tmp/evil.so\n"
        "[realms]\n\tLAB.TEST = {\n\t\tmax_life = 10h\n\t\tkey_stash_file = /etc/cron.d/x\n"
        "\t\tpkinit_identity = PKCS11:module_name=/tmp/evil.so\n\t\tpkinit_anchors = FILE:/tmp/x\n"
        "\t\tadmin_keytab = /etc/cron.d/x\n\t\tiprop_logfile = /etc/cron.d/x\n"
        "\t\tiprop_enable = true\n\t\tkdc = FILE:/tmp/x\n\t\tdb_module_dir = /tmp\n"
        "\t\tdb_library = /tmp/evil\n\t\tdeep = {\n\t\t\tdb_library = /tmp/evil\n\t\t}\n\t}\n"
        "[dbmodules]\n\tdb_module_dir = /tmp\n\tLAB.TEST = {\n\t\tdb_module_dir = /tmp\n"
        "\t\tldap_service_password_file = /tmp/x\n\t\tdisable_lockout = true\n\t}\n"
        "[dbdefaults]\n\tldap_conns_per_server = 5\n"
        "[logging]\n\tkdc = FILE:/tmp/x\n\tadmin_server = DEVICE=/tmp/x\n"
        "[otp]\n\tDEFAULT = {\n\t\tserver = /tmp/x\n\t\tsecret = /tmp/x\n\t}\n"
        "[plugins]\n\tkdcpreauth = {\n\t\tmodule = x:/tmp/evil.so\n\t}\n";
    static const char *const bad[] = {
        "tmp", "cron.d", "iprop", "ldap", "otp", "logging", "plugin"
    };
    const struct host *h = *state;
    struct conf_plan conf;
    struct error err;

    for (int there = 0; there <= 1; there++) {
        if (there)
            put(h->conf, "kdc.conf",
                "[realms]\n\tLAB.TEST = {\n\t\tmax_renewable_life = 7d\n\t}\n");
        assert_true(kdc_conf_plan(h->file, bundle, "LAB.TEST", &primary, &h->folders, there != 0,
                                  &conf, &err));
        for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
            if (strstr(buffer_string(&conf.text), bad[i]) != NULL)
                fail_msg("'%s' in:\n%s", bad[i], buffer_string(&conf.text));
        }
        assert_non_null(strstr(buffer_string(&conf.text), "max_life = 10h"));
        assert_non_null(strstr(buffer_string(&conf.text), "disable_lockout = true"));
        conf_plan_free(&conf);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_paths, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_links, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_linked_folder, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_own_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_roles, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_roles_of_one_bundle, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_library_of_another_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_left_out, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
