/*
 * ports_hidden - on which addresses is a port held by something that no table shows?
 *
 * Found by trying: a bind to one address fails if that address, or the wildcard, is taken. What
 * known sockets explain is left out. Works on every kernel, needs no view of any process. Part of
 * ports.
 */
#ifndef KPC_PORTS_HIDDEN_H
#define KPC_PORTS_HIDDEN_H

#include "common/port/netlink.h"

enum { HIDDEN_MAX = 16 };

struct hidden_hold {
    int family;
    unsigned char address[16]; /* all zero: the wildcard */
};

/*
 * The holds on PORT that no entry of KNOWN (but the unsure ones) explains, at most HIDDEN_MAX into
 * HOLDS. Returns how many; 0 also where we are not allowed to bind PORT.
 */
size_t ports_hidden(uint16_t port, const struct socket_list *known, struct hidden_hold *holds);

#endif
