/*
 * loader_kit - what the tests of the loader share: a real database under a running krb5kdc, dumps
 * of it, and loads by a process that can be killed. For inclusion in one test file each.
 *
 * A test called as "test_X --load FILE STATE KDB5_UTIL" is the loader itself: see is_loader.
 */
#ifndef KPC_TEST_LOADER_KIT_H
#define KPC_TEST_LOADER_KIT_H

#include "databases.h"

#include "agent/load/announcement.h"
#include "agent/load/loader.h"
#include "agent/load/outcome.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mount.h>

#include <cmocka.h>

enum { COUNT = 4000, MANY = 15000 };

static struct throwaway test_realm;
static char self[256];
static uint64_t generation;
static const char *kdb5_util = "/usr/sbin/kdb5_util";

DB_FN const struct backend *
db2(void)
{
    return backend_find("db2");
}

DB_FN const char *
file(const char *name)
{
    return in_folder(&test_realm, "%s", name);
}

DB_FN int
setup(void **state)
{
    const struct throwaway *t = &test_realm;

    (void)state;
    if (!realm_up(&test_realm) || !realm_admin(t, "addpol -minlength 4 one") ||
        !realm_admin(t, "addprinc +requires_preauth -policy one -pw secret user") ||
        mkdir(file("state"), 0700) != 0 || !dump_live(t, file("old.dump")))
        return -1;
    if (!realm_admin(t, "addprinc -randkey fresh") || !dump_large(t, file("good.dump"), COUNT) ||
        !dump_large(t, file("many.dump"), MANY) || !realm_admin(t, "delprinc -force fresh"))
        return -1;
    return 0;
}

DB_FN int
teardown(void **state)
{
    (void)state;
    realm_down(&test_realm);
    return 0;
}

/* Announce DUMP as the next generation. */
DB_FN void
announce(const char *dump)
{
    struct announcement a = { .generation = ++generation };
    struct dump_info info;
    struct error err;

    memset(a.nonce, 'n', sizeof(a.nonce));
    assert_true(decode(dump, a.nonce, &info));
    memcpy(a.sha256, info.sha256, sizeof(a.sha256));
    memcpy(a.digest, info.digest, sizeof(a.digest));
    a.size = info.bytes;
    a.principals = info.principals;
    a.policies = info.policies;
    a.expires_at = time(NULL) + 600;
    strcpy(a.from, "host/primary");
    assert_true(announcement_store(file("state"), REALM, &a, &err));
}

DB_FN void
withdraw(void)
{
    unlink(file("state/" REALM ".announced"));
}

/* As if no load had ever been verified here. */
DB_FN void
forget(void)
{
    withdraw();
    unlink(file("state/" REALM ".last_good"));
    unlink(file("state/" REALM ".accept"));
}

/* Run the loader on DUMP behind PREFIX (a tracer, or ""), and return its exit status. */
DB_FN int
load_behind(const char *prefix, const char *dump)
{
    char command[2048];
    int status;

    snprintf(command, sizeof(command),
             "ASAN_OPTIONS=detect_leaks=0 %s %s --load %s %s %s >>%s 2>&1", prefix, self, dump,
             file("state"), kdb5_util, file("loader.log"));
    status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

DB_FN int
load(const char *dump)
{
    return load_behind("", dump);
}

/* Start the loader in the background. */
DB_FN pid_t
start_load(const char *prefix, const char *dump)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(load_behind(prefix, dump));
    return pid;
}

DB_FN int
end_load(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

DB_FN json_t *
outcome(void)
{
    struct error err;
    json_t *object = outcome_read(file("state"), REALM, &err);

    assert_non_null(object);
    return object;
}

DB_FN bool
outcome_true(const char *key)
{
    json_t *object = outcome();
    bool value = json_is_true(json_object_get(object, key));

    json_decref(object);
    return value;
}

/* KEY of the outcome holds TEXT; "" asks for null. */
DB_FN bool
outcome_says(const char *key, const char *text)
{
    json_t *object = outcome();
    const char *value = json_string_value(json_object_get(object, key));
    bool found = value == NULL ? text[0] == '\0' : text[0] != '\0' && strstr(value, text) != NULL;

    if (!found)
        print_error("%s: %s\n", key, value == NULL ? "null" : value);
    json_decref(object);
    return found;
}

static struct backend_identity
identity(void)
{
    struct backend_identity id;
    struct error err;

    assert_true(backend_identify(db2(), file("principal"), &id, &err));
    return id;
}

/* Nothing is left of a load, and nothing that is there can be read by others. */
DB_FN void
assert_tidy(void)
{
    assert_true(shell("test -z \"$(ls -A %s)\"", file("principal.kpropctl/staging")));
    assert_true(shell("test -z \"$(find %s -perm /077)\"", file("principal.kpropctl")));
    assert_true(shell("test -z \"$(find %s -perm /077 -name 'principal*')\"", test_realm.folder));
}

/* The load fails with TEXT, and nothing has happened to the live database. */
DB_FN void
assert_refused(const char *dump, const char *text)
{
    struct backend_identity before = identity(), after;

    assert_int_equal(load(dump), 1);
    after = identity();
    assert_true(backend_same(&before, &after));
    assert_true(outcome_says("error", text));
    assert_false(outcome_true("loaded"));
    assert_false(outcome_true("verified"));
    assert_tidy();
    assert_true(kdc_serves(&test_realm));
}

DB_FN void
put_back_old(void)
{
    forget();
    assert_int_equal(load(file("old.dump")), 0);
    assert_false(has_principal(&test_realm, "fresh"));
}

/* Wait until the loader is at STAGE; its supervisor's pid, or 0 if it has ended. */
DB_FN int
wait_for_stage(const char *stage)
{
    struct loader_progress progress;

    for (int i = 0; i < 100000; i++) {
        loader_look(file("principal"), &progress);
        if (progress.running && strcmp(progress.stage, stage) == 0 && progress.pid > 0)
            return progress.pid;
        usleep(200);
    }
    return 0;
}

DB_FN void
wait_for_none(void)
{
    struct loader_progress progress;

    do {
        usleep(1000);
        loader_look(file("principal"), &progress);
    } while (progress.running);
}

/* The command line that does INJECTION to system calls CALLS that name PATH. */
DB_FN const char *
tracer(const char *calls, const char *path, const char *injection)
{
    static char command[1024];

    snprintf(command, sizeof(command),
             "strace -f -qq -o /dev/null %s%s -e trace=%s -e inject=%s:%s",
             path == NULL ? "" : "-P ", path == NULL ? "" : path, calls, calls, injection);
    return command;
}

/* This program as the loader. */
DB_FN int
be_loader(char **argv)
{
    struct loader_request request = { .file = argv[2], .state = argv[3], .kdb5_util = argv[4] };
    struct outcome result;
    struct realm *realm;
    struct error err;
    bool ok;

    error_clear(&err);
    umask(077);
    if (!realm_load(REALM, &realm, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 2;
    }
    request.realm = realm;
    request.database = getenv("OTHER") != NULL ? getenv("OTHER") : realm->database;
    request.incremental = getenv("INCREMENTAL") != NULL;
    request.unannounced =
        getenv("UNANNOUNCED_ACCEPT") != NULL ? UNANNOUNCED_ACCEPT : UNANNOUNCED_REFUSE;
    ok = loader_run(&request, &result);
    fprintf(stderr, "%s: %s%s (%s)\n", argv[2], ok ? "loaded" : "failed: ", result.error,
            result.note);
    realm_free(realm);
    return ok ? 0 : 1;
}

/* Is this call of the program the loader's, or one that cannot become it? *STATUS is how it ends.
 */
DB_FN bool
is_loader(int argc, char **argv, int *status)
{
    bool loader = argc > 4 && strcmp(argv[1], "--load") == 0;

    *status = loader ? be_loader(argv) : 1;
    return loader || readlink("/proc/self/exe", self, sizeof(self) - 1) < 0;
}

#endif
