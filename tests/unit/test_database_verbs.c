/* test_database_verbs - the verbs of the replica's database, on a real one. */
#include "databases.h"

#include "agent/load/announcement.h"
#include "agent/load/loader.h"
#include "agent/verbs/database_verbs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/file.h>

#include <cmocka.h>

#include "between.h"

#define NONCE "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static struct throwaway test_realm;
static struct settings settings;
static char state_folder[128];

static int
setup(void **state)
{
    (void)state;
    if (!realm_up(&test_realm) || !realm_admin(&test_realm, "addpol -minlength 4 one") ||
        !realm_admin(&test_realm, "addprinc -policy one -pw secret user"))
        return -1;
    snprintf(state_folder, sizeof(state_folder), "%s/state", test_realm.folder);
    settings.state = settings.runtime = state_folder;
    return mkdir(state_folder, 0700);
}

static int
teardown(void **state)
{
    (void)state;
    realm_down(&test_realm);
    return 0;
}

/* Run VERB with one or two arguments; the reply is to be freed. */
static bool
ask(verb_function *verb, const char *second, json_t **reply, struct error *err)
{
    const char *argv[] = { REALM, second, NULL };
    struct verb_call call = { &settings, "host/primary@" REALM, second == NULL ? 1 : 2, argv };

    *reply = NULL;
    error_clear(err);
    return verb(&call, reply, err);
}

static json_int_t
number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static void
test_digest(void **state)
{
    const char *dump = in_folder(&test_realm, "live.dump");
    unsigned char nonce[DIGEST_NONCE_SIZE];
    char digest[2 * DIGEST_SIZE + 1];
    struct dump_info info;
    struct error err;
    json_t *reply;

    (void)state;
    assert_true(hex_decode(NONCE, nonce, sizeof(nonce)));
    assert_true(dump_live(&test_realm, dump) && decode(dump, nonce, &info));
    hex_encode(info.digest, sizeof(info.digest), digest);
    assert_true(ask(database_verb_digest, NONCE, &reply, &err));
    assert_string_equal(json_string_value(json_object_get(reply, "digest")), digest);
    assert_int_equal(number(reply, "principals"), info.principals);
    assert_int_equal(number(reply, "policies"), 1);
    assert_true(json_is_true(json_object_get(reply, "stash_opens")));
    json_decref(reply);
    assert_false(ask(database_verb_digest, "0011", &reply, &err));
    assert_int_equal(err.code, ERROR_USAGE);
    assert_true(shell("test -z \"$(ls -A %s)\"", in_folder(&test_realm, "principal.kpropctl")));
}

static void
test_inventory(void **state)
{
    size_t all, parts = 0;
    struct error err;
    json_t *reply;
    char part[16];

    (void)state;
    assert_true(ask(database_verb_inventory, NULL, &reply, &err));
    all = json_object_size(json_object_get(reply, "principals"));
    assert_between(number(json_object_get(reply, "principals"), "user@" REALM), time(NULL) - 120,
                   time(NULL) + 2);
    assert_non_null(json_object_get(json_object_get(reply, "policies"), "one"));
    json_decref(reply);
    for (int i = 0; i < 3; i++) {
        snprintf(part, sizeof(part), "%d/3", i);
        assert_true(ask(database_verb_inventory, part, &reply, &err));
        parts += json_object_size(json_object_get(reply, "principals"));
        json_decref(reply);
    }
    assert_int_equal(parts, all);
    assert_false(ask(database_verb_inventory, "3/3", &reply, &err));
    assert_false(ask(database_verb_inventory, "0/0", &reply, &err));
    assert_false(ask(database_verb_inventory, "1/2x", &reply, &err));
    assert_int_equal(err.code, ERROR_USAGE);
}

static bool
announce(long long generation, json_t **reply, struct error *err)
{
    char text[512];

    snprintf(text, sizeof(text),
             "{\"generation\": %lld, \"sha256\": \"" NONCE "\", \"nonce\": \"" NONCE
             "\", \"digest\": \"" NONCE "\", \"size\": 1, \"principals\": 2, \"policies\": 3}",
             generation);
    return ask(database_verb_announce, text, reply, err);
}

/* A number is of one content. */
static void
test_announce_another_content(void **state)
{
    static const char other[] =
        "{\"generation\": 7, \"sha256\": \"" NONCE "\", \"nonce\": \"" NONCE
        "\", \"digest\": \"00000000000000000000000000000000"
        "00000000000000000000000000000000\", \"size\": 1, \"principals\": 2, \"policies\": 3}";
    struct error err;
    json_t *reply;
    char path[600];

    (void)state;
    error_clear(&err);
    assert_false(ask(database_verb_announce, other, &reply, &err));
    assert_int_equal(err.code, ERROR_REFUSED);
    assert_int_equal(number(reply, "greatest"), 7);
    json_decref(reply);
    /* The file of a former agent knows no content: what is announced tells. */
    snprintf(path, sizeof(path), "%s/" REALM ".generation", state_folder);
    assert_true(shell("echo '{\"greatest\": 7}' >%s", path));
    assert_false(ask(database_verb_announce, other, &reply, &err));
    assert_int_equal(err.code, ERROR_REFUSED);
    json_decref(reply);
    error_clear(&err);
    assert_true(announce(7, &reply, &err));
    json_decref(reply);
}

static void
test_announce(void **state)
{
    struct error err;
    json_t *reply;

    (void)state;
    assert_true(announce(7, &reply, &err));
    assert_int_equal(number(reply, "greatest"), 7);
    json_decref(reply);
    assert_true(announce(7, &reply, &err));
    json_decref(reply);
    assert_false(announce(6, &reply, &err));
    assert_int_equal(err.code, ERROR_REFUSED);
    assert_int_equal(number(reply, "greatest"), 7);
    json_decref(reply);
    /* It would be the last one for ever. */
    assert_false(announce(INT64_MAX, &reply, &err));
    assert_int_equal(err.code, ERROR_USAGE);
    assert_int_equal(announcement_greatest(state_folder, REALM), 7);
    assert_false(announce(0, &reply, &err));
    assert_int_equal(err.code, ERROR_USAGE);
    assert_false(ask(database_verb_announce, "{", &reply, &err));
    assert_false(ask(database_verb_announce, "[]", &reply, &err));
    assert_int_equal(err.code, ERROR_USAGE);
}

/* A load by the loader itself in a child; its exit status. */
static int
load(const char *dump)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        struct loader_request request = { .file = dump,
                                          .state = state_folder,
                                          .kdb5_util = "/usr/sbin/kdb5_util" };
        struct outcome outcome;
        struct realm *realm;
        struct error err;

        if (!realm_load(REALM, &realm, &err))
            _exit(9);
        request.realm = realm;
        request.database = realm->database;
        _exit(loader_run(&request, &outcome) ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WEXITSTATUS(status);
}

static void
test_outcome(void **state)
{
    const char *dump = in_folder(&test_realm, "again.dump");
    struct error err;
    json_t *reply;

    (void)state;
    assert_true(ask(database_verb_outcome, "0", &reply, &err));
    assert_true(json_is_null(json_object_get(reply, "generation")));
    assert_true(json_is_null(json_object_get(reply, "running")));
    json_decref(reply);
    assert_true(announce(8, &reply, &err));
    json_decref(reply);
    assert_true(dump_live(&test_realm, dump));
    assert_int_equal(load(dump), 1);
    assert_true(ask(database_verb_outcome, NULL, &reply, &err));
    assert_int_equal(number(reply, "generation"), 8);
    assert_int_equal(number(reply, "greatest"), 8);
    assert_int_equal(number(json_object_get(reply, "pending"), "generation"), 8);
    assert_true(json_is_false(json_object_get(reply, "verified")));
    assert_non_null(json_string_value(json_object_get(reply, "error")));
    json_decref(reply);
    /* What was announced anew has no outcome yet. */
    assert_true(announce(8, &reply, &err));
    json_decref(reply);
    assert_true(ask(database_verb_outcome, NULL, &reply, &err));
    assert_true(json_is_null(json_object_get(reply, "generation")));
    json_decref(reply);
    assert_false(ask(database_verb_outcome, "-1", &reply, &err));
    assert_false(ask(database_verb_outcome, "soon", &reply, &err));
}

/* Announce as GENERATION what is live under NONCE, with a dump's hash that no dump has. */
static void
announce_live(long long of_generation)
{
    char text[512];
    struct error err;
    json_t *reply;

    assert_true(ask(database_verb_digest, NONCE, &reply, &err));
    snprintf(text, sizeof(text),
             "{\"generation\": %lld, \"sha256\": \"" NONCE "\", \"nonce\": \"" NONCE
             "\", \"digest\": \"%s\", \"size\": 1, \"principals\": 2, \"policies\": 3}",
             of_generation, json_string_value(json_object_get(reply, "digest")));
    json_decref(reply);
    assert_true(ask(database_verb_announce, text, &reply, &err));
    json_decref(reply);
}

static bool
is_pending(void)
{
    struct error err;
    json_t *reply;
    bool found;

    assert_true(ask(database_verb_outcome, "0", &reply, &err));
    found = !json_is_null(json_object_get(reply, "pending"));
    json_decref(reply);
    return found;
}

/* What a loader that is not ours has loaded keeps nothing out once it is seen to be live. */
static void
test_announced_and_live(void **state)
{
    static const char other[] = "00000000000000000000000000000000"
                                "00000000000000000000000000000000";
    const char *dump = in_folder(&test_realm, "past.dump");
    struct error err;
    json_t *reply;

    (void)state;
    assert_true(dump_live(&test_realm, dump));
    announce_live(20);
    assert_true(is_pending());
    assert_int_equal(load(dump), 1);
    /* Another nonce tells nothing of it. */
    assert_true(ask(database_verb_digest, other, &reply, &err));
    json_decref(reply);
    assert_true(is_pending());
    assert_int_equal(load(dump), 1);
    assert_true(ask(database_verb_digest, NONCE, &reply, &err));
    json_decref(reply);
    assert_false(is_pending());
    assert_int_equal(load(dump), 0);
    /* The next one is waited for again. */
    announce_live(21);
    assert_true(is_pending());
    assert_int_equal(load(dump), 1);
}

/* A load that runs is waited for, but not for ever. */
static void
test_outcome_waits(void **state)
{
    int fd = open(in_folder(&test_realm, "principal.kpropctl/loading"), O_RDWR);
    double start = clock_now();
    struct error err;
    json_t *reply;

    (void)state;
    assert_true(fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0);
    assert_true(ftruncate(fd, 0) == 0);
    assert_true(dprintf(fd, "{\"pid\": %d, \"since\": 5.5, \"stage\": \"load\", \"generation\": 8}",
                        (int)getpid()) > 0);
    assert_true(ask(database_verb_outcome, "1", &reply, &err));
    assert_true(clock_now() - start >= 0.9);
    assert_int_equal(number(json_object_get(reply, "running"), "pid"), getpid());
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(reply, "running"), "stage")), "load");
    json_decref(reply);
    close(fd);
    assert_true(ask(database_verb_outcome, "60", &reply, &err));
    assert_true(clock_now() - start < 10);
    assert_true(json_is_null(json_object_get(reply, "running")));
    json_decref(reply);
}

static void
test_damaged(void **state)
{
    struct error err;
    json_t *reply;

    (void)state;
    assert_true(shell("cp %s %s.sound && head -c 9000 /dev/urandom > %s",
                      in_folder(&test_realm, "principal"), in_folder(&test_realm, "principal"),
                      in_folder(&test_realm, "principal")));
    assert_false(ask(database_verb_digest, NONCE, &reply, &err));
    assert_string_not_equal(err.hint, "");
    assert_null(reply);
    assert_true(shell("mv %s.sound %s", in_folder(&test_realm, "principal"),
                      in_folder(&test_realm, "principal")));
    assert_true(ask(database_verb_digest, NONCE, &reply, &err));
    json_decref(reply);
}

/* The answer to a digest whose asker is on its own, in a child: its pid. */
static pid_t
ask_beside(void)
{
    pid_t pid = fork();
    struct error err;
    json_t *reply;

    if (pid == 0)
        _exit(ask(database_verb_digest, NONCE, &reply, &err) ? 0 : 1);
    return pid;
}

/* Two copies of the database at a time: whoever comes third waits. */
static void
test_copies_take_turns(void **state)
{
    int first = open(in_folder(&test_realm, "state/copy.0.lock"), O_RDWR | O_CREAT, 0600);
    int second = open(in_folder(&test_realm, "state/copy.1.lock"), O_RDWR | O_CREAT, 0600);
    struct error err;
    json_t *reply;
    int status;
    pid_t pid;

    (void)state;
    assert_true(flock(first, LOCK_EX | LOCK_NB) == 0);
    assert_true(ask(database_verb_digest, NONCE, &reply, &err));
    json_decref(reply);
    assert_true(flock(second, LOCK_EX | LOCK_NB) == 0);
    pid = ask_beside();
    usleep(500 * 1000);
    assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
    assert_true(shell("! ls -d %s.*", in_folder(&test_realm, "principal.kpropctl/snapshot")));
    /* Whoever needs no copy is not kept waiting. */
    assert_true(ask(database_verb_outcome, "0", &reply, &err));
    json_decref(reply);
    flock(second, LOCK_UN); /* the child has the descriptor, too */
    close(second);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    close(first);
}

/* The last room is not taken from the KDC. */
static void
test_no_room_for_a_copy(void **state)
{
    const char *folder = test_realm.folder;
    struct error err;
    json_t *reply;

    (void)state;
    if (!shell("mkdir %s/kept && mount -t tmpfs -o size=4m tmpfs %s/kept 2>&1", folder, folder))
        skip();
    assert_true(shell("cd %s && cp -a principal principal.* kept && cp kdc.conf kdc.conf.was && "
                      "sed -i 's|database_name = .*|database_name = %s/kept/principal|' kdc.conf",
                      folder, folder));
    assert_true(shell("cd %s/kept && free=$(df --output=avail -k . | tail -n 1) && "
                      "head -c $(((free - 60) * 1024)) /dev/zero >ballast",
                      folder));
    assert_false(ask(database_verb_digest, NONCE, &reply, &err));
    assert_int_equal(err.code, ERROR_REFUSED);
    assert_non_null(strstr(err.text, "KiB needed"));
    assert_true(shell("rm %s/kept/ballast", folder));
    assert_true(ask(database_verb_digest, NONCE, &reply, &err));
    json_decref(reply);
    assert_true(shell("cd %s && mv kdc.conf.was kdc.conf && umount kept", folder));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digest),
        cmocka_unit_test(test_inventory),
        cmocka_unit_test(test_announce),
        cmocka_unit_test(test_announce_another_content),
        cmocka_unit_test(test_outcome),
        cmocka_unit_test(test_outcome_waits),
        cmocka_unit_test(test_copies_take_turns),
        cmocka_unit_test(test_no_room_for_a_copy),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_announced_and_live),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
