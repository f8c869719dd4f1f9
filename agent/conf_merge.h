/*
 * conf_merge - what a file in krb5's profile syntax must say, merged into one that is there.
 *
 * What the file says is asked of libprofile, includes and all; its text is kept, comments too:
 * missing relations are appended, and relations that must go are turned into comments. The result
 * is read by libprofile again before it is given out.
 */
#ifndef AGENT_CONF_MERGE_H
#define AGENT_CONF_MERGE_H

#include "common/buffers.h"
#include "common/errors.h"

#include <jansson.h>
#include <profile.h>
#include <stdbool.h>
#include <stddef.h>

#define CONF_DEPTH 6 /* section, subsections and relation; deeper ones are refused */

/* When is a relation that is there good enough? */
enum conf_rule {
    CONF_SINGLE, /* if its first value is the same; another one is a conflict */
    CONF_YIELDS, /* likewise; another one is replaced, being nobody's choice */
    CONF_LIST,   /* if it has all values; some: the others are added; none: a conflict */
    CONF_OURS,   /* always: the host's own value stands */
};

/* A relation that must be there: [names[0]] names[1] { … = values }. */
struct conf_relation {
    char *names[CONF_DEPTH + 1]; /* ended by NULL */
    char **values;               /* at least one; ended by NULL */
    enum conf_rule rule;
};

struct conf_wanted {
    struct conf_relation *list;
    size_t count;
};

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

/*
 * Open LEN bytes of TEXT, called WHAT in errors, as a profile in memory. A text that includes
 * others or names a module is refused if LONE. Free with conf_close(*PROFILE, *FD).
 */
bool conf_open_text(const char *what, const char *text, size_t len, bool lone, profile_t *profile,
                    int *fd, struct error *err);
void conf_close(profile_t profile, int fd);

/* Add all relations of PROFILE below NAMES (ended by NULL), with subsections, each with the rule
 * that RULE_OF says for its own name. */
bool conf_want_below(struct conf_wanted *wanted, profile_t profile, const char *const *names,
                     enum conf_rule (*rule_of)(const char *relation), struct error *err);

/* Add relation NAMES of PROFILE, if it has it. */
bool conf_want(struct conf_wanted *wanted, profile_t profile, const char *const *names,
               enum conf_rule rule, struct error *err);
void conf_wanted_free(struct conf_wanted *wanted);

/* Take the relations out of WANTED that DROP says so of, by their own name and values. */
void conf_leave_out(struct conf_wanted *wanted,
                    bool (*drop)(const char *relation, char *const *values));

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
