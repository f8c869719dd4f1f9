/* watch - see watch.h. */
#include "kpropctl/schedule/watch.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/subprocess.h"
#include "common/host/systemd.h"
#include "kpropctl/schedule/changes.h"
#include "kpropctl/schedule/pace.h"

#include <ctype.h>
#include <ev.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { OUTPUT_KEPT = 8192, LINES_TOLD = 20 };

static const double patience_seconds = 60, attach_seconds = 5, attach_at_first = 0.5,
                    tick_seconds = 0.02;

struct watcher {
    struct ev_loop *loop;
    struct watch_settings *settings;
    struct changes *changes;
    struct pace pace;
    ev_io changed;
    ev_timer due;
    ev_timer attach;   /* while there is nothing to watch */
    ev_timer patience; /* with a child that was told to end */
    ev_timer watchdog; /* only where systemd asks for it */
    ev_signal signals[3];
    ev_periodic never;

    struct subprocess child;
    ev_child ended;
    ev_io output;
    char text[OUTPUT_KEPT]; /* what the child says, its beginning */
    size_t text_len;
    struct backend_identity identity; /* when the child was started; empty: could not be told */
    int64_t generation;

    char told[512]; /* the trouble that was last logged; "" if all is well */
    bool stopping;
    struct error *deposed; /* its ERR: why the watch ends by itself, where the code is not 0 */
};

static void arm(struct watcher *w);

/* --- telling --- */

static void
notify_status(const char *text)
{
    char state[600];

    snprintf(state, sizeof(state), "STATUS=%s", text);
    systemd_notify(state);
}

/* Equal but for numbers: times and sizes make no new trouble. */
static bool
same_trouble(const char *a, const char *b)
{
    for (;;) {
        while (isdigit((unsigned char)*a))
            a++;
        while (isdigit((unsigned char)*b))
            b++;
        if (*a != *b)
            return false;
        if (*a == '\0')
            return true;
        a++;
        b++;
    }
}

static void
log_lines(const char *text)
{
    for (int i = 0; i < LINES_TOLD && *text != '\0'; i++) {
        size_t len = strcspn(text, "\n");

        if (len > 0)
            log_error("%.*s", (int)len, text);
        text += len + (text[len] == '\n');
    }
}

/* Log trouble WHAT with DETAIL, unless it is the one that was told last. */
static void
tell_trouble(struct watcher *w, const char *what, const char *detail)
{
    char trouble[sizeof(w->told)];

    snprintf(trouble, sizeof(trouble), "%s: %s", what, detail);
    if (!same_trouble(trouble, w->told)) {
        log_error("%s", what);
        log_lines(detail);
    }
    memcpy(w->told, trouble, sizeof(trouble));
    notify_status(what);
}

static void
tell_good(struct watcher *w, const char *what)
{
    if (w->told[0] != '\0')
        log_notice("%s again", what);
    w->told[0] = '\0';
}

static void
status_waiting(const char *what)
{
    char text[200], when[32];
    time_t now = time(NULL);
    struct tm tm;

    strftime(when, sizeof(when), "%H:%M:%S", localtime_r(&now, &tm));
    snprintf(text, sizeof(text), "%s at %s, waiting for changes", what, when);
    notify_status(text);
}

/* --- a run --- */

static void
kill_child(struct watcher *w, int sig)
{
    if (w->child.pid > 0)
        kill(w->child.pid, sig);
}

static void
keep_output(struct watcher *w)
{
    char data[4096];
    ssize_t n;

    while ((n = read(w->child.out, data, sizeof(data))) > 0) {
        size_t room = sizeof(w->text) - 1 - w->text_len;
        size_t kept = (size_t)n < room ? (size_t)n : room;

        memcpy(w->text + w->text_len, data, kept);
        w->text_len += kept;
    }
    w->text[w->text_len] = '\0';
    if (n == 0)
        ev_io_stop(w->loop, &w->output);
}

static void
on_output(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop, (void)events;
    keep_output(io->data);
}

/*
 * Whether the database is not what it was when the run began. What was written within a tick of the
 * clock before may have left the same time, so then an event is believed, too.
 */
static bool
changed_since(struct watcher *w)
{
    bool event = changes_drain(w->changes);
    struct backend_identity now;
    struct error ignored;

    if (!backend_identify(w->settings->backend, w->settings->database, &now, &ignored))
        return event;
    return !backend_same(&w->identity, &now) || (event && w->identity.age <= tick_seconds);
}

static int64_t
generation(const struct watcher *w)
{
    return w->settings->generation == NULL ? -1 : w->settings->generation(w->settings->closure);
}

static void
tell_end(struct watcher *w, bool good, int status)
{
    char how[64];

    if (good) {
        tell_good(w, "propagation works");
        status_waiting("last propagation good");
        return;
    }
    if (WIFSIGNALED(status))
        snprintf(how, sizeof(how), "propagation failed: killed by signal %d", WTERMSIG(status));
    else
        snprintf(how, sizeof(how), "propagation failed: exit status %d", WEXITSTATUS(status));
    tell_trouble(w, how, w->text);
}

static void
on_ended(struct ev_loop *loop, ev_child *child, int events)
{
    struct watcher *w = child->data;
    bool good = WIFEXITED(child->rstatus) && WEXITSTATUS(child->rstatus) == 0;
    struct pace_outcome outcome = { .good = good };

    (void)events;
    ev_child_stop(loop, child);
    ev_timer_stop(loop, &w->patience);
    keep_output(w);
    ev_io_stop(loop, &w->output);
    close(w->child.out);
    w->child = (struct subprocess){ .pid = -1, .out = -1, .err = -1 };
    if (w->stopping) {
        ev_break(loop, EVBREAK_ALL);
        return;
    }
    if (WIFEXITED(child->rstatus) && WEXITSTATUS(child->rstatus) == ERROR_REFUSED &&
        w->settings->deposed != NULL && w->settings->deposed(w->settings->closure, w->deposed)) {
        notify_status(w->deposed->text);
        w->stopping = true;
        ev_break(loop, EVBREAK_ALL);
        return;
    }
    tell_end(w, good, child->rstatus);
    outcome.sent = !good || w->generation < 0 || generation(w) != w->generation;
    outcome.changed = changed_since(w);
    pace_end(&w->pace, clock_monotonic(), &outcome);
    arm(w);
}

static bool
start_child(struct watcher *w, struct error *err)
{
    struct subprocess_options options = {
        .environment = w->settings->environment, .pipe_out = true, .pipe_err = true, .merge = true
    };

    w->text_len = 0;
    w->text[0] = '\0';
    if (!subprocess_start(w->settings->command, &options, &w->child, err))
        return false;
    fcntl(w->child.out, F_SETFL, O_NONBLOCK);
    ev_io_set(&w->output, w->child.out, EV_READ);
    ev_io_start(w->loop, &w->output);
    ev_child_set(&w->ended, w->child.pid, 0);
    ev_child_start(w->loop, &w->ended);
    return true;
}

static void
start_run(struct watcher *w)
{
    static const struct pace_outcome failed = { .good = false };
    struct error err;

    changes_drain(w->changes);
    pace_start(&w->pace, clock_monotonic());
    /* Between two renames of a load a file may be missing; whoever puts it there wakes us again. */
    error_clear(&err);
    if (backend_identify(w->settings->backend, w->settings->database, &w->identity, &err)) {
        w->generation = generation(w);
        if (start_child(w, &err)) {
            notify_status("propagating");
            return;
        }
    }
    if (changes_attached(w->changes))
        tell_trouble(w, err.text, err.hint);
    pace_end(&w->pace, clock_monotonic(), &failed);
}

/* --- the loop --- */

/* Listen or wait, whichever is next. While a change waits for its time, and while a run is under
 * way, further ones need no wake-up: they are looked for afterwards. */
static void
arm(struct watcher *w)
{
    double due = pace_due(&w->pace);

    ev_timer_stop(w->loop, &w->due);
    if (w->stopping)
        return;
    if (changes_attached(w->changes)) {
        ev_timer_stop(w->loop, &w->attach);
    } else if (!ev_is_active(&w->attach)) {
        ev_timer_set(&w->attach, attach_at_first, attach_seconds);
        ev_timer_start(w->loop, &w->attach);
    }
    if (w->pace.running || w->pace.changed)
        ev_io_stop(w->loop, &w->changed);
    else
        ev_io_start(w->loop, &w->changed);
    if (!isinf(due)) {
        double wait = due - clock_monotonic();

        ev_timer_set(&w->due, wait > 0 ? wait : 0, 0);
        ev_timer_start(w->loop, &w->due);
    }
}

static void
on_changed(struct ev_loop *loop, ev_io *io, int events)
{
    struct watcher *w = io->data;

    (void)loop, (void)events;
    if (changes_drain(w->changes))
        pace_change(&w->pace, clock_monotonic());
    arm(w);
}

static void
on_due(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct watcher *w = timer->data;

    (void)loop, (void)events;
    start_run(w);
    arm(w);
}

/* The folder is not there: look for it now and then. */
static void
on_attach(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct watcher *w = timer->data;
    struct error err;

    (void)loop, (void)events;
    error_clear(&err);
    if (changes_attach(w->changes, &err)) {
        tell_good(w, "the database is watched");
        pace_change(&w->pace, clock_monotonic());
    } else if (!w->pace.running) {
        tell_trouble(w, err.text, err.hint);
    }
    arm(w);
}

static void
on_patience(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    kill_child(timer->data, SIGKILL);
}

static void
on_watchdog(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)timer, (void)events;
    systemd_notify("WATCHDOG=1");
}

static void
on_never(struct ev_loop *loop, ev_periodic *periodic, int events)
{
    (void)loop, (void)periodic, (void)events;
}

static void
on_stop(struct ev_loop *loop, ev_signal *sig, int events)
{
    struct watcher *w = sig->data;

    (void)events;
    systemd_notify("STOPPING=1");
    w->stopping = true;
    if (w->child.pid < 0) {
        ev_break(loop, EVBREAK_ALL);
        return;
    }
    notify_status("waiting for the propagation to end");
    kill_child(w, SIGTERM);
    ev_timer_stop(loop, &w->patience);
    ev_timer_set(&w->patience, patience_seconds, 0);
    ev_timer_start(loop, &w->patience);
}

/* Listen to the settings' database instead of what was listened to before. */
static bool
listen_anew(struct watcher *w, struct error *err)
{
    struct changes *changes;

    if (!changes_new(w->settings->backend, w->settings->database, &changes, err))
        return false;
    ev_io_stop(w->loop, &w->changed);
    changes_free(w->changes);
    w->changes = changes;
    ev_io_set(&w->changed, changes_fd(changes), EV_READ);
    return true;
}

static void
on_reload(struct ev_loop *loop, ev_signal *sig, int events)
{
    struct watcher *w = sig->data;
    struct error err;

    (void)loop, (void)events;
    error_clear(&err);
    if (w->stopping || w->settings->reload == NULL)
        return;
    if (!w->settings->reload(w->settings->closure, w->settings, &err) || !listen_anew(w, &err)) {
        log_error("%s: the configuration stays as it was", err.text);
        return;
    }
    log_notice("configuration read again");
    pace_set(&w->pace, w->settings->settle, w->settings->interval);
    pace_change(&w->pace, clock_monotonic());
    arm(w);
}

static void
init_signals(struct watcher *w)
{
    ev_signal_init(&w->signals[0], on_stop, SIGTERM);
    ev_signal_init(&w->signals[1], on_stop, SIGINT);
    ev_signal_init(&w->signals[2], on_reload, SIGHUP);
    for (int i = 0; i < 3; i++) {
        w->signals[i].data = w;
        ev_signal_start(w->loop, &w->signals[i]);
    }
}

/* systemd wants a sign of life within WATCHDOG_USEC, if it says so to this process. */
static void
init_watchdog(struct watcher *w)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    double seconds = usec == NULL ? 0 : strtod(usec, NULL) / 2e6;

    ev_timer_init(&w->watchdog, on_watchdog, seconds, seconds);
    if (seconds > 0 && (pid == NULL || strtol(pid, NULL, 10) == (long)getpid()))
        ev_timer_start(w->loop, &w->watchdog);
}

static void
init_watchers(struct watcher *w)
{
    ev_init(&w->changed, on_changed);
    ev_init(&w->due, on_due);
    ev_init(&w->attach, on_attach);
    ev_init(&w->patience, on_patience);
    ev_init(&w->ended, on_ended);
    ev_init(&w->output, on_output);
    w->changed.data = w->due.data = w->attach.data = w->patience.data = w;
    w->ended.data = w->output.data = w;
    /* With a periodic watcher libev learns of time jumps from a timerfd, and then does not wake
     * once a minute to look for them. */
    ev_periodic_init(&w->never, on_never, ev_time() + 1e9, 0, NULL);
    ev_periodic_start(w->loop, &w->never);
    init_signals(w);
    init_watchdog(w);
}

static void
finish(struct watcher *w)
{
    for (int i = 0; i < 3; i++)
        ev_signal_stop(w->loop, &w->signals[i]);
    ev_periodic_stop(w->loop, &w->never);
    ev_io_stop(w->loop, &w->changed);
    ev_timer_stop(w->loop, &w->due);
    ev_timer_stop(w->loop, &w->attach);
    ev_timer_stop(w->loop, &w->watchdog);
    changes_free(w->changes);
    free(w);
}

int
watch_run(struct watch_settings *settings, struct error *err)
{
    struct watcher *w = calloc(1, sizeof(*w));

    if (w == NULL || (w->loop = ev_default_loop(0)) == NULL) {
        free(w);
        error_memory(err);
        return ERROR_INTERNAL;
    }
    w->settings = settings;
    w->deposed = err;
    w->child = (struct subprocess){ .pid = -1, .out = -1, .err = -1 };
    init_watchers(w);
    if (!listen_anew(w, err)) {
        finish(w);
        return err->code;
    }
    error_clear(err);
    pace_init(&w->pace, settings->settle, settings->interval);
    systemd_notify("READY=1\nSTATUS=waiting for changes");
    /* What changed while nobody watched. */
    ev_now_update(w->loop);
    pace_change(&w->pace, clock_monotonic());
    arm(w);
    ev_run(w->loop, 0);
    finish(w);
    return err->code;
}
