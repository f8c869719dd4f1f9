/* supervisor - see supervisor.h. A table of states and events; whatever may wait is done by a
 * helper, a child of which there is at most one. */
#include "agent/supervise/supervisor.h"

#include "agent/base/child.h"
#include "agent/service/supervised.h"
#include "agent/supervise/supervised_work.h"
#include "agent/supervise/supervisor_door.h"
#include "agent/supervise/supervisor_pid.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/host/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    READY_SECONDS = 20,  /* from the start until it must be seen at its socket */
    STILL_SECONDS = 5,   /* the same for one that has been */
    STABLE_SECONDS = 60, /* after which earlier failures are forgotten, and between two looks */
    BACKOFF_MAX = 60,
    STOP_PATIENCE = 60, /* seconds for a load to end, when a verb wants kpropd stopped */
    END_PATIENCE = 400, /* and when the daemon is to end */
    LOG_MAX = 64 * 1024,
};

enum state { DOWN, STARTING, UP, WAITING, STOPPING, STATES };
enum event { WANT, UNWANT, LISTENS, SILENT, ENDED, TIMER, HALTED, HELD, EVENTS };

static const char *const state_names[STATES] = { "down", "starting", "up", "waiting", "stopping" };

struct supervisor {
    struct ev_loop *loop;
    const struct settings *settings;
    struct door *door;
    enum state state;
    bool wanted;    /* kpropd is to run */
    bool unwell;    /* it is being stopped because it does not listen */
    pid_t pid;      /* 0: none runs */
    ev_child child; /* of one that this daemon started */
    ev_io adopted;  /* the pidfd of one that a former daemon started */
    int report;     /* what kept it from becoming kpropd; -1 */
    pid_t helper;   /* 0: none */
    ev_child helped;
    int helper_report;
    bool helper_stops; /* else it looks */
    ev_timer timer;
    double since; /* of the state */
    double next;  /* WAITING: when it is started again */
    unsigned restarts;
    unsigned failures;  /* since it was last well for a while */
    double failed;      /* when it last did; 0: never */
    char failure[1000]; /* and how, with a hint behind a newline */
    char held[1000];    /* why it could not be stopped, likewise */
    void (*stopped)(void *arg);
    void *arg;
};

static void happens(struct supervisor *s, enum event event);

/* --- what others may know --- */

static void
split_hint(const char *text, json_t *object, const char *what)
{
    size_t len = strcspn(text, "\n");

    json_object_set_new(object, what, json_stringn(text, len));
    json_object_set_new(object, "hint", json_string(text[len] == '\0' ? "" : text + len + 1));
}

static json_t *
status(const struct supervisor *s)
{
    json_t *object =
        json_pack("{s:s, s:b, s:o, s:f, s:i, s:i, s:n, s:o}", "state", state_names[s->state],
                  "wanted", s->wanted, "pid", s->pid == 0 ? json_null() : json_integer(s->pid),
                  "since", s->since, "restarts", (int)s->restarts, "failures", (int)s->failures,
                  "last_failure", "next", s->state == WAITING ? json_real(s->next) : json_null());
    json_t *failure;

    if (object != NULL && s->failed > 0 && (failure = json_pack("{s:f}", "time", s->failed))) {
        split_hint(s->failure, failure, "text");
        json_object_set_new(object, "last_failure", failure);
    }
    return object;
}

/* What the word asked for has come about, or has not. */
static json_t *
answer_to(const struct supervisor *s, const char *failure)
{
    json_t *object = status(s);

    if (failure != NULL && object != NULL)
        split_hint(failure, object, "error");
    return object;
}

static void
become(struct supervisor *s, enum state state)
{
    s->state = state;
    s->since = clock_wall();
    if (state == UP) {
        door_answer(s->door, DOOR_START, answer_to(s, NULL));
        if (s->held[0] != '\0')
            door_answer(s->door, DOOR_STOP, answer_to(s, s->held));
    } else if (state == WAITING) {
        door_answer(s->door, DOOR_START, answer_to(s, s->failure));
    } else if (state == DOWN) {
        door_answer(s->door, DOOR_STOP, answer_to(s, NULL));
        door_answer(s->door, DOOR_START, answer_to(s, "cannot start kpropd: it is being stopped"));
    }
    s->held[0] = '\0';
}

static void
set_timer(struct supervisor *s, double seconds)
{
    ev_timer_stop(s->loop, &s->timer);
    if (seconds > 0) {
        ev_timer_set(&s->timer, seconds, 0);
        ev_timer_start(s->loop, &s->timer);
    }
}

/* --- helpers --- */

/* What a child wrote into its REPORT before it ended, into TEXT. */
static void
read_report(int *report, char *text, size_t size)
{
    ssize_t n = *report < 0 ? -1 : read(*report, text, size - 1);

    text[n > 0 ? n : 0] = '\0';
    if (*report >= 0)
        close(*report);
    *report = -1;
}

/* Fork with a pipe for the child's report: in the parent its read end, else its write end. */
static pid_t
fork_reporting(int output, int *end)
{
    int ends[2];
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return -1;
    pid = request_fork(output, &ends[1]);
    *end = pid == 0 ? ends[1] : ends[0];
    if (pid != 0)
        close(ends[1]);
    if (pid < 0)
        close(ends[0]);
    return pid;
}

static void
drop_helper(struct supervisor *s)
{
    char ignored[8];

    if (s->helper == 0)
        return;
    kill(s->helper, SIGKILL);
    ev_child_stop(s->loop, &s->helped);
    s->helper = 0;
    read_report(&s->helper_report, ignored, sizeof(ignored));
}

static void
on_helped(struct ev_loop *loop, ev_child *w, int events)
{
    struct supervisor *s = w->data;
    bool good = WIFEXITED(w->rstatus) && WEXITSTATUS(w->rstatus) == 0;

    (void)events;
    ev_child_stop(loop, w);
    s->helper = 0;
    read_report(&s->helper_report, s->held, sizeof(s->held));
    if (!s->helper_stops)
        s->held[0] = '\0';
    else if (!good && s->held[0] == '\0')
        snprintf(s->held, sizeof(s->held), "cannot stop kpropd: the agent's child for it ended");
    happens(s, s->helper_stops ? (good ? HALTED : HELD) : (good ? LISTENS : SILENT));
}

/* Look for kpropd at its socket, or stop it, for SECONDS. */
static void
get_help(struct supervisor *s, bool stops, int seconds)
{
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC), end = -1;
    pid_t pid;

    drop_helper(s);
    pid = null < 0 ? -1 : fork_reporting(null, &end);
    if (pid == 0) {
        bool good = stops ? supervised_end(s->settings, s->pid, seconds, end)
                          : supervised_see(s->settings, s->pid, seconds);

        _exit(good ? 0 : ERROR_FAILED);
    }
    if (null >= 0)
        close(null);
    if (pid < 0) {
        log_error("cannot watch kpropd: %s", strerror(errno));
        set_timer(s, STABLE_SECONDS);
        return;
    }
    s->helper = pid;
    s->helper_stops = stops;
    s->helper_report = end;
    ev_child_set(&s->helped, pid, 0);
    ev_child_start(s->loop, &s->helped);
}

/* --- kpropd's process --- */

static void
forget_process(struct supervisor *s)
{
    ev_child_stop(s->loop, &s->child);
    if (ev_is_active(&s->adopted)) {
        ev_io_stop(s->loop, &s->adopted);
        close(s->adopted.fd);
    }
    s->pid = 0;
    supervisor_pid_forget(s->settings);
}

static void
on_ended(struct ev_loop *loop, ev_child *w, int events)
{
    struct supervisor *s = w->data;
    char how[64], report[sizeof(s->failure)];
    json_t *lines;
    const char *last;

    (void)loop, (void)events;
    read_report(&s->report, report, sizeof(report));
    if (WIFSIGNALED(w->rstatus))
        snprintf(how, sizeof(how), "was ended by signal %d", WTERMSIG(w->rstatus));
    else
        snprintf(how, sizeof(how), "ended with status %d", WEXITSTATUS(w->rstatus));
    lines = supervised_log(s->settings, 1);
    last = json_string_value(json_array_get(lines, 0));
    if (report[0] != '\0')
        memcpy(s->failure, report, sizeof(report));
    else if (!s->unwell)
        snprintf(s->failure, sizeof(s->failure), "kpropd (pid %d) %s%s%s", (int)s->pid, how,
                 last == NULL || strcmp(last, "ready") == 0 ? "" : "; it last wrote: ",
                 last == NULL || strcmp(last, "ready") == 0 ? "" : last);
    json_decref(lines);
    forget_process(s);
    happens(s, ENDED);
}

static void
on_adopted_ended(struct ev_loop *loop, ev_io *w, int events)
{
    struct supervisor *s = w->data;

    (void)loop, (void)events;
    if (!s->unwell)
        snprintf(s->failure, sizeof(s->failure), "kpropd (pid %d) ended", (int)s->pid);
    forget_process(s);
    happens(s, ENDED);
}

/* kpropd's output: what it says of its transfers, and why it ends. */
static int
open_log(const struct settings *settings)
{
    char path[PATH_MAX];
    struct stat st;
    int fd;

    if (!supervised_path(settings, "kpropd.log", path, sizeof(path)))
        return -1;
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > LOG_MAX && ftruncate(fd, 0) != 0)
        log_warning("cannot shorten %s: %s", path, strerror(errno));
    return fd;
}

/* --- actions --- */

/* What failed is in the text already. */
static void
failed(struct supervisor *s)
{
    unsigned pause = s->failures < 6 ? 1U << s->failures : BACKOFF_MAX;

    drop_helper(s);
    if (pause > BACKOFF_MAX)
        pause = BACKOFF_MAX;
    s->failures++;
    s->failed = clock_wall();
    s->next = s->failed + pause;
    log_error("%.*s; the next start is in %u s", (int)strcspn(s->failure, "\n"), s->failure, pause);
    become(s, WAITING);
    set_timer(s, pause);
}

static void
launch(struct supervisor *s)
{
    int output = open_log(s->settings), end = -1;
    pid_t pid = output < 0 ? -1 : fork_reporting(output, &end);

    if (pid == 0)
        supervised_become(s->settings, end);
    if (output >= 0)
        close(output);
    if (pid < 0) {
        snprintf(s->failure, sizeof(s->failure), "cannot start kpropd: %s", strerror(errno));
        failed(s);
        return;
    }
    s->pid = pid;
    s->report = end;
    ev_child_set(&s->child, pid, 0);
    ev_child_start(s->loop, &s->child);
    supervisor_pid_remember(s->settings, pid);
    if (s->state == WAITING)
        s->restarts++;
    set_timer(s, 0);
    become(s, STARTING);
    get_help(s, false, READY_SECONDS);
}

static void
up(struct supervisor *s)
{
    if (s->state == STARTING)
        log_notice("kpropd (pid %d) listens", (int)s->pid);
    become(s, UP);
    set_timer(s, STABLE_SECONDS);
}

/* It has been well for a while: is it still? */
static void
look_again(struct supervisor *s)
{
    int output = open_log(s->settings);

    if (output >= 0)
        close(output);
    s->failures = 0;
    get_help(s, false, STILL_SECONDS);
}

static void
still_up(struct supervisor *s)
{
    set_timer(s, STABLE_SECONDS);
}

static void
halt(struct supervisor *s)
{
    set_timer(s, 0);
    become(s, STOPPING);
    get_help(s, true, s->stopped != NULL ? END_PATIENCE : STOP_PATIENCE);
}

static void
halt_unwell(struct supervisor *s)
{
    s->unwell = true;
    snprintf(s->failure, sizeof(s->failure), "kpropd (pid %d) runs, but does not listen",
             (int)s->pid);
    halt(s);
}

static void
down(struct supervisor *s)
{
    set_timer(s, 0);
    become(s, DOWN);
    if (s->stopped != NULL)
        s->stopped(s->arg);
}

/* Nothing runs any more: it was unwell, or is wanted again meanwhile, or not. */
static void
halted(struct supervisor *s)
{
    bool unwell = s->unwell;

    s->unwell = false;
    if (s->pid != 0)
        forget_process(s);
    if (!s->wanted)
        down(s);
    else if (unwell)
        failed(s);
    else
        launch(s);
}

/* A load goes on and on: kpropd stays, and a daemon that is to end leaves it behind. */
static void
held(struct supervisor *s)
{
    s->unwell = false;
    log_error("%.*s", (int)strcspn(s->held, "\n"), s->held);
    if (s->stopped != NULL) {
        s->stopped(s->arg);
        return;
    }
    s->wanted = true;
    become(s, UP);
    set_timer(s, STABLE_SECONDS);
}

static void
nothing(struct supervisor *s)
{
    (void)s;
}

/* NULL: cannot be. */
static void (*const table[STATES][EVENTS])(struct supervisor *s) = {
    [DOWN] = { [WANT] = launch, [UNWANT] = down },
    [STARTING] = { [WANT] = nothing,
                   [UNWANT] = halt,
                   [LISTENS] = up,
                   [SILENT] = halt_unwell,
                   [ENDED] = failed },
    [UP] = { [WANT] = nothing,
             [UNWANT] = halt,
             [TIMER] = look_again,
             [LISTENS] = still_up,
             [SILENT] = halt_unwell,
             [ENDED] = failed },
    [WAITING] = { [WANT] = launch, [UNWANT] = down, [TIMER] = launch },
    [STOPPING] = { [WANT] = nothing,
                   [UNWANT] = nothing,
                   [ENDED] = nothing,
                   [HALTED] = halted,
                   [HELD] = held },
};

static void
happens(struct supervisor *s, enum event event)
{
    void (*action)(struct supervisor *) = table[s->state][event];

    if (action != NULL)
        action(s);
}

static void
on_timer(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop, (void)events;
    happens(w->data, TIMER);
}

/* --- from outside --- */

static bool
is_active(const struct supervisor *s)
{
    return s->stopped == NULL && supervised_realm(s->settings, NULL, NULL);
}

static void
on_asked(void *arg, enum door_word word)
{
    struct supervisor *s = arg;

    if (word == DOOR_STATUS) {
        door_answer(s->door, word, status(s));
        return;
    }
    if (word == DOOR_START && !is_active(s)) {
        door_answer(s->door, word,
                    answer_to(s, "cannot start kpropd: the agent is not to supervise it"));
        return;
    }
    s->wanted = word == DOOR_START;
    if (s->wanted && s->state == UP)
        door_answer(s->door, word, answer_to(s, NULL));
    happens(s, s->wanted ? WANT : UNWANT);
}

void
supervisor_refresh(struct supervisor *s)
{
    bool wanted = is_active(s) && supervised_wanted(s->settings);

    if (wanted == s->wanted)
        return;
    s->wanted = wanted;
    happens(s, wanted ? WANT : UNWANT);
}

/* One that a daemon before this one left: it is looked at, and then watched or stopped. */
static void
adopt(struct supervisor *s)
{
    int fd = -1;
    pid_t pid = supervisor_pid_recall(s->settings, &fd);

    if (pid == 0)
        return;
    log_notice("kpropd (pid %d) was left by a former agent: taking it up again", (int)pid);
    s->pid = pid;
    ev_io_set(&s->adopted, fd, EV_READ);
    ev_io_start(s->loop, &s->adopted);
    s->wanted = true;
    become(s, STARTING);
    get_help(s, false, READY_SECONDS);
}

struct supervisor *
supervisor_new(struct ev_loop *loop, const struct settings *settings, struct error *err)
{
    struct supervisor *s = calloc(1, sizeof(*s));

    if (s == NULL) {
        error_memory(err);
        return NULL;
    }
    s->loop = loop;
    s->settings = settings;
    s->report = s->helper_report = -1;
    s->since = clock_wall();
    ev_child_init(&s->child, on_ended, 0, 0);
    ev_child_init(&s->helped, on_helped, 0, 0);
    ev_io_init(&s->adopted, on_adopted_ended, -1, EV_READ);
    ev_timer_init(&s->timer, on_timer, 0, 0);
    s->child.data = s->helped.data = s->adopted.data = s->timer.data = s;
    s->door = door_open(loop, settings, on_asked, s, err);
    if (s->door == NULL) {
        free(s);
        return NULL;
    }
    adopt(s);
    supervisor_refresh(s);
    return s;
}

void
supervisor_stop(struct supervisor *s, void (*stopped)(void *arg), void *arg)
{
    s->stopped = stopped;
    s->arg = arg;
    s->wanted = false;
    if (s->state == STOPPING)
        halt(s);
    else
        happens(s, UNWANT);
}

void
supervisor_free(struct supervisor *s)
{
    if (s == NULL)
        return;
    door_close(s->door);
    set_timer(s, 0);
    ev_child_stop(s->loop, &s->child);
    ev_child_stop(s->loop, &s->helped);
    ev_io_stop(s->loop, &s->adopted);
    free(s);
}
