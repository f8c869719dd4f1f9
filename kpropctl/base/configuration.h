/*
 * configuration - kpropctl.conf(5): section [kpropctl] of /etc/kpropctl/kpropctl.conf.
 */
#ifndef KPC_CONFIGURATION_H
#define KPC_CONFIGURATION_H

#include "common/base/errors.h"

#include <stdbool.h>

struct configuration {
    char *state_dir;   /* state database and, in dump/, the dumps of a run */
    char *runtime_dir; /* locks, our credential cache */
    char *kprop;       /* NULL: found in the usual folders */
    char *kdb5_util;   /* likewise */
    char *keytab;      /* NULL: the default keytab */
    char *state_group; /* may read the state database; NULL: root alone */
    int port;          /* of kpropd, for this realm; 0: what the services file says of krb5_prop */
    int agent_port;
    int connect_timeout; /* seconds until a host that does not answer is given up */
    int timeout;         /* seconds for one transfer; 0: derived from the size of the dump */
    int max_clock_skew;  /* seconds */
    int shrink_limit;    /* percent fewer principals or policies than last time that is too much */
    int unlocked_dump;   /* MiB: a db2 database of this size or more is dumped without holding its
                            lock throughout; 0: never */
    int parallel;        /* hosts served at once */
    int retries;         /* of what can pass by itself */
    int retry_delay;     /* seconds before the first retry, doubled each time */
    int digest_interval; /* seconds after which the digest of a replica that was written to (by
                            logins) is compared again though nothing was sent; 0: in each run */
    int ticket_interval; /* seconds between two AS exchanges with one replica; 0: in each run */
    int keep_history;    /* days; 0: for ever */
    int age_warning;     /* seconds since the last verified propagation, for health checks */
    int age_critical;
    char *check_keytab;   /* credentials of health checks that do not run as root, or NULL */
    char *check_ccache;   /* likewise; counts before the keytab */
    char *on_event;       /* program to be run when a replica's state changes, or NULL */
    char *on_event_user;  /* as whom; NULL: nobody */
    int on_event_timeout; /* seconds that it may take */
    bool wait;            /* a second run of a realm waits for the first; else it leaves */
    int watch_settle;     /* seconds from a change to the propagation that `watch` starts for it */
    int watch_interval;   /* seconds at least between two of these */
};

#define CONFIGURATION_FILE KPC_SYSCONFDIR "/kpropctl.conf"

/* Defaults, then FILE (NULL: CONFIGURATION_FILE, which may be missing). Errors are ERROR_USAGE. */
bool configuration_load(const char *file, struct configuration *configuration, struct error *err);

/* What FILE says of REALM instead, in its subsection. */
bool configuration_for_realm(const char *file, const char *realm,
                             struct configuration *configuration, struct error *err);
void configuration_free(struct configuration *configuration);

#endif
