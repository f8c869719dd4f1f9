/*
 * settings - what agent.conf says, with the defaults of everything it does not say.
 */
#ifndef KPC_AGENT_SETTINGS_H
#define KPC_AGENT_SETTINGS_H

#include "common/errors.h"

#include <stdbool.h>

struct settings {
    int port;          /* to listen on, all addresses of both families; 4373 */
    char *acl;         /* file of those who may change and read; NULL: the primary's host alone */
    char *acl_read;    /* file of those who may read as well; NULL: nobody more */
    char *keytab;      /* file with the key of host/; NULL: the system's default keytab */
    char *state;       /* folder for what must survive, /var/lib/kpropctl-agent */
    char *runtime;     /* folder for the change lock, /run/kpropctl-agent */
    char *portreserve; /* folder with portreserve's files, /etc/portreserve */
};

/*
 * Fill S from FILE, or where FILE is NULL from the default file if that exists. On failure S is
 * empty and ERR (ERROR_USAGE) names file and key. The caller frees S with settings_free.
 */
bool settings_read(struct settings *s, const char *file, struct error *err);

/* Release what S holds; S is empty afterwards. */
void settings_free(struct settings *s);

#endif
