/*
 * kpropd - what the agent does to the services of a replica: the verbs acl-add, use-loader,
 * release-loader, start-kpropd, stop-kpropd, start-kdc and logs.
 */
#ifndef KPC_AGENT_KPROPD_H
#define KPC_AGENT_KPROPD_H

#include "agent/base/verb.h"
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

/*
 * Whether kpropd uses our loader: *DROPIN if the unit's drop-in is written, *RUNNING if the process
 * of STATE was started with it.
 */
void kpropd_loader_state(const struct service_state *state, bool *dropin, bool *running);

/* See kpropd at PLACE; an error if this host has no unit for it. */
bool kpropd_see(struct systemd *sd, const struct kpropd_place *place, struct service_state *state,
                struct error *err);

/* Restart kpropd's unit once no load of REALM runs, and see it listen; REPLY is of a failure. */
bool kpropd_restart(struct systemd *sd, const char *realm, const struct kpropd_place *place,
                    struct service_state *state, json_t **reply, struct error *err);

/* Start krb5kdc of REALM if it is enabled and does not run: *REPLY is {"running", "started"}. */
bool kpropd_revive_kdc(const char *realm, json_t **reply, struct error *err);

verb_function kpropd_verb_acl_add;        /* REALM PRINCIPAL: {"changed", "file", "principal"} */
verb_function kpropd_verb_use_loader;     /* REALM: {"changed", "unit", "dropin", "restarted"} */
verb_function kpropd_verb_release_loader; /* REALM: the same, without the loader */
verb_function kpropd_verb_start;       /* REALM: {"changed", "unit", "pid", "listening", "port"} */
verb_function kpropd_verb_stop;        /* REALM: {"changed", "unit"} */
verb_function kpropd_verb_start_kdc;   /* REALM: the same of krb5kdc */
verb_function kpropd_verb_restart_kdc; /* REALM: {"changed", "unit"...}: anew, if it runs */
verb_function kpropd_verb_logs; /* [LINES]: {"kpropd": [{"time", "text"}…], "kdc", "agent"} */

#endif
