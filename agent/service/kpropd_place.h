/*
 * kpropd_place - which kpropd serves a realm: its unit and its port.
 */
#ifndef KPC_AGENT_KPROPD_PLACE_H
#define KPC_AGENT_KPROPD_PLACE_H

#include "agent/base/settings.h"
#include "agent/service/services.h"

/* Which kpropd serves a realm: a host may have several, each with a port and a unit of its own. */
struct kpropd_place {
    char unit[256]; /* "": the usual one */
    int port;       /* 0: the services file has no krb5_prop/tcp */
};

/* What agent.conf says of REALM's, else the usual one. ERROR_USAGE if the file is bad. */
bool kpropd_place(const struct settings *settings, const char *realm, struct kpropd_place *place,
                  struct error *err);

/* The unit's name for services_see. */
const char *kpropd_unit(const struct kpropd_place *place);

/* See kpropd at PLACE; an error if this host has no unit for it. */
bool kpropd_see(struct systemd *sd, const struct kpropd_place *place, struct service_state *state,
                struct error *err);

#endif
