/* remote - see remote.h. The protocol is common/channel's; here are the socket and the deadlines.
 */
#include "kpropctl/remote/remote.h"

#include "common/base/clock.h"
#include "common/host/process.h"
#include "common/remctl/channel.h"
#include "kpropctl/enroll/delivery.h"

#include <errno.h>
#include <krb5.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * JSON takes up to fifty times its length in memory, and several agents are asked at once. The log
 * lines of a host, and all names of a large realm, are long.
 */
enum {
    REPLY_LIMIT = 1 << 20,
    LOGS_LIMIT = 8 << 20,
    INVENTORY_LIMIT = 256 << 20,
    PROGRESS_LIMIT = 64 << 10
};

struct remote {
    char *host;
    char *realm, *primary; /* as we call them, or NULL */
    int port;
    int fd;
    struct channel *channel;
    char *others; /* what answered at other addresses, in lines; NULL: nothing */
    int longest;  /* seconds for a call */
    bool lost;    /* a call got no answer: no other will */
};

/* Wait for EVENTS on FD until DEADLINE; 0 when it passes. */
static int
wait_for(int fd, short events, double deadline)
{
    struct pollfd p = { fd, events, 0 };

    for (;;) {
        double left = (deadline - clock_monotonic()) * 1000;
        int n;

        if (left <= 0)
            return 0;
        n = poll(&p, 1, (int)left + 1);
        if (n > 0 || (n < 0 && errno != EINTR))
            return n;
    }
}

static bool
connect_failed(const char *host, int port, int errnum, enum remote_fault *fault, struct error *err)
{
    char ways[512];

    error_errno(err, ERROR_UNREACHABLE, errnum, "cannot connect to the agent at %s port %d", host,
                port);
    if (errnum == ECONNREFUSED) {
        *fault = REMOTE_REFUSED;
        return error_hint(err,
                          "the host is up but nothing listens there: on %s install "
                          "kpropctl-agent, or start it: systemctl enable --now kpropctl-agent; "
                          "if it was never enrolled: %s",
                          host, delivery_ways(host, "", ways, sizeof(ways)));
    }
    if (errnum == ETIMEDOUT) {
        *fault = REMOTE_TIMEOUT;
        return error_hint(err,
                          "no answer at all: a firewall between here and %s drops port %d, or the "
                          "host hangs; open %d/tcp from this host",
                          host, port, port);
    }
    *fault = REMOTE_NO_ROUTE;
    return error_hint(err,
                      "check that %s is up and that this host has a route to it (ping, "
                      "ip route get)",
                      host);
}

/* One address: 0, or the errno of the failure. */
static int
connect_address(const struct addrinfo *ai, double deadline, int *out)
{
    int code = 0, fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t len = sizeof(code);

    *out = -1;
    if (fd < 0)
        return errno;
    if (connect(fd, ai->ai_addr, ai->ai_addrlen) != 0) {
        code = errno;
        if (code == EINPROGRESS) {
            if (wait_for(fd, POLLOUT, deadline) == 0)
                code = ETIMEDOUT;
            else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &len) != 0)
                code = errno;
        }
    }
    if (code != 0)
        close(fd);
    else
        *out = fd;
    return code;
}

static struct addrinfo *
resolve(const char *host, int port, enum remote_fault *fault, struct error *err)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG }, *list = NULL;
    char service[16];
    int code;

    snprintf(service, sizeof(service), "%d", port);
    code = getaddrinfo(host, service, &hints, &list);
    if (code == 0)
        return list;
    *fault = REMOTE_NAME;
    error_set(err, ERROR_UNREACHABLE, "cannot resolve %s: %s", host, gai_strerror(code));
    error_hint(err, "add %s to DNS or /etc/hosts of this host", host);
    return NULL;
}

/* Which fault a GSS-API failure is, and its remedy. */
static void
explain_minor(uint32_t minor, const char *host, const char *target, enum remote_fault *fault,
              struct error *err)
{
    char ways[512];

    switch ((krb5_error_code)minor) {
    case KRB5KDC_ERR_S_PRINCIPAL_UNKNOWN:
        *fault = REMOTE_UNKNOWN;
        error_hint(err, "create the principal: kadmin.local addprinc -randkey %s", target);
        return;
    case KRB5KRB_AP_ERR_SKEW:
    case KRB5KRB_AP_ERR_TKT_NYV:
        *fault = REMOTE_CLOCK;
        error_hint(err, "set the clocks: start chrony or systemd-timesyncd on both hosts");
        return;
    case KRB5KRB_AP_ERR_BADKEYVER:
    case KRB5KRB_AP_ERR_NOKEY:
    case KRB5KRB_AP_ERR_MODIFIED:
    case KRB5KRB_AP_ERR_BAD_INTEGRITY:
        *fault = REMOTE_KEYTAB;
        error_hint(err, "the keytab on %s does not hold the current key of %s; bring it there: %s",
                   host, target, delivery_ways(host, "", ways, sizeof(ways)));
        return;
    case KRB5KRB_AP_ERR_NOT_US:
        *fault = REMOTE_KEYTAB;
        error_hint(
            err,
            "the agent on %s has no key of %s that it takes for its own; bring it there: %s. "
            "If the keytab has it, the agent's log says which line agent.conf needs",
            host, target, delivery_ways(host, "", ways, sizeof(ways)));
        return;
    case KRB5_FCC_NOFILE:
    case KRB5_CC_NOTFOUND:
        *fault = REMOTE_NO_TICKET;
        error_hint(err, "get a ticket first (kinit), or run it as root");
        return;
    case KRB5_KDC_UNREACH:
        *fault = REMOTE_NO_TICKET;
        error_hint(err, "check that krb5kdc runs on the primary: systemctl status krb5-kdc");
        return;
    case KRB5KRB_AP_ERR_TKT_EXPIRED:
        *fault = REMOTE_NO_TICKET;
        error_hint(err, "compare the clocks of both hosts, and start chrony or systemd-timesyncd");
        return;
    default:
        *fault = minor == 0 ? REMOTE_NOT_AGENT : REMOTE_NO_TICKET;
    }
}

static bool
not_an_agent(const char *host, int port, enum remote_fault *fault, struct error *err)
{
    *fault = REMOTE_NOT_AGENT;
    error_set(err, ERROR_UNREACHABLE, "cannot talk to %s port %d: it is no kpropctl-agent", host,
              port);
    return error_hint(err, "look who listens there: on %s run: ss -ltnp 'sport = :%d'", host, port);
}

/* An agent that has no key to prove itself with cannot say so: it can only hang up. */
static bool
hung_up(const char *host, int port, enum remote_fault *fault, struct error *err)
{
    char ways[512];

    *fault = REMOTE_NOT_AGENT;
    error_set(err, ERROR_UNREACHABLE,
              "cannot talk to %s port %d: it hung up without a word: it is no kpropctl-agent, or "
              "one without a usable keytab",
              host, port);
    return error_hint(err,
                      "on %s: journalctl -u kpropctl-agent says so if its keytab is missing, ss "
                      "-ltnp 'sport = :%d' tells who listens; to bring the key there: %s",
                      host, port, delivery_ways(host, "", ways, sizeof(ways)));
}

/* Send all that waits. False with errno on failure, ETIMEDOUT at the deadline. */
static bool
flush(struct remote *remote, double deadline)
{
    struct buffer *out = channel_output(remote->channel);

    while (out->len > 0) {
        ssize_t n = send(remote->fd, out->data, out->len, MSG_NOSIGNAL);

        if (n > 0) {
            buffer_consume(out, (size_t)n);
        } else if (n < 0 && errno == EAGAIN) {
            if (wait_for(remote->fd, POLLOUT, deadline) == 0) {
                errno = ETIMEDOUT;
                return false;
            }
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

enum receipt { RECEIVED, RECEIVED_END, RECEIVED_TIMEOUT, RECEIVED_FAULT };

/* Read once into the channel. */
static enum receipt
receive(struct remote *remote, double deadline, struct error *err)
{
    unsigned char data[16384];
    ssize_t n;

    if (wait_for(remote->fd, POLLIN, deadline) == 0)
        return RECEIVED_TIMEOUT;
    n = recv(remote->fd, data, sizeof(data), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return RECEIVED;
    if (n <= 0)
        return RECEIVED_END;
    return channel_feed(remote->channel, data, (size_t)n, err) ? RECEIVED : RECEIVED_FAULT;
}

static bool
handshake(struct remote *remote, const char *target, double deadline, enum remote_fault *fault,
          struct error *err)
{
    while (!channel_established(remote->channel)) {
        enum receipt receipt;

        if (!flush(remote, deadline))
            return not_an_agent(remote->host, remote->port, fault, err);
        receipt = receive(remote, deadline, err);
        if (receipt == RECEIVED_FAULT) {
            uint32_t minor = channel_gss_minor(remote->channel);

            if (minor == 0)
                return not_an_agent(remote->host, remote->port, fault, err);
            err->code = ERROR_UNREACHABLE;
            error_prefix(err, "cannot authenticate to the agent on %s", remote->host);
            explain_minor(minor, remote->host, target, fault, err);
            return false;
        }
        if (receipt == RECEIVED_TIMEOUT) {
            not_an_agent(remote->host, remote->port, fault, err);
            return error_hint(err,
                              "something accepts connections on %s port %d and stays silent: look "
                              "at systemctl status kpropctl-agent there",
                              remote->host, remote->port);
        }
        if (receipt == RECEIVED_END)
            return hung_up(remote->host, remote->port, fault, err);
    }
    return true;
}

/* The channel to TARGET: needs a ticket, so most of what can be wrong on our own side shows here.
 */
static bool
start_channel(struct remote *remote, const char *target, enum remote_fault *fault,
              struct error *err)
{
    gss_name_t name = GSS_C_NO_NAME;
    uint32_t minor = 0;
    OM_uint32 ignored;

    if (!channel_import_target(remote->host, target, &name, err))
        return false;
    remote->channel = channel_new_initiator(name, GSS_C_NO_CREDENTIAL, &minor, err);
    gss_release_name(&ignored, &name);
    if (remote->channel == NULL) {
        err->code = ERROR_UNREACHABLE;
        error_prefix(err, "cannot get a ticket for %s", target);
        explain_minor(minor, remote->host, target, fault, err);
        if (*fault == REMOTE_NOT_AGENT)
            *fault = REMOTE_NO_TICKET;
        return false;
    }
    return true;
}

/* What was connected, and the channel over it: for the next address, or the end. */
static void
hang_up(struct remote *remote)
{
    channel_free(remote->channel);
    remote->channel = NULL;
    if (remote->fd >= 0)
        close(remote->fd);
    remote->fd = -1;
}

static void
note_other(struct remote *remote, const struct addrinfo *ai, const struct error *err)
{
    char address[64] = "?", *lines;

    getnameinfo(ai->ai_addr, ai->ai_addrlen, address, sizeof(address), NULL, 0, NI_NUMERICHOST);
    if (asprintf(&lines, "%s%s%s: %s", remote->others != NULL ? remote->others : "",
                 remote->others != NULL ? "\n" : "", address, err->text) < 0)
        return;
    free(remote->others);
    remote->others = lines;
}

/* The first address that is TARGET's agent. One that answers as somebody else says more of what is
 * wrong than one that does not answer. */
static bool
try_addresses(struct remote *remote, const struct addrinfo *list, const char *target, int timeout,
              enum remote_fault *fault, struct error *err)
{
    double deadline = clock_monotonic() + timeout;
    bool answered = false;

    for (const struct addrinfo *ai = list; ai != NULL; ai = ai->ai_next) {
        enum remote_fault own_fault = REMOTE_LOST;
        struct error own;
        int code = connect_address(ai, deadline, &remote->fd);

        error_clear(&own);
        if (code == 0 && start_channel(remote, target, &own_fault, &own) &&
            handshake(remote, target, clock_monotonic() + timeout, &own_fault, &own)) {
            error_clear(err);
            *fault = REMOTE_OK;
            return true;
        }
        hang_up(remote);
        if (code != 0 && !answered)
            connect_failed(remote->host, remote->port, code, fault, err);
        if (code == 0 && !answered) {
            *err = own;
            *fault = own_fault;
        }
        if (code == 0 && own_fault == REMOTE_NO_TICKET)
            return false; /* no other address would change that */
        if (code == 0)
            note_other(remote, ai, &own);
        answered = answered || code == 0;
    }
    return false;
}

/* NULL stays NULL. False out of memory. */
static bool
copy_name(const char *name, char **copy)
{
    *copy = name != NULL ? strdup(name) : NULL;
    return name == NULL || *copy != NULL;
}

struct remote *
remote_open(const struct refusal_names *who, int port, const char *target, int timeout,
            enum remote_fault *fault, struct error *err)
{
    struct remote *remote = calloc(1, sizeof(*remote));
    struct addrinfo *list;
    bool ok;

    *fault = REMOTE_LOST;
    if (remote == NULL) {
        error_memory(err);
        return NULL;
    }
    remote->port = port;
    remote->longest = REMOTE_LONGEST;
    remote->fd = -1;
    if (!copy_name(who->replica, &remote->host) || !copy_name(who->realm, &remote->realm) ||
        !copy_name(who->primary, &remote->primary)) {
        error_memory(err);
        remote_close(remote);
        return NULL;
    }
    list = resolve(remote->host, port, fault, err);
    ok = list != NULL && try_addresses(remote, list, target, timeout, fault, err);
    if (list != NULL)
        freeaddrinfo(list);
    if (ok)
        return remote;
    remote_close(remote);
    return NULL;
}

void
remote_close(struct remote *remote)
{
    struct error ignored;

    if (remote == NULL)
        return;
    if (remote->channel != NULL && channel_established(remote->channel) &&
        channel_send_quit(remote->channel, &ignored))
        flush(remote, clock_monotonic() + 1);
    hang_up(remote);
    free(remote->others);
    free(remote->primary);
    free(remote->realm);
    free(remote->host);
    free(remote);
}

void
remote_address(const struct remote *remote, char *text, size_t size)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof(peer);

    text[0] = '\0';
    if (getpeername(remote->fd, (struct sockaddr *)&peer, &len) == 0)
        getnameinfo((struct sockaddr *)&peer, len, text, (socklen_t)size, NULL, 0, NI_NUMERICHOST);
}

const char *
remote_others(const struct remote *remote)
{
    return remote->others != NULL ? remote->others : "";
}

void
remote_set_longest(struct remote *remote, int seconds)
{
    remote->longest = seconds;
}

struct call {
    struct buffer out;
    struct buffer errs; /* standard error that is not yet a whole line */
    remote_progress *progress;
    void *closure;
    bool ended;
    int status;
    char refusal[512]; /* text of an ERROR message */
    uint32_t refusal_code;
};

/* Hand on whole lines of standard error that are JSON; others are the error's text, told anyway. */
static void
take_lines(struct call *call)
{
    char *end;

    while (call->errs.len > 0 && (end = memchr(call->errs.data, '\n', call->errs.len)) != NULL) {
        size_t len = (size_t)(end - (char *)call->errs.data);
        json_t *line = json_loadb((char *)call->errs.data, len, 0, NULL);

        if (line != NULL && call->progress != NULL)
            call->progress(call->closure, line);
        json_decref(line);
        buffer_consume(&call->errs, len + 1);
    }
}

static bool
take_message(struct call *call, const struct message *msg)
{
    switch (msg->type) {
    case MESSAGE_OUTPUT:
        if (msg->stream == MESSAGE_STDOUT)
            return buffer_add(&call->out, msg->text.data, msg->text.len);
        if (!buffer_add(&call->errs, msg->text.data, msg->text.len))
            buffer_reset(&call->errs);
        take_lines(call);
        return true;
    case MESSAGE_STATUS:
        call->status = msg->status;
        call->ended = true;
        return true;
    case MESSAGE_ERROR:
        text_clean(msg->text.data, msg->text.len, call->refusal, sizeof(call->refusal));
        call->refusal_code = msg->code;
        call->ended = true;
        return true;
    default:
        return msg->type == MESSAGE_NOOP;
    }
}

/* The end of a wait of TIMEOUT seconds that begins now, or LAST if that comes first. */
static double
wait_end(int timeout, double last)
{
    double end = clock_monotonic() + timeout;

    return end < last ? end : last;
}

/* Drive the connection until the verb has ended. */
static bool
run_call(struct remote *remote, struct call *call, int timeout, struct error *err)
{
    double last = clock_monotonic() + remote->longest;

    while (!call->ended) {
        enum receipt receipt;
        struct message msg;

        if (!flush(remote, wait_end(timeout, last)))
            return error_errno(err, ERROR_UNREACHABLE, errno, "lost the agent on %s", remote->host);
        receipt = receive(remote, wait_end(timeout, last), err);
        message_init(&msg);
        while (!call->ended && channel_next(remote->channel, &msg)) {
            if (!take_message(call, &msg)) {
                message_free(&msg);
                return error_set(err, ERROR_UNREACHABLE,
                                 "cannot read the answer of the agent on %s: too long, or none "
                                 "that a command has",
                                 remote->host);
            }
            message_free(&msg);
        }
        if (call->ended)
            break;
        if (clock_monotonic() >= last)
            return error_set(err, ERROR_UNREACHABLE, "the agent on %s was not done after %d s",
                             remote->host, remote->longest);
        if (receipt == RECEIVED_TIMEOUT)
            return error_set(err, ERROR_UNREACHABLE,
                             "no sign of life from the agent on %s for %d s", remote->host,
                             timeout);
        if (receipt == RECEIVED_END)
            return error_set(err, ERROR_UNREACHABLE, "the agent on %s closed the connection",
                             remote->host);
        if (receipt == RECEIVED_FAULT)
            return error_prefix(err, "cannot understand the agent on %s", remote->host);
    }
    return true;
}

static void
refusal_error(const struct remote *remote, const struct call *call, const char *verb,
              enum remote_fault *fault, struct error *err)
{
    const struct refusal_names who = { remote->realm, remote->host, remote->primary };

    if (call->refusal_code == MESSAGE_E_ACCESS) {
        *fault = REMOTE_NOT_AUTHORISED;
        refusal_set(err, REFUSAL_DENIED, &who,
                    "the agent on %s does not allow '%s' to us: it does not take this host for its "
                    "primary (%s)",
                    remote->host, verb, call->refusal);
        return;
    }
    *fault = call->refusal_code == MESSAGE_E_UNKNOWN_COMMAND ? REMOTE_NOT_AGENT : REMOTE_LOST;
    error_set(err, ERROR_UNREACHABLE, "the agent on %s refused '%s': %s", remote->host, verb,
              call->refusal);
    if (*fault == REMOTE_NOT_AGENT)
        error_hint(err,
                   "it is a remctl server without our commands, or an older agent: install "
                   "this version of kpropctl-agent on %s",
                   remote->host);
}

/* What an agent sends may come to a terminal: without control characters. */
static void
status_error(const struct remote *remote, const struct call *call, const json_t *reply,
             const char *verb, struct error *err)
{
    const char *text = json_string_value(json_object_get(reply, "error"));
    const char *hint = json_string_value(json_object_get(reply, "hint"));
    int code = call->status <= ERROR_INTERNAL ? call->status : ERROR_FAILED; /* of our own */
    char clean[sizeof(err->text)];

    if (text == NULL) {
        error_set(err, code, "'%s' failed on %s with status %d", verb, remote->host, call->status);
    } else {
        text_clean(text, strlen(text), clean, sizeof(clean));
        error_set(err, code, "%s", clean);
    }
    if (hint != NULL) {
        text_clean(hint, strlen(hint), clean, sizeof(clean));
        error_hint(err, "%s", clean);
    }
}

static bool
send_command(struct remote *remote, const char *const *argv, struct error *err)
{
    struct message_string words[MESSAGE_MAX_ARGS] = { { "kpropctl", 8 } };
    size_t argc = 1;

    for (; argv[argc - 1] != NULL && argc < MESSAGE_MAX_ARGS; argc++)
        words[argc] = (struct message_string){ argv[argc - 1], strlen(argv[argc - 1]) };
    return channel_send_command(remote->channel, argc, words, true, err);
}

static size_t
reply_limit(const char *verb)
{
    if (strcmp(verb, "inventory") == 0)
        return INVENTORY_LIMIT;
    return strcmp(verb, "logs") == 0 ? LOGS_LIMIT : REPLY_LIMIT;
}

/* The agent's package is not what answers, or it is broken. */
static bool
doubt_agent(const struct remote *remote, struct error *err)
{
    return error_hint(err,
                      "is it kpropctl-agent that listens on port %d of %s? look at journalctl -u "
                      "kpropctl-agent there",
                      remote->port, remote->host);
}

bool
remote_call(struct remote *remote, const char *const *argv, int timeout, remote_progress *progress,
            void *closure, json_t **out, enum remote_fault *fault, struct error *err)
{
    struct call call = { .progress = progress, .closure = closure };
    bool ok = false;

    *out = NULL;
    *fault = REMOTE_OK;
    buffer_init(&call.out, reply_limit(argv[0]));
    buffer_init(&call.errs, PROGRESS_LIMIT);
    if (remote->lost)
        error_set(err, ERROR_UNREACHABLE, "the connection with the agent on %s is lost",
                  remote->host);
    if (remote->lost || !send_command(remote, argv, err) ||
        !run_call(remote, &call, timeout, err)) {
        err->code = ERROR_UNREACHABLE;
        *fault = REMOTE_LOST;
        remote->lost = true;
        error_hint(err, "look at journalctl -u kpropctl-agent on %s", remote->host);
        goto cleanup;
    }
    if (call.refusal_code != 0) {
        refusal_error(remote, &call, argv[0], fault, err);
        goto cleanup;
    }
    if (call.out.len > 0)
        *out = json_loadb((char *)call.out.data, call.out.len, JSON_REJECT_DUPLICATES, NULL);
    ok = call.status == 0 && json_is_object(*out);
    if (call.status != 0)
        status_error(remote, &call, *out, argv[0], err);
    else if (!ok)
        error_set(err, ERROR_UNREACHABLE,
                  "cannot read the answer of the agent on %s to '%s': "
                  "not a JSON object",
                  remote->host, argv[0]);
    if (!ok && err->hint[0] == '\0' && json_object_get(*out, "error") == NULL)
        doubt_agent(remote, err);

cleanup:
    buffer_free(&call.out);
    buffer_free(&call.errs);
    return ok;
}
