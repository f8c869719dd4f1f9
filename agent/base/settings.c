/* settings - see settings.h. */
#include "agent/base/settings.h"

#include "common/krb5/config.h"

#include <stdlib.h>
#include <string.h>

#define SECTION "kpropctl-agent"
#define DEFAULT_FILE KPC_SYSCONFDIR "/agent.conf"

/* In the order of enum unannounced. */
static const char *const unannounced[] = { "refuse", "accept", NULL };

static const struct config_key keys[] = {
    { "port", CONFIG_INTEGER, offsetof(struct settings, port), 1, 65535 },
    { "acl", CONFIG_PATH, offsetof(struct settings, acl), 0, 0 },
    { "acl_read", CONFIG_PATH, offsetof(struct settings, acl_read), 0, 0 },
    { "keytab", CONFIG_PATH, offsetof(struct settings, keytab), 0, 0 },
    { "names", CONFIG_WORDS, offsetof(struct settings, names), 0, 0 },
    { "realms", CONFIG_WORDS, offsetof(struct settings, realms), 0, 0 },
    { "state", CONFIG_PATH, offsetof(struct settings, state), 0, 0 },
    { "runtime", CONFIG_PATH, offsetof(struct settings, runtime), 0, 0 },
    { "kpropd_port", CONFIG_INTEGER, offsetof(struct settings, kpropd_port), 1, 65535 },
    { "kpropd_unit", CONFIG_STRING, offsetof(struct settings, kpropd_unit), 0, 0 },
    { "supervise", CONFIG_BOOLEAN, offsetof(struct settings, supervise), 0, 0 },
    { "portreserve", CONFIG_PATH, offsetof(struct settings, portreserve), 0, 0 },
    { "unannounced", CONFIG_CHOICE, offsetof(struct settings, unannounced), 0, 0, unannounced },
    { NULL },
};

/* A copy of VALUE into *FIELD, unless that is set. */
static bool
set_default(char **field, const char *value, struct error *err)
{
    if (*field == NULL)
        *field = strdup(value);
    return *field != NULL || error_memory(err);
}

bool
settings_read(struct settings *s, const char *file, struct error *err)
{
    memset(s, 0, sizeof(*s));
    s->port = 4373;
    if (file != NULL && (s->file = strdup(file)) == NULL)
        return error_memory(err);
    if (config_load(file == NULL ? DEFAULT_FILE : file, file != NULL, SECTION, keys, s, err) &&
        set_default(&s->state, "/var/lib/kpropctl-agent", err) &&
        set_default(&s->runtime, "/run/kpropctl-agent", err) &&
        set_default(&s->portreserve, "/etc/portreserve", err))
        return true;
    settings_free(s);
    return false;
}

bool
settings_of_realm(const struct settings *base, const char *realm, struct settings *s,
                  struct error *err)
{
    if (!settings_read(s, base->file, err))
        return false;
    if (config_load_realm(base->file == NULL ? DEFAULT_FILE : base->file, SECTION, realm, keys, s,
                          err))
        return true;
    settings_free(s);
    return false;
}

void
settings_free(struct settings *s)
{
    config_free(keys, s);
    free(s->file);
    memset(s, 0, sizeof(*s));
}
