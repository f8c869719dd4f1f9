/* kpropd_place - see kpropd_place.h. */
#include "agent/service/kpropd_place.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static int
services_port(void)
{
    struct servent *service = getservbyname("krb5_prop", "tcp");

    return service == NULL ? 0 : ntohs((uint16_t)service->s_port);
}

bool
kpropd_place(const struct settings *settings, const char *realm, struct kpropd_place *place,
             struct error *err)
{
    struct settings own;

    memset(place, 0, sizeof(*place));
    if (!settings_of_realm(settings, realm, &own, err))
        return false;
    place->port = own.kpropd_port != 0 ? own.kpropd_port : services_port();
    if (own.kpropd_unit != NULL)
        snprintf(place->unit, sizeof(place->unit), "%s", own.kpropd_unit);
    settings_free(&own);
    return true;
}

const char *
kpropd_unit(const struct kpropd_place *place)
{
    return place->unit[0] == '\0' ? NULL : place->unit;
}

bool
kpropd_see(struct systemd *sd, const struct kpropd_place *place, struct service_state *state,
           struct error *err)
{
    if (!services_see(sd, SERVICE_KPROPD, kpropd_unit(place), place->port, state, err))
        return false;
    if (state->unit != NULL)
        return true;
    if (place->unit[0] != '\0') {
        error_set(err, ERROR_FAILED, "cannot find kpropd's unit %s", place->unit);
        return error_hint(err, "Write it, or correct kpropd_unit in agent.conf");
    }
    error_set(err, ERROR_FAILED,
              "cannot find kpropd's unit: neither krb5-kpropd.service nor "
              "kprop.service is there");
    return error_hint(err, "Install the package krb5-kpropd (Debian) or krb5-server (RHEL)");
}
