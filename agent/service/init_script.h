/*
 * init_script - a service on a host without systemd: its script in /etc/init.d, and the commands
 * that a person is to give. Nothing here runs them.
 */
#ifndef KPC_AGENT_INIT_SCRIPT_H
#define KPC_AGENT_INIT_SCRIPT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct init_script {
    char path[64];  /* "/etc/init.d/krb5-kdc" */
    char name[48];  /* "krb5-kdc" */
    bool enabled;   /* it is started at boot: rc2.d to rc5.d has a link that begins with S */
    bool was_there; /* it has links, but to stop it: it was disabled */
};

/* Find the first of NAMES (ended by NULL) below ROOT ("" for the host's own). False if there is
 * none, or systemd runs here. */
bool init_script_find(const char *root, const char *const *names, struct init_script *script);

/* "/etc/init.d/NAME start", and what makes it start at boot or no longer: update-rc.d on Debian,
 * chkconfig on old RHELs. */
void init_script_command(const struct init_script *script, const char *action, char *text,
                         size_t size);

/* {"path", "start", "stop", "enable", "disable"}, the last four commands. */
json_t *init_script_json(const struct init_script *script);

#endif
