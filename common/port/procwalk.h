/*
 * procwalk - sockets as /proc tells of them: in the tables of /proc/net, and as descriptors.
 *
 * The tables leave out a socket that is bound and does not listen; it is found as a descriptor
 * whose inode is in no table.
 */
#ifndef KPC_PROCWALK_H
#define KPC_PROCWALK_H

#include "common/base/errors.h"
#include "common/port/netlink.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A set of inode numbers, sorted once it is complete. */
struct inode_set {
    uint64_t *inodes;
    size_t count;
    size_t room;
};

void inode_set_free(struct inode_set *set);

/* False if memory ran out. */
bool inode_set_add(struct inode_set *set, uint64_t inode);
void inode_set_sort(struct inode_set *set);
bool inode_set_has(const struct inode_set *set, uint64_t inode);

/* What a walk saw, so that its result can be judged. */
struct walk_view {
    size_t processes; /* looked into */
    size_t closed;    /* not allowed to look into */
    size_t links;     /* descriptors read */
};

/*
 * Find the process that has each entry of LIST open (its inode), and set its pid_hint. Reads the
 * links of /proc/PID/fd, opens none of them, and stops as soon as all are found. Where to look
 * first: in process HINT (0: none), then in the socket's control group; processes with few
 * descriptors before those with many.
 */
void procwalk_owners(struct socket_list *list, pid_t hint, struct walk_view *view);

/*
 * One line of /proc/net/tcp or tcp6 (FAMILY), with or without its end. False if it is none, such as
 * the heading.
 */
bool procwalk_decode_line(const char *line, int family, struct socket_entry *entry);

/* The inode that a link of /proc/PID/fd names ("socket:[123]"), or 0. */
uint64_t procwalk_decode_link(const char *link);

/* Append what has local port PORT in /proc/net/tcp and tcp6. False if these cannot be read. */
bool procwalk_tables(uint16_t port, struct socket_list *list, struct error *err);

/*
 * Append the sockets that are bound to PORT and in no table of /proc/net: of processes in any
 * network namespace, where the descriptor can be duplicated (pidfd_getfd, Linux 5.6), kept only if
 * the socket itself is in ours. False with errno left (ENOSYS, EPERM) if that cannot be done here.
 */
bool procwalk_hidden_by_pidfd(uint16_t port, struct socket_list *list, struct walk_view *view,
                              struct error *err);

/*
 * Append the TCP sockets that are in no table, of processes in our network namespace: each of them
 * is bound somewhere or not at all, which cannot be told, so they are marked unsure.
 */
bool procwalk_hidden(struct socket_list *list, struct walk_view *view, struct error *err);

#endif
