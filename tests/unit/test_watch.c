/* watch: real files, real inotify, a stub for the propagation. Each test watches in a process of
 * its own, with settings in tenths of seconds. */
#include "kpropctl/schedule/watch.h"

#include "common/base/log.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "between.h"

/* A folder in a folder with a database of two files, a stub that appends a line to `runs`, and the
 * socket where the watch tells its state. */
struct place {
    char top[64];
    char folder[80], database[100], runs[80], stub[80], notify[80];
    int socket;
    pid_t pid;
};

static void
write_file(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, mode);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

/* A write to the database, as kadmind does: in place. */
static void
touch(const struct place *place, const char *suffix)
{
    char path[128];

    snprintf(path, sizeof(path), "%s%s", place->database, suffix);
    write_file(path, "x", 0600);
}

static void
place_names(struct place *place)
{
    snprintf(place->folder, sizeof(place->folder), "%s/krb5kdc", place->top);
    snprintf(place->database, sizeof(place->database), "%s/principal", place->folder);
    snprintf(place->runs, sizeof(place->runs), "%s/runs", place->top);
    snprintf(place->stub, sizeof(place->stub), "%s/stub", place->top);
    snprintf(place->notify, sizeof(place->notify), "%s/notify", place->top);
}

static int
place_up(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    struct sockaddr_un sun = { .sun_family = AF_UNIX };

    strcpy(place->top, "/tmp/kpropctl-watch-XXXXXX");
    assert_non_null(mkdtemp(place->top));
    place_names(place);
    assert_int_equal(mkdir(place->folder, 0700), 0);
    touch(place, "");
    touch(place, ".kadm5");
    snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", place->notify);
    place->socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(place->socket, (struct sockaddr *)&sun, sizeof(sun)), 0);
    *state = place;
    return 0;
}

static int
place_down(void **state)
{
    struct place *place = *state;
    char command[128];

    if (place->pid > 0) {
        kill(place->pid, SIGKILL);
        waitpid(place->pid, NULL, 0);
    }
    close(place->socket);
    snprintf(command, sizeof(command), "rm -rf %s", place->top);
    assert_int_equal(system(command), 0);
    free(place);
    return 0;
}

/* The stub: BODY after a line in `runs`; $1 is the database, $2 the file of runs. */
static void
make_stub(const struct place *place, const char *body)
{
    char text[1024];

    unlink(place->stub);
    snprintf(text, sizeof(text), "#!/bin/sh\necho run >>%s\n%s\n", place->runs, body);
    write_file(place->stub, text, 0700);
}

static int64_t
same_generation(void *closure)
{
    (void)closure;
    return 7;
}

static void
start_watch(struct place *place, double settle, double interval, bool nothing_sent)
{
    char database[100];

    unsetenv("WATCHDOG_USEC");
    setenv("NOTIFY_SOCKET", place->notify, 1);
    memcpy(database, place->database, sizeof(database));
    place->pid = fork();
    if (place->pid == 0) {
        const char *command[] = { place->stub, database, place->runs, NULL };
        struct watch_settings settings = { .backend = backend_find("db2"),
                                           .database = database,
                                           .command = command,
                                           .settle = settle,
                                           .interval = interval,
                                           .generation = nothing_sent ? same_generation : NULL };
        struct error err;

        error_clear(&err);
        log_open("watch", true);
        _exit(watch_run(&settings, &err));
    }
    assert_true(place->pid > 0);
}

static unsigned
runs(const struct place *place)
{
    struct stat st;

    return stat(place->runs, &st) == 0 ? (unsigned)(st.st_size / 4) : 0;
}

static double
now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Wait until there were COUNT runs. The seconds that it took. */
static double
wait_runs(const struct place *place, unsigned count)
{
    double start = now();

    while (runs(place) < count) {
        if (now() - start > 10)
            fail_msg("%u runs, not %u, in 10 s", runs(place), count);
        usleep(5000);
    }
    return now() - start;
}

/* Nothing more happens for SECONDS. */
static void
assert_quiet(const struct place *place, unsigned count, double seconds)
{
    usleep((useconds_t)(seconds * 1e6));
    assert_int_equal(runs(place), count);
}

/* Wait until the watch says something with TEXT in it. */
static void
wait_notice(const struct place *place, const char *text)
{
    struct pollfd fd = { place->socket, POLLIN, 0 };
    char said[1024];

    for (;;) {
        ssize_t n;

        if (poll(&fd, 1, 10000) != 1)
            fail_msg("no '%s' in 10 s", text);
        n = recv(place->socket, said, sizeof(said) - 1, 0);
        said[n > 0 ? n : 0] = '\0';
        if (strstr(said, text) != NULL)
            return;
    }
}

/* Started, its first look done, and idle again. */
static void
start_and_settle(struct place *place, double settle, double interval, bool nothing_sent)
{
    start_watch(place, settle, interval, nothing_sent);
    wait_notice(place, "READY=1");
    wait_runs(place, 1);
    wait_notice(place, "waiting for changes");
}

static int
stop_watch(struct place *place)
{
    int status = -1;

    kill(place->pid, SIGTERM);
    assert_int_equal(waitpid(place->pid, &status, 0), place->pid);
    place->pid = -1;
    return status;
}

static void
test_a_change_is_propagated(void **state)
{
    struct place *place = *state;

    make_stub(place, "exit 0");
    start_and_settle(place, 0.1, 0.3, false);
    assert_quiet(place, 1, 0.5);
    touch(place, "");
    assert_true(wait_runs(place, 2) < 3.0);
    wait_notice(place, "waiting for changes");
    usleep(400000);
    touch(place, ".kadm5");
    assert_true(wait_runs(place, 3) < 3.0);
    assert_int_equal(stop_watch(place), 0);
}

static void
test_locks_and_others_are_no_change(void **state)
{
    struct place *place = *state;

    make_stub(place, "exit 0");
    start_and_settle(place, 0.05, 0.1, false);
    touch(place, ".ok");
    touch(place, ".kadm5.lock");
    touch(place, "~");
    touch(place, "~.kadm5");
    touch(place, "-other");
    assert_quiet(place, 1, 0.5);
}

static void
test_a_burst_is_held_back_and_its_end_arrives(void **state)
{
    struct place *place = *state;
    double start;
    char line[200];

    snprintf(line, sizeof(line), "stat -c %%s $1 >>%s/seen", place->top);
    make_stub(place, line);
    start_and_settle(place, 0.05, 0.5, false);
    start = now();
    while (now() - start < 2.0) {
        touch(place, "");
        usleep(20000);
    }
    usleep(700000);
    /* 2 s at 0.5 s make at most four, and one for the last change. */
    assert_between(runs(place), 4, 6);
    snprintf(line, sizeof(line), "test $(tail -n 1 %s/seen) = $(stat -c %%s %s)", place->top,
             place->database);
    assert_int_equal(system(line), 0);
}

static void
test_a_change_during_a_run_makes_another(void **state)
{
    struct place *place = *state;

    make_stub(place, "[ $(wc -l <$2) != 2 ] || echo x >>$1");
    start_and_settle(place, 0.05, 0.2, false);
    touch(place, "");
    wait_runs(place, 3);
    assert_quiet(place, 3, 0.5);
}

static void
test_runs_that_only_look_are_not_held_back(void **state)
{
    struct place *place = *state;

    make_stub(place, "exit 0");
    start_and_settle(place, 0.05, 60, true);
    for (unsigned i = 2; i < 5; i++) {
        touch(place, "");
        assert_true(wait_runs(place, i) < 3.0);
        wait_notice(place, "waiting for changes");
    }
}

static void
test_a_load_renames(void **state)
{
    struct place *place = *state;
    char staged[128];

    make_stub(place, "exit 0");
    start_and_settle(place, 0.05, 0.1, false);
    snprintf(staged, sizeof(staged), "%s~", place->database);
    write_file(staged, "new", 0600);
    assert_quiet(place, 1, 0.3);
    assert_int_equal(rename(staged, place->database), 0);
    wait_runs(place, 2);
    assert_quiet(place, 2, 0.3);
}

static void
test_the_files_are_missing_for_a_while(void **state)
{
    struct place *place = *state;
    char away[128];

    make_stub(place, "exit 0");
    start_and_settle(place, 0.05, 0.1, false);
    snprintf(away, sizeof(away), "%s/away", place->folder);
    assert_int_equal(rename(place->database, away), 0);
    wait_notice(place, "cannot look at");
    assert_quiet(place, 1, 0.2);
    assert_int_equal(rename(away, place->database), 0);
    assert_true(wait_runs(place, 2) < 3.0);
}

static void
test_the_folder_is_replaced(void **state)
{
    struct place *place = *state;
    char away[80], file[128];

    make_stub(place, "exit 0");
    start_and_settle(place, 0.05, 0.1, false);
    snprintf(away, sizeof(away), "%s/away", place->top);
    assert_int_equal(rename(place->folder, away), 0);
    wait_notice(place, "cannot");
    assert_int_equal(mkdir(place->folder, 0700), 0);
    touch(place, ".kadm5");
    touch(place, "");
    wait_runs(place, 2);
    wait_notice(place, "waiting for changes");
    usleep(200000);
    /* The old one is nobody's business now. */
    snprintf(file, sizeof(file), "%s/principal", away);
    write_file(file, "x", 0600);
    assert_quiet(place, 2, 0.3);
    touch(place, "");
    assert_true(wait_runs(place, 3) < 3.0);
}

static void
test_a_flood_overflows_nothing(void **state)
{
    struct place *place = *state;
    char name[128];

    make_stub(place, "exit 0");
    start_and_settle(place, 0.2, 0.2, false);
    kill(place->pid, SIGSTOP);
    snprintf(name, sizeof(name), "%s-noise", place->database);
    for (int i = 0; i < 10000; i++) { /* the queue takes 16384 events */
        int fd = open(name, O_WRONLY | O_CREAT, 0600);

        close(fd);
        unlink(name);
    }
    touch(place, "");
    kill(place->pid, SIGCONT);
    assert_true(wait_runs(place, 2) < 3.0);
}

static void
test_trouble_is_told_once_and_tried_again(void **state)
{
    struct place *place = *state;
    char log[80], line[200];
    int saved = dup(2), fd;

    snprintf(log, sizeof(log), "%s/log", place->top);
    fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    make_stub(place, "echo \"kdc2 is dark since $$ s\" >&2; exit 4");
    dup2(fd, 2);
    start_watch(place, 0.05, 0.1, false);
    dup2(saved, 2);
    close(saved);
    close(fd);
    for (unsigned i = 1; i < 4; i++) {
        wait_runs(place, i);
        wait_notice(place, "exit status 4");
        usleep(150000);
        touch(place, "");
    }
    snprintf(line, sizeof(line), "test $(grep -c 'exit status 4' %s) = 1", log);
    assert_int_equal(system(line), 0);
    snprintf(line, sizeof(line), "test $(grep -c 'kdc2 is dark' %s) = 1", log);
    assert_int_equal(system(line), 0);
    make_stub(place, "exit 0");
    touch(place, "");
    wait_notice(place, "waiting for changes");
    snprintf(line, sizeof(line), "grep -q 'propagation works again' %s", log);
    assert_int_equal(system(line), 0);
}

static void
test_stop_ends_the_run_gracefully(void **state)
{
    struct place *place = *state;
    char line[200];

    snprintf(line, sizeof(line), "trap 'echo told >%s/told; exit 1' TERM\nsleep 5 & wait",
             place->top);
    make_stub(place, line);
    start_watch(place, 0.05, 0.1, false);
    wait_runs(place, 1);
    usleep(100000);
    assert_int_equal(stop_watch(place), 0);
    snprintf(line, sizeof(line), "%s/told", place->top);
    assert_int_equal(access(line, F_OK), 0);
}

/* How often the process went to sleep so far. */
static long
switches(pid_t pid)
{
    char path[64], line[128];
    long count = -1;
    FILE *fp;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    fp = fopen(path, "r");
    assert_non_null(fp);
    while (fgets(line, sizeof(line), fp) != NULL) {
        if (sscanf(line, "voluntary_ctxt_switches: %ld", &count) == 1)
            break;
    }
    fclose(fp);
    return count;
}

/* It sleeps for SECONDS without waking up, in one of a few tries: a machine that is busy may still
 * be at what came before. */
static bool
sleeps_through(const struct place *place, unsigned seconds)
{
    for (int i = 0; i < 4; i++) {
        long before = switches(place->pid);

        sleep(seconds);
        if (switches(place->pid) == before)
            return true;
    }
    return false;
}

static void
test_idle_does_not_wake_up(void **state)
{
    struct place *place = *state;

    make_stub(place, "exit 0");
    start_and_settle(place, 0.05, 0.1, false);
    assert_true(sleeps_through(place, 2));
}

static void
test_a_busy_realm_wakes_once_for_many_changes(void **state)
{
    struct place *place = *state;
    long before;

    make_stub(place, "exit 0");
    start_watch(place, 30, 30, false); /* its first look is waiting, as a change would */
    wait_notice(place, "READY=1");
    assert_true(sleeps_through(place, 1));
    before = switches(place->pid);
    for (int i = 0; i < 1000; i++)
        touch(place, "");
    usleep(200000);
    assert_int_equal(switches(place->pid), before);
}

static void
test_the_watchdog_is_fed(void **state)
{
    struct place *place = *state;

    make_stub(place, "exit 0");
    place->pid = -1;
    setenv("WATCHDOG_USEC", "200000", 1);
    setenv("NOTIFY_SOCKET", place->notify, 1);
    place->pid = fork();
    if (place->pid == 0) {
        const char *command[] = { place->stub, NULL };
        struct watch_settings settings = { .backend = backend_find("db2"),
                                           .database = place->database,
                                           .command = command,
                                           .settle = 1,
                                           .interval = 1 };
        struct error err;

        _exit(watch_run(&settings, &err));
    }
    unsetenv("WATCHDOG_USEC");
    wait_notice(place, "WATCHDOG=1");
    wait_notice(place, "WATCHDOG=1");
}

int
main(void)
{
#define PLACED(test) cmocka_unit_test_setup_teardown(test, place_up, place_down)
    const struct CMUnitTest tests[] = {
        PLACED(test_a_change_is_propagated),
        PLACED(test_locks_and_others_are_no_change),
        PLACED(test_a_burst_is_held_back_and_its_end_arrives),
        PLACED(test_a_change_during_a_run_makes_another),
        PLACED(test_runs_that_only_look_are_not_held_back),
        PLACED(test_a_load_renames),
        PLACED(test_the_files_are_missing_for_a_while),
        PLACED(test_the_folder_is_replaced),
        PLACED(test_a_flood_overflows_nothing),
        PLACED(test_trouble_is_told_once_and_tried_again),
        PLACED(test_stop_ends_the_run_gracefully),
        PLACED(test_idle_does_not_wake_up),
        PLACED(test_a_busy_realm_wakes_once_for_many_changes),
        PLACED(test_the_watchdog_is_fed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
