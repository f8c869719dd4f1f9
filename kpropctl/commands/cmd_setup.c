/* cmd_setup - kpropctl setup-slave HOST…: the walk over the table for each host, side by side. */
#include "kpropctl/commands/commands.h"
#include "kpropctl/run/run.h"
#include "kpropctl/schedule/schedule.h"
#include "kpropctl/schedule/setup_jobs.h"

#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

enum {
    OPTION_JSON = 256,
    OPTION_OVERWRITE,
    OPTION_ALLOW_SHRINK,
    OPTION_ACCEPT_TIMELINE,
    OPTION_NO_WAIT,
    OPTION_VIA,
    OPTION_STASH,
    OPTION_PACKAGE,
    OPTION_REPLACE,
    OPTION_RENEW_KEYS,
};

static const struct option options[] = {
    { "dry-run", no_argument, NULL, 'n' },
    { "json", no_argument, NULL, OPTION_JSON },
    { "overwrite", no_argument, NULL, OPTION_OVERWRITE },
    { "allow-shrink", no_argument, NULL, OPTION_ALLOW_SHRINK },
    { "accept-timeline", no_argument, NULL, OPTION_ACCEPT_TIMELINE },
    { "no-wait", no_argument, NULL, OPTION_NO_WAIT },
    { "via", required_argument, NULL, OPTION_VIA },
    { "with-stash", no_argument, NULL, OPTION_STASH },
    { "agent-package", required_argument, NULL, OPTION_PACKAGE },
    { "replace", no_argument, NULL, OPTION_REPLACE },
    { "renew-keys", no_argument, NULL, OPTION_RENEW_KEYS },
    { "yes", no_argument, NULL, 'y' },
    { NULL, 0, NULL, 0 },
};

static bool
parse(int argc, char **argv, struct run_request *request, const char **via, bool *yes)
{
    int option;

    while ((option = getopt_long(argc, argv, "ny", options, NULL)) != -1) {
        switch (option) {
        case 'n':
            request->dry_run = true;
            break;
        case 'y':
            *yes = true;
            break;
        case OPTION_JSON:
            request->backend = &output_json;
            break;
        case OPTION_OVERWRITE:
            request->overwrite = true;
            break;
        case OPTION_ALLOW_SHRINK:
            request->allow_shrink = true;
            break;
        case OPTION_ACCEPT_TIMELINE:
            request->accept_timeline = true;
            break;
        case OPTION_RENEW_KEYS:
            request->renew_keys = true;
            break;
        case OPTION_NO_WAIT:
            request->wait = false;
            break;
        case OPTION_VIA:
            *via = optarg;
            break;
        case OPTION_STASH:
            request->delivery.with_stash = true;
            break;
        case OPTION_PACKAGE:
            request->delivery.package = optarg;
            break;
        case OPTION_REPLACE:
            request->delivery.replace = true;
            break;
        default:
            return false;
        }
    }
    return true;
}

/* The way to bare hosts, and what goes along it. */
static bool
prepare_delivery(struct run_request *request, const char *via, struct error *err)
{
    struct delivery *delivery = &request->delivery;

    if (via == NULL) {
        if (delivery->package == NULL && !delivery->with_stash && !delivery->replace)
            return true;
        error_set(err, ERROR_USAGE, "setup-slave: %s is of no use without --via",
                  delivery->package != NULL ? "--agent-package"
                  : delivery->with_stash    ? "--with-stash"
                                            : "--replace");
        return error_hint(err, "say how to reach the host: --via 'ssh root@%%h'");
    }
    if (!via_new(via, &delivery->via, err))
        return false;
    if (request->count > 1 && !via_names_host(delivery->via)) {
        error_set(err, ERROR_USAGE, "--via: '%s' leads to the same host for all %zu", via,
                  request->count);
        return error_hint(err, "%%h stands for the host");
    }
    return delivery->package == NULL || delivery_check_package(delivery->package, err);
}

/* A replica that nothing propagates to grows old. */
static void
tell_schedule(const struct command_context *context)
{
    char text[512];

    if (schedule_hint(context->realm, text, sizeof(text)))
        printf("\n%s\n", text);
}

int
cmd_setup(struct command_context *context, int argc, char **argv, struct error *err)
{
    struct run_request request = {
        .context = context,
        .kind = WALK_SETUP,
        .reason = "setup",
        .backend = &output_text,
        .wait = context->configuration->wait,
    };
    const char *via = NULL;
    bool yes = false;
    int status;

    if (!parse(argc, argv, &request, &via, &yes))
        return ERROR_USAGE;
    request.hosts = argv + optind;
    request.count = (size_t)(argc - optind);
    if (request.count == 0) {
        error_set(err, ERROR_USAGE, "which host?");
        error_hint(err, "usage: kpropctl setup-slave [--dry-run] HOST...");
        return ERROR_USAGE;
    }
    if (!run_check_hosts(request.hosts, request.count, err))
        return ERROR_USAGE;
    status = prepare_delivery(&request, via, err) &&
                     setup_jobs_agree(context, request.hosts, request.count,
                                      request.dry_run ? ANSWER_NONE_NEEDED
                                      : yes           ? ANSWER_YES
                                                      : ANSWER_ASK,
                                      err)
                 ? run_walks(&request, err)
                 : err->code;
    via_free(request.delivery.via);
    if (status == 0 && !request.dry_run && request.backend == &output_text)
        tell_schedule(context);
    return status;
}
