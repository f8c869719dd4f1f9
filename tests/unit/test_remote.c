/* remote: agents that never end, or say what no agent says. */
#include "common/remctl/channel.h"
#include "kpropctl/remote/remote.h"
#include "tests/unit/throwaway_realm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

struct ground {
    struct realm realm;
    int port;
    pid_t agent;
};

/* Send all that waits, or end. */
static void
send_all(struct channel *ch, int fd)
{
    struct buffer *out = channel_output(ch);

    while (out->len > 0) {
        ssize_t n = send(fd, out->data, out->len, MSG_NOSIGNAL);

        if (n <= 0)
            _exit(0);
        buffer_consume(out, (size_t)n);
    }
}

/* Answer one command as its second word asks. */
static void
answer(struct channel *ch, int fd, const char *what)
{
    static const char line[] = "{\"progress\": \"on and on\"}\n";
    static const char reply[] =
        "{\"error\": \"bad\\u001b]0;title\\u0007\", \"hint\": \"run\\u009b2J\"}\n";
    struct error err;

    while (strcmp(what, "drip") == 0) {
        channel_send_output(ch, MESSAGE_STDERR, line, strlen(line), &err);
        send_all(ch, fd);
        usleep(100 * 1000);
    }
    for (int i = 0; strcmp(what, "flood") == 0 && i < 9 << 8; i++) {
        static const char blanks[4096];

        channel_send_output(ch, MESSAGE_STDOUT, blanks, sizeof(blanks), &err);
        send_all(ch, fd);
    }
    if (strcmp(what, "refuse") == 0) {
        channel_send_error(ch, MESSAGE_E_ACCESS, "no\x1b[31m", &err);
        send_all(ch, fd);
        return;
    }
    channel_send_output(ch, MESSAGE_STDOUT, reply, strlen(reply), &err);
    channel_send_status(ch, strcmp(what, "good") == 0 ? 0 : 200, &err);
    send_all(ch, fd);
}

/* One connection, in a process of its own. */
static void __attribute__((noreturn)) serve(int fd, gss_cred_id_t cred)
{
    struct error err;
    struct channel *ch = channel_new_acceptor(cred, &err);
    unsigned char data[4096];
    struct message msg;
    ssize_t n;

    while ((n = recv(fd, data, sizeof(data), 0)) > 0 && channel_feed(ch, data, (size_t)n, &err)) {
        send_all(ch, fd);
        message_init(&msg);
        while (channel_next(ch, &msg)) {
            if (msg.type == MESSAGE_COMMAND && msg.argc > 1)
                answer(ch, fd, msg.argv[1].data);
            message_free(&msg);
        }
    }
    _exit(0);
}

static void __attribute__((noreturn)) agent(int listener)
{
    gss_cred_id_t cred;
    struct error err;

    signal(SIGCHLD, SIG_IGN);
    if (!channel_acquire_acceptor(NULL, &cred, &err))
        _exit(1);
    for (;;) {
        int fd = accept(listener, NULL, NULL);

        if (fork() == 0)
            serve(fd, cred);
        close(fd);
    }
}

static struct remote *
connect_agent(const struct ground *g)
{
    const struct refusal_names who = { "LAB.TEST", "127.0.0.1", "kdc1.lab.test" };
    enum remote_fault fault;
    struct remote *remote;
    struct error err;

    error_clear(&err);
    remote = remote_open(&who, g->port, REALM_SERVER, 10, &fault, &err);
    if (remote == NULL)
        fail_msg("%s", err.text);
    return remote;
}

/* An agent that lives for ever is not waited for that long. */
static void
test_endless(void **state)
{
    const char *argv[] = { "drip", NULL };
    struct remote *remote = connect_agent(*state);
    time_t start = time(NULL);
    enum remote_fault fault;
    struct error err;
    json_t *reply;

    error_clear(&err);
    remote_set_longest(remote, 1);
    assert_false(remote_call(remote, argv, 30, NULL, NULL, &reply, &fault, &err));
    assert_int_equal(fault, REMOTE_LOST);
    assert_int_equal(err.code, ERROR_UNREACHABLE);
    assert_non_null(strstr(err.text, "not done after 1 s"));
    assert_true(time(NULL) - start < 10);
    remote_close(remote);
}

/* Statuses are of our table, whatever was sent. */
static void
test_odd_status(void **state)
{
    const char *odd[] = { "odd", NULL }, *good[] = { "good", NULL };
    struct remote *remote = connect_agent(*state);
    enum remote_fault fault;
    struct error err;
    json_t *reply;

    error_clear(&err);
    assert_true(remote_call(remote, good, 10, NULL, NULL, &reply, &fault, &err));
    json_decref(reply);
    assert_false(remote_call(remote, odd, 10, NULL, NULL, &reply, &fault, &err));
    json_decref(reply);
    assert_int_equal(err.code, ERROR_FAILED);
    remote_close(remote);
}

/* Whoever reads its words at a terminal is not at the mercy of an agent. */
static void
test_control_characters(void **state)
{
    const char *odd[] = { "odd", NULL }, *refuse[] = { "refuse", NULL };
    struct remote *remote = connect_agent(*state);
    enum remote_fault fault;
    struct error err;
    json_t *reply;

    error_clear(&err);
    assert_false(remote_call(remote, odd, 10, NULL, NULL, &reply, &fault, &err));
    json_decref(reply);
    assert_string_equal(err.text, "bad?]0;title?");
    assert_null(strchr(err.hint, '\xc2'));
    assert_false(remote_call(remote, refuse, 10, NULL, NULL, &reply, &fault, &err));
    json_decref(reply);
    assert_int_equal(fault, REMOTE_NOT_AUTHORISED);
    assert_non_null(strstr(err.text, "no?[31m"));
    remote_close(remote);
}

/* A denial names what to write and to run there: whoever reads it need not know what to put in. */
static void
test_denied_names_all(void **state)
{
    const char *refuse[] = { "refuse", NULL };
    struct remote *remote = connect_agent(*state);
    enum remote_fault fault;
    struct error err;
    json_t *reply;

    error_clear(&err);
    assert_false(remote_call(remote, refuse, 10, NULL, NULL, &reply, &fault, &err));
    json_decref(reply);
    assert_non_null(strstr(err.hint, "on 127.0.0.1, as root: admin_server = kdc1.lab.test "));
    assert_non_null(strstr(err.hint, "kpropctl-agent release-loader LAB.TEST "));
    remote_close(remote);
}

/* With all names known, no way out of any rule leaves one to be put in. */
static void
test_refusals_name_all(void **state)
{
    const struct refusal_names who = { "LAB.TEST", "kdc2.lab.test", "kdc1.lab.test" };
    const char *const words[] = { "REALM", "REPLICA", "PRIMARY" };
    struct error err;

    (void)state;
    for (int id = 0; id < REFUSALS; id++) {
        error_clear(&err);
        refusal_set(&err, (enum refusal_id)id, &who, "no");
        assert_true(strlen(err.hint) > 0 && strlen(err.hint) + 1 < sizeof(err.hint));
        for (size_t i = 0; i < 3; i++) {
            if (strstr(err.hint, words[i]) != NULL)
                fail_msg("%s: %s", refusal_row((enum refusal_id)id)->id, err.hint);
        }
    }
}

/* What is taken from an agent has a bound that our memory can bear. */
static void
test_flood(void **state)
{
    const char *argv[] = { "flood", NULL };
    struct remote *remote = connect_agent(*state);
    enum remote_fault fault;
    struct error err;
    json_t *reply;

    error_clear(&err);
    assert_false(remote_call(remote, argv, 10, NULL, NULL, &reply, &fault, &err));
    assert_int_equal(fault, REMOTE_LOST);
    assert_non_null(strstr(err.text, "too long"));
    remote_close(remote);
}

static int
set_up(void **state)
{
    struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct ground *g = calloc(1, sizeof(*g));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof(sin);

    *state = g;
    if (!realm_up(&g->realm) || bind(fd, (struct sockaddr *)&sin, len) != 0 || listen(fd, 8) != 0 ||
        getsockname(fd, (struct sockaddr *)&sin, &len) != 0)
        return -1;
    g->port = ntohs(sin.sin_port);
    g->agent = fork();
    if (g->agent == 0)
        agent(fd);
    close(fd);
    return 0;
}

static int
tear_down(void **state)
{
    struct ground *g = *state;

    if (g->agent > 0) {
        kill(g->agent, SIGTERM);
        waitpid(g->agent, NULL, 0);
    }
    realm_down(&g->realm);
    free(g);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_endless),
        cmocka_unit_test(test_odd_status),
        cmocka_unit_test(test_control_characters),
        cmocka_unit_test(test_denied_names_all),
        cmocka_unit_test(test_refusals_name_all),
        cmocka_unit_test(test_flood),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
