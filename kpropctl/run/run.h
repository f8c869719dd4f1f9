/*
 * run - one run of kpropctl over some replicas: the realm's lock, the dump they share, a walk for
 * each side by side, and the record of it all.
 */
#ifndef KPC_RUN_H
#define KPC_RUN_H

#include "common/base/errors.h"
#include "kpropctl/base/command_context.h"
#include "kpropctl/enroll/delivery.h"
#include "kpropctl/output/output.h"

struct run_request {
    const struct command_context *context;
    enum walk_kind kind;
    const char *reason; /* for the history: "setup", "propagate", "timer", … */
    const struct output_backend *backend;
    char *const *hosts;
    size_t count;
    bool dry_run;
    bool overwrite;
    bool accept_timeline;
    bool renew_keys;
    bool automatic; /* asked by a timer or a change of the database, for all hosts alike */
    bool force;
    bool without_agent;
    bool allow_shrink;
    int64_t rollback;         /* WALK_ROLLBACK: the generation to go back to */
    struct delivery delivery; /* WALK_SETUP: to bare hosts */
    bool wait;                /* for a run of the same realm that is at work; else leave */
};

/* Check COUNT host names from a command line: valid, and none twice. False is ERROR_USAGE. */
bool run_check_hosts(char *const *hosts, size_t count, struct error *err);

/* Do it. Returns the worst exit status; with ERR set if nothing could be begun. */
int run_walks(const struct run_request *request, struct error *err);

#endif
