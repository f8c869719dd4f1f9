/*
 * configuration - kpropctl.conf(5): section [kpropctl] of /etc/kpropctl/kpropctl.conf.
 */
#ifndef KPC_CONFIGURATION_H
#define KPC_CONFIGURATION_H

#include "common/errors.h"

#include <stdbool.h>

struct configuration {
    char *state_dir;   /* state database and, in dump/, the dumps of a run */
    char *runtime_dir; /* locks, our credential cache */
    char *kprop;       /* NULL: found in the usual folders */
    char *kdb5_util;   /* likewise */
    char *keytab;      /* NULL: the default keytab */
    int agent_port;
    int connect_timeout; /* seconds until a host that does not answer is given up */
    int timeout;         /* seconds for one transfer; 0: derived from the size of the dump */
    int max_clock_skew;  /* seconds */
};

#define CONFIGURATION_FILE KPC_SYSCONFDIR "/kpropctl.conf"

/* Defaults, then FILE (NULL: CONFIGURATION_FILE, which may be missing). Errors are ERROR_USAGE. */
bool configuration_load(const char *file, struct configuration *configuration, struct error *err);
void configuration_free(struct configuration *configuration);

#endif
