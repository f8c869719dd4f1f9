/*
 * checks - the heart: one table of what must hold between a primary and a replica.
 *
 * A row knows how to see whether it holds, how to make it hold (some have no way), and what to tell
 * a person. setup-slave, its dry run and every health check are walks over this table, so they
 * cannot disagree.
 */
#ifndef KPC_CHECKS_H
#define KPC_CHECKS_H

#include "common/base/errors.h"
#include "common/contract/judge.h"
#include "common/krb5/realm.h"
#include "kpropctl/base/configuration.h"
#include "kpropctl/enroll/delivery.h"
#include "kpropctl/krb5/names.h"
#include "kpropctl/remote/remote.h"
#include "kpropctl/state/state.h"
#include "kpropctl/transfer/spool.h"

#include <jansson.h>
#include <stdbool.h>

enum level {
    LEVEL_OK,
    LEVEL_FIXED,
    LEVEL_WARNING,
    LEVEL_SKIPPED,
    LEVEL_FAILED,
    LEVEL_REFUSED,
    LEVEL_UNKNOWN, /* what matters most cannot be told: never good */
};

/* "ok", "fixed", "warning", "skipped", "failed", "refused", "unknown". */
const char *level_name(enum level level);
bool level_from_name(const char *name, enum level *level);

/* What is told of one row. */
struct step {
    const char *id;
    enum level level;
    bool mild;         /* what lacks is a warning to a health check, not critical */
    bool would;        /* in a dry run: this would be changed */
    int code;          /* of a failure: enum error_code, the exit status it leads to */
    char summary[512]; /* one line */
    char detail[4096]; /* more lines, such as the replica's own log; or "" */
    char hint[1024];   /* what to do; or "" */
};

/* What a walk tells while it goes on. */
struct walk_listener {
    void (*step)(void *closure, const struct step *step);
    void (*progress)(void *closure, const char *id, uint64_t done, uint64_t total, double seconds);
    void *closure;
};

/* What the table is walked for; a row names the walks that it takes part in. */
enum walk_kind {
    WALK_SETUP = 1,     /* make a replica: every row, and the content proven by its own digest */
    WALK_PROPAGATE = 2, /* keep one: what must hold for a transfer and its proof; goes on without
                           an agent, but then never says verified */
    WALK_CHECK = 8,     /* look at a replica: every row tells, nothing is changed */
    WALK_CHECK_PRIMARY = 16, /* the same of the primary itself */
    WALK_ROLLBACK = 4,       /* go back to a dump that a replica has kept, and prove that */
    WALK_RENEW = 32,         /* give a host a new key, beside the old one */
    WALK_STASH = 128,        /* bring a replica the primary's stash, and the database with it */
    WALK_FINISH = 64,        /* drop the old one once nothing needs it */
};

/* What is known of the replica's database against this primary's, the later ones being better. */
enum timeline {
    TIMELINE_UNTOLD,
    TIMELINE_KNOWN,    /* this host has recorded what was sent there last */
    TIMELINE_COMPARED, /* it has nothing that is newer */
    TIMELINE_GIVEN_UP, /* it has, and a person has said that it may go */
};

struct principals;

/* One walk for one replica: what it was asked, and what it has found out so far. */
struct walk {
    const struct configuration *configuration;
    const struct realm *realm;
    const char *host; /* as the user wrote it */
    enum walk_kind kind;
    bool automatic;          /* a timer or a change of the database asked, not a person */
    bool dry_run;            /* look, change nothing anywhere */
    const char *const *only; /* ids of the rows to tell, ended by NULL; NULL: all */
    bool force;              /* send even what the replica has already; drop keys too early */
    bool overwrite;          /* what the replica alone has may go */
    bool accept_timeline;    /* what a replica knows of a later state may go */
    bool without_agent;      /* a person says so: send without asking the agent */
    bool renew_keys;         /* stale keytabs may be given the current keys */
    unsigned older_key;      /* the version that the agent's keytab has instead; 0: the current */
    int64_t rollback;        /* the generation to go back to */
    struct spool *spool;
    size_t hosts;                    /* of this run */
    const struct delivery *delivery; /* what a bare host may be sent, and how; or NULL */
    const struct walk_listener *listener;

    double deadline; /* of a health check, by clock_monotonic: what may wait, ends before */
    bool dark;       /* the replica did not answer: it is not waited for as long again */
    struct names primary;
    struct names replica;
    struct state_memory memory; /* what is remembered of the replica, from row "name" on */
    bool memory_told;           /* the state database could be read */
    bool compare_digest;        /* a health check compares the digest, whatever it costs */
    const char *keytab;         /* with the key of: */
    char client[512];           /* the principal whose tickets are used */
    struct principals *principals;
    bool package_installed; /* row "enrolled" has done so: what its version is matters no more */
    struct remote *agent;
    enum remote_fault call_fault; /* of the last call */
    json_t *facts;                /* of the agent, or NULL when a change has outdated them */
    bool on_demand;         /* inetd or a socket unit starts kpropd there for each transfer, */
    bool port_told;         /* as far as the agent was asked: see rows_on_demand */
    double facts_skew;      /* seconds that the replica's clock is ahead */
    char damage[300];       /* why the live database there could not be read; or "" */
    enum timeline timeline; /* from row "role" or "timeline" on */
    int64_t greatest;       /* generation that the agent knew then */
    struct state_seen seen; /* what was compared, because this host had not recorded it */
    bool heard;             /* the others of this run can know it */
    struct spool_dump dump; /* what is to be on the replica; generation 0 before it is known */
    bool stash_told;        /* the replica has said whether its stash opens its database: */
    bool stash_opens;
    char stash_error[300];
    bool content_verified; /* the live database there has the dump's content: its digest was
                              compared now, or by its loader, and nobody has written it since */
    bool digested;         /* compared now, of a snapshot of the live database */
    bool loader_verified;  /* by the loader, in this walk */
    bool ticket_verified;  /* its KDC has issued a ticket, now or lately enough */
    bool ticketed;         /* now */
    bool sent;
    bool later_unknown; /* a dry run has met something it would have changed: what follows may
                           only be wrong because of that */
    bool incremental;   /* its kpropd fetches increments from kadmind: nothing of ours is for it, */
    bool left_alone;    /* and nobody asked for it by name: the walk ends, and that is well */
    bool blind;         /* a dry run can tell nothing of the replica: the walk ends */
    double transfer_seconds, load_seconds, verify_seconds;
};

enum check_needs {
    NEEDS_PRIVILEGE = 1, /* root: a health check as another user skips it */
    NEEDS_AGENT = 2,     /* the agent's word: a health check without it skips it */
    NEEDS_NAME = 4,      /* the replica's address, likewise */
    NEEDS_PRIMARY = 16,  /* a health check of a host that is none says nothing of the row */
    NEEDS_VIA = 8,       /* a way to a host without an agent: the row is not told without it */
};

struct check {
    const char *id;
    const char *title; /* what must hold, for lists */
    int walks;         /* enum walk_kind, together */
    int needs;         /* enum check_needs, together */
    /* Look. Fills the step's texts: where LACKING, summary says what lacks. */
    enum verdict (*see)(struct walk *walk, struct step *step);
    /* Make it hold; summary then says what was done. False with ERR. NULL: no way. */
    bool (*make)(struct walk *walk, struct step *step, struct error *err);
    const char *would; /* what make would do, behind "would ", for a dry run; or NULL */
    bool final;        /* what make returns is the proof: it is not seen again */
};

/* The table, in the order of the walk, ended by a NULL id. */
extern const struct check checks[];

/*
 * Walk the table: see, make it hold, see again; stop at the first row that cannot be made to hold.
 * Tells every row to the walk's listener. Returns the exit status (enum error_code).
 */
int checks_walk(struct walk *walk);

/* Is ID a row of a health check? */
bool checks_is_id(const char *id);

/* Release what a walk has opened. */
void walk_finish(struct walk *walk);

/* Texts of a step from a printf format, or from an error. */
void step_summary(struct step *step, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void step_detail(struct step *step, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void step_hint(struct step *step, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* What a judge of the facts has found, as it is. */
enum verdict step_judged(struct step *step, enum verdict verdict, const struct judgement *j);
void step_error(struct step *step, const struct error *err);

#endif
