/* fleet - see fleet.h. A child talks to its parent in lines of JSON. */
#include "kpropctl/run/fleet.h"

#include "common/base/buffers.h"
#include "common/base/clock.h"
#include "kpropctl/base/clean.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LINE_LIMIT = 256 * 1024, PATIENCE = 5 };

/* Seconds in which no host gets done before others are begun beside those that are waited for. */
static const double stall_seconds = 0.5;

struct fleet;

struct member {
    struct fleet *fleet;
    size_t index;
    pid_t pid;
    int fd;
    ev_io readable;
    ev_child exited;
    double begun; /* of clock_monotonic, 0 before */
    bool gave_up; /* it was not done in time */
    struct buffer line;
    struct host_result result;
    bool told; /* its result has come */
    bool running;
    bool open;
};

struct fleet {
    struct ev_loop *loop;
    struct output *output;
    struct member *members;
    ev_signal signals[3];
    ev_timer patience;
    ev_timer late;
    ev_timer stall;
    size_t ended;    /* members, since it was last looked whether any are */
    int interrupted; /* the signal, or 0 */
    int status;
    fleet_serve *serve;
    void *closure;
    int deadline;   /* seconds for all members, 0: none */
    bool expired;   /* they are over */
    size_t limit;   /* members at once */
    size_t most;    /* to which that may grow */
    size_t started; /* members that were */
    size_t running; /* members not yet ended */
};

/* In the child: one line of JSON to the parent. */
static void
send_line(int fd, json_t *object)
{
    char *text = object == NULL ? NULL : json_dumps(object, JSON_COMPACT);
    struct buffer line;

    json_decref(object);
    if (text == NULL)
        return;
    buffer_init(&line, 0);
    buffer_add_string(&line, text);
    buffer_add_u8(&line, '\n');
    for (size_t done = 0; !line.failed && done < line.len;) {
        ssize_t n = write(fd, line.data + done, line.len - done);

        if (n < 0 && errno != EINTR)
            break;
        done += n > 0 ? (size_t)n : 0;
    }
    buffer_free(&line);
    free(text);
}

static json_t *
text_value(const char *text, bool lines)
{
    char clean[4096];
    json_t *value;

    output_clean(text, lines, clean, sizeof(clean));
    value = json_string(clean);
    return value != NULL ? value : json_string("(text that is not UTF-8)");
}

static void
send_step(void *closure, const struct step *step)
{
    send_line(*(int *)closure,
              json_pack("{s:s, s:s, s:i, s:b, s:o, s:o, s:o}", "step", step->id, "level",
                        level_name(step->level), "code", step->code, "would", step->would,
                        "summary", text_value(step->summary, false), "detail",
                        text_value(step->detail, true), "hint", text_value(step->hint, false)));
}

static void
send_progress(void *closure, const char *id, uint64_t done, uint64_t total, double seconds)
{
    send_line(*(int *)closure,
              json_pack("{s:s, s:I, s:I, s:f}", "progress", id, "done", (json_int_t)done, "total",
                        (json_int_t)total, "seconds", seconds));
}

static void __attribute__((noreturn))
child_main(int fd, pid_t parent, const char *host, fleet_serve *serve, void *closure)
{
    struct walk_listener listener = { send_step, send_progress, &fd };
    struct host_result result;

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(ERROR_INTERNAL);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    memset(&result, 0, sizeof(result));
    serve(closure, host, &listener, &result);
    send_line(
        fd,
        json_pack(
            "{s:i, s:i, s:b, s:b, s:I, s:f, s:I, s:I, s:I, s:b, s:I, s:I, s:f, s:f, s:i, s:i}",
            "end", result.status, "outcome", (int)result.outcome, "dry_run", result.dry_run, "keys",
            result.keys, "bytes", (json_int_t)result.bytes, "seconds", result.seconds, "principals",
            (json_int_t)result.principals, "policies", (json_int_t)result.policies, "generation",
            (json_int_t)result.generation, "primary", result.primary, "verified_at",
            (json_int_t)result.verified_at, "behind", (json_int_t)result.behind, "load_seconds",
            result.load_seconds, "verify_seconds", result.verify_seconds, "age_warning",
            result.age_warning, "age_critical", result.age_critical));
    _exit(result.status);
}

static void
copy_text(const json_t *object, const char *key, char *out, size_t size)
{
    const char *text = json_string_value(json_object_get(object, key));

    snprintf(out, size, "%s", text == NULL ? "" : text);
}

static void
take_step(struct member *m, const json_t *object, const char *id)
{
    struct step step = { .id = id };
    const char *level = json_string_value(json_object_get(object, "level"));

    if (level == NULL || !level_from_name(level, &step.level))
        return;
    copy_text(object, "summary", step.summary, sizeof(step.summary));
    copy_text(object, "detail", step.detail, sizeof(step.detail));
    copy_text(object, "hint", step.hint, sizeof(step.hint));
    step.code = (int)json_integer_value(json_object_get(object, "code"));
    step.would = json_is_true(json_object_get(object, "would"));
    m->fleet->output->backend->step(m->fleet->output, m->index, &step);
}

static void
take_end(struct member *m, const json_t *object)
{
    m->told = true;
    m->result = (struct host_result){
        .status = (int)json_integer_value(json_object_get(object, "end")),
        .outcome = (enum host_outcome)json_integer_value(json_object_get(object, "outcome")),
        .dry_run = json_is_true(json_object_get(object, "dry_run")),
        .keys = json_is_true(json_object_get(object, "keys")),
        .bytes = (uint64_t)json_integer_value(json_object_get(object, "bytes")),
        .seconds = json_number_value(json_object_get(object, "seconds")),
        .principals = (uint64_t)json_integer_value(json_object_get(object, "principals")),
        .policies = (uint64_t)json_integer_value(json_object_get(object, "policies")),
        .generation = json_integer_value(json_object_get(object, "generation")),
        .primary = json_is_true(json_object_get(object, "primary")),
        .verified_at = json_integer_value(json_object_get(object, "verified_at")),
        .behind = json_integer_value(json_object_get(object, "behind")),
        .load_seconds = json_number_value(json_object_get(object, "load_seconds")),
        .verify_seconds = json_number_value(json_object_get(object, "verify_seconds")),
        .age_warning = (int)json_integer_value(json_object_get(object, "age_warning")),
        .age_critical = (int)json_integer_value(json_object_get(object, "age_critical")),
    };
}

static void
take_line(struct member *m, const char *line, size_t len)
{
    json_t *object = json_loadb(line, len, 0, NULL);
    const char *id;
    struct output *output = m->fleet->output;

    if ((id = json_string_value(json_object_get(object, "step"))) != NULL)
        take_step(m, object, id);
    else if ((id = json_string_value(json_object_get(object, "progress"))) != NULL)
        output->backend->progress(output, m->index, id,
                                  (uint64_t)json_integer_value(json_object_get(object, "done")),
                                  (uint64_t)json_integer_value(json_object_get(object, "total")),
                                  json_number_value(json_object_get(object, "seconds")));
    else if (json_object_get(object, "end") != NULL)
        take_end(m, object);
    json_decref(object);
}

/* The signal of a person or a supervisor that ended this run, or 0. A terminal's Ctrl-C goes to all
 * processes, and a child may have died of it before we see our own. */
static int
interrupting_signal(const struct member *m, int wait_status)
{
    int sig = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;

    if (m->fleet->interrupted != 0)
        return m->fleet->interrupted;
    if (m->gave_up)
        return 0; /* it was us */
    return sig == SIGINT || sig == SIGTERM || sig == SIGHUP ? sig : 0;
}

/* The deadline is for all hosts: one that had little of it, or nothing, may be good. */
static void
tell_late(struct member *m, struct step *step)
{
    const struct fleet *fleet = m->fleet;
    double had = m->begun == 0 ? 0 : clock_monotonic() - m->begun;

    step->id = "timeout";
    step->level = had < fleet->deadline / 2.0 ? LEVEL_UNKNOWN : LEVEL_FAILED;
    m->result.status = ERROR_UNREACHABLE;
    if (m->begun == 0) {
        step_summary(step, "not looked at: %d s were over before its turn came", fleet->deadline);
        step_hint(step, "--timeout gives longer, and parallel in kpropctl.conf looks at more hosts "
                        "at once");
        return;
    }
    step_summary(step, "no result within %d s", fleet->deadline);
    step_hint(step, "the last row above is where it hangs; --timeout gives it longer");
}

/* A child that ended without its result was killed, or crashed: that is told as a row of its own.
 */
static void
tell_lost(struct member *m, int wait_status)
{
    struct output *output = m->fleet->output;
    struct step step = { .id = "interrupted", .level = LEVEL_FAILED, .code = ERROR_INTERNAL };
    int sig = interrupting_signal(m, wait_status);

    m->result.status = ERROR_INTERNAL;
    if (sig != 0) {
        step_summary(&step, "interrupted by signal %d (%s)", sig, strsignal(sig));
        step_hint(&step, "run the same command again: it goes on from what it finds");
        m->result.status = ERROR_FAILED;
    } else if (m->gave_up) {
        tell_late(m, &step);
    } else if (WIFSIGNALED(wait_status)) {
        step_summary(&step, "the process that served this host was killed by signal %d (%s)",
                     WTERMSIG(wait_status), strsignal(WTERMSIG(wait_status)));
        step_hint(&step,
                  "run again; if it stays so, this is a fault of kpropctl: please report it");
    } else {
        step_summary(&step, "the process that served this host ended without a result");
    }
    output->backend->step(output, m->index, &step);
}

static void start_more(struct fleet *fleet);

static void
maybe_end(struct member *m, int wait_status)
{
    struct fleet *fleet = m->fleet;

    if (m->running || m->open)
        return;
    if (!m->told)
        tell_lost(m, wait_status);
    fleet->output->backend->end(fleet->output, m->index, &m->result);
    if (m->result.status > fleet->status)
        fleet->status = m->result.status;
    fleet->running--;
    fleet->ended++;
    start_more(fleet);
    if (fleet->running == 0)
        ev_break(fleet->loop, EVBREAK_ALL);
}

static void
on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
    struct member *m = watcher->data;
    char data[16384], *end;
    ssize_t n = read(m->fd, data, sizeof(data));

    (void)events;
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0 || !buffer_add(&m->line, data, (size_t)n)) {
        ev_io_stop(loop, watcher);
        close(m->fd);
        m->open = false;
        maybe_end(m, m->exited.rstatus);
        return;
    }
    while (m->line.len > 0 && (end = memchr(m->line.data, '\n', m->line.len)) != NULL) {
        size_t len = (size_t)(end - (char *)m->line.data);

        take_line(m, (char *)m->line.data, len);
        buffer_consume(&m->line, len + 1);
    }
}

static void
on_exit_of_child(struct ev_loop *loop, ev_child *watcher, int events)
{
    struct member *m = watcher->data;

    (void)events;
    ev_child_stop(loop, watcher);
    m->running = false;
    maybe_end(m, watcher->rstatus);
}

static void
end_children(struct fleet *fleet, int sig)
{
    for (size_t i = 0; i < fleet->output->count; i++) {
        if (fleet->members[i].running)
            kill(fleet->members[i].pid, sig);
    }
}

static void
on_patience(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    end_children(watcher->data, SIGKILL);
}

static void
on_late(struct ev_loop *loop, ev_timer *watcher, int events)
{
    struct fleet *fleet = watcher->data;

    (void)loop;
    (void)events;
    fleet->expired = true;
    for (size_t i = 0; i < fleet->started; i++)
        fleet->members[i].gave_up = true; /* as far as they have not ended */
    end_children(fleet, SIGKILL);
}

/* Nobody got done: those that were begun wait for something, and others need not wait for them. */
static void
on_stall(struct ev_loop *loop, ev_timer *watcher, int events)
{
    struct fleet *fleet = watcher->data;

    (void)loop;
    (void)events;
    if (fleet->ended == 0 && fleet->limit < fleet->most) {
        fleet->limit = fleet->limit * 2 < fleet->most ? fleet->limit * 2 : fleet->most;
        start_more(fleet);
    }
    fleet->ended = 0;
}

static void
on_signal(struct ev_loop *loop, ev_signal *watcher, int events)
{
    struct fleet *fleet = watcher->data;

    (void)events;
    fleet->interrupted = watcher->signum;
    end_children(fleet, SIGTERM);
    ev_timer_start(loop, &fleet->patience);
}

static bool
start_member(struct fleet *fleet, size_t index)
{
    struct member *m = &fleet->members[index];
    pid_t parent = getpid();
    int fds[2];

    *m = (struct member){ .fleet = fleet, .index = index, .fd = -1 };
    buffer_init(&m->line, LINE_LIMIT);
    if (pipe2(fds, O_CLOEXEC) != 0 || (m->pid = fork()) < 0)
        return false;
    if (m->pid == 0)
        child_main(fds[1], parent, fleet->output->hosts[index], fleet->serve, fleet->closure);
    close(fds[1]);
    m->fd = fds[0];
    m->running = m->open = true;
    m->begun = clock_monotonic();
    fleet->running++;
    ev_io_init(&m->readable, on_readable, m->fd, EV_READ);
    m->readable.data = m;
    ev_io_start(fleet->loop, &m->readable);
    ev_child_init(&m->exited, on_exit_of_child, m->pid, 0);
    m->exited.data = m;
    ev_child_start(fleet->loop, &m->exited);
    return true;
}

/* A host for which no process can be had is told as lost, like one whose process has died. */
static void
start_more(struct fleet *fleet)
{
    while (fleet->started < fleet->output->count && fleet->running < fleet->limit) {
        size_t index = fleet->started++;
        struct member *m = &fleet->members[index];

        if (fleet->interrupted == 0 && !fleet->expired && start_member(fleet, index))
            continue;
        m->index = index;
        m->fleet = fleet;
        m->gave_up = fleet->expired;
        tell_lost(m, 0);
        fleet->output->backend->end(fleet->output, index, &m->result);
        if (m->result.status > fleet->status)
            fleet->status = m->result.status;
    }
}

int
fleet_run(struct output *output, fleet_serve *serve, void *closure, size_t limit, size_t most,
          int deadline, struct error *err)
{
    static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
    struct fleet fleet = {
        .output = output,
        .serve = serve,
        .closure = closure,
        .limit = limit,
        .most = most,
        .deadline = deadline,
    };

    fleet.loop = ev_default_loop(0);
    fleet.members = calloc(output->count, sizeof(*fleet.members));
    if (fleet.loop == NULL || fleet.members == NULL) {
        free(fleet.members);
        error_memory(err);
        return ERROR_INTERNAL;
    }
    for (int i = 0; i < 3; i++) {
        ev_signal_init(&fleet.signals[i], on_signal, signals[i]);
        fleet.signals[i].data = &fleet;
        ev_signal_start(fleet.loop, &fleet.signals[i]);
    }
    ev_timer_init(&fleet.patience, on_patience, PATIENCE, 0);
    fleet.patience.data = &fleet;
    ev_timer_init(&fleet.late, on_late, deadline, 0);
    ev_timer_init(&fleet.stall, on_stall, stall_seconds, stall_seconds);
    fleet.late.data = fleet.stall.data = &fleet;
    ev_now_update(fleet.loop);
    if (deadline > 0)
        ev_timer_start(fleet.loop, &fleet.late);
    if (most > limit)
        ev_timer_start(fleet.loop, &fleet.stall);
    start_more(&fleet);
    if (fleet.running > 0)
        ev_run(fleet.loop, 0);
    for (size_t i = 0; i < output->count; i++)
        buffer_free(&fleet.members[i].line);
    for (int i = 0; i < 3; i++)
        ev_signal_stop(fleet.loop, &fleet.signals[i]);
    ev_timer_stop(fleet.loop, &fleet.patience);
    ev_timer_stop(fleet.loop, &fleet.late);
    ev_timer_stop(fleet.loop, &fleet.stall);
    free(fleet.members);
    return fleet.status;
}
