/* session - see session.h. */
#include "agent/daemon/session.h"

#include "agent/verbs/verbs.h"
#include "common/remctl/channel.h"

#include <errno.h>
#include <jansson.h>
#include <netdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    READ_SIZE = 16 * 1024,
    HOLD_ABOVE = CHANNEL_OUTPUT_HIGH / 2, /* bytes waiting from which on a verb is held back */
    RELEASE_BELOW = CHANNEL_OUTPUT_HIGH / 8,
};

struct session {
    const struct session_owner *owner;
    struct session *next;
    int fd;
    unsigned char source[SESSION_SOURCE];
    struct channel *channel;
    ev_io reader, writer;
    ev_timer deadline; /* of the handshake, then of idleness */
    ev_timer stall;
    struct request *request;
    const struct verb *verb; /* of request */
    bool answered;           /* request wrote to standard output */
    bool established;
    bool keepalive; /* of the command at work */
    bool closing;   /* as soon as the output is sent and the request done */
    bool failed;    /* as soon as the loop comes round */
};

/* To be closed from the loop: callers up the stack may still use the session or its request. */
static void
fail(struct session *s)
{
    s->failed = true;
    ev_feed_event(s->owner->loop, &s->reader, EV_READ);
}

void
session_close(struct session *s)
{
    struct ev_loop *loop;

    if (s == NULL)
        return;
    loop = s->owner->loop;
    ev_io_stop(loop, &s->reader);
    ev_io_stop(loop, &s->writer);
    ev_timer_stop(loop, &s->deadline);
    ev_timer_stop(loop, &s->stall);
    ev_clear_pending(loop, &s->reader);
    if (s->owner->closed != NULL)
        s->owner->closed(s->owner->arg, s);
    request_abandon(s->request);
    channel_free(s->channel);
    close(s->fd);
    free(s);
}

/* Send what goes without waiting. */
static void
flush(struct session *s)
{
    struct buffer *out = channel_output(s->channel);
    size_t before = out->len;

    while (out->len > 0) {
        ssize_t n = send(s->fd, out->data, out->len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (n < 0) {
            fail(s);
            return;
        }
        buffer_consume(out, (size_t)n);
    }
    if (out->len == 0)
        ev_timer_stop(s->owner->loop, &s->stall);
    else if (out->len < before || !ev_is_active(&s->stall))
        ev_timer_again(s->owner->loop, &s->stall);
}

static void
set_active(struct session *s, ev_io *w, bool active)
{
    if (active)
        ev_io_start(s->owner->loop, w);
    else
        ev_io_stop(s->owner->loop, w);
}

/* Idleness counts from when nothing is at work and nothing waits. */
static void
update_idle(struct session *s, size_t waiting)
{
    if (!s->established)
        return;
    if (s->request != NULL || waiting > 0)
        ev_timer_stop(s->owner->loop, &s->deadline);
    else if (!ev_is_active(&s->deadline))
        ev_timer_again(s->owner->loop, &s->deadline);
}

/* After anything has happened: send, and set the watchers to what may happen next. */
static void
update(struct session *s)
{
    size_t waiting;

    flush(s);
    if (s->failed)
        return;
    waiting = channel_output(s->channel)->len;
    if (s->closing && s->request == NULL && waiting == 0) {
        fail(s);
        return;
    }
    set_active(s, &s->writer, waiting > 0);
    set_active(s, &s->reader, !s->closing && channel_wants_input(s->channel));
    if (s->request != NULL && waiting >= HOLD_ABOVE)
        request_hold(s->request, true);
    else if (s->request != NULL && waiting <= RELEASE_BELOW)
        request_hold(s->request, false);
    update_idle(s, waiting);
}

/* A verb ended without an answer of its own: give one in its place. */
static void
answer_for(struct session *s, int status, const char *text)
{
    struct error err;
    char line[600], *json;
    json_t *object = json_pack("{s:s, s:n}", "error", text, "hint");
    int len = snprintf(line, sizeof(line), "kpropctl-agent: %s\n", text);

    json = object == NULL ? NULL : json_dumps(object, JSON_COMPACT);
    if (!s->answered && json != NULL &&
        channel_send_output(s->channel, MESSAGE_STDOUT, json, strlen(json), &err))
        channel_send_output(s->channel, MESSAGE_STDOUT, "\n", 1, &err);
    channel_send_output(s->channel, MESSAGE_STDERR, line, (size_t)len, &err);
    if (!channel_send_status(s->channel, (uint8_t)status, &err))
        s->closing = true;
    free(json);
    json_decref(object);
}

static void
refuse(struct session *s, enum message_error code, const char *text)
{
    struct error err;

    if (!channel_send_error(s->channel, code, text, &err))
        s->closing = true;
}

static void
on_output(void *arg, bool error_stream, const void *data, size_t len)
{
    struct session *s = arg;
    struct error err;

    if (s->failed)
        return;
    if (!error_stream)
        s->answered = true;
    if (channel_send_output(s->channel, error_stream ? MESSAGE_STDERR : MESSAGE_STDOUT, data, len,
                            &err))
        update(s);
    else
        fail(s);
}

static void take_messages(struct session *s);

static void
on_done(void *arg, enum request_end end, int status)
{
    struct session *s = arg;
    struct error err;
    char text[300];

    s->request = NULL;
    if (end == REQUEST_TIMED_OUT) {
        snprintf(text, sizeof(text), "cannot finish %s: not done after %u s", s->verb->name,
                 s->verb->deadline);
        answer_for(s, ERROR_UNREACHABLE, text);
    } else if (end == REQUEST_CRASHED) {
        snprintf(text, sizeof(text), "cannot finish %s: it crashed", s->verb->name);
        answer_for(s, ERROR_INTERNAL, text);
    } else if (status == VERBS_DENIED) {
        refuse(s, MESSAGE_E_ACCESS, "Access denied");
    } else if (status == VERBS_UNKNOWN) {
        refuse(s, MESSAGE_E_UNKNOWN_COMMAND, "Unknown command");
    } else if (!channel_send_status(s->channel, (uint8_t)status, &err)) {
        s->closing = true;
    }
    if (!s->keepalive)
        s->closing = true;
    take_messages(s);
    update(s);
}

/* The verb and its arguments out of a command "kpropctl VERB ARG…", or "help" alone. */
static const struct verb *
find_verb(const struct message *msg, size_t *first)
{
    *first = msg->argc > 1 ? 1 : 0;
    if (*first == 1 && strcmp(msg->argv[0].data, "kpropctl") != 0)
        return NULL;
    if (*first == 0 && strcmp(msg->argv[0].data, "help") != 0)
        return NULL;
    return verbs_find(msg->argv[*first].data);
}

static void
start_command(struct session *s, const struct message *msg)
{
    struct request_listener listener = { on_output, on_done, s };
    const char *argv[MESSAGE_MAX_ARGS + 1] = { NULL };
    struct error err;
    size_t first;

    s->keepalive = msg->keepalive;
    for (size_t i = 0; i < msg->argc; i++) {
        if (!message_string_plain(&msg->argv[i])) {
            refuse(s, MESSAGE_E_BAD_COMMAND, "Argument holds a NUL");
            return;
        }
        argv[i] = msg->argv[i].data;
    }
    s->verb = find_verb(msg, &first);
    if (s->verb == NULL || s->verb->console_only) {
        refuse(s, MESSAGE_E_UNKNOWN_COMMAND, "Unknown command");
        return;
    }
    error_clear(&err);
    s->answered = false;
    s->request = request_start(s->owner->requests, s->verb, channel_peer(s->channel),
                               msg->argc - first, argv + first, &listener, &err);
    if (s->request == NULL)
        answer_for(s, err.code, err.text);
}

/* One command at a time: what else was sent waits in the channel. */
static void
take_messages(struct session *s)
{
    struct message msg;

    message_init(&msg);
    while (s->request == NULL && !s->closing && !s->failed && channel_next(s->channel, &msg)) {
        if (msg.type == MESSAGE_COMMAND)
            start_command(s, &msg);
        else if (msg.type == MESSAGE_QUIT)
            s->closing = true;
        if (msg.type == MESSAGE_COMMAND && s->request == NULL && !s->keepalive)
            s->closing = true;
        message_free(&msg);
    }
}

/* The handshake's deadline becomes that of idleness. */
static void
check_established(struct session *s)
{
    const char *why = NULL;

    if (s->established || !channel_established(s->channel))
        return;
    s->established = true;
    ev_timer_stop(s->owner->loop, &s->deadline);
    ev_timer_set(&s->deadline, s->owner->idle, s->owner->idle);
    if (s->owner->established != NULL)
        why = s->owner->established(s->owner->arg, s);
    if (why != NULL) {
        refuse(s, MESSAGE_E_INTERNAL, why);
        s->closing = true;
    }
}

static void
tell_broken(const struct session *s, const char *why)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    char text[NI_MAXHOST] = "unknown";

    if (s->owner->broken == NULL)
        return;
    if (getpeername(s->fd, (struct sockaddr *)&address, &len) == 0)
        getnameinfo((const struct sockaddr *)&address, len, text, sizeof(text), NULL, 0,
                    NI_NUMERICHOST);
    s->owner->broken(s->owner->arg, text, why);
}

static void
on_read(struct ev_loop *loop, ev_io *w, int events)
{
    struct session *s = w->data;
    char bytes[READ_SIZE];
    struct error err;
    ssize_t n;

    (void)events;
    if (s->failed) {
        session_close(s);
        return;
    }
    n = recv(s->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK))
        return;
    if (n <= 0) {
        session_close(s);
        return;
    }
    error_clear(&err);
    if (!channel_feed(s->channel, bytes, (size_t)n, &err)) {
        tell_broken(s, err.text);
        s->closing = true;
    }
    check_established(s);
    if (s->established)
        ev_timer_stop(loop, &s->deadline);
    take_messages(s);
    update(s);
}

static void
on_write(struct ev_loop *loop, ev_io *w, int events)
{
    struct session *s = w->data;

    (void)loop, (void)events;
    take_messages(s);
    update(s);
}

static void
on_timeout(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop, (void)events;
    session_close(w->data);
}

struct session *
session_new(const struct session_owner *owner, int fd, gss_cred_id_t cred,
            const unsigned char *source, struct error *err)
{
    struct session *s = calloc(1, sizeof(*s));

    if (s == NULL) {
        close(fd);
        error_memory(err);
        return NULL;
    }
    s->channel = channel_new_acceptor(cred, err);
    if (s->channel == NULL) {
        close(fd);
        free(s);
        return NULL;
    }
    s->owner = owner;
    s->fd = fd;
    memcpy(s->source, source, sizeof(s->source));
    ev_io_init(&s->reader, on_read, fd, EV_READ);
    ev_io_init(&s->writer, on_write, fd, EV_WRITE);
    ev_timer_init(&s->deadline, on_timeout, owner->handshake, 0);
    ev_init(&s->stall, on_timeout);
    s->stall.repeat = owner->stall;
    s->reader.data = s->writer.data = s->deadline.data = s->stall.data = s;
    ev_timer_start(owner->loop, &s->deadline);
    ev_io_start(owner->loop, &s->reader);
    return s;
}

void
session_finish(struct session *s)
{
    s->closing = true;
    update(s);
}

bool
session_established(const struct session *s)
{
    return s->established;
}

bool
session_busy(const struct session *s)
{
    return s->request != NULL;
}

bool
session_changing(const struct session *s)
{
    return s->request != NULL && request_changes(s->request);
}

const char *
session_peer(const struct session *s)
{
    return channel_peer(s->channel);
}

const char *
session_target(const struct session *s)
{
    return channel_target(s->channel);
}

const unsigned char *
session_source(const struct session *s)
{
    return s->source;
}

struct session **
session_next(struct session *s)
{
    return &s->next;
}
