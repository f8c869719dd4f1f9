/*
 * conf_merge - what a file in krb5's profile syntax must say, merged into one that is there.
 *
 * What the file says is asked of libprofile, includes and all; its text is kept, comments too:
 * missing relations are appended, and relations that must go are turned into comments. The result
 * is read by libprofile again before it is given out.
 */
#ifndef AGENT_CONF_MERGE_H
#define AGENT_CONF_MERGE_H

#include "agent/enroll/conf_wanted.h"
#include "common/base/buffers.h"
#include "common/base/errors.h"

#include <jansson.h>
#include <stdbool.h>

enum conf_result {
    CONF_SAME,     /* it says all of it already */
    CONF_NEW,      /* there is no such file yet */
    CONF_MERGED,   /* the text has what was missing */
    CONF_CONFLICT, /* it contradicts: no text */
};

struct conf_plan {
    enum conf_result result;
    struct buffer text;  /* the whole file, for CONF_NEW and CONF_MERGED */
    json_t *differences; /* [{"relation", "here": […], "bundle": […], "action"}], action being
                            "add", "keep", "replace" or "conflict" */
};

/* Release what is in PLAN (which may be zeroed, or a failed one's). */
void conf_plan_free(struct conf_plan *plan);

/* Write WANTED in the profile's syntax behind TEXT. */
void conf_render(const struct conf_wanted *wanted, struct buffer *text);

/*
 * Plan the merge of WANTED into file PATH. With REPLACE a conflict is no conflict: the relation is
 * commented out, and ours added. Without a file PLAN->text is the rendered WANTED. Errors: a file
 * that cannot be read or parsed; a relation of an included file that would have to go. PLAN is
 * initialised here, and freed by the caller in any case.
 */
bool conf_merge(const char *path, const struct conf_wanted *wanted, bool replace,
                struct conf_plan *plan, struct error *err);

#endif
