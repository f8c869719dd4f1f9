/* server: the daemon itself in a child, with real tickets; how its sessions are shared out. */
#include "agent/daemon/server.h"
#include "kpropctl/remote/remote.h"
#include "tests/unit/throwaway_realm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define OTHER "other/user@" REALM

enum { MANY = 40 };

struct ground {
    struct realm realm;
    struct settings settings;
    pid_t server;
};

static struct remote *
connect_as(const struct ground *g, const char *cache, enum remote_fault *fault)
{
    struct remote *remote = NULL;
    char name[160];
    struct error err;

    snprintf(name, sizeof(name), "FILE:%s/%s", g->realm.folder, cache);
    setenv("KRB5CCNAME", name, 1);
    error_clear(&err);
    for (int i = 0; i < 100 && remote == NULL; i++) {
        remote = remote_open(&(struct refusal_names){ .replica = "127.0.0.1" }, g->settings.port,
                             REALM_SERVER, 10, fault, &err);
        if (remote == NULL && *fault != REMOTE_REFUSED)
            break;
        if (remote == NULL)
            usleep(50 * 1000); /* it does not listen yet */
    }
    if (remote == NULL)
        fprintf(stderr, "%s\n", err.text);
    return remote;
}

/* What becomes of a call: REMOTE_OK, REMOTE_NOT_AUTHORISED, REMOTE_LOST. */
static enum remote_fault
call(struct remote *remote)
{
    static const char *const argv[] = { "version", NULL };
    enum remote_fault fault;
    struct error err;
    json_t *reply;

    error_clear(&err);
    remote_call(remote, argv, 10, NULL, NULL, &reply, &fault, &err);
    json_decref(reply);
    return fault;
}

/* Somebody with a ticket and no rights opens session after session: his own make room. */
static void
test_others_sessions_stay(void **state)
{
    struct ground *g = *state;
    struct remote *ours, *theirs[MANY];
    enum remote_fault fault;

    ours = connect_as(g, "cache", &fault);
    assert_non_null(ours);
    assert_int_equal(call(ours), REMOTE_OK);
    for (int i = 0; i < MANY; i++) {
        theirs[i] = connect_as(g, "other", &fault);
        assert_non_null(theirs[i]);
    }
    assert_int_equal(call(theirs[MANY - 1]), REMOTE_NOT_AUTHORISED);
    assert_int_equal(call(theirs[MANY - 8]), REMOTE_NOT_AUTHORISED);
    assert_int_equal(call(theirs[MANY - 9]), REMOTE_LOST);
    assert_int_equal(call(ours), REMOTE_OK);
    for (int i = 0; i < MANY; i++)
        remote_close(theirs[i]);
    remote_close(ours);
}

static int
set_up(void **state)
{
    struct ground *g = calloc(1, sizeof(*g));
    struct error err;

    *state = g;
    if (!realm_up(&g->realm) || !realm_admin(&g->realm, "addprinc -randkey " OTHER) ||
        !realm_admin(&g->realm, "ktadd -k %s/keytab " OTHER, g->realm.folder) ||
        realm_login(&g->realm, OTHER, 3600, "other") != 0)
        return -1;
    error_clear(&err);
    if (!settings_read(&g->settings, "/dev/null", &err)) {
        fprintf(stderr, "%s\n", err.text);
        return -1;
    }
    g->settings.port = realm_free_port();
    g->settings.names = strdup("replica.unit.test");
    g->server = fork();
    if (g->server == 0)
        _exit(server_run(&g->settings, "/dev/null", &err) ? 0 : 1);
    return 0;
}

static int
tear_down(void **state)
{
    struct ground *g = *state;

    if (g->server > 0) {
        kill(g->server, SIGTERM);
        waitpid(g->server, NULL, 0);
    }
    settings_free(&g->settings);
    realm_down(&g->realm);
    free(g);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_others_sessions_stay) };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
