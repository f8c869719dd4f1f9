/* verbs: the table, arguments, the change lock, and what a remote peer may do. */
#include "agent/base/change_lock.h"
#include "agent/verbs/verbs.h"
#include "common/base/files.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ME "host/kdc1.lab.test@LAB.TEST"

struct ground {
    char folder[40];
    char acl[64];
    struct settings settings;
};

static int
set_up(void **state)
{
    struct ground *g = calloc(1, sizeof(*g));
    struct error err;

    strcpy(g->folder, "/tmp/kpropctl-verbs-XXXXXX");
    if (mkdtemp(g->folder) == NULL)
        return -1;
    snprintf(g->acl, sizeof(g->acl), "%s/acl", g->folder);
    g->settings = (struct settings){ .acl = g->acl, .runtime = g->folder, .state = g->folder };
    *state = g;
    return file_replace(g->acl, ME "\n", sizeof(ME), 0600, &err) ? 0 : -1;
}

static int
tear_down(void **state)
{
    struct ground *g = *state;
    char command[64];

    snprintf(command, sizeof(command), "rm -rf %s", g->folder);
    free(g);
    return system(command);
}

static void
test_table(void **state)
{
    (void)state;
    for (const struct verb *v = verbs_table(); v->name != NULL; v++) {
        assert_ptr_equal(verbs_find(v->name), v); /* each name stands there once */
        assert_true(v->usage != NULL && v->summary != NULL && v->run != NULL);
        assert_true(v->min_args <= v->max_args && v->deadline > 0);
    }
    assert_null(verbs_find("nonsense"));
    assert_null(verbs_find(""));
}

static bool
fails(const struct verb_call *call, json_t **reply, struct error *err)
{
    (void)call;
    *reply = json_pack("{s:i}", "half", 1);
    error_set(err, ERROR_REFUSED, "cannot do it: not today");
    return error_hint(err, "Come back \"tomorrow\"");
}

/* What a caller sent is quoted, whatever it is. */
static bool
quotes(const struct verb_call *call, json_t **reply, struct error *err)
{
    (void)reply, (void)call;
    return error_set(err, ERROR_USAGE, "cannot use 'a\xff\x1b[2J'");
}

static bool
writes(const struct verb_call *call, json_t **reply, struct error *err)
{
    (void)err;
    *reply = json_pack("{s:i}", "args", (int)call->argc);
    return true;
}

/* Run a row and keep what it printed. */
static int
run(const struct verb *verb, const struct verb_call *call, char **out, char **errors)
{
    size_t ignored;
    FILE *o = open_memstream(out, &ignored), *e = open_memstream(errors, &ignored);
    int status = verbs_run(verb, call, o, e);

    fclose(o);
    fclose(e);
    return status;
}

static void
expect(const struct verb *verb, struct ground *g, size_t argc, int status, const char *out,
       const char *errors)
{
    static const char *const argv[] = { "a", "b", "c", NULL };
    struct verb_call call = { &g->settings, NULL, argc, argv };
    char *got, *said;

    assert_int_equal(run(verb, &call, &got, &said), status);
    assert_string_equal(got, out);
    assert_string_equal(said, errors);
    free(got);
    free(said);
}

/* A verb that tells what can be asked gets all rows, whoever called. */
static bool
sees_table(const struct verb_call *call, json_t **reply, struct error *err)
{
    (void)err;
    *reply = json_pack("{s:b}", "table", call->table == verbs_table());
    return true;
}

static void
test_run(void **state)
{
    static const struct verb good = { "good", "A [B]", "", 1, 2, VERB_READING, false, 1, writes };
    static const struct verb bad = { "bad", "", "", 0, 3, VERB_READING, false, 1, fails };
    static const struct verb echo = { "echo", "", "", 0, 3, VERB_READING, false, 1, quotes };
    static const struct verb all = { "all", "", "", 0, 3, VERB_READING, false, 1, sees_table };
    struct ground *g = *state;
    char *out, *said;
    struct verb_call call = { .settings = &g->settings };

    assert_int_equal(run(&echo, &call, &out, &said), ERROR_USAGE);
    assert_string_equal(out, "{\"error\":\"cannot use 'a??[2J'\",\"hint\":null}\n");
    free(out);
    free(said);
    expect(&all, g, 0, 0, "{\"table\":true}\n", "");
    expect(&good, g, 1, 0, "{\"args\":1}\n", "");
    expect(&good, g, 2, 0, "{\"args\":2}\n", "");
    expect(&good, g, 0, ERROR_USAGE,
           "{\"error\":\"cannot run good: it takes the arguments A [B]\",\"hint\":\"Usage: good A "
           "[B]\"}\n",
           "kpropctl-agent: cannot run good: it takes the arguments A [B]\nUsage: good A [B]\n");
    expect(&bad, g, 0, ERROR_REFUSED,
           "{\"half\":1,\"error\":\"cannot do it: not today\",\"hint\":\"Come back "
           "\\\"tomorrow\\\"\"}\n",
           "kpropctl-agent: cannot do it: not today\nCome back \"tomorrow\"\n");
}

/* A change waits for another one, and a reading verb does not. */
static void
test_lock(void **state)
{
    static const struct verb change = { "change", "", "", 0, 0, VERB_CHANGING, false, 1, writes };
    static const struct verb look = { "look", "", "", 0, 0, VERB_READING, false, 1, writes };
    struct ground *g = *state;
    struct error err;
    char path[64];
    int lock;

    snprintf(path, sizeof(path), "%s/change.lock", g->folder);
    lock = file_lock(path, 0, &err);
    assert_true(lock >= 0);
    expect(&look, g, 0, 0, "{\"args\":0}\n", "");
    /* The lock goes while the change waits for it. */
    if (fork() == 0) {
        usleep(300 * 1000);
        _exit(0);
    }
    close(lock);
    expect(&change, g, 0, 0, "{\"args\":0}\n", "");
}

/* Who cannot have the lock is told who has it. */
static void
test_lock_holder(void **state)
{
    struct ground *g = *state;
    char wanted[64];
    struct error err;
    int first, second;

    snprintf(wanted, sizeof(wanted), "another change (pid %d) is still running", (int)getpid());
    assert_true(verbs_lock_changes(&g->settings, "enroll", 0, &first, &err));
    assert_false(verbs_lock_changes(&g->settings, "enroll", 40, &second, &err));
    assert_int_equal(second, -1);
    assert_int_equal(err.code, ERROR_UNREACHABLE);
    assert_non_null(strstr(err.text, wanted));
    close(first);
    assert_true(verbs_lock_changes(&g->settings, "enroll", 0, &second, &err));
    close(second);
}

static int
serve(struct ground *g, const char *peer, size_t argc, const char *const *argv, char *out,
      size_t size)
{
    char *got = NULL, *said = NULL;
    size_t ignored;
    FILE *o = open_memstream(&got, &ignored), *e = open_memstream(&said, &ignored);
    int status = verbs_serve(&g->settings, peer, argc, argv, o, e);

    fclose(o);
    fclose(e);
    snprintf(out, size, "%s", got);
    free(got);
    free(said);
    return status;
}

static void
test_serve(void **state)
{
    static const char *const version[] = { "version", NULL };
    static const char *const local[] = { "release-at-start", "754", NULL };
    static const char *const enroll[] = { "enroll", NULL };
    static const char *const change[] = { "acl-add", "R", "p@R", NULL };
    static const char *const option[] = { "-t", NULL };
    static const char *const none[] = { NULL };
    struct ground *g = *state;
    char out[256];

    assert_int_equal(serve(g, ME, 1, version, out, sizeof(out)), 0);
    assert_non_null(strstr(out, KPC_VERSION));
    assert_int_equal(serve(g, "x@LAB.TEST", 1, version, out, sizeof(out)), VERBS_DENIED);
    assert_string_equal(out, "");
    assert_int_equal(serve(g, "", 1, version, out, sizeof(out)), VERBS_DENIED);
    assert_int_equal(serve(g, "x@LAB.TEST", 3, change, out, sizeof(out)), VERBS_DENIED);
    assert_int_equal(serve(g, ME, 2, local, out, sizeof(out)), VERBS_UNKNOWN);
    assert_int_equal(serve(g, ME, 1, enroll, out, sizeof(out)), VERBS_UNKNOWN);
    assert_int_equal(serve(g, ME, 1, option, out, sizeof(out)), VERBS_UNKNOWN);
    assert_int_equal(serve(g, ME, 0, none, out, sizeof(out)), VERBS_UNKNOWN);
    unlink(g->acl);
    assert_int_equal(serve(g, ME, 1, version, out, sizeof(out)), VERBS_DENIED);
}

/* Every verb of the table that changes something for REALM, none of them run; how many let it. */
static unsigned
count_let(struct ground *g, const char *realm, char *said, size_t size)
{
    const char *const argv[] = { realm, "a", "b", NULL };
    unsigned let = 0, all = 0;

    for (const struct verb *v = verbs_table(); v->name != NULL; v++) {
        struct verb row = *v;
        struct verb_call call = { &g->settings, NULL, v->min_args, argv };
        char *out, *errors;
        int status;

        if (v->kind != VERB_CHANGING || strncmp(v->usage, "REALM", 5) != 0)
            continue;
        row.run = writes;
        status = run(&row, &call, &out, &errors);
        assert_true(status == 0 || status == ERROR_USAGE);
        assert_int_equal(status == 0, strstr(out, "error") == NULL);
        snprintf(said, size, "%s", errors);
        free(out);
        free(errors);
        let += status == 0;
        all++;
    }
    assert_true(all > 10 && (let == 0 || let == all));
    return let;
}

static void
write_conf(struct ground *g, const char *name, const char *variable, const char *text)
{
    char path[80];
    struct error err;

    snprintf(path, sizeof(path), "%s/%s", g->folder, name);
    assert_true(file_replace(path, text, strlen(text), 0600, &err));
    setenv(variable, path, 1);
}

/* A realm that is mistyped has no kpropd of its own: the usual one must not be changed for it. */
static void
test_realm_of_others(void **state)
{
    static const char *const wrong[] = { "NOPE.TEST", "REALM", "lab.test", "LAB.TES",
                                         "LAB.TESTX", "",      "../x",     "NAMED" };
    struct ground *g = *state;
    char said[512];

    write_conf(g, "krb5.conf", "KRB5_CONFIG",
               "[libdefaults]\n default_realm = LAB.TEST\n[realms]\n OTHER.TEST = {\n"
               "  kdc = x\n }\n");
    write_conf(g, "kdc.conf", "KRB5_KDC_PROFILE",
               "[realms]\n THIRD.TEST = {\n  max_life = 1h\n }\n");
    g->settings.realms = (char *)(uintptr_t) "NAMED.TEST ALSO.TEST";
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        assert_int_equal(count_let(g, wrong[i], said, sizeof(said)), 0);
        assert_non_null(strstr(said, wrong[i]));
        assert_non_null(strstr(said, "(NAMED.TEST, ALSO.TEST, LAB.TEST, "));
        assert_non_null(strstr(said, "OTHER.TEST"));
        assert_non_null(strstr(said, "THIRD.TEST"));
    }
    assert_true(count_let(g, "LAB.TEST", said, sizeof(said)) > 0);
    assert_true(count_let(g, "OTHER.TEST", said, sizeof(said)) > 0);
    assert_true(count_let(g, "THIRD.TEST", said, sizeof(said)) > 0);
    assert_true(count_let(g, "NAMED.TEST", said, sizeof(said)) > 0);
    assert_true(count_let(g, "ALSO.TEST", said, sizeof(said)) > 0);
    g->settings.realms = NULL;
    assert_int_equal(count_let(g, "ALSO.TEST", said, sizeof(said)), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test_setup_teardown(test_run, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lock, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lock_holder, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_serve, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_realm_of_others, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
