/* cmd_renew - kpropctl renew HOST...: new keys for hosts, or a new stash, over the channel that
 * the old ones authenticate. */
#include "kpropctl/commands/commands.h"
#include "kpropctl/run/hosts.h"
#include "kpropctl/run/run.h"

#include <getopt.h>
#include <stdlib.h>
#include <unistd.h>

enum { OPTION_JSON = 256, OPTION_FINISH, OPTION_FORCE, OPTION_NO_WAIT, OPTION_STASH };

static const struct option options[] = {
    { "dry-run", no_argument, NULL, 'n' },
    { "json", no_argument, NULL, OPTION_JSON },
    { "finish", no_argument, NULL, OPTION_FINISH },
    { "force", no_argument, NULL, OPTION_FORCE },
    { "no-wait", no_argument, NULL, OPTION_NO_WAIT },
    { "stash", no_argument, NULL, OPTION_STASH },
    { NULL, 0, NULL, 0 },
};

/* Instead of a new key; only one such at a time. */
static bool
take_kind(enum walk_kind kind, struct run_request *request, struct error *err)
{
    if (request->kind != WALK_RENEW && request->kind != kind)
        return error_set(err, ERROR_USAGE, "renew: either --finish or --stash");
    request->kind = kind;
    return true;
}

static bool
take_option(int option, struct run_request *request, struct error *err)
{
    switch (option) {
    case OPTION_STASH:
        return take_kind(WALK_STASH, request, err);
    case 'n':
        request->dry_run = true;
        return true;
    case OPTION_JSON:
        request->backend = &output_json;
        return true;
    case OPTION_FINISH:
        return take_kind(WALK_FINISH, request, err);
    case OPTION_FORCE:
        request->force = true;
        return true;
    case OPTION_NO_WAIT:
        request->wait = false;
        return true;
    default:
        return false;
    }
}

int
cmd_renew(struct command_context *context, int argc, char **argv, struct error *err)
{
    struct run_request request = {
        .context = context,
        .kind = WALK_RENEW,
        .reason = "renew",
        .backend = &output_text,
        .wait = context->configuration->wait,
    };
    json_t *replicas = NULL;
    char **list = NULL;
    int option, status;

    while ((option = getopt_long(argc, argv, "n", options, NULL)) != -1) {
        if (!take_option(option, &request, err))
            return ERROR_USAGE;
    }
    request.hosts = argv + optind;
    request.count = (size_t)(argc - optind);
    if (request.force && request.kind != WALK_FINISH) {
        error_set(err, ERROR_USAGE, "renew: --force is for --finish alone");
        return ERROR_USAGE;
    }
    if (request.count == 0 && request.kind != WALK_STASH) {
        error_set(err, ERROR_USAGE, "renew: which host?");
        return ERROR_USAGE;
    }
    if (!run_check_hosts(request.hosts, request.count, err))
        return ERROR_USAGE;
    if (request.count == 0) {
        request.count = hosts_all(context, &replicas, &list, err);
        request.hosts = list;
    }
    status = request.count == 0 ? err->code : run_walks(&request, err);
    free(list);
    json_decref(replicas);
    return status;
}
