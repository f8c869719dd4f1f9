/*
 * report - what is known of a port: who holds it, and whether kpropd could have it.
 */
#ifndef KPC_PORT_REPORT_H
#define KPC_PORT_REPORT_H

#include "common/host/process.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PORTS_HOLDERS_MAX = 32 };

struct port_spec {
    uint16_t port;
    char service[64]; /* as asked for, or as the services file calls it; "" if it has no name */
};

/* How the holders are looked for. Each is tried when the one before it cannot see them. */
enum ports_way {
    PORTS_AUTO,
    PORTS_DIAG,        /* "sock_diag": the kernel lists bound sockets too (Linux 6.8) */
    PORTS_PIDFD,       /* "pidfd": /proc, and descriptors duplicated to ask their address (5.6) */
    PORTS_PROC,        /* "proc": /proc alone, where a bound socket shows only by its absence */
    PORTS_PORTRESERVE, /* "portreserve": its own files and its pid file */
};

enum ports_usable { PORTS_HELD, PORTS_USABLE, PORTS_UNKNOWN };
enum ports_sure { PORTS_CERTAIN, PORTS_LIKELY, PORTS_GUESS };

enum port_kind {
    PORT_KPROPD,      /* kpropd itself, or a connection it serves */
    PORT_ACTIVATOR,   /* inetd, xinetd or systemd, set up to start kpropd */
    PORT_RESERVATION, /* portreserve */
    PORT_CONNECTION,  /* a connection that has it as its local port, or what is left of one */
    PORT_OTHER,
};

struct ports_options {
    enum ports_way way;      /* PORTS_AUTO unless forced */
    const char *root;        /* where /etc and /var/run are, for tests; NULL for the host's own */
    const char *portreserve; /* its folder, NULL: /etc/portreserve */
};

struct port_holder {
    enum port_kind kind;
    uint8_t tcp_state;       /* as in <netinet/tcp.h>; 7 is bound */
    bool obstacle;           /* kpropd cannot bind because of it */
    char address[64];        /* "0.0.0.0", "::1"; "" if not known */
    char peer[80];           /* "192.0.2.1:2049" of a connection, else "" */
    struct process_info who; /* pid 0 if it is out of view; uid -1 if not known */
    uint64_t inode;          /* 0 if none */
    char file[300];          /* of a reservation or an activator: the file that makes it one */
    char release[256];       /* of a reservation: the name that releases it, "" if there is none */
    char note[512];          /* what is peculiar about it, "" if nothing */
    char advice[512];        /* what to do about it, a sentence without a full stop */
};

struct port_report {
    struct port_spec spec;
    enum ports_usable usable;
    enum ports_way way; /* the one that answered */
    enum ports_sure sure;
    bool privileged; /* could look into other users' processes */
    int bind_errno;  /* why kpropd could not bind, 0 if it could */
    struct port_holder holders[PORTS_HOLDERS_MAX];
    size_t count;
    size_t left_out;   /* more holders than fit */
    size_t finished;   /* TIME_WAIT leftovers, which are told as one holder */
    char warning[512]; /* what releasing the reservation would cost, "" if nothing */
    char note[256];    /* what could not be looked at, "" if nothing */
};

/* NULL is fine. */
void ports_report_free(struct port_report *report);

/* Is there nothing to do before kpropd serves: it could bind, or it (or an activator) has it? */
bool ports_ready(const struct port_report *report);

/* The first holder that stands in the way, of KIND or (negative) of any; NULL if none. */
const struct port_holder *ports_obstacle(const struct port_report *report, int kind);

const char *ports_way_name(enum ports_way way);

/* False if TEXT names no way. */
bool ports_way_from(const char *text, enum ports_way *way);

#endif
