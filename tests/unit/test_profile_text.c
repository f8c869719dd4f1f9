/* profile_text: what is written says the same to libkrb5 as the files that it was made of. */
#include "kpropctl/enroll/profile_text.h"

#include "common/base/files.h"

#include <krb5.h>
#include <profile.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define FOLDER "/tmp/kpropctl-profile-XXXXXX"

struct place {
    char folder[sizeof(FOLDER)];
};

static void
put(const struct place *place, const char *name, const char *text)
{
    char path[128];
    struct error err;

    snprintf(path, sizeof(path), "%s/%s", place->folder, name);
    assert_true(file_replace(path, text, strlen(text), 0600, &err));
}

static int
set_up(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    char text[512], path[300];

    strcpy(place->folder, FOLDER);
    assert_non_null(mkdtemp(place->folder));
    snprintf(path, sizeof(path), "%s/more.d", place->folder);
    assert_int_equal(0, access(place->folder, F_OK));
    struct error err;
    assert_true(file_make_folder(path, 0700, &err));
    snprintf(
        text, sizeof(text),
        "includedir %s/more.d\n# a comment\n[libdefaults]\n default_realm = LAB.TEST\n"
        " odd = \" \\\"quoted\\\"\\ttail \"\n path = C:\\\\x \"y\"\n"
        "[realms]\n LAB.TEST = {\n  kdc = kdc1.lab.test\n  kdc = kdc2.lab.test\n"
        "  auth_to_local_names = {\n   alice = al\n  }\n  max_life = 1h\n  dict_file = /words\n"
        " }\n[dbmodules]\n mine = {\n  mapsize = 64\n }\n",
        place->folder);
    put(place, "first.conf", text);
    put(place, "more.d/piece",
        "[domain_realm]\n .lab.test = LAB.TEST\n[libdefaults]\n rdns = false\n");
    put(place, "second.conf",
        "[libdefaults]\n default_realm = LATER.TEST\n ticket_lifetime = 5h\n"
        "[realms]\n LAB.TEST = {\n  kdc = kdc3.lab.test\n  pkinit_anchors = FILE:/x\n }\n"
        " OTHER.TEST = {\n  kdc = kdc.other.test\n }\n");
    put(place, "kdc.conf",
        "[kdcdefaults]\n kdc_ports = 88\n"
        "[realms]\n LAB.TEST = {\n  max_life = 10h\n  dict_file = /words\n  database_module = "
        "mine\n }\n"
        " OTHER.TEST = {\n  max_life = 2h\n }\n"
        "[dbmodules]\n mine = {\n  db_library = klmdb\n }\n theirs = {\n  db_library = db2\n }\n"
        "[logging]\n kdc = FILE:/var/log/kdc\n");
    snprintf(path, sizeof(path), "%s/first.conf:%s/none.conf:%s/second.conf", place->folder,
             place->folder, place->folder);
    setenv("KRB5_CONFIG", path, 1);
    snprintf(path, sizeof(path), "%s/kdc.conf", place->folder);
    setenv("KRB5_KDC_PROFILE", path, 1);
    *state = place;
    return 0;
}

static int
tear_down(void **state)
{
    struct place *place = *state;
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", place->folder);
    free(place);
    return system(command);
}

/* The values of A/B/C in TEXT as a file, joined by '|'. */
static const char *
values(const struct place *place, const char *text, const char *a, const char *b, const char *c)
{
    static char joined[512];
    char path[128];
    const char *files[] = { path, NULL }, *names[] = { a, b, c, NULL };
    profile_t profile;
    char **list = NULL;

    put(place, "result.conf", text);
    snprintf(path, sizeof(path), "%s/result.conf", place->folder);
    assert_int_equal(profile_init((const_profile_filespec_t *)files, &profile), 0);
    joined[0] = '\0';
    if (profile_get_values(profile, names, &list) == 0) {
        for (size_t i = 0; list[i] != NULL; i++) {
            strcat(joined, i > 0 ? "|" : "");
            strcat(joined, list[i]);
        }
    }
    profile_free_list(list);
    profile_abandon(profile);
    return joined;
}

static void
test_client(void **state)
{
    const struct place *place = *state;
    struct buffer out;
    struct error err;
    const char *text;

    buffer_init(&out, 0);
    assert_true(profile_text_client(&out, &err));
    text = buffer_string(&out);
    assert_string_equal(values(place, text, "libdefaults", "default_realm", NULL),
                        "LAB.TEST|LATER.TEST");
    assert_string_equal(values(place, text, "libdefaults", "rdns", NULL), "false");
    assert_string_equal(values(place, text, "libdefaults", "ticket_lifetime", NULL), "5h");
    assert_string_equal(values(place, text, "libdefaults", "odd", NULL), " \"quoted\"\ttail ");
    assert_string_equal(values(place, text, "libdefaults", "path", NULL), "C:\\\\x \"y\"");
    assert_string_equal(values(place, text, "domain_realm", ".lab.test", NULL), "LAB.TEST");
    assert_string_equal(values(place, text, "realms", "LAB.TEST", "kdc"),
                        "kdc1.lab.test|kdc2.lab.test|kdc3.lab.test");
    assert_string_equal(values(place, text, "realms", "LAB.TEST", "pkinit_anchors"), "FILE:/x");
    assert_string_equal(values(place, text, "realms", "OTHER.TEST", "kdc"), "kdc.other.test");
    assert_non_null(strstr(text, "        auth_to_local_names = {\n            alice = al\n"));
    assert_null(strstr(text, "include"));
    assert_null(strstr(text, "comment"));
    assert_null(strstr(text, "max_life"));
    assert_null(strstr(text, "dbmodules"));
    /* A section is there once: older libraries look into the first of a name alone. */
    assert_null(strstr(strstr(text, "LAB.TEST = {") + 1, "LAB.TEST = {"));
    buffer_free(&out);
}

static void
test_kdc(void **state)
{
    const struct place *place = *state;
    struct buffer out;
    struct error err;
    const char *text;

    buffer_init(&out, 0);
    assert_true(profile_text_kdc("LAB.TEST", &out, &err));
    text = buffer_string(&out);
    assert_string_equal(values(place, text, "realms", "LAB.TEST", "max_life"), "10h|1h");
    assert_string_equal(values(place, text, "realms", "LAB.TEST", "database_module"), "mine");
    assert_string_equal(values(place, text, "dbmodules", "mine", "db_library"), "klmdb");
    assert_string_equal(values(place, text, "kdcdefaults", "kdc_ports", NULL), "88");
    assert_string_equal(values(place, text, "realms", "LAB.TEST", "dict_file"), "/words");
    assert_string_equal(values(place, text, "dbmodules", "mine", "mapsize"), "64");
    assert_null(strstr(text, "OTHER.TEST"));
    assert_null(strstr(text, "theirs"));
    assert_null(strstr(text, "kdc1.lab.test"));
    assert_null(strstr(text, "logging"));
    buffer_free(&out);
}

/* A realm of which nothing is said still makes a text. */
static void
test_kdc_defaults(void **state)
{
    struct buffer out;
    struct error err;

    (void)state;
    buffer_init(&out, 0);
    assert_true(profile_text_kdc("QUIET.TEST", &out, &err));
    assert_non_null(strstr(buffer_string(&out), "QUIET.TEST = {\n    }\n"));
    assert_null(strstr(buffer_string(&out), "dbmodules"));
    buffer_free(&out);
}

static void
test_too_long(void **state)
{
    struct buffer out;
    struct error err;

    (void)state;
    buffer_init(&out, 64);
    assert_false(profile_text_client(&out, &err));
    assert_int_equal(err.code, ERROR_REFUSED);
    buffer_free(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_client, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_kdc, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_kdc_defaults, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_too_long, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
