/*
 * activators - does inetd, xinetd or systemd listen on a port in order to start kpropd?
 *
 * Their configuration decides, not their name: the same daemon may hold the port for something
 * else.
 */
#ifndef KPC_ACTIVATORS_H
#define KPC_ACTIVATORS_H

#include "common/host/process.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is found of one port. */
struct activation {
    bool found;       /* something is configured for the port */
    bool kpropd;      /* and it is kpropd */
    char file[300];   /* the file, or the systemd unit, that says so */
    char server[300]; /* what is started */
};

/*
 * If process INFO is an activator, fill RESULT with what its configuration (below ROOT, NULL for
 * the host's own) has for PORT. False if it is no activator at all.
 */
bool activators_ask(const struct process_info *info, uint16_t port, const char *root,
                    struct activation *result);

/* What the text of an inetd.conf has for TCP port PORT; FILE is its name. */
void activators_parse_inetd(const char *text, size_t len, uint16_t port, const char *file,
                            struct activation *result);

/* The same of one xinetd file ("service X { … }"), without what it includes. */
void activators_parse_xinetd(const char *text, size_t len, uint16_t port, const char *file,
                             struct activation *result);

/*
 * The unit that systemd starts for a connection to PORT, from the text of
 * `systemctl show -p Id,Listen,Accept,Triggers *.socket`: into SOCKET_UNIT and SERVICE ("" if
 * none).
 */
void activators_parse_sockets(const char *text, uint16_t port, char *socket_unit,
                              size_t socket_size, char *service, size_t service_size);

#endif
