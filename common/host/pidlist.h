/*
 * pidlist - in which order to look into processes: those of a control group, those with few
 * descriptors.
 */
#ifndef KPC_PIDLIST_H
#define KPC_PIDLIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct pid_item {
    pid_t pid;
    int64_t descriptors;
};

struct pid_list {
    struct pid_item *items;
    size_t count;
    size_t room;
};

void pid_list_free(struct pid_list *list);

/* Forget the pids, keep the memory. */
void pid_list_clear(struct pid_list *list);

/* False if memory ran out. */
bool pid_list_add(struct pid_list *list, pid_t pid);

/* Append every process of PROC (a descriptor of /proc). False if that is not possible. */
bool pid_list_all(struct pid_list *list, int proc);

/*
 * Append the processes of the control group whose id is CGROUP (as sock_diag tells it). False if it
 * is gone, out of view, or this host has no cgroup2.
 */
bool pid_list_cgroup(struct pid_list *list, uint64_t cgroup);

/*
 * Put those with few descriptors first: each costs as much as it has, so this finds one that may be
 * anywhere soonest. /proc/PID/fd tells their number since Linux 6.2; before, the order stays.
 */
void pid_list_sort(struct pid_list *list, int proc);

#endif
