/*
 * systemd - the one module that speaks with the service manager, the journal and the supervisor.
 *
 * Every call but systemd_notify may block: the agent makes them in a verb's child. Built without
 * libsystemd, each says that this host's service manager is not supported.
 */
#ifndef KPC_SYSTEMD_H
#define KPC_SYSTEMD_H

#include "common/base/errors.h"

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

struct systemd;

struct unit_state {
    bool exists;        /* a unit file of that name is there */
    char active[24];    /* "active", "inactive", "failed", "activating", "deactivating", … */
    char enabled[24];   /* "enabled", "disabled", "masked", "static", …; "" if it has no file */
    pid_t pid;          /* main process, 0 if there is none */
    char fragment[512]; /* path of the unit file, or "" */
    char command[1024]; /* the words of ExecStart, or "" */
};

/* True if systemd is this host's service manager. */
bool systemd_runs_here(void);

/* Connect to the service manager. The caller frees it with systemd_close. */
bool systemd_open(struct systemd **out, struct error *err);
void systemd_close(struct systemd *sd);

/* What it knows of UNIT ("krb5-kdc.service"). A unit that does not exist is no error. */
bool systemd_state(struct systemd *sd, const char *unit, struct unit_state *state,
                   struct error *err);

/* The drop-ins of UNIT in the order in which they apply, ended by NULL; freed by the caller. */
bool systemd_drop_ins(struct systemd *sd, const char *unit, char ***paths, struct error *err);

/* The units that start UNIT, such as its timer, likewise. */
bool systemd_triggers(struct systemd *sd, const char *unit, char ***units, struct error *err);
void systemd_free_list(char **paths);

enum systemd_action { SYSTEMD_START, SYSTEMD_RESTART, SYSTEMD_STOP };

/* Start, restart or stop UNIT and wait until its job is done, at most TIMEOUT_S seconds. */
bool systemd_run(struct systemd *sd, const char *unit, enum systemd_action action, int timeout_s,
                 struct error *err);

/* Make UNIT start at boot, or no longer. A unit that is so already is no error. */
bool systemd_enable(struct systemd *sd, const char *unit, struct error *err);
bool systemd_disable(struct systemd *sd, const char *unit, struct error *err);

/* Times are seconds since the epoch; 0: never. */
struct service_run {
    double since;     /* when it became active */
    double ended;     /* when its main process last ended */
    int exit_status;  /* of that process: an exit status, or the signal that ended it */
    char result[32];  /* "success", "exit-code", "signal", "timeout", … */
    char status[512]; /* what it last said of itself (STATUS=), or "" */
};

struct timer_times {
    double next; /* when it will start its service */
    double last; /* when it last did */
};

/* More of a service, or of a timer; what is not known stays 0 or "". */
bool systemd_service(struct systemd *sd, const char *unit, struct service_run *state,
                     struct error *err);
bool systemd_timer(struct systemd *sd, const char *unit, struct timer_times *state,
                   struct error *err);

/* Make the manager read its unit files again. */
bool systemd_reload(struct systemd *sd, struct error *err);

/*
 * The last COUNT lines of UNIT in the journal not older than SECONDS (0: any age), oldest first,
 * as an array of {"time": seconds, "program", "text"}. The caller owns *LINES.
 *
 * Also those of root's that say they are PROGRAM's (may be NULL) and of no other unit: a process
 * that ends as soon as it has said why is often gone before journald, on a busy host, can look up
 * which unit it was of.
 */
bool systemd_journal(const char *unit, const char *program, int count, int seconds, json_t **lines,
                     struct error *err);

/* Tell the supervisor STATE ("READY=1"); nothing happens where none listens. */
void systemd_notify(const char *state);

#endif
