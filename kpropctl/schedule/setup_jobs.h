/*
 * setup_jobs - before a host becomes a replica that refuses what nobody announced: which jobs of
 * this host send with kprop, and will fail from then on?
 */
#ifndef KPC_SETUP_JOBS_H
#define KPC_SETUP_JOBS_H

#include "kpropctl/base/command_context.h"
#include "kpropctl/schedule/competitors.h"

/* How the person has answered beforehand. */
enum setup_answer {
    ANSWER_ASK, /* on a terminal; without one it is refused */
    ANSWER_YES,
    ANSWER_NONE_NEEDED, /* nothing will be done: only tell */
};

/*
 * Tell of such jobs on standard error, with the command that turns each off, and ask whether to go
 * on. Nobody is asked where there are none, or where all COUNT HOSTS were verified before. False
 * with ERR (ERROR_REFUSED) if it is not to go on.
 */
bool setup_jobs_agree(const struct command_context *context, char *const *hosts, size_t count,
                      enum setup_answer answer, struct error *err);

/* The command that turns JOB off, into TEXT, which it returns. */
char *setup_jobs_command(const struct competitor *job, char *text, size_t size);

#endif
