/*
 * loader_job - one load, as loader*.c hand it around.
 *
 * A load has two processes. The worker walks through the stages; the supervisor waits for it, and
 * if it dies (a signal, out of memory) finishes a promotion that was under way, tidies up, and
 * writes the outcome. They share this structure. So only the death of both at once leaves anything
 * for the next load.
 */
#ifndef KPC_AGENT_LOADER_JOB_H
#define KPC_AGENT_LOADER_JOB_H

#include "agent/load/announcement.h"
#include "agent/load/loader.h"
#include "common/kdb/database.h"
#include "common/kdb/dump.h"

#include <limits.h>
#include <sys/types.h>

enum { LOADER_LOCK_MS = 30 * 1000, LOADER_PROMOTE_MS = 60 * 1000, LOADER_HEADER_MAX = 200 };

/* The reading of the live database's lockout state beside the load. */
struct loader_lockout {
    pid_t reader; /* 0: none */
    bool read;    /* it is in a file, and "lockout" of the staging folder is its name */
    uint64_t saved;
    struct backend_identity identity; /* of the live database as read last */
    bool current;                     /* all of that is in the staged one */
    unsigned follows;                 /* times that it was written again before the promotion */
    bool failing;                     /* then with failed logins */
    double follow;                    /* seconds that it took to bring them in */
    struct error why;                 /* it could not be read */
};

struct loader_job {
    const struct loader_request *request;
    const struct backend *backend; /* NULL: unknown to us */
    char folder[PATH_MAX];         /* DATABASE.kpropctl */
    char staging_folder[PATH_MAX];
    char staging[PATH_MAX]; /* the database in it */
    char dump[PATH_MAX];    /* the dump, by a name that a new transfer cannot take away */
    bool linked;            /* it has that name: else DUMP is the request's file */
    char last_good[PATH_MAX];
    char previous_good[PATH_MAX];
    int lock;                /* of the file "loading" */
    struct outcome *outcome; /* shared by both processes */
    struct announcement announcement;
    struct dump_info info;
    struct loader_lockout lockout;
    pid_t supervisor;
    struct backend_identity before; /* of the live database when the load began; "" if none */
    bool looked;                    /* it is known */
};

/* Begin STAGE: tell the agent. */
void loader_stage(struct loader_job *job, const char *stage);

/* Add to the outcome's note. */
void loader_note(struct loader_job *job, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* What common/database wants to know of the database at PATH (the caller's). */
void loader_database(const struct loader_job *job, const char *path, struct database *db);

/* Remove everything in the staging folder; returns how many files there were. */
unsigned loader_clean(struct loader_job *job);

/* The worker: every stage from the dump to the promoted database. */
bool loader_work(struct loader_job *job, struct error *err);

/* Is the dump the announced one, or, without an announcement, a whole one? (stage "validate") */
bool loader_validate(struct loader_job *job, struct error *err);

/* The dump's first line. */
bool loader_header(const struct loader_job *job, char *line, size_t size, struct error *err);

/* The dump's hash into the outcome. */
bool loader_hash(struct loader_job *job, struct error *err);

/* Why a dump that nobody announced may be loaded. */
enum loader_admission {
    ADMITTED_RESYNC,        /* kadmind's, on a host that runs incrementally */
    ADMITTED_BY_ROOT,       /* accept-next */
    ADMITTED_NOTHING_KNOWN, /* no load was ever verified here */
    ADMITTED_BY_SETTING,    /* unannounced = accept */
};

/* kadmind's full resync: it comes unannounced, also while an announcement of another is pending. */
bool loader_is_resync(const struct loader_job *job);

/* May this dump be loaded though another one is announced? */
bool loader_admits_other(struct loader_job *job);

/* May it be loaded though none is? *HOW; false refuses, with the ways out. */
bool loader_admit(struct loader_job *job, enum loader_admission *how, struct error *err);

/* It is whole, and is going to be loaded: what admitted it is used up and told. */
bool loader_use_admission(struct loader_job *job, enum loader_admission how, struct error *err);

/* Run kdb5_util load into database PATH (stage "load"). */
bool loader_load(struct loader_job *job, const char *path, struct error *err);

/*
 * Carry the live database's lockout state over: begin to read it, before the load; then, after the
 * load, either put it into the staged database, with what has changed meanwhile, or drop it. What
 * cannot be carried is only noted; false when the staged database could not be loaded again.
 */
void loader_lockout_begin(struct loader_job *job);
bool loader_lockout_carry(struct loader_job *job, struct error *err);
void loader_lockout_drop(struct loader_job *job);

/* What the live database must still be for none of it to be lost by a promotion; NULL: that cannot
 * be told. */
const struct backend_identity *loader_lockout_expected(const struct loader_job *job);

/* It no longer was: put what has changed of failed logins into the staged database, too. False when
 * that is spoilt; what cannot be read is only noted. HELD: the caller holds the live one's lock. */
bool loader_lockout_follow(struct loader_job *job, struct error *err);
bool loader_lockout_follow_held(struct loader_job *job, struct error *err);

/*
 * The live update log of incremental propagation: begun anew (BEFORE the promotion, so that a crash
 * leads to a full resync), then set to the place in the dump's header, if it has one.
 */
bool loader_ulog(struct loader_job *job, bool before, struct error *err);

double loader_clock(void); /* seconds, monotonic */

#endif
