/* via: words without a shell; and what becomes of a job, whatever the program does. */
#include "kpropctl/enroll/via.h"

#include "common/base/clock.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define HOST "kdc2.lab.test"

static const char *const nothing[] = { NULL };

static struct via *
made(const char *text)
{
    struct via *via;
    struct error err;

    if (!via_new(text, &via, &err))
        fail_msg("%s: %s", text, err.text);
    return via;
}

/* What /usr/bin/printf makes of the words behind its format, each in brackets. */
static void
check_words(const char *text, const char *expected)
{
    char all[256];
    struct via *via;
    struct subprocess_result result;
    struct via_job job = { .command = nothing, .timeout = 10 };
    struct error err;

    snprintf(all, sizeof(all), "printf [%%%%s] %s", text);
    via = made(all);
    assert_true(via_run(via, HOST, &job, &result, &err));
    assert_string_equal(buffer_string(&result.out), expected);
    subprocess_result_free(&result);
    via_free(via);
}

static void
test_words(void **state)
{
    (void)state;
    check_words("a  b\tc", "[a][b][c]");
    check_words("root@%h", "[root@" HOST "]");
    check_words("%h%h %%h 100%%", "[" HOST HOST "][%h][100%]");
    check_words("'a b' \"c d\" e' f 'g", "[a b][c d][e f g]");
    check_words("'' \"\" x", "[][][x]");
    check_words("a\\ b \\' \"\\\"\" '\\'", "[a b]['][\"][\\]");
    /* What a shell would do more with. */
    check_words("$HOME `id` $(id) ; | > /dev/null * ~ & #",
                "[$HOME][`id`][$(id)][;][|][>][/dev/null]"
                "[*][~][&][#]");
}

static void
check_refused(const char *text, const char *words)
{
    struct via *via = (struct via *)1;
    struct error err;

    assert_false(via_new(text, &via, &err));
    assert_null(via);
    assert_int_equal(err.code, ERROR_USAGE);
    if (strstr(err.text, words) == NULL)
        fail_msg("'%s' is not in '%s'", words, err.text);
}

static void
test_refused(void **state)
{
    char many[400] = "";

    (void)state;
    check_refused("", "which program");
    check_refused(" \t ", "which program");
    check_refused("ssh 'root@%h", "without its end");
    check_refused("ssh \"root@%h", "without its end");
    check_refused("ssh root@%h\\", "without its end");
    check_refused("printf %p", "'%p'");
    check_refused("printf 5%", "means nothing");
    check_refused("no-such-program %h", "no program 'no-such-program'");
    check_refused("/etc/passwd %h", "no program");
    check_refused("/tmp %h", "no program");
    for (int i = 0; i < VIA_WORDS_MAX + 1; i++)
        strcat(many, "true ");
    check_refused(many, "longer");
}

static void
test_host(void **state)
{
    struct via *with = made("printf 'x %%%h'"), *without = made("printf %%h 5%%");
    char text[64], cut[8];

    (void)state;
    assert_true(via_names_host(with));
    assert_false(via_names_host(without));
    assert_string_equal(via_describe(with, HOST, text, sizeof(text)), "printf x %" HOST);
    assert_string_equal(via_describe(with, HOST, cut, sizeof(cut)), "printf ");
    via_free(with);
    via_free(without);
}

static bool
run(const char *text, struct via_job job, struct subprocess_result *result, struct error *err)
{
    static const char *const sh[] = { NULL };
    struct via *via = made(text);
    bool ok;

    if (job.command == NULL)
        job.command = sh;
    if (job.timeout == 0)
        job.timeout = 10;
    error_clear(err);
    ok = via_run(via, HOST, &job, result, err);
    via_free(via);
    return ok;
}

static void
test_command_and_input(void **state)
{
    static const char *const command[] = { "-c", "of=/root/x", "a,b", NULL };
    struct subprocess_result result;
    size_t size = 3u << 20;
    char *data = malloc(size);
    struct error err;

    (void)state;
    memset(data, 'x', size);
    /* More than a pipe holds, both ways; the command's words come last, as they are. */
    assert_true(run("sh -c 'wc -c; echo \"$@\"' sh",
                    (struct via_job){ .command = command, .data = data, .len = size }, &result,
                    &err));
    assert_string_equal(buffer_string(&result.out), "3145728\n-c of=/root/x a,b\n");
    subprocess_result_free(&result);
    assert_true(run("cat", (struct via_job){ .data = data, .len = size }, &result, &err));
    assert_int_equal(result.out.len, 1 << 20);
    subprocess_result_free(&result);
    /* One that does not read at all says why by itself. */
    assert_true(run("sh -c 'echo no >&2; exit 3'", (struct via_job){ .data = data, .len = size },
                    &result, &err));
    assert_int_equal(result.status, 3);
    assert_string_equal(buffer_string(&result.err), "no\n");
    subprocess_result_free(&result);
    free(data);
}

static void
test_environment(void **state)
{
    struct subprocess_result result;
    struct error err;

    (void)state;
    setenv("SSH_AUTH_SOCK", "/run/agent", 1);
    setenv("KPROPCTL_SECRET", "x", 1);
    assert_true(run("env", (struct via_job){ 0 }, &result, &err));
    assert_non_null(strstr(buffer_string(&result.out), "SSH_AUTH_SOCK=/run/agent\n"));
    assert_null(strstr(buffer_string(&result.out), "SECRET"));
    subprocess_result_free(&result);
}

static void
test_no_connection(void **state)
{
    struct subprocess_result result;
    struct error err;

    (void)state;
    assert_false(
        run("sh -c 'echo \"ssh: connect to host %h port 22: No route\\e\" >&2; exit 255' %h",
            (struct via_job){ 0 }, &result, &err));
    assert_int_equal(err.code, ERROR_UNREACHABLE);
    assert_non_null(strstr(err.text, "cannot reach " HOST " by 'sh -c"));
    assert_non_null(strstr(err.text, "connect to host " HOST " port 22: No route"));
    assert_null(strchr(err.text, '\033'));
    subprocess_result_free(&result);
    assert_false(run("sh -c 'kill -9 $$'", (struct via_job){ 0 }, &result, &err));
    assert_non_null(strstr(err.text, "killed by signal 9"));
    subprocess_result_free(&result);
}

static void
test_too_long(void **state)
{
    struct subprocess_result result;
    double begin = clock_monotonic();
    struct error err;

    (void)state;
    assert_false(run("sh -c 'echo asked for a password >&2; exec sleep 60'",
                     (struct via_job){ .timeout = 1 }, &result, &err));
    assert_true(clock_monotonic() - begin < 5);
    assert_int_equal(err.code, ERROR_UNREACHABLE);
    assert_non_null(strstr(err.text, "not done after 1 s: asked for a password"));
    subprocess_result_free(&result);
}

/* As ssh's shared connections do. */
static void
test_output_held_open(void **state)
{
    struct subprocess_result result;
    double begin = clock_monotonic();
    struct error err;

    (void)state;
    assert_true(
        run("sh -c 'sleep 5 & echo done'", (struct via_job){ .timeout = 30 }, &result, &err));
    assert_true(clock_monotonic() - begin < 3);
    assert_string_equal(buffer_string(&result.out), "done\n");
    subprocess_result_free(&result);
}

static void
test_signal(void **state)
{
    struct subprocess_result result;
    double begin = clock_monotonic();
    sigset_t before, pending;
    struct error err;
    int sig;

    (void)state;
    via_hold_signals(&before);
    raise(SIGTERM);
    assert_false(run("sleep 60", (struct via_job){ .timeout = 60 }, &result, &err));
    assert_true(clock_monotonic() - begin < 5);
    assert_non_null(strstr(err.text, "interrupted"));
    subprocess_result_free(&result);
    /* It still waits, and cleaning up goes on. */
    assert_true(run("true", (struct via_job){ .last = true }, &result, &err));
    subprocess_result_free(&result);
    sigpending(&pending);
    assert_true(sigismember(&pending, SIGTERM));
    sigwait(&pending, &sig);
    via_release_signals(&before);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),       cmocka_unit_test(test_refused),
        cmocka_unit_test(test_host),        cmocka_unit_test(test_command_and_input),
        cmocka_unit_test(test_environment), cmocka_unit_test(test_no_connection),
        cmocka_unit_test(test_too_long),    cmocka_unit_test(test_output_held_open),
        cmocka_unit_test(test_signal),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
