/* forked - see forked.h. A message is its length (0: the end, then a struct error) and its bytes.
 */
#include "common/base/forked.h"

#include "common/base/buffers.h"
#include "common/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MESSAGE_MAX = 64 * 1024, OUTLET_SIZE = MESSAGE_MAX + 64 };

struct forked_outlet {
    int fd;
    size_t used;
    unsigned char data[OUTLET_SIZE];
};

static bool
flush(struct forked_outlet *outlet)
{
    size_t done = 0;

    while (done < outlet->used) {
        ssize_t n = write(outlet->fd, outlet->data + done, outlet->used - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        done += (size_t)n;
    }
    outlet->used = 0;
    return true;
}

static bool
put(struct forked_outlet *outlet, uint32_t head, const void *data, size_t len)
{
    if (outlet->used + sizeof(head) + len > sizeof(outlet->data) && !flush(outlet))
        return false;
    memcpy(outlet->data + outlet->used, &head, sizeof(head));
    memcpy(outlet->data + outlet->used + sizeof(head), data, len);
    outlet->used += sizeof(head) + len;
    return true;
}

bool
forked_send(struct forked_outlet *outlet, const void *data, size_t len)
{
    return len > 0 && len <= MESSAGE_MAX && put(outlet, (uint32_t)len, data, len);
}

void
forked_fail(struct forked_outlet *outlet, const struct error *err)
{
    _exit(put(outlet, 0, err, sizeof(*err)) && flush(outlet) ? 0 : 1);
}

static void
prepare_child(pid_t parent)
{
    const struct rlimit none = { 0, 0 };
    struct sigaction action = { .sa_handler = SIG_DFL };
    sigset_t empty;
    int null;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    setrlimit(RLIMIT_CORE, &none);
    for (int sig = 1; sig < NSIG; sig++)
        sigaction(sig, &action, NULL);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
    sigemptyset(&empty);
    sigprocmask(SIG_SETMASK, &empty, NULL);
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; null >= 0 && fd < 3; fd++)
        dup2(null, fd);
}

static void __attribute__((noreturn)) child_main(forked_work *work, void *arg, int fd, pid_t parent)
{
    static struct forked_outlet outlet; /* of this child alone; too big for a small stack */
    struct error err;

    prepare_child(parent);
    error_clear(&err);
    outlet.fd = fd;
    if (!work(arg, &outlet, &err) && err.code == ERROR_NONE)
        error_set(&err, ERROR_INTERNAL, "cannot do that: no reason was given");
    forked_fail(&outlet, &err);
}

struct reader {
    forked_receive *receive;
    void *arg;
    struct buffer buffer;
    bool stopped; /* RECEIVE said so */
    bool ended;   /* the last message is there */
    struct error verdict;
};

/* Hand out the whole messages in the buffer. */
static void
dispatch(struct reader *r)
{
    size_t at = 0;

    while (!r->ended && !r->stopped && r->buffer.len - at >= sizeof(uint32_t)) {
        const unsigned char *p = r->buffer.data + at + sizeof(uint32_t);
        size_t left = r->buffer.len - at - sizeof(uint32_t);
        uint32_t head;

        memcpy(&head, r->buffer.data + at, sizeof(head));
        if (left < (head == 0 ? sizeof(r->verdict) : head))
            break;
        if (head == 0) {
            memcpy(&r->verdict, p, sizeof(r->verdict));
            r->ended = true;
        } else {
            r->stopped = !r->receive(r->arg, p, head, &r->verdict);
        }
        at += sizeof(uint32_t) + (head == 0 ? sizeof(r->verdict) : head);
    }
    buffer_consume(&r->buffer, at);
}

/* Read FD to its end; false when DEADLINE passed. */
static bool
read_messages(int fd, double deadline, struct reader *r)
{
    struct pollfd poller = { fd, POLLIN, 0 };

    while (!r->ended && !r->stopped) {
        double left = deadline - clock_monotonic();
        unsigned char *room;
        ssize_t n;

        if (left <= 0)
            return false;
        if (poll(&poller, 1, (int)(left * 1000) + 1) <= 0)
            continue;
        room = buffer_reserve(&r->buffer, MESSAGE_MAX);
        n = room == NULL ? 0 : read(fd, room, MESSAGE_MAX);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        r->buffer.len += (size_t)n;
        dispatch(r);
    }
    return true;
}

static int
reap(pid_t pid, bool end)
{
    int status = 0;

    if (end)
        kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return status;
}

static bool
judge(const struct reader *r, bool in_time, int status, int timeout_ms, const char *what,
      struct error *err)
{
    if (r->ended || r->stopped) {
        if (r->ended && r->verdict.code == ERROR_NONE)
            return true;
        *err = r->verdict;
        if (err->code == ERROR_NONE)
            error_set(err, ERROR_FAILED, "cannot %s: stopped", what);
        return false;
    }
    if (!in_time)
        return error_set(err, ERROR_FAILED, "cannot %s: not finished after %d s", what,
                         timeout_ms / 1000);
    if (WIFSIGNALED(status))
        return error_set(err, ERROR_FAILED, "cannot %s: its reader crashed (signal %d)", what,
                         WTERMSIG(status));
    return error_set(err, ERROR_INTERNAL, "cannot %s: its reader ended with status %d", what,
                     WEXITSTATUS(status));
}

bool
forked_run(forked_work *work, forked_receive *receive, void *arg, int timeout_ms, const char *what,
           struct error *err)
{
    struct reader r = { .receive = receive, .arg = arg };
    double deadline = clock_monotonic() + timeout_ms / 1000.0;
    pid_t parent = getpid(), pid;
    bool in_time;
    int fds[2], status;

    if (pipe2(fds, O_CLOEXEC) != 0)
        return error_errno(err, ERROR_INTERNAL, errno, "cannot %s: no pipe", what);
    pid = fork();
    if (pid < 0) {
        error_errno(err, ERROR_INTERNAL, errno, "cannot %s: no child", what);
        close(fds[0]);
        close(fds[1]);
        return false;
    }
    if (pid == 0) {
        close(fds[0]);
        child_main(work, arg, fds[1], parent);
    }
    close(fds[1]);
    buffer_init(&r.buffer, 4 * MESSAGE_MAX);
    error_clear(&r.verdict);
    in_time = read_messages(fds[0], deadline, &r);
    close(fds[0]);
    status = reap(pid, !in_time || r.stopped || r.ended);
    buffer_free(&r.buffer);
    return judge(&r, in_time, status, timeout_ms, what, err);
}
