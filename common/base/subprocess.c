/* subprocess - see subprocess.h. */
#include "common/base/subprocess.h"

#include "common/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { OUTPUT_LIMIT = 64 * 1024, MAX_ENVIRONMENT = 32 };

/* Descriptors above 2 are marked, not closed: the pipe that reports a failed execve must live. */
static void
close_on_exec_above(int first)
{
    long max = sysconf(_SC_OPEN_MAX);

#ifdef CLOSE_RANGE_CLOEXEC
    if (close_range((unsigned int)first, ~0U, CLOSE_RANGE_CLOEXEC) == 0)
        return;
#endif
    for (int fd = first; fd < (max > 0 && max < 65536 ? max : 65536); fd++)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static void
reset_signals(void)
{
    struct sigaction action = { .sa_handler = SIG_DFL };
    sigset_t none;

    for (int sig = 1; sig < NSIG; sig++)
        sigaction(sig, &action, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the child: never returns; tells errno through REPORT if the program cannot be executed. */
static void __attribute__((noreturn))
child_main(const char *const *argv, char **environment, const struct subprocess_options *options,
           const int *fds, int report, pid_t parent)
{
    int code;

    if (dup2(fds[0], 0) < 0 || dup2(fds[1], 1) < 0 || dup2(fds[2], 2) < 0)
        _exit(127);
    close_on_exec_above(3);
    reset_signals();
    if (options->drop && (setgroups(0, NULL) != 0 || setgid(options->gid) != 0 ||
                          setuid(options->uid) != 0 || chdir("/") != 0))
        code = errno;
    else
        code = 0;
    /* Only now: the kernel forgets it when the user changes. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    if (code == 0 && options->confine != NULL)
        code = options->confine(options->closure);
    if (code == 0)
        execve(argv[0], (char *const *)(uintptr_t)argv, environment);
    if (code == 0)
        code = errno;
    if (write(report, &code, sizeof(code)) < 0)
        _exit(126);
    _exit(127);
}

static void
close_pair(int *fds)
{
    for (int i = 0; i < 2; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
        fds[i] = -1;
    }
}

static void
fill_environment(const struct subprocess_options *options, char **environment)
{
    static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin", locale[] = "LC_ALL=C";
    size_t n = 0;

    environment[n++] = path;
    environment[n++] = locale;
    for (size_t i = 0; options->environment != NULL && options->environment[i] != NULL; i++) {
        if (n < MAX_ENVIRONMENT - 1)
            environment[n++] = (char *)(uintptr_t)options->environment[i];
    }
    /* Behind the caller's: of two with one name the first counts. */
    for (char **own = environ; own != NULL && *own != NULL; own++) {
        if (n < MAX_ENVIRONMENT - 1 &&
            (strncmp(*own, "KRB5_CONFIG=", 12) == 0 || strncmp(*own, "KRB5_KDC_PROFILE=", 17) == 0))
            environment[n++] = *own;
    }
    environment[n] = NULL;
}

bool
subprocess_start(const char *const *argv, const struct subprocess_options *options,
                 struct subprocess *child, struct error *err)
{
    int out[2] = { -1, -1 }, errs[2] = { -1, -1 }, report[2] = { -1, -1 };
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), code = 0;
    char *environment[MAX_ENVIRONMENT];
    pid_t parent = getpid();
    bool ok = false;

    *child = (struct subprocess){ .pid = -1, .out = -1, .err = -1, .program = argv[0] };
    fill_environment(options, environment);
    if (null < 0 || pipe2(report, O_CLOEXEC) != 0 ||
        (options->pipe_out && pipe2(out, O_CLOEXEC) != 0) ||
        (options->pipe_err && !options->merge && pipe2(errs, O_CLOEXEC) != 0) ||
        (child->pid = fork()) < 0) {
        error_errno(err, ERROR_INTERNAL, errno, "cannot start %s", argv[0]);
        goto cleanup;
    }
    if (child->pid == 0) {
        int fds[3] = { options->in > 0 ? options->in : null, options->pipe_out ? out[1] : null,
                       options->pipe_err ? errs[1] : null };

        if (options->merge)
            fds[2] = fds[1];
        child_main(argv, environment, options, fds, report[1], parent);
    }
    close(report[1]);
    report[1] = -1;
    if (read(report[0], &code, sizeof(code)) == (ssize_t)sizeof(code)) {
        while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
        child->pid = -1;
        error_errno(err, ERROR_INTERNAL, code, "cannot execute %s", argv[0]);
        errno = code;
        goto cleanup;
    }
    child->out = out[0];
    child->err = errs[0];
    out[0] = errs[0] = -1;
    ok = true;

cleanup:
    if (null >= 0)
        close(null);
    close_pair(out);
    close_pair(errs);
    close_pair(report);
    return ok;
}

static bool
reaped(pid_t pid, int *status)
{
    pid_t got;

    do
        got = waitpid(pid, status, WNOHANG);
    while (got < 0 && errno == EINTR);
    return got != 0;
}

/* Wait until PID ends or DEADLINE (seconds of clock_monotonic(), below 0: never) passes. */
static bool
wait_until(pid_t pid, double deadline, int *status)
{
    struct timespec nap = { 0, 500 * 1000 };

    if (deadline < 0) {
        while (waitpid(pid, status, 0) < 0 && errno == EINTR)
            continue;
        return true;
    }
    while (!reaped(pid, status)) {
        if (clock_monotonic() >= deadline)
            return false;
        nanosleep(&nap, NULL);
        if (nap.tv_nsec < 20 * 1000 * 1000)
            nap.tv_nsec *= 2;
    }
    return true;
}

void
subprocess_wait(struct subprocess *child, int timeout_ms, struct subprocess_result *result)
{
    int status = 0;

    result->timed_out = false;
    if (!wait_until(child->pid, timeout_ms < 0 ? -1 : clock_monotonic() + timeout_ms / 1000.0,
                    &status)) {
        result->timed_out = true;
        kill(child->pid, SIGTERM);
        if (!wait_until(child->pid, clock_monotonic() + 2.0, &status)) {
            kill(child->pid, SIGKILL);
            wait_until(child->pid, -1, &status);
        }
    }
    result->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    result->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (child->out >= 0)
        close(child->out);
    if (child->err >= 0)
        close(child->err);
    *child = (struct subprocess){ .pid = -1, .out = -1, .err = -1, .program = child->program };
}

/* Read once from FD into B; what exceeds the bound is read and dropped. False at the end. */
static bool
drain(int fd, struct buffer *b)
{
    char chunk[8192];
    ssize_t n = read(fd, chunk, sizeof(chunk));

    if (n < 0)
        return errno == EINTR || errno == EAGAIN;
    if (n == 0)
        return false;
    if ((size_t)n > b->max - b->len)
        n = (ssize_t)(b->max - b->len);
    buffer_add(b, chunk, (size_t)n);
    return true;
}

/* Collect both pipes until both end or DEADLINE passes. */
static void
collect(struct subprocess *child, double deadline, struct subprocess_result *result)
{
    struct pollfd fds[2] = { { child->out, POLLIN, 0 }, { child->err, POLLIN, 0 } };

    while (fds[0].fd >= 0 || fds[1].fd >= 0) {
        double left = deadline < 0 ? -1 : (deadline - clock_monotonic()) * 1000;

        if (deadline >= 0 && left <= 0)
            return;
        if (poll(fds, 2, deadline < 0 ? -1 : (int)left + 1) < 0 && errno != EINTR)
            return;
        if (fds[0].revents != 0 && !drain(fds[0].fd, &result->out))
            fds[0].fd = -1;
        if (fds[1].revents != 0 && !drain(fds[1].fd, &result->err))
            fds[1].fd = -1;
        fds[0].revents = fds[1].revents = 0;
    }
}

bool
subprocess_run(const char *const *argv, const char *const *environment, int timeout_ms,
               struct subprocess_result *result, struct error *err)
{
    struct subprocess_options options = { .environment = environment,
                                          .pipe_out = true,
                                          .pipe_err = true };
    struct subprocess child;
    double start = clock_monotonic(), deadline = timeout_ms < 0 ? -1 : start + timeout_ms / 1000.0,
           left;

    subprocess_result_init(result);
    if (!subprocess_start(argv, &options, &child, err))
        return false;
    collect(&child, deadline, result);
    left = deadline < 0 ? -1 : (deadline - clock_monotonic()) * 1000;
    subprocess_wait(&child, deadline < 0 ? -1 : (left < 0 ? 0 : (int)left), result);
    result->seconds = clock_monotonic() - start;
    return true;
}

bool
subprocess_succeeded(const struct subprocess_result *result)
{
    return result->status == 0 && !result->timed_out;
}

const char *
subprocess_describe(const struct subprocess_result *result, char *text, size_t size)
{
    if (result->timed_out)
        snprintf(text, size, "not finished after %.0f s", result->seconds);
    else if (result->signal != 0)
        snprintf(text, size, "killed by signal %d (%s)", result->signal, strsignal(result->signal));
    else
        snprintf(text, size, "exit status %d", result->status);
    return text;
}

static bool
last_line(const struct buffer *b, char *text, size_t size)
{
    size_t end = b->len, start, len;

    while (end > 0 && (b->data[end - 1] == '\n' || b->data[end - 1] == ' '))
        end--;
    for (start = end; start > 0 && b->data[start - 1] != '\n'; start--)
        continue;
    len = end - start < size ? end - start : size - 1;
    if (len == 0)
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = b->data[start + i];

        text[i] = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    text[len] = '\0';
    return true;
}

const char *
subprocess_last_line(const struct subprocess_result *result, char *text, size_t size)
{
    if (!last_line(&result->err, text, size) && !last_line(&result->out, text, size))
        text[0] = '\0';
    return text;
}

void
subprocess_result_init(struct subprocess_result *result)
{
    memset(result, 0, sizeof(*result));
    buffer_init(&result->out, OUTPUT_LIMIT);
    buffer_init(&result->err, OUTPUT_LIMIT);
}

void
subprocess_result_free(struct subprocess_result *result)
{
    buffer_free(&result->out);
    buffer_free(&result->err);
}
