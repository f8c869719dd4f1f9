/*
 * conf_text - the lines of a file in krb5's profile syntax, for conf_merge alone: where is a
 * relation, turning it into a comment, and adding others to its section. (The syntax: krb5.conf(5);
 * util/profile/prof_parse.c.)
 */
#ifndef AGENT_CONF_TEXT_H
#define AGENT_CONF_TEXT_H

#include "common/base/buffers.h"

#include <stdbool.h>
#include <stddef.h>

/* Is relation NAMES (section first, ended by NULL) to be commented out? */
typedef bool conf_drop_fn(void *arg, const char *const *names);

/* The subsection NAMES (of a section, at least two names) is about to end: append to OUT what it is
 * to have besides, as lines. */
typedef void conf_insert_fn(void *arg, const char *const *names, struct buffer *out);

/*
 * Append LEN bytes of TEXT to OUT, with "# " before each line whose relation DROP answers true for,
 * and what INSERT adds before the end of each subsection. A text that libprofile would not take
 * comes out with its lines as they are.
 */
void conf_edit(const char *text, size_t len, conf_drop_fn *drop, conf_insert_fn *insert, void *arg,
               struct buffer *out);

/* Does a line of TEXT include a file or folder, or name a module? */
bool conf_has_includes(const char *text, size_t len);

/* Append VALUE as it must stand behind "=", quoted if need be. */
void conf_add_value(struct buffer *out, const char *value);

#endif
