/* server - see server.h. */
#include "agent/daemon/server.h"

#include "agent/base/child.h"
#include "agent/daemon/acceptor.h"
#include "agent/daemon/daemon_files.h"
#include "agent/daemon/request.h"
#include "agent/daemon/session.h"
#include "agent/enroll/enroll.h"
#include "agent/load/stash.h"
#include "agent/supervise/supervisor.h"
#include "agent/verbs/database_verbs.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/host/systemd.h"
#include "common/remctl/channel.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    MAX_UNAUTHENTICATED = 64,
    MAX_PER_SOURCE = 4,
    MAX_SESSIONS = 16,
    MAX_PER_PEER = 8,
    ACCEPTS_PER_ROUND = 16,
    BACKLOG = 128,
    LISTENERS = 2,          /* one for each family */
    OTHER_DESCRIPTORS = 32, /* listeners, the loop's, logs, keytabs */
    LOG_LINES = 20,         /* about broken connections in LOG_WINDOW seconds */
    LOG_WINDOW = 60,
};

static const double handshake_seconds = 10, idle_seconds = 300, stall_seconds = 30;

struct server {
    struct ev_loop *loop;
    struct settings *settings;
    const char *config;
    struct session_owner owner;
    struct requests requests;
    struct session *sessions; /* newest first */
    ev_io listeners[LISTENERS];
    ev_timer pause; /* after accept ran out of descriptors */
    ev_signal term, interrupt, hangup;
    ev_periodic never;
    struct acceptor *acceptor; /* NULL before it was tried */
    bool stopping;
    struct supervisor *supervisor; /* of kpropd; NULL if it could not be set up, or has stopped */
    ev_tstamp log_since;           /* of on_broken */
    unsigned log_lines;
    struct daemon_load load;
};

/* --- credentials --- */

/*
 * Acquire the acceptor's credentials anew. Handshakes under way would lose theirs, so they are
 * ended: their peers may come again.
 */
static void
take_credentials(struct server *server)
{
    struct error err;

    for (struct session *s = server->sessions, *next; s != NULL; s = next) {
        next = *session_next(s);
        if (!session_established(s))
            session_close(s);
    }
    acceptor_free(server->acceptor);
    server->acceptor = acceptor_new(server->settings, &err);
    if (server->acceptor == NULL || acceptor_credential(server->acceptor) == GSS_C_NO_CREDENTIAL)
        log_error("nobody can be served: %s%s%s", err.text, err.hint[0] != '\0' ? ". " : "",
                  err.hint);
}

/* If the keytab has changed, or what decides which of its keys are ours. */
static void
refresh_credentials(struct server *server)
{
    if (server->acceptor == NULL || acceptor_is_stale(server->acceptor))
        take_credentials(server);
}

/* --- sessions --- */

/* The end: nobody is served any more, and kpropd, where it is ours, has ended. */
static void
end_if_done(struct server *server)
{
    if (server->stopping && server->sessions == NULL && server->requests.running == 0 &&
        server->supervisor == NULL)
        ev_break(server->loop, EVBREAK_ALL);
}

static void
on_session_closed(void *arg, struct session *session)
{
    struct server *server = arg;
    struct session **p = &server->sessions;

    while (*p != NULL && *p != session)
        p = session_next(*p);
    if (*p != NULL)
        *p = *session_next(session);
    end_if_done(server);
}

/* Whoever reaches the port can make us log: so many lines in a minute, no more. */
static void
on_broken(void *arg, const char *address, const char *why)
{
    struct server *server = arg;
    ev_tstamp now = ev_now(server->loop);

    if (now - server->log_since >= LOG_WINDOW) {
        server->log_since = now;
        server->log_lines = 0;
    }
    server->log_lines++;
    if (server->log_lines <= LOG_LINES)
        log_notice("connection from %s dropped: %s", address, why);
    if (server->log_lines == LOG_LINES)
        log_notice("more of that kind is not told for a minute");
}

static void
on_request_ended(void *arg)
{
    end_if_done(arg);
}

static void
count_turned_away(struct server *server)
{
    server->load.turned_away++;
    server->load.turned_away_at = clock_wall();
}

/* Close the oldest connection that is not authenticated, of SOURCE or (NULL) any, if COUNT or more
 * are. */
static void
make_room(struct server *server, const unsigned char *source, size_t count)
{
    struct session *oldest = NULL;
    size_t found = 0;

    for (struct session *s = server->sessions; s != NULL; s = *session_next(s)) {
        if (session_established(s) ||
            (source != NULL && memcmp(session_source(s), source, SESSION_SOURCE) != 0))
            continue;
        oldest = s;
        found++;
    }
    if (found >= count) {
        count_turned_away(server);
        session_close(oldest);
    }
}

/* Make room among the established sessions (of PEER, or with NULL all) if they are more than COUNT
 * with the new SESSION: the oldest idle one goes. False if there is none. */
static bool
make_room_for(struct server *server, const struct session *session, const char *peer, size_t count)
{
    struct session *idle = NULL;
    size_t found = 0;

    for (struct session *s = server->sessions; s != NULL; s = *session_next(s)) {
        if (!session_established(s) || (peer != NULL && strcmp(session_peer(s), peer) != 0))
            continue;
        found++;
        if (s != session && !session_busy(s))
            idle = s;
    }
    if (found > count && idle == NULL)
        count_turned_away(server);
    if (found > count)
        session_close(idle);
    return found <= count || idle != NULL;
}

/* One more is authenticated. The credentials hold no other key than ours; that the key was one is
 * seen once more. */
static const char *
on_established(void *arg, struct session *session)
{
    struct server *server = arg;

    if (server->acceptor == NULL || !acceptor_takes(server->acceptor, session_target(session))) {
        log_error("%s refused: its ticket is for %s, which is not this host's",
                  session_peer(session), session_target(session));
        return "Ticket is not for this host";
    }
    if (!server->stopping && make_room_for(server, session, session_peer(session), MAX_PER_PEER) &&
        make_room_for(server, session, NULL, MAX_SESSIONS))
        return NULL;
    return "Too many sessions";
}

/* What tells one source from another: its IPv4 address, or the /64 that its IPv6 address is in. */
static void
source_of(const struct sockaddr_storage *address, unsigned char *source)
{
    memset(source, 0, SESSION_SOURCE);
    source[15] = (unsigned char)address->ss_family;
    if (address->ss_family == AF_INET)
        memcpy(source, &((const struct sockaddr_in *)(const void *)address)->sin_addr, 4);
    else if (address->ss_family == AF_INET6)
        memcpy(source, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, 8);
}

static void
add_session(struct server *server, int fd, const struct sockaddr_storage *address)
{
    unsigned char source[SESSION_SOURCE];
    struct session *session;
    struct error err;
    int on = 1;

    refresh_credentials(server);
    if (server->acceptor == NULL || acceptor_credential(server->acceptor) == GSS_C_NO_CREDENTIAL) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    source_of(address, source);
    make_room(server, source, MAX_PER_SOURCE);
    make_room(server, NULL, MAX_UNAUTHENTICATED);
    error_clear(&err);
    session = session_new(&server->owner, fd, acceptor_credential(server->acceptor), source, &err);
    if (session == NULL) {
        log_error("connection dropped: %s", err.text);
        return;
    }
    *session_next(session) = server->sessions;
    server->sessions = session;
}

/* --- listening --- */

static void
set_listening(struct server *server, bool active)
{
    for (int i = 0; i < LISTENERS; i++) {
        if (server->listeners[i].fd < 0)
            continue;
        if (active)
            ev_io_start(server->loop, &server->listeners[i]);
        else
            ev_io_stop(server->loop, &server->listeners[i]);
    }
}

static void
on_accept(struct ev_loop *loop, ev_io *w, int events)
{
    struct server *server = w->data;
    struct sockaddr_storage address;
    socklen_t len;
    int fd;

    (void)events;
    for (int i = 0; i < ACCEPTS_PER_ROUND; i++) {
        len = sizeof(address);
        memset(&address, 0, sizeof(address));
        fd = accept4(w->fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            add_session(server, fd, &address);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            log_error("cannot accept a connection: %s", strerror(errno));
            count_turned_away(server);
            set_listening(server, false);
            ev_timer_start(loop, &server->pause);
        }
        if (errno != EINTR && errno != ECONNABORTED)
            return;
    }
}

static void
on_pause_over(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop, (void)events;
    set_listening(w->data, true);
}

/* A listening socket for FAMILY, or -1 with errno. */
static int
listen_on(int family, int port)
{
    struct sockaddr_storage address;
    socklen_t len;
    int on = 1, saved, fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    memset(&address, 0, sizeof(address));
    if (family == AF_INET6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)&address;

        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((uint16_t)port);
        len = sizeof(*in6);
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    } else {
        struct sockaddr_in *in = (struct sockaddr_in *)(void *)&address;

        in->sin_family = AF_INET;
        in->sin_port = htons((uint16_t)port);
        len = sizeof(*in);
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (const struct sockaddr *)&address, len) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

/* A family that this host does not have is no failure, a port that is taken is. */
static bool
open_listeners(int port, int *fds, struct error *err)
{
    static const int families[LISTENERS] = { AF_INET6, AF_INET };
    bool any = false;

    for (int i = 0; i < LISTENERS; i++) {
        fds[i] = listen_on(families[i], port);
        any = any || fds[i] >= 0;
        if (fds[i] >= 0 || errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)
            continue;
        error_errno(err, ERROR_FAILED, errno, "cannot listen on port %d", port);
        if (errno == EADDRINUSE)
            error_hint(err, "Another program, such as remctld, holds the port; set port in "
                            "agent.conf");
        any = false;
        for (int j = 0; j < i; j++) {
            if (fds[j] >= 0)
                close(fds[j]);
        }
        return false;
    }
    return any || error_set(err, ERROR_FAILED, "cannot listen: no network");
}

static void
close_listeners(struct server *server)
{
    set_listening(server, false);
    for (int i = 0; i < LISTENERS; i++) {
        if (server->listeners[i].fd >= 0)
            close(server->listeners[i].fd);
        ev_io_init(&server->listeners[i], on_accept, -1, EV_READ);
    }
}

static bool
start_listening(struct server *server, struct error *err)
{
    int fds[LISTENERS];

    if (!open_listeners(server->settings->port, fds, err))
        return false;
    close_listeners(server);
    for (int i = 0; i < LISTENERS; i++) {
        ev_io_init(&server->listeners[i], on_accept, fds[i], EV_READ);
        server->listeners[i].data = server;
    }
    set_listening(server, true);
    return true;
}

/* --- signals --- */

static void
on_supervisor_stopped(void *arg)
{
    struct server *server = arg;

    supervisor_free(server->supervisor);
    server->supervisor = NULL;
    end_if_done(server);
}

/* Changes that run finish and are told; everything else ends now. */
static void
on_stop(struct ev_loop *loop, ev_signal *w, int events)
{
    struct server *server = w->data;

    (void)events;
    if (server->stopping)
        return;
    log_notice("stopping");
    systemd_notify("STOPPING=1");
    server->stopping = true;
    close_listeners(server);
    ev_timer_stop(loop, &server->pause);
    for (struct session *s = server->sessions, *next; s != NULL; s = next) {
        next = *session_next(s);
        if (session_changing(s))
            session_finish(s);
        else
            session_close(s);
    }
    if (server->supervisor != NULL)
        supervisor_stop(server->supervisor, on_supervisor_stopped, server);
    end_if_done(server);
}

/* Take the configuration anew; if it is bad, keep the old one. */
static void
on_hangup(struct ev_loop *loop, ev_signal *w, int events)
{
    struct server *server = w->data;
    struct settings fresh, old = *server->settings;
    struct error err;

    (void)loop, (void)events;
    error_clear(&err);
    if (server->stopping)
        return;
    if (!settings_read(&fresh, server->config, &err)) {
        log_error("the configuration stays as it was: %s", err.text);
        return;
    }
    fresh.load = old.load;
    *server->settings = fresh;
    if (fresh.port != old.port && !start_listening(server, &err)) {
        log_error("the configuration stays as it was: %s", err.text);
        *server->settings = old;
        settings_free(&fresh);
        return;
    }
    settings_free(&old);
    take_credentials(server);
    if (server->supervisor != NULL)
        supervisor_refresh(server->supervisor);
    log_notice("configuration read again");
}

/* In a child: a promotion that was killed may wait for the database's lock. */
static void
recover(const struct settings *settings)
{
    struct error err;

    error_clear(&err);
    if (!database_recover(NULL, &err))
        log_error("the last load is not complete: %s", err.text);
    stash_recover(settings->state);
}

static void
watch_signal(struct server *server, ev_signal *w, int number,
             void (*function)(struct ev_loop *, ev_signal *, int))
{
    ev_signal_init(w, function, number);
    w->data = server;
    ev_signal_start(server->loop, w);
}

static void
on_never(struct ev_loop *loop, ev_periodic *w, int events)
{
    (void)loop, (void)w, (void)events;
}

static void
server_init(struct server *server, struct settings *settings, const char *config)
{
    memset(server, 0, sizeof(*server));
    server->loop = ev_default_loop(EVFLAG_NOENV);
    server->settings = settings;
    server->load.descriptors_needed =
        MAX_UNAUTHENTICATED + MAX_SESSIONS + 2 * REQUESTS_MAX + OTHER_DESCRIPTORS;
    settings->load = &server->load;
    server->config = config;
    server->requests = (struct requests){ .loop = server->loop,
                                          .settings = settings,
                                          .serve = verbs_serve,
                                          .ended = on_request_ended,
                                          .arg = server };
    server->owner = (struct session_owner){ .loop = server->loop,
                                            .requests = &server->requests,
                                            .handshake = handshake_seconds,
                                            .idle = idle_seconds,
                                            .stall = stall_seconds,
                                            .established = on_established,
                                            .broken = on_broken,
                                            .closed = on_session_closed,
                                            .arg = server };
    for (int i = 0; i < LISTENERS; i++)
        ev_io_init(&server->listeners[i], on_accept, -1, EV_READ);
    ev_timer_init(&server->pause, on_pause_over, 1, 0);
    server->pause.data = server;
    /* With a periodic watcher libev learns of time jumps from a timerfd, and then does not wake
     * once a minute to look for them. */
    ev_periodic_init(&server->never, on_never, ev_time() + 1e9, 0, NULL);
    ev_periodic_start(server->loop, &server->never);
    signal(SIGPIPE, SIG_IGN);
    watch_signal(server, &server->term, SIGTERM, on_stop);
    watch_signal(server, &server->interrupt, SIGINT, on_stop);
    watch_signal(server, &server->hangup, SIGHUP, on_hangup);
}

static void
server_end(struct server *server)
{
    close_listeners(server);
    acceptor_free(server->acceptor);
    ev_loop_destroy(server->loop);
}

/* Before anything else is read: the new files may be those of an enrolment that was killed. */
static void
recover_enrolment(struct settings *settings, const char *config)
{
    struct settings fresh;
    struct error err;

    error_clear(&err);
    if (!enroll_recover(settings))
        return;
    if (settings_read(&fresh, config, &err)) {
        settings_free(settings);
        *settings = fresh;
    } else {
        log_error("the configuration stays as it was: %s", err.text);
    }
}

bool
server_run(struct settings *settings, const char *config, struct error *err)
{
    struct server server;

    recover_enrolment(settings, config);
    server_init(&server, settings, config);
    if (!start_listening(&server, err)) {
        server_end(&server);
        return false;
    }
    take_credentials(&server);
    log_notice("version " KPC_VERSION " listens on port %d", settings->port);
    systemd_notify("READY=1");
    daemon_files_make(settings);
    server.supervisor = supervisor_new(server.loop, settings, err);
    if (server.supervisor == NULL)
        log_error("kpropd cannot be supervised: %s", err->text);
    if (!request_run_aside(recover, settings))
        log_error("cannot look after the last load: %s", strerror(errno));
    ev_run(server.loop, 0);
    server_end(&server);
    return true;
}
