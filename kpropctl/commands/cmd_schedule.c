/* cmd_schedule - kpropctl schedule: what propagates by itself, and turning that on and off. */
#include "kpropctl/commands/commands.h"
#include "kpropctl/krb5/primary.h"
#include "kpropctl/krb5/principals.h"
#include "kpropctl/schedule/schedule.h"

#include <getopt.h>
#include <stdlib.h>
#include <unistd.h>

enum { OPTION_ENABLE = 256, OPTION_DISABLE, OPTION_WATCH, OPTION_TIMER, OPTION_BOTH, OPTION_JSON };

static const struct option options[] = {
    { "enable", no_argument, NULL, OPTION_ENABLE },
    { "disable", no_argument, NULL, OPTION_DISABLE },
    { "watch", no_argument, NULL, OPTION_WATCH },
    { "timer", no_argument, NULL, OPTION_TIMER },
    { "both", no_argument, NULL, OPTION_BOTH },
    { "json", no_argument, NULL, OPTION_JSON },
    { NULL, 0, NULL, 0 },
};

struct request {
    bool enable;
    bool disable;
    int which; /* SCHEDULE_*; 0: not said */
    bool json;
};

static bool
read_options(int argc, char **argv, struct request *request, struct error *err)
{
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case OPTION_ENABLE:
            request->enable = true;
            break;
        case OPTION_DISABLE:
            request->disable = true;
            break;
        case OPTION_WATCH:
            request->which |= SCHEDULE_WATCH;
            break;
        case OPTION_TIMER:
            request->which |= SCHEDULE_TIMER;
            break;
        case OPTION_BOTH:
            request->which = SCHEDULE_BOTH;
            break;
        case OPTION_JSON:
            request->json = true;
            break;
        default:
            return error_set(err, ERROR_USAGE, "schedule: 'kpropctl schedule --help' says how");
        }
    }
    if (optind < argc)
        return error_set(err, ERROR_USAGE, "schedule: cannot use '%.64s'", argv[optind]);
    if (request->enable && request->disable)
        return error_set(err, ERROR_USAGE, "schedule: --enable or --disable, not both");
    if (request->which != 0 && !request->enable && !request->disable)
        return error_set(err, ERROR_USAGE,
                         "schedule: --watch and --timer go with --enable or "
                         "--disable");
    if (request->which == 0)
        request->which = SCHEDULE_BOTH;
    return true;
}

/* Turning it off is allowed anywhere: a host may have ceased to be a primary. */
static bool
may_change(const struct realm *realm, const struct request *request, struct error *err)
{
    struct principals *principals;

    if (geteuid() != 0) {
        error_set(err, ERROR_REFUSED, "cannot change the schedule as user %ld: it needs root",
                  (long)geteuid());
        return error_hint(err, "run it with sudo");
    }
    if (request->disable)
        return true;
    if (!primary_is_here(realm, err))
        return false;
    principals = principals_open(realm, err);
    principals_close(principals);
    return principals != NULL;
}

static bool
print_json(const struct schedule *schedule, struct error *err)
{
    json_t *object = schedule_json(schedule);
    int failed = object == NULL ? -1 : json_dumpf(object, stdout, JSON_INDENT(2));

    json_decref(object);
    return failed == 0 && putchar('\n') != EOF ? true : error_memory(err);
}

int
cmd_schedule(struct command_context *context, int argc, char **argv, struct error *err)
{
    struct request request = { false, false, 0, false };
    struct schedule schedule;
    bool change, ok;

    if (!read_options(argc, argv, &request, err))
        return err->code;
    change = request.enable || request.disable;
    if (change && !may_change(context->realm, &request, err))
        return err->code;
    ok = schedule_read(context->realm, &schedule, err) &&
         (!change || schedule_change(&schedule, request.which, request.enable, err));
    if (ok && request.json)
        ok = print_json(&schedule, err);
    else if (ok)
        schedule_print(&schedule, stdout);
    change |= schedule_is_on(&schedule);
    schedule_free(&schedule);
    return !ok ? err->code : change ? ERROR_NONE : ERROR_FAILED;
}
