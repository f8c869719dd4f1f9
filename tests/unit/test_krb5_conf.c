/* krb5_conf: a realm merged into a krb5.conf and a kdc.conf that are there already. */
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

/* What a bundle's krb5.conf must bring nothing of: other realms, and whatever is not in the list.
 */
#define UNWANTED                                                                                   \
    "[plugins]\n\thostrealm = {\n\t\tmodule = x:/tmp/evil.so\n\t}\n"                               \
    "[logging]\n\tkdc = FILE:/etc/cron.d/kdc\n\tdefault = DEVICE=/etc/passwd\n"                    \
    "[appdefaults]\n\tpam = {\n\t\tmappings = (.*) root\n\t}\n[capaths]\n\tA = {\n\t\tB = .\n"     \
    "\t}\n[dbmodules]\n\tdb_module_dir = /tmp\n[otp]\n\tDEFAULT = {\n\t\tsecret = /etc/shadow\n"   \
    "\t}\n[kdc]\n\tx = y\n"

#define BUNDLE                                                                                     \
    "[libdefaults]\n\tdefault_realm = LAB.TEST\n\trdns = false\n\tticket_lifetime = 1h\n"          \
    "[realms]\n\tLAB.TEST = {\n\t\tkdc = kdc1.lab.test\n\t\tkdc = kdc2.lab.test\n"                 \
    "\t\tadmin_server = kdc1.lab.test\n\t\tauth_to_local_names = {\n\t\t\troot = admin\n\t\t}\n"   \
    "\t}\n\tOTHER.TEST = {\n\t\tkdc = kdc.other.test\n\t}\n"                                       \
    "[domain_realm]\n\t.lab.test = LAB.TEST\n\t.other.test = OTHER.TEST\n"

struct folder {
    char path[64];
    char file[96];
    char template[96];
};

static int
setup(void **state)
{
    struct folder *f = calloc(1, sizeof(*f));

    if (f == NULL)
        return -1;
    snprintf(f->path, sizeof(f->path), "/tmp/test_krb5_conf.XXXXXX");
    if (mkdtemp(f->path) == NULL)
        return -1;
    snprintf(f->file, sizeof(f->file), "%s/krb5.conf", f->path);
    snprintf(f->template, sizeof(f->template), "%s/template", f->path);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct folder *f = *state;
    char command[128];
    int rc;

    snprintf(command, sizeof(command), "rm -rf %s", f->path);
    rc = system(command);
    free(f);
    return rc;
}

static void
put(const char *path, const char *text)
{
    struct error err;

    if (!file_replace(path, text, strlen(text), 0644, &err))
        fail_msg("%s", err.text);
}

/* Plan, assert the result, and write the text where there is one. Returns the text (freed by the
 * caller) or NULL. */
static char *
plan_krb5(const struct folder *f, bool replace, enum conf_result expected)
{
    struct conf_plan plan;
    struct error err;
    char *text = NULL;

    error_clear(&err);
    if (!krb5_conf_plan(f->file, f->template, BUNDLE, "LAB.TEST", replace, &plan, &err))
        fail_msg("%s", err.text);
    assert_int_equal(plan.result, expected);
    if (expected == CONF_NEW || expected == CONF_MERGED) {
        text = strdup(buffer_string(&plan.text));
        assert_non_null(text);
        put(f->file, text);
        assert_int_not_equal(json_array_size(plan.differences), 0);
    } else {
        assert_int_equal(plan.text.len, 0);
    }
    conf_plan_free(&plan);
    return text;
}

static char *
action_of(const struct folder *f, bool replace, const char *relation)
{
    struct conf_plan plan;
    struct error err;
    char *action = NULL;
    json_t *row;
    size_t i;

    assert_true(krb5_conf_plan(f->file, f->template, BUNDLE, "LAB.TEST", replace, &plan, &err));
    json_array_foreach(plan.differences, i, row)
    {
        if (strcmp(json_string_value(json_object_get(row, "relation")), relation) == 0)
            action = strdup(json_string_value(json_object_get(row, "action")));
    }
    conf_plan_free(&plan);
    return action;
}

static void
assert_value(const char *file, const char *const *names, const char *expected)
{
    const_profile_filespec_t files[] = { file, NULL };
    profile_t profile;
    char **values = NULL;

    assert_int_equal(profile_init(files, &profile), 0);
    assert_int_equal(profile_get_values(profile, (const char **)(uintptr_t)names, &values), 0);
    assert_string_equal(values[0], expected);
    profile_free_list(values);
    profile_release(profile);
}

static void
assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("no '%s' in:\n%s", part, text);
}

static void
assert_lacks(const char *text, const char *part)
{
    if (strstr(text, part) != NULL)
        fail_msg("'%s' in:\n%s", part, text);
}

static void
test_new(void **state)
{
    char *text = plan_krb5(*state, false, CONF_NEW);

    assert_string_equal(text,
                        "[libdefaults]\n\tdefault_realm = LAB.TEST\n\trdns = false\n\n[realms]\n"
                        "\tLAB.TEST = {\n\t\tadmin_server = kdc1.lab.test\n"
                        "\t\tkdc = kdc1.lab.test\n\t\tkdc = kdc2.lab.test\n\t}\n\n"
                        "[domain_realm]\n\t.lab.test = LAB.TEST\n");
    free(text);
    assert_null(plan_krb5(*state, false, CONF_SAME));
}

static char *
text_of(const struct folder *f, const char *bundle)
{
    struct conf_plan plan;
    struct error err;
    char *text;

    error_clear(&err);
    if (!krb5_conf_plan(f->file, f->template, bundle, "LAB.TEST", false, &plan, &err))
        fail_msg("%s", err.text);
    text = strdup(buffer_string(&plan.text));
    assert_non_null(text);
    conf_plan_free(&plan);
    return text;
}

/* One list for a file that is there and for a new one. */
static void
test_only_what_is_listed(void **state)
{
    static const char bundle[] =
        "[libdefaults]\n\tplugin_base_dir = /tmp\n\tdefault_keytab_name = /etc/x\n"
        "\tdefault_realm = LAB.TEST\n\tdefault_ccache_name = FILE:/etc/cron.d/x\n"
        "[realms]\n\tLAB.TEST = {\n\t\tkdc = k\n\t\tadmin_server = k\n"
        "\t\tauth_to_local = RULE:[1:$1](.*)s/.*/root/\n\t\tauth_to_local = DEFAULT\n"
        "\t\tauth_to_local_names = {\n\t\t\tmallory = root\n\t\t}\n"
        "\t\tpkinit_anchors = FILE:/tmp/ca\n\t\thttp_anchors = FILE:/tmp/ca\n"
        "\t\tdatabase_name = /etc/cron.d/x\n\t\tkey_stash_file = /etc/cron.d/y\n\t}\n"
        "[domain_realm]\n\t.lab.test = LAB.TEST\n\t$(x) = LAB.TEST\n" UNWANTED;
    static const char *const bad[] = { "evil",    "plugin", "cron.d", "tmp",    "root",   "mallory",
                                       "auth_to", "anchor", "keytab", "ccache", "DEVICE", "$(x)",
                                       "capaths", "dbmod",  "otp",    "shadow" };
    const struct folder *f = *state;

    for (int there = 0; there <= 1; there++) {
        char *text;

        if (there)
            put(f->file, "[libdefaults]\n\tforwardable = true\n");
        text = text_of(f, bundle);
        assert_has(text, "kdc = k\n");
        assert_has(text, ".lab.test = LAB.TEST");
        for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
            assert_lacks(text, bad[i]);
        free(text);
    }
}

/* Comments and other realms stay; only what is missing comes; and once it is there, nothing. */
static void
test_missing_is_added(void **state)
{
    const struct folder *f = *state;
    const char *server[] = { "realms", "LAB.TEST", "admin_server", NULL };
    char *text;

    put(f->file,
        "# mine\n[libdefaults]\n  forwardable = true ; here\n[realms]\n"
        "  MINE.TEST = {\n    kdc = me\n  }\n  LAB.TEST = {\n    kdc = kdc2.lab.test\n  }");
    text = plan_krb5(f, false, CONF_MERGED);
    assert_int_equal(strncmp(text, "# mine\n[libdefaults]\n", 21), 0);
    assert_has(text, "MINE.TEST = {\n    kdc = me\n");
    assert_has(text, "\t\tkdc = kdc1.lab.test\n");
    /* In the section that is there: krb5 before 1.18 does not look into a second one. */
    assert_null(strstr(strstr(text, "LAB.TEST = {") + 1, "LAB.TEST = {"));
    assert_has(text, "\tdefault_realm = LAB.TEST\n");
    assert_has(text, ".lab.test = LAB.TEST");
    assert_lacks(text, "OTHER.TEST");
    assert_lacks(text, "ticket_lifetime");
    assert_lacks(text, "\tkdc = kdc2.lab.test");
    assert_lacks(text, "auth_to_local");
    assert_value(f->file, server, "kdc1.lab.test");
    free(text);
    assert_null(plan_krb5(f, false, CONF_SAME));
}

static void
test_conflict(void **state)
{
    const struct folder *f = *state;
    const char *server[] = { "realms", "LAB.TEST", "admin_server", NULL };
    const char *other[] = { "realms", "MINE.TEST", "admin_server", NULL };
    const char *kdc[] = { "realms", "LAB.TEST", "kdc", NULL };
    char *text, *action;

    put(f->file, "[realms]\n\tLAB.TEST =\n\t{\n\tkdc = 10.0.0.1\n\t\tadmin_server = old.lab.test\n"
                 "\t}\n\tMINE.TEST = {\n\t\tadmin_server = old.lab.test\n\t}\n");
    assert_null(plan_krb5(f, false, CONF_CONFLICT));
    action = action_of(f, false, "[realms] LAB.TEST admin_server");
    assert_string_equal(action, "conflict");
    free(action);
    action = action_of(f, false, "[realms] LAB.TEST kdc");
    assert_string_equal(action, "conflict");
    free(action);
    text = plan_krb5(f, true, CONF_MERGED);
    assert_has(text, "# \t\tadmin_server = old.lab.test\n");
    assert_has(text, "# \tkdc = 10.0.0.1\n");
    assert_has(text, "MINE.TEST = {\n\t\tadmin_server = old.lab.test\n");
    assert_value(f->file, server, "kdc1.lab.test");
    assert_value(f->file, other, "old.lab.test");
    assert_value(f->file, kdc, "kdc1.lab.test");
    free(text);
    assert_null(plan_krb5(f, false, CONF_SAME));
}

static void
test_default_realm(void **state)
{
    const struct folder *f = *state;
    const char *names[] = { "libdefaults", "default_realm", NULL };
    char *action, *text;

    put(f->template, "[libdefaults]\n\tdefault_realm = ATHENA.MIT.EDU\n\tkdc_timesync = 1\n");
    put(f->file, "[libdefaults]\n\tdefault_realm = MY.TEST\n\tkdc_timesync = 2\n");
    action = action_of(f, false, "[libdefaults] default_realm");
    assert_string_equal(action, "conflict");
    free(action);
    put(f->file,
        "[libdefaults]\n\tdefault_realm = MY.TEST\n\n\tkdc_timesync = 1\n        rdns = false\n");
    text = plan_krb5(f, false, CONF_MERGED);
    assert_has(text, "# \tdefault_realm = MY.TEST");
    assert_value(f->file, names, "LAB.TEST");
    free(text);
}

/* What an included file says cannot be commented out. */
static void
test_out_of_reach(void **state)
{
    const struct folder *f = *state;
    struct conf_plan plan;
    struct error err;
    char included[128], text[256];

    snprintf(included, sizeof(included), "%s/realm.conf", f->path);
    snprintf(text, sizeof(text), "include %s\n[libdefaults]\n", included);
    put(included, "[realms]\n\tLAB.TEST = {\n\t\tadmin_server = old.lab.test\n\t}\n");
    put(f->file, text);
    error_clear(&err);
    assert_false(krb5_conf_plan(f->file, f->template, BUNDLE, "LAB.TEST", true, &plan, &err));
    assert_int_equal(err.code, ERROR_REFUSED);
    assert_has(err.text, "old.lab.test");
    assert_has(err.hint, "includes");
    conf_plan_free(&plan);
}

static void
refuse_text(const struct folder *f, const char *text, const char *why)
{
    struct conf_plan plan;
    struct error err;

    error_clear(&err);
    assert_false(krb5_conf_plan(f->file, f->template, text, "LAB.TEST", true, &plan, &err));
    assert_int_equal(err.code, ERROR_REFUSED);
    assert_has(err.text, why);
    assert_int_equal(plan.text.len, 0);
    conf_plan_free(&plan);
}

static void
test_refused(void **state)
{
    const struct folder *f = *state;
    char text[8192];

    refuse_text(f, "include /etc/shadow\n" BUNDLE, "includes");
    refuse_text(f, "includedir\t/etc\n" BUNDLE, "includes");
    /* libprofile reads 2047 characters at once: what follows is a line to it. */
    snprintf(text, sizeof(text), "[libdefaults]\n  x = %0*d%s", 2047 - 6, 0,
             "include /etc/shadow\n" BUNDLE);
    refuse_text(f, text, "includes");
    refuse_text(f, "module /tmp/evil.so:x\n", "includes");
    refuse_text(f, "module\t/tmp/evil.so:x\n" BUNDLE, "includes");
    refuse_text(f, BUNDLE "[libdefaults]\ninclude /tmp/evil.conf\n", "includes");
    refuse_text(f, "[realms]\n\tOTHER.TEST = {\n\t\tkdc = x\n\t}\n", "nothing of realm");
    refuse_text(f, "[realms]\n\tLAB.TEST = {\n\t\tkdc : x\n\t}\n", "cannot read");
    put(f->file, "[realms]\n}\n");
    refuse_text(f, BUNDLE, "cannot read");
}

static void
test_values_are_quoted(void **state)
{
    static const char bundle[] =
        "[realms]\n\tLAB.TEST = {\n\t\tkdc = k\n\t\tadmin_server = \" b\\\"\\\\ \"\n"
        "\t\tdefault_domain = \"\"\n\t\tsitename = \"{\"\n\t}\n";
    const struct folder *f = *state;
    const char *names[] = { "realms", "LAB.TEST", "admin_server", NULL };
    struct conf_plan plan;
    struct error err;

    put(f->file, "[libdefaults]\n");
    assert_true(krb5_conf_plan(f->file, f->template, bundle, "LAB.TEST", false, &plan, &err));
    put(f->file, buffer_string(&plan.text));
    conf_plan_free(&plan);
    assert_value(f->file, names, " b\"\\ ");
    names[2] = "default_domain";
    assert_value(f->file, names, "");
    names[2] = "sitename";
    assert_value(f->file, names, "{");
}

static void
test_kdc_conf(void **state)
{
    static const char bundle[] =
        "[kdcdefaults]\n\tkdc_ports = 88\n[realms]\n\tLAB.TEST = {\n"
        "\t\tdatabase_module = fast\n\t\tacl_file = /etc/krb5kdc/kadm5.acl\n"
        "\t\tkey_stash_file = /etc/krb5kdc/stash\n\t\tmax_life = 10h\n"
        "\t\tdict_file = /var/lib/krb5kdc/dict\n\t\tiprop_enable = true\n"
        "\t}\n[dbmodules]\n\tfast = {\n\t\tdb_library = db2\n"
        "\t\tdatabase_name = /var/lib/krb5kdc/lab/principal\n\t}\n\tslow = {\n\t\tx = y\n\t}\n";
    const struct kdc_folders debian = { "/var/lib/krb5kdc", "/etc/krb5kdc" };
    const struct kdc_folders rhel = { "/var/kerberos/krb5kdc", "/var/kerberos/krb5kdc" };
    const struct folder *f = *state;
    struct conf_plan plan;
    struct error err;
    const char *text;

    assert_true(kdc_conf_plan(f->file, bundle, "LAB.TEST", &debian, &rhel, false, &plan, &err));
    assert_int_equal(plan.result, CONF_NEW);
    text = buffer_string(&plan.text);
    assert_has(text, "acl_file = /var/kerberos/krb5kdc/kadm5.acl\n");
    assert_has(text, "database_name = /var/kerberos/krb5kdc/lab/principal\n");
    assert_has(text, "dict_file = /var/kerberos/krb5kdc/dict\n");
    assert_lacks(text, "iprop");
    assert_lacks(text, "key_stash_file"); /* where it is, this host says */
    assert_has(text, "kdc_ports = 88\n");
    assert_lacks(text, "slow");
    conf_plan_free(&plan);

    put(f->file, "[kdcdefaults]\n\tkdc_ports = 750\n[realms]\n\tLAB.TEST = {\n"
                 "\t\tkey_stash_file = /mine\n\t\tmax_life = 8h\n\t}\n");
    assert_true(kdc_conf_plan(f->file, bundle, "LAB.TEST", &debian, &debian, false, &plan, &err));
    assert_int_equal(plan.result, CONF_CONFLICT);
    conf_plan_free(&plan);
    assert_true(kdc_conf_plan(f->file, bundle, "LAB.TEST", &debian, &debian, true, &plan, &err));
    assert_int_equal(plan.result, CONF_MERGED);
    text = buffer_string(&plan.text);
    assert_has(text, "\t\tkey_stash_file = /mine\n");
    assert_lacks(text, "/etc/krb5kdc/stash");
    assert_has(text, "# \t\tmax_life = 8h\n");
    assert_has(text, "\tkdc_ports = 750\n");
    conf_plan_free(&plan);
}

/* The primary's own addresses would keep a KDC here from starting. */
static void
test_addresses(void **state)
{
    static const char bundle[] =
        "[kdcdefaults]\n\tkdc_listen = 10.0.0.1:88\n\tkdc_tcp_listen = 88, *:750 [::]:751\n"
        "[realms]\n\tLAB.TEST = {\n\t\tkdc_ports = 88 fd00::1\n\t\tmax_life = 10h\n"
        "\t\tkadmind_listen = kdc1.lab.test:749\n\t\tkdc_tcp_ports = 0.0.0.0,::\n\t}\n";
    const struct kdc_folders debian = { "/var/lib/krb5kdc", "/etc/krb5kdc" };
    const struct folder *f = *state;
    struct conf_plan plan;
    struct error err;
    const char *text;

    assert_true(kdc_conf_plan(f->file, bundle, "LAB.TEST", &debian, &debian, false, &plan, &err));
    text = buffer_string(&plan.text);
    assert_lacks(text, "kdc_listen");
    assert_has(text, "kdc_tcp_listen = 88, *:750 [::]:751\n");
    assert_lacks(text, "kdc_ports");
    assert_lacks(text, "kadmind_listen");
    assert_has(text, "kdc_tcp_ports = 0.0.0.0,::\n");
    assert_has(text, "max_life = 10h\n");
    conf_plan_free(&plan);
}

/* RHEL's one folder holds both kinds; on Debian each goes to its own. */
static void
test_one_folder_to_two(void **state)
{
    static const char bundle[] =
        "[realms]\n\tLAB.TEST = {\n\t\tacl_file = /var/kerberos/krb5kdc/kadm5.acl\n"
        "\t\tdatabase_name = /var/kerberos/krb5kdc/principal\n\t}\n";
    const struct kdc_folders debian = { "/var/lib/krb5kdc", "/etc/krb5kdc" };
    const struct kdc_folders rhel = { "/var/kerberos/krb5kdc", "/var/kerberos/krb5kdc" };
    const struct folder *f = *state;
    struct conf_plan plan;
    struct error err;

    assert_true(kdc_conf_plan(f->file, bundle, "LAB.TEST", &rhel, &debian, false, &plan, &err));
    assert_has(buffer_string(&plan.text), "acl_file = /etc/krb5kdc/kadm5.acl\n");
    assert_has(buffer_string(&plan.text), "database_name = /var/lib/krb5kdc/principal\n");
    conf_plan_free(&plan);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_new, setup, teardown),
        cmocka_unit_test_setup_teardown(test_only_what_is_listed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing_is_added, setup, teardown),
        cmocka_unit_test_setup_teardown(test_conflict, setup, teardown),
        cmocka_unit_test_setup_teardown(test_default_realm, setup, teardown),
        cmocka_unit_test_setup_teardown(test_out_of_reach, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_values_are_quoted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kdc_conf, setup, teardown),
        cmocka_unit_test_setup_teardown(test_addresses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_folder_to_two, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
