/* session: real tickets over socketpairs; slow, stalled, silent and hostile peers, and verbs that
 * flood, hang and crash. */
#include "agent/daemon/session.h"
#include "common/remctl/channel.h"
#include "tests/unit/throwaway_realm.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/resource.h>

#include <cmocka.h>

enum { FLOOD = 4 << 20 };

/* What this file's verbs do is told by their first argument; the table lends its names. */
static int
serve(const struct settings *settings, const char *peer, size_t argc, const char *const *argv,
      FILE *out, FILE *errors)
{
    const char *what = argc > 1 ? argv[1] : "";

    signal(SIGPIPE, SIG_IGN); /* as verbs_run does */
    if (strcmp(what, "flood") == 0) {
        for (int i = 0; i < FLOOD / 64; i++)
            fprintf(out, "%063d\n", i);
    } else if (strcmp(what, "hang") == 0) {
        sleep(60);
    } else if (strcmp(what, "mark") == 0) {
        usleep(300 * 1000);
        fclose(fopen(argv[2], "w"));
    } else if (strcmp(what, "crash") == 0) {
        abort();
    } else if (strcmp(what, "deny") == 0) {
        return VERBS_DENIED;
    } else {
        fprintf(out, "hello %s\n", peer);
        fprintf(errors, "%zu\n", argc);
    }
    fflush(out);
    return settings == NULL ? 3 : 0;
}

struct ground {
    struct realm realm;
    gss_cred_id_t cred;
    struct requests requests;
    struct session_owner owner;
    int open; /* sessions */
    bool refuse;
};

/* A client of one session, driven by hand. */
struct peer {
    int fd;
    struct channel *channel;
    struct session *session;
    struct buffer out, errors;
    int status;    /* of the STATUS message, or -1 */
    unsigned code; /* of the ERROR message, or 0 */
    bool closed;   /* by the session */
};

static const char *
on_established(void *arg, struct session *session)
{
    struct ground *g = arg;

    assert_string_equal(session_target(session), REALM_SERVER);
    return g->refuse ? "Too many sessions" : NULL;
}

static void
on_closed(void *arg, struct session *session)
{
    struct ground *g = arg;

    (void)session;
    g->open--;
}

static void
on_tick(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)w, (void)events;
    ev_break(loop, EVBREAK_ONE);
}

/* Let the server's loop run for SECONDS. */
static void
turn(struct ground *g, double seconds)
{
    ev_timer tick;

    ev_now_update(g->requests.loop);
    ev_timer_init(&tick, on_tick, seconds, 0);
    ev_timer_start(g->requests.loop, &tick);
    ev_run(g->requests.loop, 0);
    ev_timer_stop(g->requests.loop, &tick);
}

static void
peer_open(struct ground *g, struct peer *p)
{
    static const unsigned char source[SESSION_SOURCE] = { 1 };
    struct error err;
    gss_name_t name;
    OM_uint32 minor;
    int fds[2];

    memset(p, 0, sizeof(*p));
    p->status = -1;
    buffer_init(&p->out, 0);
    buffer_init(&p->errors, 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    p->fd = fds[0];
    p->session = session_new(&g->owner, fds[1], g->cred, source, &err);
    assert_non_null(p->session);
    g->open++;
    assert_true(channel_import_target(NULL, REALM_SERVER, &name, &err));
    p->channel = channel_new_initiator(name, GSS_C_NO_CREDENTIAL, NULL, &err);
    if (p->channel == NULL)
        fail_msg("%s", err.text);
    gss_release_name(&minor, &name);
}

static void
peer_free(struct peer *p)
{
    close(p->fd);
    channel_free(p->channel);
    buffer_free(&p->out);
    buffer_free(&p->errors);
}

static void
take(struct peer *p)
{
    struct message msg;

    message_init(&msg);
    while (channel_next(p->channel, &msg)) {
        if (msg.type == MESSAGE_OUTPUT)
            buffer_add(msg.stream == MESSAGE_STDOUT ? &p->out : &p->errors, msg.text.data,
                       msg.text.len);
        else if (msg.type == MESSAGE_STATUS)
            p->status = msg.status;
        else if (msg.type == MESSAGE_ERROR)
            p->code = msg.code;
        message_free(&msg);
    }
}

/* Send what waits; read once if READS. */
static void
peer_move(struct peer *p, bool reads)
{
    struct buffer *out = channel_output(p->channel);
    char bytes[16384];
    struct error err;
    ssize_t n;

    if (out->len > 0 && (n = send(p->fd, out->data, out->len, MSG_NOSIGNAL)) > 0)
        buffer_consume(out, (size_t)n);
    while (reads && (n = recv(p->fd, bytes, sizeof(bytes), 0)) >= 0) {
        if (n == 0)
            p->closed = true;
        if (n == 0 || !channel_feed(p->channel, bytes, (size_t)n, &err))
            break;
        take(p);
    }
}

/* Until the answer is there, or the connection is closed, or SECONDS are over. */
static void
peer_wait(struct ground *g, struct peer *p, double seconds)
{
    for (int i = 0; i < seconds * 100 && p->status < 0 && p->code == 0 && !p->closed; i++) {
        peer_move(p, true);
        turn(g, 0.01);
    }
    peer_move(p, true);
}

static void
peer_connect(struct ground *g, struct peer *p)
{
    peer_open(g, p);
    for (int i = 0; i < 200 && !channel_established(p->channel); i++) {
        peer_move(p, true);
        turn(g, 0.01);
    }
    assert_true(channel_established(p->channel));
}

static void
peer_command(struct peer *p, size_t argc, const char *const *argv, bool keepalive)
{
    struct message_string strings[8];
    struct error err;

    for (size_t i = 0; i < argc; i++)
        strings[i] = (struct message_string){ argv[i], strlen(argv[i]) };
    p->status = -1;
    p->code = 0;
    assert_true(channel_send_command(p->channel, argc, strings, keepalive, &err));
    peer_move(p, false);
}

#define COMMAND(p, keepalive, ...)                                                                 \
    do {                                                                                           \
        static const char *const words[] = { __VA_ARGS__ };                                        \
        peer_command(p, sizeof(words) / sizeof(*words), words, keepalive);                         \
    } while (0)

/* Everything ended: no session, no child. */
static void
settle(struct ground *g, double seconds)
{
    for (int i = 0; i < seconds * 50 && (g->open > 0 || g->requests.running > 0); i++)
        turn(g, 0.02);
    assert_int_equal(g->open, 0);
    assert_int_equal(g->requests.running, 0);
}

static void
test_answers(void **state)
{
    struct ground *g = *state;
    struct peer p;

    peer_connect(g, &p);
    COMMAND(&p, true, "kpropctl", "version");
    peer_wait(g, &p, 5);
    assert_int_equal(p.status, 0);
    assert_string_equal(buffer_string(&p.out), "hello " REALM_CLIENT "\n");
    assert_string_equal(buffer_string(&p.errors), "1\n");
    COMMAND(&p, true, "kpropctl", "version", "deny");
    peer_wait(g, &p, 5);
    assert_int_equal(p.code, MESSAGE_E_ACCESS);
    COMMAND(&p, true, "kpropctl", "nonsense");
    peer_wait(g, &p, 5);
    assert_int_equal(p.code, MESSAGE_E_UNKNOWN_COMMAND);
    COMMAND(&p, true, "other", "version");
    peer_wait(g, &p, 5);
    assert_int_equal(p.code, MESSAGE_E_UNKNOWN_COMMAND);
    COMMAND(&p, true, "kpropctl");
    peer_wait(g, &p, 5);
    assert_int_equal(p.code, MESSAGE_E_UNKNOWN_COMMAND);
    COMMAND(&p, true, "kpropctl", "release-at-start", "754");
    peer_wait(g, &p, 5);
    assert_int_equal(p.code, MESSAGE_E_UNKNOWN_COMMAND);
    COMMAND(&p, true, "kpropctl", "version", "crash");
    peer_wait(g, &p, 5);
    assert_int_equal(p.status, ERROR_INTERNAL);
    COMMAND(&p, false, "help");
    peer_wait(g, &p, 5);
    assert_int_equal(p.status, 0);
    turn(g, 0.05);
    peer_move(&p, true);
    assert_true(p.closed);
    settle(g, 1);
    peer_free(&p);
}

/* All of a flood arrives, and no more than the bound waits in the server meanwhile. */
static void
test_flood(void **state)
{
    struct ground *g = *state;
    struct rusage before, after;
    struct peer p;

    peer_connect(g, &p);
    getrusage(RUSAGE_SELF, &before);
    COMMAND(&p, true, "kpropctl", "version", "flood");
    for (int i = 0; i < 20; i++)
        turn(g, 0.01); /* not reading yet */
    getrusage(RUSAGE_SELF, &after);
#if !defined(__SANITIZE_ADDRESS__) /* whose quarantine keeps what was freed */
    assert_true(after.ru_maxrss - before.ru_maxrss < 1600);
#endif
    peer_wait(g, &p, 20);
    assert_int_equal(p.status, 0);
    assert_int_equal(p.out.len, FLOOD);
    peer_free(&p);
    settle(g, 1);
}

/* A peer who does not read is dropped, and another is served meanwhile. */
static void
test_stalled_reader(void **state)
{
    struct ground *g = *state;
    struct peer p, q;

    g->owner.stall = 0.5;
    peer_connect(g, &p);
    COMMAND(&p, true, "kpropctl", "version", "flood");
    turn(g, 0.1);
    peer_connect(g, &q);
    COMMAND(&q, true, "kpropctl", "version");
    peer_wait(g, &q, 0.3);
    assert_int_equal(q.status, 0);
    turn(g, 0.8);
    assert_int_equal(g->open, 1);
    assert_int_equal(g->requests.running, 0);
    peer_free(&p);
    peer_free(&q);
    settle(g, 1);
}

/* A reading verb ends with its caller. */
static void
test_caller_gone(void **state)
{
    struct ground *g = *state;
    struct peer p;

    peer_connect(g, &p);
    COMMAND(&p, true, "kpropctl", "version", "hang");
    turn(g, 0.1);
    assert_int_equal(g->requests.running, 1);
    peer_free(&p);
    settle(g, 1);
}

/* A verb that changes something goes on. */
static void
test_change_goes_on(void **state)
{
    struct ground *g = *state;
    char mark[80];
    const char *words[] = { "kpropctl", "announce", "mark", mark };
    struct peer p;

    snprintf(mark, sizeof(mark), "%s/mark", g->realm.folder);
    peer_connect(g, &p);
    peer_command(&p, 4, words, true);
    turn(g, 0.1);
    peer_free(&p);
    turn(g, 0.05);
    assert_int_equal(g->open, 0);
    assert_int_equal(g->requests.running, 1);
    settle(g, 2);
    assert_int_equal(access(mark, F_OK), 0);
    unlink(mark);
}

static void
test_silent(void **state)
{
    struct ground *g = *state;
    struct peer p, q;

    g->owner.handshake = 0.3;
    g->owner.idle = 0.6;
    peer_open(g, &p);
    peer_connect(g, &q);
    turn(g, 0.4);
    assert_int_equal(g->open, 1);
    turn(g, 0.5);
    assert_int_equal(g->open, 0);
    peer_free(&p);
    peer_free(&q);
}

/* One byte at a time does not buy more than the handshake's time. */
static void
test_dripping(void **state)
{
    static const char head[] = "\x51\0\0\0\0";
    struct ground *g = *state;
    struct peer p;

    g->owner.handshake = 0.3;
    peer_open(g, &p);
    for (int i = 0; i < 5; i++) {
        send(p.fd, head + i, 1, MSG_NOSIGNAL);
        turn(g, 0.1);
    }
    assert_int_equal(g->open, 0);
    peer_free(&p);
}

static void
test_garbage(void **state)
{
    static const char *const openings[] = {
        "GET / HTTP/1.0\r\n\r\n",   "SSH-2.0-x\r\n", "\x51\x7f\xff\xff\xff", "\x41\0\0\0\0",
        "\xff\xff\xff\xff\xff\xff", "\x44\0\0\0\1x", "\x42\0\0\0\1x"
    };
    struct ground *g = *state;

    for (size_t i = 0; i < sizeof(openings) / sizeof(*openings); i++) {
        struct peer p;

        peer_open(g, &p);
        send(p.fd, openings[i], i < 2 ? strlen(openings[i]) : 6, MSG_NOSIGNAL);
        turn(g, 0.05);
        peer_free(&p);
        settle(g, 0.5);
    }
}

/* Commands sent without waiting are answered one after the other. */
static void
test_pipelined(void **state)
{
    struct ground *g = *state;
    struct error err;
    struct peer p;

    peer_connect(g, &p);
    COMMAND(&p, true, "kpropctl", "version");
    COMMAND(&p, true, "kpropctl", "version");
    COMMAND(&p, true, "kpropctl", "version");
    assert_true(channel_send_quit(p.channel, &err));
    for (int i = 0; i < 300 && !p.closed; i++) {
        peer_move(&p, true);
        turn(g, 0.01);
    }
    assert_true(p.closed);
    assert_string_equal(buffer_string(&p.errors), "1\n1\n1\n");
    peer_free(&p);
    settle(g, 1);
}

static void
test_refused(void **state)
{
    struct ground *g = *state;
    struct peer p;

    g->refuse = true;
    peer_open(g, &p);
    peer_wait(g, &p, 2);
    assert_int_equal(p.code, MESSAGE_E_INTERNAL);
    settle(g, 1);
    peer_free(&p);
}

/* Past the bound a command is answered with a failure, not queued. */
static void
test_many_requests(void **state)
{
    struct ground *g = *state;
    struct peer p;

    peer_connect(g, &p);
    g->requests.running += REQUESTS_MAX;
    COMMAND(&p, true, "kpropctl", "version");
    peer_wait(g, &p, 2);
    g->requests.running -= REQUESTS_MAX;
    assert_int_equal(p.status, ERROR_UNREACHABLE);
    COMMAND(&p, true, "kpropctl", "version");
    peer_wait(g, &p, 2);
    assert_int_equal(p.status, 0);
    peer_free(&p);
    settle(g, 1);
}

static int
descriptors(void)
{
    int count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void
test_no_leak(void **state)
{
    struct ground *g = *state;
    int before = descriptors();

    for (int i = 0; i < 20; i++) {
        struct peer p;

        peer_connect(g, &p);
        COMMAND(&p, i % 2 == 0, "kpropctl", "version");
        if (i % 3 != 0)
            peer_wait(g, &p, 2);
        peer_free(&p);
        settle(g, 1);
    }
    assert_int_equal(descriptors(), before);
}

static int
set_up_limits(void **state)
{
    struct ground *g = *state;

    g->owner.handshake = 10;
    g->owner.idle = 300;
    g->owner.stall = 30;
    g->refuse = false;
    return 0;
}

static int
set_up(void **state)
{
    static struct settings settings;
    struct ground *g = calloc(1, sizeof(*g));
    struct error err;

    *state = g;
    if (!realm_up(&g->realm) || !channel_acquire_acceptor(NULL, &g->cred, &err))
        return -1;
    g->requests = (struct requests){ .loop = ev_default_loop(EVFLAG_NOENV),
                                     .settings = &settings,
                                     .serve = serve };
    g->owner = (struct session_owner){ .loop = g->requests.loop,
                                       .requests = &g->requests,
                                       .established = on_established,
                                       .closed = on_closed,
                                       .arg = g };
    return 0;
}

static int
tear_down(void **state)
{
    struct ground *g = *state;
    OM_uint32 minor;

    gss_release_cred(&minor, &g->cred);
    realm_down(&g->realm);
    ev_loop_destroy(g->requests.loop);
    free(g);
    return 0;
}

#define TEST(function) cmocka_unit_test_setup(function, set_up_limits)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_answers),     TEST(test_flood),          TEST(test_stalled_reader),
        TEST(test_caller_gone), TEST(test_change_goes_on), TEST(test_silent),
        TEST(test_dripping),    TEST(test_garbage),        TEST(test_pipelined),
        TEST(test_refused),     TEST(test_many_requests),  TEST(test_no_leak),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
