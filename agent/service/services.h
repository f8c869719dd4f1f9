/*
 * services - kpropd, krb5kdc and kadmind on this host: which unit, which process, what it listens
 * on.
 */
#ifndef KPC_AGENT_SERVICES_H
#define KPC_AGENT_SERVICES_H

#include "agent/service/init_script.h"
#include "agent/service/processes.h"
#include "common/base/errors.h"
#include "common/host/systemd.h"

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

enum service { SERVICE_KPROPD, SERVICE_KDC, SERVICE_KADMIND };

struct service_state {
    const char *unit;          /* the unit's name, as this host calls it; NULL if it has none */
    struct unit_state state;   /* what systemd says of it; "enabled" is also an init script's */
    struct init_script script; /* without systemd; its path is "" if there is none */
    pid_t pid;                 /* its process: of the unit, else one started by hand; 0: none */
    bool by_hand;              /* the process is not the unit's */
    bool listening;            /* the process holds a socket that listens on the port asked about */
    bool tcp, udp;             /* such a socket of that kind */
    char command[1024];        /* the process's command line */
};

/*
 * See SERVICE with its PORT (0: none asked about) and its UNIT (NULL: the usual one; else the
 * service is one of several of its kind on this host, and the unit's name must live as long as S).
 * SD may be NULL where systemd is out of reach: then processes alone are seen.
 */
bool services_see(struct systemd *sd, enum service service, const char *unit, int port,
                  struct service_state *s, struct error *err);

/* The same, with processes looked for in ALL, for several services in one look at /proc. */
bool services_see_among(struct processes *all, struct systemd *sd, enum service service,
                        const char *unit, int port, struct service_state *s, struct error *err);

/* "kpropd", "krb5kdc", "kadmind". */
const char *services_name(enum service service);

/*
 * {"unit", "active", "enabled", "pid", "listening", "command", "init_script"}; a new object. Of
 * krb5kdc "listening" means UDP and TCP, and "udp" and "tcp" tell which of them.
 */
json_t *services_json(enum service service, const struct service_state *s);

/* Into ERR's hint: the last two of LINES (of systemd_journal) that the service itself wrote, not
 * systemd about it. The hint stays as it is if there are none. */
void services_hint_from_log(const json_t *lines, struct error *err);

/* True if it is enabled to start at boot. */
bool services_enabled(const struct service_state *s);

#endif
