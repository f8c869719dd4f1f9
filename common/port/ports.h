/*
 * ports - could kpropd have its port, and if not, who holds it?
 *
 * The question is asked exactly as kpropd asks it; the holders are found even where netstat, lsof
 * and ss show nothing, because a socket that is bound and does not listen is in none of the tables
 * that these read.
 */
#ifndef KPC_PORTS_H
#define KPC_PORTS_H

#include "common/base/errors.h"
#include "common/host/process.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PORTS_SERVICE "krb5_prop"

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

/*
 * The port of TEXT: a service name, a number, or NULL for kpropd's own (krb5_prop). getservbyname
 * decides, as it does for kprop and kpropd. ERROR_USAGE for what is neither; ERROR_INTERNAL if
 * krb5_prop is missing, which stops kprop and kpropd as well.
 */
bool ports_resolve(const char *text, struct port_spec *spec, struct error *err);

/*
 * Could kpropd bind? As kpropd does it: the wildcard address, IPv6 if it can be had and then for
 * both families, SO_REUSEADDR. Bound for some microseconds and never put into listening: where
 * bind() works listen() does too (it repeats the same test), and a probe that listened would make a
 * kpropd fail that starts in the same moment. *BIND_ERRNO is 0 if it could, else why not; EACCES
 * means that we may not ask. False if there is no socket to be had at all.
 */
bool ports_probe(const struct port_spec *spec, int *bind_errno, struct error *err);

/*
 * Probe, and look for the holders. *OUT is to be freed with ports_report_free. ERROR_INTERNAL if it
 * could not be found out, or the forced way does not exist on this kernel.
 */
bool ports_examine(const struct port_spec *spec, const struct ports_options *options,
                   struct port_report **out, struct error *err);
void ports_report_free(struct port_report *report);

/* Is there nothing to do before kpropd serves: it could bind, or it (or an activator) has it? */
bool ports_ready(const struct port_report *report);

/* The first holder that stands in the way, of KIND or (negative) of any; NULL if none. */
const struct port_holder *ports_obstacle(const struct port_report *report, int kind);

/* What is to be done next, a sentence without a full stop. */
const char *ports_advice(const struct port_report *report);

/* The JSON object of docs/protocol.md, verb port. NULL if memory ran out. */
json_t *ports_json(const struct port_report *report);

/* "listening", "bound", or the TCP state as netstat calls it. */
const char *ports_state_name(uint8_t tcp_state);
const char *ports_kind_name(enum port_kind kind);
const char *ports_way_name(enum ports_way way);

/* False if TEXT names no way. */
bool ports_way_from(const char *text, enum ports_way *way);

#endif
