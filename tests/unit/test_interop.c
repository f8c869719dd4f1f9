/*
 * interop: Debian's own remctl client against our acceptor over loopback, and what it makes of it.
 *
 * Needs remctl-client; without it the test fails.
 */
#include "common/remctl/channel.h"
#include "tests/unit/throwaway_realm.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define LONG_OUTPUT 300000

struct server {
    int listener;
    char port[16];
    gss_cred_id_t cred;
    size_t argc;
    size_t longest;
    char peer[256];
    bool quit;
};

static void
server_open(struct server *server, const char *keytab)
{
    struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(sin);
    struct error err;

    memset(server, 0, sizeof(*server));
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server->listener, (struct sockaddr *)&sin, len), 0);
    assert_int_equal(listen(server->listener, 5), 0);
    assert_int_equal(getsockname(server->listener, (struct sockaddr *)&sin, &len), 0);
    snprintf(server->port, sizeof(server->port), "%d", ntohs(sin.sin_port));
    if (!channel_acquire_acceptor(keytab, &server->cred, &err))
        fail_msg("%s", err.text);
}

static void
server_close(struct server *server)
{
    OM_uint32 minor;

    close(server->listener);
    gss_release_cred(&minor, &server->cred);
}

/* `x fail`: status 7 and a line on stderr; `x deny`: an ERROR; `x long`: much output; else "hello".
 */
static void
answer(struct server *server, struct channel *ch, const struct message *msg)
{
    const char *verb = msg->argc > 1 ? msg->argv[1].data : "";
    struct error err;

    server->argc = msg->argc;
    for (size_t i = 0; i < msg->argc; i++)
        server->longest = msg->argv[i].len > server->longest ? msg->argv[i].len : server->longest;
    if (strcmp(verb, "deny") == 0) {
        assert_true(channel_send_error(ch, MESSAGE_E_ACCESS, "access denied", &err));
        return;
    }
    if (strcmp(verb, "fail") == 0) {
        assert_true(channel_send_output(ch, MESSAGE_STDERR, "it failed\n", 10, &err));
    } else if (strcmp(verb, "long") == 0) {
        char *text = calloc(1, LONG_OUTPUT);

        assert_non_null(text);
        memset(text, 'z', LONG_OUTPUT);
        assert_true(channel_send_output(ch, MESSAGE_STDOUT, text, LONG_OUTPUT, &err));
        free(text);
    } else {
        assert_true(channel_send_output(ch, MESSAGE_STDOUT, "hello\n", 6, &err));
    }
    assert_true(channel_send_status(ch, strcmp(verb, "fail") == 0 ? 7 : 0, &err));
}

static void
flush(struct channel *ch, int fd)
{
    struct buffer *out = channel_output(ch);

    while (out->len > 0) {
        ssize_t n = send(fd, out->data, out->len, MSG_NOSIGNAL);

        if (n <= 0)
            return;
        buffer_consume(out, (size_t)n);
    }
}

/* Serve one connection to its end. */
static void
serve(struct server *server)
{
    struct pollfd pfd = { .fd = server->listener, .events = POLLIN };
    unsigned char data[CHANNEL_MAX_FEED];
    struct channel *ch;
    struct message msg;
    struct error err;
    ssize_t n;
    int fd;

    assert_int_equal(poll(&pfd, 1, 10000), 1);
    fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fd >= 0);
    ch = channel_new_acceptor(server->cred, &err);
    assert_non_null(ch);
    while (channel_wants_input(ch) && (n = recv(fd, data, sizeof(data), 0)) > 0) {
        if (!channel_feed(ch, data, (size_t)n, &err))
            print_message("%s\n", err.text);
        while (channel_next(ch, &msg)) {
            server->quit = msg.type == MESSAGE_QUIT;
            if (msg.type == MESSAGE_COMMAND)
                answer(server, ch, &msg);
            message_free(&msg);
        }
        flush(ch, fd);
    }
    if (channel_peer(ch) != NULL)
        snprintf(server->peer, sizeof(server->peer), "%s", channel_peer(ch));
    channel_free(ch);
    close(fd);
}

/* Run `remctl 127.0.0.1 x VERB [ARG]` against one connection of SERVER. What it prints goes through
 * a file: nobody reads a pipe while this process serves. */
static void
run_client(struct server *server, const char *verb, const char *arg,
           struct subprocess_result *result, struct buffer *text)
{
    const char *argv[] = { "/bin/sh", "-c",         "exec remctl \"$@\" >\"$TEXT\" 2>&1",
                           "sh",      "-p",         server->port,
                           "-s",      REALM_SERVER, "-t",
                           "10",      "127.0.0.1",  "x",
                           verb,      arg,          NULL };
    char config[160], cache[160], path[160];
    const char *environment[] = { config, cache, path, NULL };
    struct subprocess_options options = { .environment = environment };
    struct subprocess child;
    struct error err;
    FILE *fp;

    snprintf(config, sizeof(config), "KRB5_CONFIG=%s", getenv("KRB5_CONFIG"));
    snprintf(cache, sizeof(cache), "KRB5CCNAME=%s", getenv("KRB5CCNAME"));
    snprintf(path, sizeof(path), "TEXT=%s.text", getenv("KRB5_CONFIG"));
    if (!subprocess_start(argv, &options, &child, &err))
        fail_msg("%s", err.text);
    serve(server);
    subprocess_result_init(result);
    subprocess_wait(&child, 10000, result);
    buffer_init(text, 1 << 20);
    fp = fopen(path + strlen("TEXT="), "r");
    assert_non_null(fp);
    text->len = fread(buffer_reserve(text, 1 << 19), 1, 1 << 19, fp);
    fclose(fp);
}

static void
check(const char *verb, const char *arg, int status, const char *output)
{
    struct subprocess_result result;
    struct server server;
    struct buffer text;

    server_open(&server, NULL);
    run_client(&server, verb, arg, &result, &text);
    assert_int_equal(result.status, status);
    if (output != NULL)
        assert_string_equal(buffer_string(&text), output);
    else
        assert_int_equal(text.len, LONG_OUTPUT);
    assert_string_equal(server.peer, REALM_CLIENT);
    assert_int_equal(server.argc, arg == NULL ? 2 : 3);
    if (arg != NULL)
        assert_int_equal(server.longest, strlen(arg));
    assert_true(server.quit);
    buffer_free(&text);
    subprocess_result_free(&result);
    server_close(&server);
}

static void
test_hello(void **state)
{
    (void)state;
    check("hello", NULL, 0, "hello\n");
}

static void
test_status(void **state)
{
    (void)state;
    check("fail", NULL, 7, "it failed\n");
}

static void
test_error(void **state)
{
    (void)state;
    check("deny", NULL, 255, "access denied\n");
}

static void
test_long_output(void **state)
{
    (void)state;
    check("long", NULL, 0, NULL);
}

/* 120,000 bytes of argument: the stock client continues its command in a second message. */
static void
test_continued_command(void **state)
{
    char *arg = calloc(1, 120001);

    (void)state;
    assert_non_null(arg);
    memset(arg, 'q', 120000);
    check("hello", arg, 0, "hello\n");
    free(arg);
}

/* The agent's keytab is out of date: the stock client prints why. */
static void
test_refused(void **state)
{
    struct realm *realm = *state;
    struct subprocess_result result;
    struct server server;
    struct buffer text;
    char keytab[128];

    snprintf(keytab, sizeof(keytab), "FILE:%s/stale", realm->folder);
    assert_true(realm_admin(realm, "ktadd -k %s " REALM_SERVER, keytab));
    assert_true(realm_admin(realm, "cpw -randkey " REALM_SERVER));
    assert_int_equal(realm_login(realm, REALM_CLIENT, 3600, "cache"), 0);
    server_open(&server, keytab);
    run_client(&server, "hello", NULL, &result, &text);
    print_message("%s", buffer_string(&text));
    assert_int_equal(result.status, 1);
    assert_non_null(strstr(buffer_string(&text), "Key version is not available"));
    assert_string_equal(server.peer, "");
    buffer_free(&text);
    subprocess_result_free(&result);
    server_close(&server);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hello),
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_error),
        cmocka_unit_test(test_long_output),
        cmocka_unit_test(test_continued_command),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, realm_group_setup, realm_group_teardown);
}
