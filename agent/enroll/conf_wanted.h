/*
 * conf_wanted - relations of one profile (krb5.conf's syntax) that another file is to have, for
 * conf_merge.
 */
#ifndef AGENT_CONF_WANTED_H
#define AGENT_CONF_WANTED_H

#include "common/base/errors.h"

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

/*
 * Open LEN bytes of TEXT, called WHAT in errors, as a profile in memory. A text that includes
 * others or names a module is refused if LONE. Free with conf_close(*PROFILE, *FD).
 */
bool conf_open_text(const char *what, const char *text, size_t len, bool lone, profile_t *profile,
                    int *fd, struct error *err);
void conf_close(profile_t profile, int fd);

/* Add relation NAMES of PROFILE, if it has it. */
bool conf_want(struct conf_wanted *wanted, profile_t profile, const char *const *names,
               enum conf_rule rule, struct error *err);
void conf_wanted_free(struct conf_wanted *wanted);

/* Take the relations out of WANTED that DROP says so of. */
void conf_leave_out(struct conf_wanted *wanted, bool (*drop)(const struct conf_relation *relation));

/* libprofile's CODE for WHAT as an error. Returns false. */
bool conf_failed(const char *what, long code, struct error *err);

/* Of lists ended by NULL, or NULL: how many strings there are, and whether S is among them. */
size_t conf_count(char *const *list);
bool conf_has(char *const *list, const char *s);

#endif
