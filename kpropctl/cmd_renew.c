/* cmd_renew - kpropctl renew HOST...: new keys for hosts, over the channel that the old ones
 * authenticate. */
#include "kpropctl/commands.h"
#include "kpropctl/run.h"

#include <getopt.h>
#include <unistd.h>

enum { OPTION_JSON = 256, OPTION_FINISH, OPTION_FORCE, OPTION_NO_WAIT };

static const struct option options[] = {
    { "dry-run", no_argument, NULL, 'n' },
    { "json", no_argument, NULL, OPTION_JSON },
    { "finish", no_argument, NULL, OPTION_FINISH },
    { "force", no_argument, NULL, OPTION_FORCE },
    { "no-wait", no_argument, NULL, OPTION_NO_WAIT },
    { NULL, 0, NULL, 0 },
};

static bool
take_option(int option, struct run_request *request)
{
    switch (option) {
    case 'n':
        request->dry_run = true;
        return true;
    case OPTION_JSON:
        request->backend = &output_json;
        return true;
    case OPTION_FINISH:
        request->kind = WALK_FINISH;
        return true;
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
    int option;

    while ((option = getopt_long(argc, argv, "n", options, NULL)) != -1) {
        if (!take_option(option, &request))
            return ERROR_USAGE;
    }
    request.hosts = argv + optind;
    request.count = (size_t)(argc - optind);
    if (request.force && request.kind != WALK_FINISH)
        error_set(err, ERROR_USAGE, "renew: --force is for --finish alone");
    else if (request.count == 0)
        error_set(err, ERROR_USAGE, "renew: which host?");
    else if (run_check_hosts(request.hosts, request.count, err))
        return run_walks(&request, err);
    return ERROR_USAGE;
}
