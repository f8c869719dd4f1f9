/*
 * own_names - what this host is called, by what is on this host alone: no name is asked of a
 * resolver, which may lie, or wait.
 */
#ifndef KPC_AGENT_OWN_NAMES_H
#define KPC_AGENT_OWN_NAMES_H

#include "common/base/errors.h"

#include <stdbool.h>
#include <stddef.h>

/* The files that are read: who keeps names looks whether these have changed. */
#define OWN_NAMES_HOSTS "/etc/hosts"
#define OWN_NAMES_RESOLV "/etc/resolv.conf"

enum { OWN_NAMES_MAX = 64, OWN_NAME_SIZE = 256 };

struct own_names {
    char list[OWN_NAMES_MAX][OWN_NAME_SIZE];
    size_t count;
};

/*
 * The names of a host whose system calls it HOSTNAME: that; all names in the lines of HOSTS
 * (hosts(5)) that hold it; if it has no dot, it in each domain that RESOLV (resolv.conf(5))
 * searches; and MORE (words, or NULL). What names the loopback alone is none. The texts may be "".
 */
void own_names_gather(const char *hostname, const char *hosts, const char *resolv, const char *more,
                      struct own_names *names);

/* The same of this host as it is now. A file that cannot be read says nothing. */
void own_names_read(const char *more, struct own_names *names);

/* Is NAME (LEN bytes) one of them, in whatever case? */
bool own_names_has(const struct own_names *names, const char *name, size_t len);

/* Is WORD one of LIST's words, which commas or blanks part? NULL is a list of none. */
bool own_names_listed(const char *list, const char *word);

#endif
