/*
 * settings - what agent.conf says, with the defaults of everything it does not say.
 */
#ifndef KPC_AGENT_SETTINGS_H
#define KPC_AGENT_SETTINGS_H

#include "common/base/errors.h"

#include <stdbool.h>
#include <stdint.h>

/* What the loader does with a dump that nobody announced, once it knows a verified load. */
enum unannounced { UNANNOUNCED_REFUSE, UNANNOUNCED_ACCEPT };

/* What the daemon counts, for whom it asks. */
struct daemon_load {
    unsigned descriptors_needed; /* with as many connections and verbs as it takes at once */
    uint64_t turned_away;        /* connections ended or refused since there were too many */
    double turned_away_at;       /* the last time, seconds since the epoch; 0: never */
};

struct settings {
    int port;          /* to listen on, all addresses of both families; 4373 */
    char *acl;         /* file of those who may change and read; NULL: the primary's host alone */
    char *acl_read;    /* file of those who may read as well; NULL: nobody more */
    char *keytab;      /* file with the key of host/; NULL: the system's default keytab */
    char *names;       /* words: what this host is called besides its own name, or NULL */
    char *realms;      /* words: realms that it serves besides those that its files show, or NULL */
    char *state;       /* folder for what must survive, /var/lib/kpropctl-agent */
    char *runtime;     /* folder for the change lock, /run/kpropctl-agent */
    int kpropd_port;   /* of kpropd; 0: what the services file says of krb5_prop */
    char *kpropd_unit; /* kpropd's unit; NULL: the one that Debian's or RHEL's package brings */
    bool supervise;    /* run and watch the default realm's kpropd ourselves; false */
    int unannounced;   /* enum unannounced; UNANNOUNCED_REFUSE */
    char *file;        /* that all this was read from; NULL: the default file */
    char *portreserve; /* folder with portreserve's files, /etc/portreserve */
    const struct daemon_load *load; /* of the daemon whose settings these are, or NULL */
};

/*
 * Fill S from FILE, or where FILE is NULL from the default file if that exists. On failure S is
 * empty and ERR (ERROR_USAGE) names file and key. The caller frees S with settings_free.
 */
bool settings_read(struct settings *s, const char *file, struct error *err);

/*
 * What the file of BASE says for REALM: its subsection on top of all others. On failure S is empty.
 * The caller frees S with settings_free.
 */
bool settings_of_realm(const struct settings *base, const char *realm, struct settings *s,
                       struct error *err);

/* Release what S holds; S is empty afterwards. */
void settings_free(struct settings *s);

#endif
