/*
 * schedule - when propagations of a realm run by themselves: the units of our package, and whatever
 * else on this host would do the same.
 */
#ifndef KPC_SCHEDULE_H
#define KPC_SCHEDULE_H

#include "common/base/errors.h"
#include "common/krb5/realm.h"
#include "kpropctl/schedule/competitors.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

enum { SCHEDULE_WATCH = 1, SCHEDULE_TIMER = 2, SCHEDULE_BOTH = 3 };

/* One of our units. Times are seconds since the epoch; 0: never, or not known. */
struct schedule_unit {
    char name[160];
    bool exists;
    bool enabled;
    bool active;
    bool failed;
    double since;      /* watch: active since */
    char status[512];  /* watch: what it says of itself */
    double next, last; /* timer: runs of its service */
    bool running;      /* timer: its service, now */
    double ended;      /* timer: its service's last run, */
    char result[32];   /* "success" or the kind of its failure, */
    int exit_status;
};

struct schedule {
    const struct realm *realm;
    bool systemd; /* runs this host; if not, the units say nothing */
    struct schedule_unit watch, timer;
    struct competitors competitors; /* those that are on */
};

/* For a host without systemd: a line for /etc/cron.d. */
#define SCHEDULE_CRON_LINE                                                                         \
    "*/5 * * * * root /usr/sbin/kpropctl propagate --reason cron --no-wait -q"

/*
 * Look at what is scheduled for REALM, which must outlive SCHEDULE. The caller frees it with
 * schedule_free in every case.
 */
bool schedule_read(const struct realm *realm, struct schedule *schedule, struct error *err);
void schedule_free(struct schedule *schedule);

/* Anything of ours runs by itself: a unit, or a job of cron's that calls kpropctl propagate. */
bool schedule_is_on(const struct schedule *schedule);

/* Enable and start, or stop and disable, the units in WHICH; then read the schedule again. */
bool schedule_change(struct schedule *schedule, int which, bool on, struct error *err);

/*
 * What a person who has just made a replica of REALM may want to know: that nothing will propagate
 * by itself yet, and how to change that. False, and TEXT empty, if something is scheduled, or that
 * cannot be told.
 */
bool schedule_hint(const struct realm *realm, char *text, size_t size);

/* Tell the schedule to people, and to programs. */
void schedule_print(const struct schedule *schedule, FILE *out);
json_t *schedule_json(const struct schedule *schedule);

#endif
