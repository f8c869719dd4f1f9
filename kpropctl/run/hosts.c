/* hosts - see hosts.h. */
#include "kpropctl/run/hosts.h"

#include "kpropctl/state/roster.h"
#include "kpropctl/state/state.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* The replicas in the state database, or, where that is damaged or lost, those of the run before.
 */
static json_t *
find_replicas(const struct command_context *context, struct error *err)
{
    const char *dir = context->configuration->state_dir, *realm = context->realm->name;
    struct state *state = state_open(dir, NULL, true, err);
    json_t *replicas = state == NULL ? NULL : state_replicas(state, realm, err), *kept;

    state_close(state);
    if (json_array_size(replicas) > 0) {
        roster_keep(dir, realm, replicas);
        return replicas;
    }
    kept = roster_recall(dir, realm);
    if (kept == NULL)
        return replicas;
    fprintf(stderr, "kpropctl: %s; going by %s/%s.replicas\n",
            err->code != ERROR_NONE ? err->text : "the state database has lost the replicas", dir,
            realm);
    if (err->code == ERROR_NONE)
        fprintf(stderr, "kpropctl: 'kpropctl setup-slave HOST' records them again\n");
    error_clear(err);
    json_decref(replicas);
    return kept;
}

static void
no_replicas(const struct command_context *context, struct error *err)
{
    char why[sizeof(err->text)];

    snprintf(why, sizeof(why), "%s", err->text);
    error_set(err, ERROR_FAILED, "no replica of %s is known%s%s", context->realm->name,
              why[0] != '\0' ? ": " : "", why);
    error_hint(err, "make one with 'kpropctl setup-slave HOST', or name the hosts");
}

size_t
hosts_all(const struct command_context *context, json_t **replicas, char ***list, struct error *err)
{
    size_t index, count = 0;
    json_t *replica;

    *replicas = find_replicas(context, err);
    if (json_array_size(*replicas) == 0) {
        no_replicas(context, err);
        return 0;
    }
    *list = calloc(json_array_size(*replicas) + 1, sizeof(**list));
    if (*list == NULL) {
        error_memory(err);
        return 0;
    }
    json_array_foreach(*replicas, index, replica)(*list)[count++] =
        (char *)(uintptr_t)json_string_value(json_object_get(replica, "host"));
    return count;
}
