/* supervised_work - see supervised_work.h. Each child is the leader of a process group: kpropd's
 * children, its loads among them, are found by it. */
#include "agent/supervise/supervised_work.h"

#include "agent/load/loads.h"
#include "agent/service/kpropd_place.h"
#include "agent/service/port_release.h"
#include "agent/service/processes.h"
#include "agent/service/services.h"
#include "agent/service/supervised.h"
#include "common/krb5/realm.h"
#include "common/port/ports_json.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PIDS_MAX = 32, TERM_SECONDS = 10, KILL_SECONDS = 5, PASSED_MAX = 8 };

static const char *const programs[] = { "kpropd", "_kpropd", NULL };

/* Processes called so, at most PIDS_MAX. */
static size_t
find_kpropd(pid_t *pids)
{
    struct processes all;
    size_t count;

    processes_init(&all);
    count = processes_find(&all, programs, pids, PIDS_MAX);
    processes_free(&all);
    return count;
}

static void
nap(void)
{
    static const struct timespec time = { 0, 50 * 1000 * 1000 };

    nanosleep(&time, NULL);
}

static void
tell(int report, const struct error *err)
{
    char text[900];
    int len = snprintf(text, sizeof(text), "%s%s%s", err->text, err->hint[0] == '\0' ? "" : "\n",
                       err->hint);

    if (len > 0 &&
        write(report, text, (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1) < 0)
        return;
}

/* Two would fight for the port, and load over each other. */
static bool
refuse_second(int port, struct error *err)
{
    pid_t pids[PIDS_MAX];
    size_t count = find_kpropd(pids);
    struct service_state state;

    for (size_t i = 0; i < count; i++) {
        if (!processes_serve(pids[i], port, false).tcp)
            continue;
        error_set(err, ERROR_REFUSED,
                  "cannot start kpropd: another one (pid %d) listens on port %d already",
                  (int)pids[i], port);
        return error_hint(err, "Stop it, and disable what starts it: its unit or init script");
    }
    if (services_see(NULL, SERVICE_KADMIND, NULL, 0, &state, err) && state.pid != 0) {
        error_set(err, ERROR_REFUSED,
                  "cannot start kpropd: kadmind runs on this host (pid %d), so it may be a primary",
                  (int)state.pid);
        return error_hint(err, "If this host is to be a replica, stop and disable kadmind");
    }
    return true;
}

/* kpropd would say no more than 'Address already in use', and that to syslog alone. */
static bool
refuse_held(const struct port_spec *spec, const struct ports_options *options, struct error *err)
{
    const struct port_holder *holder;
    struct port_report *report = NULL;
    bool ok = true;

    if (!ports_examine(spec, options, &report, err)) {
        error_clear(err);
        return true;
    }
    holder = ports_obstacle(report, -1);
    if (report->usable == PORTS_HELD) {
        if (holder != NULL && holder->who.pid > 0)
            error_set(err, ERROR_REFUSED, "cannot start kpropd: port %u is held by %s (pid %d)",
                      spec->port, holder->who.program, (int)holder->who.pid);
        else
            error_set(err, ERROR_REFUSED, "cannot start kpropd: port %u is held by another",
                      spec->port);
        ok = error_hint(err, "%s", ports_advice(report));
    }
    ports_report_free(report);
    return ok;
}

/* A reservation is released, as the drop-in of kpropd's unit does elsewhere. */
static bool
have_port(const struct settings *s, int port, struct error *err)
{
    const struct ports_options options = { .portreserve = s->portreserve };
    struct port_spec spec;
    struct error ignored;
    char text[16];

    snprintf(text, sizeof(text), "%d", port);
    error_clear(&ignored);
    if (!ports_resolve(text, &spec, err))
        return false;
    port_release_at_start(&spec, &options, &ignored);
    return refuse_held(&spec, &options, err);
}

/* Where Kerberos has its files; nothing else of our own environment. */
static void
clean_environment(void)
{
    static const char *const names[] = { "KRB5_CONFIG", "KRB5_KDC_PROFILE", "KRB5_KTNAME", NULL };
    char *values[PASSED_MAX] = { NULL };

    for (size_t i = 0; names[i] != NULL; i++) {
        const char *value = getenv(names[i]);

        values[i] = value == NULL ? NULL : strdup(value);
    }
    clearenv();
    setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
    setenv("LC_ALL", "C", 1);
    for (size_t i = 0; names[i] != NULL; i++) {
        if (values[i] != NULL)
            setenv(names[i], values[i], 1);
        free(values[i]);
    }
}

static bool
become(const struct settings *s, struct error *err)
{
    char program[PATH_MAX], port[16];
    const char *argv[] = { program, "-D", "-r", NULL, "-P", port, "-p", KPC_LOADER, NULL };
    struct kpropd_place place;
    struct realm *realm = NULL;

    if (!realm_load(NULL, &realm, err) || !kpropd_place(s, realm->name, &place, err) ||
        !realm_find_program("kpropd", program, sizeof(program), err))
        goto cleanup;
    if (place.port == 0) {
        error_set(err, ERROR_FAILED, "cannot start kpropd: no krb5_prop/tcp in the services file");
        error_hint(err, "Add the line 'krb5_prop 754/tcp' to /etc/services");
        goto cleanup;
    }
    if (!refuse_second(place.port, err) || !have_port(s, place.port, err))
        goto cleanup;
    snprintf(port, sizeof(port), "%d", place.port);
    argv[3] = realm->name;
    if (supervised_stock(s))
        argv[6] = NULL;
    clean_environment();
    execv(program, (char *const *)(uintptr_t)argv);
    error_errno(err, ERROR_FAILED, errno, "cannot run %s", program);

cleanup:
    realm_free(realm);
    return false;
}

void
supervised_become(const struct settings *s, int report)
{
    struct error err;

    error_clear(&err);
    fcntl(report, F_SETFD, FD_CLOEXEC);
    become(s, &err);
    tell(report, &err);
    _exit(ERROR_FAILED);
}

/* In incremental mode it is a child of the first process that listens. */
static bool
listens(pid_t group, int port)
{
    pid_t pids[PIDS_MAX];
    size_t count = find_kpropd(pids);

    for (size_t i = 0; i < count; i++) {
        if (getpgid(pids[i]) == group && processes_serve(pids[i], port, false).tcp)
            return true;
    }
    return false;
}

bool
supervised_see(const struct settings *s, pid_t pid, int seconds)
{
    struct kpropd_place place;
    struct realm *realm = NULL;
    struct error ignored;
    bool seen = false;

    error_clear(&ignored);
    if (realm_load(NULL, &realm, &ignored) && kpropd_place(s, realm->name, &place, &ignored)) {
        for (int i = 0; i <= seconds * 20 && !seen && kill(pid, 0) == 0; i++) {
            if (i > 0)
                nap();
            seen = listens(pid, place.port);
        }
    }
    realm_free(realm);
    return seen;
}

/* Wait at most SECONDS until nobody is in GROUP. */
static bool
gone(pid_t group, int seconds)
{
    for (int i = 0; i < seconds * 20; i++) {
        if (kill(-group, 0) != 0 && errno == ESRCH)
            return true;
        nap();
    }
    return false;
}

bool
supervised_end(const struct settings *s, pid_t pid, int seconds, int report)
{
    struct error err, ignored;
    int lock = -1;

    (void)s;
    error_clear(&err);
    error_clear(&ignored);
    /* Without a realm there is no database that a load could be busy with, and no lock. */
    if (!loads_wait("stop", seconds, &err) ||
        (!loads_hold(NULL, "stop", seconds, &lock, &err) && err.code == ERROR_UNREACHABLE)) {
        tell(report, &err);
        return false;
    }
    kill(-pid, SIGTERM);
    if (!gone(pid, TERM_SECONDS)) {
        kill(-pid, SIGKILL);
        gone(pid, KILL_SECONDS);
    }
    if (lock >= 0)
        close(lock);
    return true;
}
