/*
 * competitors - jobs of this host that propagate, or dump for it, without us: cron's tables and
 * folders, systemd's units, and the scripts that these call, one level deep.
 *
 * They are named, never touched. Everything is read within bounds, and only from regular files.
 */
#ifndef KPC_COMPETITORS_H
#define KPC_COMPETITORS_H

#include "common/base/errors.h"

#include <stdbool.h>
#include <stddef.h>

/* What a job runs, the worst for us last. */
enum job_kind {
    JOB_OTHER,
    JOB_OURS, /* kpropctl propagate */
    JOB_DUMP, /* kdb5_util dump, which may be a mere backup */
    JOB_KPROP
};

struct competitor {
    enum job_kind kind;
    char file[512]; /* where it is started from: "/etc/cron.d/kerberos" */
    unsigned line;
    char command[512]; /* that line's command, cleaned */
    char script[512];  /* the script with kprop in it, or "" if the line itself has it */
    unsigned script_line;
    char unit[256]; /* a systemd service, or "": it competes only if it, or its timer, is on */
};

struct competitors {
    struct competitor *items;
    size_t count;
    bool cut; /* there was more than is looked at: more may be there */
};

/* Look below folder ROOT ("" for this host's own). False only if out of memory. The caller frees
 * FOUND in every case. */
bool competitors_find(const char *root, struct competitors *found, struct error *err);
void competitors_free(struct competitors *found);

/* "kprop", "kdb5_util dump", "kpropctl propagate"; "" for JOB_OTHER. */
const char *job_name(enum job_kind kind);

/* What a line of shell runs, as far as its words tell. */
enum job_kind job_of_line(const char *line, size_t len);

/*
 * The command of one line of a crontab, WITH_USER where it has the column of the user (not in
 * users' own tables). NULL for blank lines, comments, settings and what is malformed; else it
 * points into LINE, and *COMMAND_LEN is its length.
 */
const char *crontab_command(const char *line, size_t len, bool with_user, size_t *command_len);

#endif
