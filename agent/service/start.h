/*
 * start - starts and stops the units of kpropd and krb5kdc, and sees that they do what they are
 * for.
 */
#ifndef KPC_AGENT_START_H
#define KPC_AGENT_START_H

#include "agent/service/services.h"

/* Run the unit of SERVICE by ACTION and see it listen on PORT, or REPLY and ERR say what its log
 * does. */
bool start_unit(struct systemd *sd, enum service service, int port, enum systemd_action action,
                struct service_state *state, json_t **reply, struct error *err);

/* Start and enable SERVICE unless it is so already; REPLY tells what is true then. */
bool bring_up(struct systemd *sd, enum service service, int port, struct service_state *state,
              json_t **reply, struct error *err);

/* May kpropd be started here? Not where kadmind runs, or will. */
bool refuse_on_primary(struct systemd *sd, struct error *err);

/* Stop and disable kpropd's unit: *REPLY is {"changed", "unit"}. The caller holds off loads. */
bool stop_unit(struct systemd *sd, const struct service_state *state, json_t **reply,
               struct error *err);

/* Start krb5kdc of REALM if it is enabled and does not run: *REPLY is {"running", "started"}. */
bool kpropd_revive_kdc(const char *realm, json_t **reply, struct error *err);

#endif
