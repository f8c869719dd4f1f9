/* settings - see settings.h. */
#include "agent/settings.h"

#include <stdlib.h>
#include <string.h>

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
    (void)file;
    if (s->port == 0)
        s->port = 4373;
    if (set_default(&s->state, "/var/lib/kpropctl-agent", err) &&
        set_default(&s->runtime, "/run/kpropctl-agent", err) &&
        set_default(&s->portreserve, "/etc/portreserve", err))
        return true;
    settings_free(s);
    return false;
}

void
settings_free(struct settings *s)
{
    free(s->acl);
    free(s->acl_read);
    free(s->keytab);
    free(s->state);
    free(s->runtime);
    free(s->portreserve);
    memset(s, 0, sizeof(*s));
}
