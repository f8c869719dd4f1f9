/*
 * kpropd - what the agent does to the services of a replica: the verbs acl-add, use-loader,
 * release-loader, start-kpropd, stop-kpropd, start-kdc and logs.
 */
#ifndef KPC_AGENT_KPROPD_H
#define KPC_AGENT_KPROPD_H

#include "agent/base/verb.h"
#include "agent/service/kpropd_place.h"

/* Restart kpropd's unit once no load of REALM runs, and see it listen; REPLY is of a failure. */
bool kpropd_restart(struct systemd *sd, const char *realm, const struct kpropd_place *place,
                    struct service_state *state, json_t **reply, struct error *err);

verb_function kpropd_verb_acl_add;        /* REALM PRINCIPAL: {"changed", "file", "principal"} */
verb_function kpropd_verb_use_loader;     /* REALM: {"changed", "unit", "dropin", "restarted"} */
verb_function kpropd_verb_release_loader; /* REALM: the same, without the loader */
verb_function kpropd_verb_start;       /* REALM: {"changed", "unit", "pid", "listening", "port"} */
verb_function kpropd_verb_stop;        /* REALM: {"changed", "unit"} */
verb_function kpropd_verb_start_kdc;   /* REALM: the same of krb5kdc */
verb_function kpropd_verb_restart_kdc; /* REALM: {"changed", "unit"...}: anew, if it runs */
verb_function kpropd_verb_logs; /* [LINES]: {"kpropd": [{"time", "text"}…], "kdc", "agent"} */

#endif
