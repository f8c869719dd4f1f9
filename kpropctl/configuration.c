/* configuration - see configuration.h. */
#include "kpropctl/configuration.h"

#include "common/config.h"

#include <stdlib.h>
#include <string.h>

static const struct config_key keys[] = {
    { "state_dir", CONFIG_PATH, offsetof(struct configuration, state_dir), 0, 0 },
    { "runtime_dir", CONFIG_PATH, offsetof(struct configuration, runtime_dir), 0, 0 },
    { "kprop", CONFIG_PATH, offsetof(struct configuration, kprop), 0, 0 },
    { "kdb5_util", CONFIG_PATH, offsetof(struct configuration, kdb5_util), 0, 0 },
    { "keytab", CONFIG_PATH, offsetof(struct configuration, keytab), 0, 0 },
    { "agent_port", CONFIG_INTEGER, offsetof(struct configuration, agent_port), 1, 65535 },
    { "connect_timeout", CONFIG_DURATION, offsetof(struct configuration, connect_timeout), 1,
      3600 },
    { "timeout", CONFIG_DURATION, offsetof(struct configuration, timeout), 0, 7 * 86400 },
    { "max_clock_skew", CONFIG_DURATION, offsetof(struct configuration, max_clock_skew), 1, 3600 },
    { NULL, CONFIG_STRING, 0, 0, 0 },
};

bool
configuration_load(const char *file, struct configuration *configuration, struct error *err)
{
    memset(configuration, 0, sizeof(*configuration));
    configuration->state_dir = strdup("/var/lib/kpropctl");
    configuration->runtime_dir = strdup("/run/kpropctl");
    configuration->agent_port = 4373;
    configuration->connect_timeout = 10;
    configuration->max_clock_skew = 300;
    if (configuration->state_dir == NULL || configuration->runtime_dir == NULL)
        return error_memory(err);
    return config_load(file != NULL ? file : CONFIGURATION_FILE, file != NULL, "kpropctl", keys,
                       configuration, err);
}

void
configuration_free(struct configuration *configuration)
{
    config_free(keys, configuration);
}
