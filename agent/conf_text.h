/*
 * conf_text - the lines of a file in krb5's profile syntax, for conf_merge alone: where is a
 * relation, and turning it into a comment. (The syntax: krb5.conf(5); util/profile/prof_parse.c.)
 */
#ifndef AGENT_CONF_TEXT_H
#define AGENT_CONF_TEXT_H

#include "common/buffers.h"

#include <stdbool.h>
#include <stddef.h>

/* Is relation NAMES (section first, ended by NULL) to be commented out? */
typedef bool conf_drop_fn(void *arg, const char *const *names);

/*
 * Append LEN bytes of TEXT to OUT, with "# " before each line whose relation DROP answers true for.
 * A text that libprofile would not take comes out as it is.
 */
void conf_comment_out(const char *text, size_t len, conf_drop_fn *drop, void *arg,
                      struct buffer *out);

/* Does a line of TEXT include a file or folder, or name a module? */
bool conf_has_includes(const char *text, size_t len);

/* Append VALUE as it must stand behind "=", quoted if need be. */
void conf_add_value(struct buffer *out, const char *value);

#endif
