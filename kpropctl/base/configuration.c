/* configuration - see configuration.h. */
#include "kpropctl/base/configuration.h"

#include "common/krb5/config.h"

#include <stdlib.h>
#include <string.h>

static const struct config_key keys[] = {
    { "state_dir", CONFIG_PATH, offsetof(struct configuration, state_dir), 0, 0 },
    { "runtime_dir", CONFIG_PATH, offsetof(struct configuration, runtime_dir), 0, 0 },
    { "kprop", CONFIG_PATH, offsetof(struct configuration, kprop), 0, 0 },
    { "kdb5_util", CONFIG_PATH, offsetof(struct configuration, kdb5_util), 0, 0 },
    { "keytab", CONFIG_PATH, offsetof(struct configuration, keytab), 0, 0 },
    { "port", CONFIG_INTEGER, offsetof(struct configuration, port), 1, 65535 },
    { "agent_port", CONFIG_INTEGER, offsetof(struct configuration, agent_port), 1, 65535 },
    { "connect_timeout", CONFIG_DURATION, offsetof(struct configuration, connect_timeout), 1,
      3600 },
    { "timeout", CONFIG_DURATION, offsetof(struct configuration, timeout), 0, 7 * 86400 },
    { "max_clock_skew", CONFIG_DURATION, offsetof(struct configuration, max_clock_skew), 1, 3600 },
    { "state_group", CONFIG_STRING, offsetof(struct configuration, state_group), 0, 0 },
    { "shrink_limit", CONFIG_INTEGER, offsetof(struct configuration, shrink_limit), 0, 100 },
    { "unlocked_dump", CONFIG_INTEGER, offsetof(struct configuration, unlocked_dump), 0, 1 << 20 },
    { "parallel", CONFIG_INTEGER, offsetof(struct configuration, parallel), 1, 1000 },
    { "retries", CONFIG_INTEGER, offsetof(struct configuration, retries), 0, 20 },
    { "retry_delay", CONFIG_DURATION, offsetof(struct configuration, retry_delay), 1, 3600 },
    { "digest_interval", CONFIG_DURATION, offsetof(struct configuration, digest_interval), 0,
      30 * 86400 },
    { "ticket_interval", CONFIG_DURATION, offsetof(struct configuration, ticket_interval), 0,
      30 * 86400 },
    { "keep_history", CONFIG_INTEGER, offsetof(struct configuration, keep_history), 0, 36500 },
    { "age_warning", CONFIG_DURATION, offsetof(struct configuration, age_warning), 1, 365 * 86400 },
    { "age_critical", CONFIG_DURATION, offsetof(struct configuration, age_critical), 1,
      365 * 86400 },
    { "check_keytab", CONFIG_PATH, offsetof(struct configuration, check_keytab), 0, 0 },
    { "check_ccache", CONFIG_STRING, offsetof(struct configuration, check_ccache), 0, 0 },
    { "on_event", CONFIG_PATH, offsetof(struct configuration, on_event), 0, 0 },
    { "on_event_user", CONFIG_STRING, offsetof(struct configuration, on_event_user), 0, 0 },
    { "on_event_timeout", CONFIG_DURATION, offsetof(struct configuration, on_event_timeout), 1,
      3600 },
    { "wait", CONFIG_BOOLEAN, offsetof(struct configuration, wait), 0, 0 },
    { "watch_settle", CONFIG_DURATION, offsetof(struct configuration, watch_settle), 0, 3600 },
    { "watch_interval", CONFIG_DURATION, offsetof(struct configuration, watch_interval), 0, 86400 },
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
    configuration->shrink_limit = 20;
    configuration->unlocked_dump = 256;
    configuration->parallel = 16;
    configuration->retries = 3;
    configuration->retry_delay = 2;
    configuration->on_event_timeout = 30;
    configuration->keep_history = 90;
    configuration->age_warning = 3600;
    configuration->age_critical = 4 * 3600;
    configuration->wait = true;
    configuration->watch_settle = 1;
    configuration->watch_interval = 30;
    if (configuration->state_dir == NULL || configuration->runtime_dir == NULL)
        return error_memory(err);
    return config_load(file != NULL ? file : CONFIGURATION_FILE, file != NULL, "kpropctl", keys,
                       configuration, err);
}

bool
configuration_for_realm(const char *file, const char *realm, struct configuration *configuration,
                        struct error *err)
{
    return config_load_realm(file != NULL ? file : CONFIGURATION_FILE, "kpropctl", realm, keys,
                             configuration, err);
}

void
configuration_free(struct configuration *configuration)
{
    config_free(keys, configuration);
}
