/* rows_health - what only a health check asks of the primary. */
#include "kpropctl/checks/rows.h"
#include "kpropctl/schedule/schedule.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* /proc/PID/comm is open to everybody. */
static bool
process_runs(const char *name)
{
    DIR *dir = opendir("/proc");
    struct dirent *entry;
    bool found = false;

    while (dir != NULL && !found && (entry = readdir(dir)) != NULL) {
        char path[300], text[64];
        ssize_t n;
        int fd;

        if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
            continue;
        snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        n = read(fd, text, sizeof(text) - 1);
        close(fd);
        text[n > 0 ? n - 1 : 0] = '\0';
        found = strcmp(text, name) == 0;
    }
    if (dir != NULL)
        closedir(dir);
    return found;
}

enum verdict
see_kadmind_here(struct walk *walk, struct step *step)
{
    const char *missing = !process_runs("krb5kdc") ? "krb5kdc" : NULL;

    (void)walk;
    if (missing == NULL && !process_runs("kadmind"))
        missing = "kadmind";
    if (missing != NULL) {
        step_summary(step, "%s does not run on the primary", missing);
        step_hint(step, "systemctl start %s",
                  strcmp(missing, "kadmind") == 0 ? "krb5-admin-server" : "krb5-kdc");
        return IMPOSSIBLE;
    }
    step_summary(step, "krb5kdc and kadmind run");
    return HOLDS;
}

enum verdict
see_state(struct walk *walk, struct step *step)
{
    const char *dir = walk->configuration->state_dir;
    struct state_content content;
    struct state *state;
    struct error err;
    char path[PATH_MAX];

    error_clear(&err);
    state = state_open(dir, NULL, true, &err);
    if (state == NULL || !state_content_last(state, walk->realm->name, &content, &err)) {
        step_error(step, &err);
        state_close(state);
        return geteuid() == 0 ? IMPOSSIBLE : UNKNOWN;
    }
    state_close(state);
    snprintf(path, sizeof(path), "%s/state.db", dir);
    if (geteuid() == 0 && access(path, W_OK) != 0) {
        step_summary(step, "the state database %s cannot be written: %s", path, strerror(errno));
        step_hint(step,
                  "no run is recorded until it can be: look at 'findmnt -T %s' and 'lsattr %s'",
                  path, path);
        return IMPOSSIBLE;
    }
    step_summary(step, "the state database is readable: the newest generation is %lld",
                 (long long)content.generation);
    return HOLDS;
}

enum verdict
see_debris(struct walk *walk, struct step *step)
{
    unsigned count = spool_debris(walk->configuration);

    if (count == 0) {
        step_summary(step, "no dump is left of a killed run");
        return HOLDS;
    }
    step_summary(step, "%u killed run%s left dumps, with keys in them, in %s/dump", count,
                 count == 1 ? " has" : "s have", walk->configuration->state_dir);
    step_hint(step, "the next run removes them: kpropctl propagate");
    return HOLDS_BUT;
}

enum verdict
see_schedule(struct walk *walk, struct step *step)
{
    struct schedule schedule;
    struct error err;
    bool on;

    error_clear(&err);
    if (!schedule_read(walk->realm, &schedule, &err)) {
        step_error(step, &err);
        schedule_free(&schedule);
        return UNTOLD;
    }
    on = schedule_is_on(&schedule);
    if (on && schedule.watch.failed) {
        step_summary(step, "%s has failed", schedule.watch.name);
        step_hint(step, "journalctl -u %s", schedule.watch.name);
    } else if (on) {
        step_summary(step, "propagation runs by itself%s%s",
                     schedule.watch.active ? ", on changes" : "",
                     schedule.timer.active ? ", on a timer" : "");
    } else {
        step_summary(step, "nothing propagates by itself");
        step_hint(step, "kpropctl schedule --enable");
    }
    on = on && !schedule.watch.failed;
    schedule_free(&schedule);
    return on ? HOLDS : HOLDS_BUT;
}

enum verdict
see_competitors(struct walk *walk, struct step *step)
{
    struct schedule schedule;
    const struct competitor *worst = NULL;
    struct error err;

    error_clear(&err);
    if (!schedule_read(walk->realm, &schedule, &err)) {
        step_error(step, &err);
        schedule_free(&schedule);
        return UNTOLD;
    }
    for (size_t i = 0; i < schedule.competitors.count; i++) {
        const struct competitor *c = &schedule.competitors.items[i];

        if (c->kind == JOB_KPROP && worst == NULL)
            worst = c;
    }
    if (worst != NULL) {
        step_summary(step, "another job runs kprop: %s line %u: %s", worst->file, worst->line,
                     worst->command);
        step_hint(step, "remove it: a replica that was verified refuses what it sends; where our "
                        "loader is not in place nobody verifies it");
    } else {
        step_summary(step, "no other job propagates");
    }
    schedule_free(&schedule);
    return worst == NULL ? HOLDS : HOLDS_BUT;
}
