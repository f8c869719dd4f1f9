/* request - see request.h. */
#include "agent/daemon/request.h"

#include "agent/base/child.h"
#include "common/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHUNK = 16 * 1024, KILL_AFTER = 3 };

struct request {
    struct requests *all;
    const struct verb *verb;
    struct request_listener listener; /* all NULL once abandoned */
    ev_child child;
    ev_timer deadline;
    ev_io pipes[2]; /* standard output, standard error; fd -1 when finished */
    bool held;
    bool exited;
    bool timed_out;
    int status; /* of waitpid(2) */
};

static void __attribute__((noreturn))
child_main(const struct requests *all, const struct verb *verb, const char *peer, size_t argc,
           const char *const *argv, const int *ends, pid_t parent)
{
    int status;

    leave_parent(ends[0], ends[1], NULL);
    if (verb->kind == VERB_READING) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(ERROR_INTERNAL);
    }
    log_open("kpropctl-agent", false);
    status = all->serve(all->settings, peer, argc, argv, stdout, stderr);
    _exit(status);
}

static void
close_pipe(struct request *request, ev_io *pipe)
{
    if (pipe->fd < 0)
        return;
    ev_io_stop(request->all->loop, pipe);
    close(pipe->fd);
    ev_io_init(pipe, pipe->cb, -1, EV_READ);
}

static void
finish(struct request *request)
{
    struct request_listener listener = request->listener;
    struct requests *all = request->all;
    enum request_end end = REQUEST_EXITED;
    int status = request->status;

    if (request->timed_out)
        end = REQUEST_TIMED_OUT;
    else if (!WIFEXITED(status))
        end = REQUEST_CRASHED;
    ev_timer_stop(all->loop, &request->deadline);
    free(request);
    all->running--;
    if (listener.done != NULL)
        listener.done(listener.arg, end, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    if (all->ended != NULL)
        all->ended(all->arg);
}

/* Done when the child is reaped and all it wrote was taken. */
static bool
check_finished(struct request *request)
{
    if (!request->exited || request->pipes[0].fd >= 0 || request->pipes[1].fd >= 0)
        return false;
    finish(request);
    return true;
}

/* Read once; false when this pipe is finished. What a grandchild may still write is not awaited. */
static bool
take_output(struct request *request, ev_io *pipe)
{
    char chunk[CHUNK];
    ssize_t n = read(pipe->fd, chunk, sizeof(chunk));

    if (n > 0 && request->listener.output != NULL)
        request->listener.output(request->listener.arg, pipe == &request->pipes[1], chunk,
                                 (size_t)n);
    if (n > 0)
        return true;
    if (n < 0 && (errno == EINTR || (errno == EAGAIN && !request->exited)))
        return true;
    close_pipe(request, pipe);
    return false;
}

/* The child is gone: take the rest, as far as the listener wants it now. */
static void
drain(struct request *request)
{
    for (int i = 0; i < 2; i++) {
        while (!request->held && request->pipes[i].fd >= 0 &&
               take_output(request, &request->pipes[i]))
            continue;
    }
    check_finished(request);
}

static void
on_pipe(struct ev_loop *loop, ev_io *w, int events)
{
    struct request *request = w->data;

    (void)loop, (void)events;
    if (request->exited)
        drain(request);
    else
        take_output(request, w);
}

static void
on_child(struct ev_loop *loop, ev_child *w, int events)
{
    struct request *request = w->data;

    (void)events;
    ev_child_stop(loop, w);
    ev_timer_stop(loop, &request->deadline);
    request->exited = true;
    request->status = w->rstatus;
    drain(request);
}

/* First SIGTERM, then SIGKILL, to the verb and what it started. */
static void
on_deadline(struct ev_loop *loop, ev_timer *w, int events)
{
    struct request *request = w->data;

    (void)events;
    if (!request->timed_out)
        log_error("%s not finished after %u s: ended", request->verb->name,
                  request->verb->deadline);
    kill(-request->child.pid, request->timed_out ? SIGKILL : SIGTERM);
    request->timed_out = true;
    ev_timer_set(w, KILL_AFTER, 0);
    ev_timer_start(loop, w);
}

static void
watch(struct request *request, pid_t pid, const int *readers)
{
    struct ev_loop *loop = request->all->loop;

    ev_child_init(&request->child, on_child, pid, 0);
    request->child.data = request;
    ev_child_start(loop, &request->child);
    ev_timer_init(&request->deadline, on_deadline, request->verb->deadline, 0);
    request->deadline.data = request;
    ev_timer_start(loop, &request->deadline);
    for (int i = 0; i < 2; i++) {
        ev_io_init(&request->pipes[i], on_pipe, readers[i], EV_READ);
        request->pipes[i].data = request;
        ev_io_start(loop, &request->pipes[i]);
    }
}

/* Two pipes, their reading ends not blocking. */
static bool
open_pipes(int *readers, int *writers)
{
    for (int i = 0; i < 2; i++) {
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) != 0)
            return false;
        readers[i] = fds[0];
        writers[i] = fds[1];
        if (fcntl(fds[0], F_SETFL, O_NONBLOCK) != 0)
            return false;
    }
    return true;
}

static void
close_all(int *fds)
{
    for (int i = 0; i < 2; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
}

struct request *
request_start(struct requests *all, const struct verb *verb, const char *peer, size_t argc,
              const char *const *argv, const struct request_listener *listener, struct error *err)
{
    int readers[2] = { -1, -1 }, writers[2] = { -1, -1 };
    struct request *request;
    pid_t parent = getpid(), pid;

    if (all->running >= REQUESTS_MAX) {
        error_set(err, ERROR_UNREACHABLE, "cannot start %s: too many requests", verb->name);
        return NULL;
    }
    request = calloc(1, sizeof(*request));
    /* libev reaps children in the loop, so the watchers below stand before it can know of one. */
    if (request == NULL || !open_pipes(readers, writers) || (pid = fork()) < 0) {
        error_errno(err, ERROR_INTERNAL, errno, "cannot start %s", verb->name);
        close_all(readers);
        close_all(writers);
        free(request);
        return NULL;
    }
    if (pid == 0)
        child_main(all, verb, peer, argc, argv, writers, parent);
    /* Both sides set it, so that it is set whoever comes first. */
    setpgid(pid, pid);
    close_all(writers);
    request->all = all;
    request->verb = verb;
    request->listener = *listener;
    watch(request, pid, readers);
    all->running++;
    return request;
}

void
request_hold(struct request *request, bool hold)
{
    if (request->held == hold)
        return;
    request->held = hold;
    for (int i = 0; i < 2; i++) {
        if (request->pipes[i].fd < 0)
            continue;
        if (hold)
            ev_io_stop(request->all->loop, &request->pipes[i]);
        else
            ev_io_start(request->all->loop, &request->pipes[i]);
        /* What is left of an ended verb is taken without waiting for the pipe's end. */
        if (!hold && request->exited)
            ev_feed_event(request->all->loop, &request->pipes[i], EV_READ);
    }
}

void
request_abandon(struct request *request)
{
    if (request == NULL)
        return;
    memset(&request->listener, 0, sizeof(request->listener));
    close_pipe(request, &request->pipes[0]);
    close_pipe(request, &request->pipes[1]);
    if (!request->exited && request->verb->kind == VERB_READING)
        kill(-request->child.pid, SIGKILL);
    check_finished(request);
}

bool
request_changes(const struct request *request)
{
    return request->verb->kind == VERB_CHANGING;
}
