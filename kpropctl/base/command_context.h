/*
 * command_context - what a command was called with, before any option of its own.
 */
#ifndef KPC_COMMAND_CONTEXT_H
#define KPC_COMMAND_CONTEXT_H

#include "common/krb5/realm.h"
#include "kpropctl/base/configuration.h"

struct command_context {
    struct configuration *configuration; /* with what it says of the realm, once that is loaded */
    const char *configuration_file;      /* -c, or NULL */
    const char *realm_name;              /* -r, or NULL for the default realm */
    struct realm *realm;                 /* loaded when the row says so, else NULL */
};

#endif
