/*
 * netlink - which TCP sockets have a given local port, asked of the kernel (NETLINK_SOCK_DIAG).
 *
 * This module has all use of libmnl. From Linux 6.8 the answer includes sockets that are bound and
 * do not listen, which no file of /proc/net shows; an older kernel leaves them out in silence.
 */
#ifndef KPC_NETLINK_H
#define KPC_NETLINK_H

#include "common/base/errors.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum {
    SOCKETS_MAX = 256,      /* entries kept of one port; the rest is only counted */
    SOCKET_STATE_BOUND = 7, /* TCP_CLOSE: a socket that has a port and neither listens nor talks */
    SOCKET_STATE_LISTEN = 10, /* TCP_LISTEN */
    SOCKET_STATE_TIME_WAIT = 6,
    SOCKET_STATE_ESTABLISHED = 1,
};

struct socket_entry {
    int family;            /* AF_INET or AF_INET6 */
    unsigned char src[16]; /* the first 4 bytes for AF_INET */
    unsigned char dst[16];
    uint16_t sport; /* host order */
    uint16_t dport;
    uint8_t state;     /* as in <netinet/tcp.h>; what is bound only is SOCKET_STATE_BOUND */
    uint32_t uid;      /* of the one who made it */
    uint64_t inode;    /* 0: no process has it open (TIME_WAIT, or an orphan) */
    uint64_t cgroup;   /* id of the control group it was made in (Linux 5.9), or 0 */
    uint32_t idle_ms;  /* of a connection: since the peer last sent anything (tcp_info), or 0 */
    uint32_t pid_hint; /* the process it was found in, or 0 */
    bool unsure;       /* it could be the one: its port is not known */
    bool placed;       /* of an unsure one: the address is known all the same */
    bool nameless;     /* only its address is known: found by trying, its uid is not known */
};

struct socket_list {
    struct socket_entry entries[SOCKETS_MAX];
    size_t count;
    size_t left_out; /* matched too, but did not fit */
};

/* Append ENTRY, unless its inode (other than 0) is there already. */
void socket_list_add(struct socket_list *list, const struct socket_entry *entry);

/*
 * Append the TCP sockets of this network namespace whose local port is PORT, IPv4 and IPv6. Needs
 * no privileges. ERROR_INTERNAL if the kernel does not answer (no sock_diag, no netlink).
 */
bool netlink_sockets(uint16_t port, struct socket_list *list, struct error *err);

/* Likewise those alone that listen: much cheaper, since the kernel's table of connections is large
 * and shared by all namespaces. */
bool netlink_listeners(uint16_t port, struct socket_list *list, struct error *err);

/* True if this kernel lists sockets that are bound only: tried with a socket of our own. */
bool netlink_shows_bound(void);

/*
 * Decode LEN bytes of a sock_diag answer (whole netlink messages), appending what has local port
 * PORT. For tests and fuzzers. False at a message that is malformed or is an error.
 */
bool netlink_decode(const void *data, size_t len, uint16_t port, struct socket_list *list);

#endif
