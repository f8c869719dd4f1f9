/* cmd_propagate - kpropctl propagate [HOST…]: what a timer runs, and an administrator after a
 * change. */
#include "kpropctl/commands/commands.h"
#include "kpropctl/run/hosts.h"
#include "kpropctl/run/run.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    OPTION_JSON = 256,
    OPTION_FORCE,
    OPTION_ALLOW_SHRINK,
    OPTION_ACCEPT_TIMELINE,
    OPTION_NO_WAIT,
    OPTION_REASON,
    OPTION_WITHOUT_AGENT
};

static const struct option options[] = {
    { "quiet", no_argument, NULL, 'q' },
    { "verbose", no_argument, NULL, 'v' },
    { "json", no_argument, NULL, OPTION_JSON },
    { "force", no_argument, NULL, OPTION_FORCE },
    { "allow-shrink", no_argument, NULL, OPTION_ALLOW_SHRINK },
    { "accept-timeline", no_argument, NULL, OPTION_ACCEPT_TIMELINE },
    { "without-agent", no_argument, NULL, OPTION_WITHOUT_AGENT },
    { "no-wait", no_argument, NULL, OPTION_NO_WAIT },
    { "reason", required_argument, NULL, OPTION_REASON },
    { NULL, 0, NULL, 0 },
};

/* A word for the history and the lock file. */
static bool
take_reason(const char *word, struct run_request *request, struct error *err)
{
    static const char *const automatic[] = { "timer", "cron", "watch", NULL };
    size_t len = strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789-");

    if (len == 0 || len > 20 || word[len] != '\0')
        return error_set(err, ERROR_USAGE, "bad reason '%.40s': expected one lower-case word",
                         word);
    request->reason = word;
    for (const char *const *one = automatic; *one != NULL; one++)
        request->automatic = request->automatic || strcmp(word, *one) == 0;
    return true;
}

static bool
take_option(int option, struct run_request *request, struct error *err)
{
    switch (option) {
    case 'q':
        request->backend = &output_quiet;
        return true;
    case 'v':
        request->backend = &output_text;
        return true;
    case OPTION_JSON:
        request->backend = &output_json;
        return true;
    case OPTION_FORCE:
        request->force = true;
        return true;
    case OPTION_ALLOW_SHRINK:
        request->allow_shrink = true;
        return true;
    case OPTION_ACCEPT_TIMELINE:
        request->accept_timeline = true;
        return true;
    case OPTION_WITHOUT_AGENT:
        request->without_agent = true;
        return true;
    case OPTION_NO_WAIT:
        request->wait = false;
        return true;
    case OPTION_REASON:
        return take_reason(optarg, request, err);
    default:
        return false;
    }
}

int
cmd_propagate(struct command_context *context, int argc, char **argv, struct error *err)
{
    struct run_request request = {
        .context = context,
        .kind = WALK_PROPAGATE,
        .reason = "propagate",
        .backend = &output_brief,
        .wait = context->configuration->wait,
    };
    json_t *replicas = NULL;
    char **list = NULL;
    int option, status;

    while ((option = getopt_long(argc, argv, "qv", options, NULL)) != -1) {
        if (!take_option(option, &request, err))
            return ERROR_USAGE;
    }
    request.hosts = argv + optind;
    request.count = (size_t)(argc - optind);
    if (!run_check_hosts(request.hosts, request.count, err))
        return ERROR_USAGE;
    if (request.count == 0 && request.without_agent) {
        error_set(err, ERROR_USAGE, "--without-agent is for the hosts that are named with it");
        return ERROR_USAGE;
    }
    if (request.count == 0) {
        request.count = hosts_all(context, &replicas, &list, err);
        request.hosts = list;
    }
    status = request.count == 0 ? err->code : run_walks(&request, err);
    free(list);
    json_decref(replicas);
    return status;
}
