/*
 * enroll_plan - what an enrolment would change on this host: a target for each file.
 */
#ifndef KPC_AGENT_ENROLL_PLAN_H
#define KPC_AGENT_ENROLL_PLAN_H

#include "agent/base/settings.h"
#include "common/base/buffers.h"
#include "common/base/errors.h"
#include "common/contract/bundle.h"

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

enum enroll_action {
    ENROLL_UNCHANGED,
    ENROLL_CREATE,
    ENROLL_MERGE,    /* what was there stays in it */
    ENROLL_REPLACE,  /* something that was there does not */
    ENROLL_CONFLICT, /* it would have to, and that was not asked for */
};

struct enroll_target {
    const char *what; /* "keytab", "krb5.conf", … */
    char path[PATH_MAX];
    enum enroll_action action;
    struct buffer content; /* of the new file; may be secret */
    char detail[512];      /* for people, or "" */
    json_t *differences;   /* of a configuration file, see conf_merge.h; or NULL */
    bool exists;
    struct stat seen; /* of the old file */
    mode_t mode, folder_mode;
    uid_t uid;
    gid_t gid;
    char backup[PATH_MAX]; /* set once it is installed, or "" */
};

enum { ENROLL_TARGETS = 12, ENROLL_LOCKS = 2 };

struct enroll_plan {
    struct enroll_target targets[ENROLL_TARGETS];
    size_t count;
    json_t *paths; /* as of enroll_paths_read, with the new configuration */
    char host_principal[1024];
    int locks[ENROLL_LOCKS]; /* of keytabs, held until enroll_plan_free or enroll_plan_unlock */
};

/*
 * Look at this host, and plan what BUNDLE needs there; nothing is written. REPLACE: what
 * contradicts it gives way. A conflict is no failure, but a target's action. Freed by the caller in
 * any case.
 */
bool enroll_plan_make(struct bundle *bundle, const struct settings *settings, bool replace,
                      struct enroll_plan *plan, struct error *err);

/* Let others write the keytabs again. */
void enroll_plan_unlock(struct enroll_plan *plan);

/* Release what is in PLAN, secrets overwritten. */
void enroll_plan_free(struct enroll_plan *plan);

/* How many targets have ACTION. */
size_t enroll_plan_count(const struct enroll_plan *plan, enum enroll_action action);

#endif
