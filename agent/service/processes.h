/*
 * processes - what /proc tells of running programs: pid, options, listening sockets. (What a person
 * wants to know of one is in common/process.)
 */
#ifndef KPC_AGENT_PROCESSES_H
#define KPC_AGENT_PROCESSES_H

#include "common/base/buffers.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The names of all processes, as of one look at /proc: taken when first asked for. */
struct processes {
    bool read;
    struct buffer list;
};
void processes_init(struct processes *all);
void processes_free(struct processes *all);

/*
 * Pids of at most MAX processes of this network namespace whose program has one of
 * NAMES (/proc/PID/comm; ended by NULL); the number found.
 */
size_t processes_find(struct processes *all, const char *const *names, pid_t *pids, size_t max);

/*
 * True if PID has option OPTION ("-p") in its command line; its value (the next word, or what
 * follows in the same word) goes into VALUE.
 */
bool processes_option(pid_t pid, const char *option, char *value, size_t size);

/*
 * Does PID have a file mapped that it writes and shares with others (as the update log of
 * incremental propagation is)? False if it cannot be told. (A program's own data are private, and
 * what nscd shares is not written.)
 */
bool processes_shares_file(pid_t pid, bool *shares);

/*
 * What PID serves PORT with, in its own network namespace: TCP if it holds a TCP socket that
 * listens on it, and if UDP was asked about, a UDP socket bound to it.
 */
struct processes_serving {
    bool tcp, udp;
};
struct processes_serving processes_serve(pid_t pid, int port, bool udp);

#endif
