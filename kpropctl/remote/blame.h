/*
 * blame - what keeps an agent from being had, where that is not what it seems to be.
 */
#ifndef KPC_BLAME_H
#define KPC_BLAME_H

#include "kpropctl/base/configuration.h"
#include "kpropctl/krb5/names.h"
#include "kpropctl/remote/remote.h"

/*
 * FAULT and ERR, why the agent of REPLICA is not to be had: where its only address is that of
 * another recorded replica, that is the cause, and ERR says so.
 */
void blame_address(const struct configuration *configuration, const char *realm,
                   const struct names *replica, enum remote_fault fault, struct error *err);

#endif
