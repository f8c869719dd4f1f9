/*
 * cmd_check - kpropctl check, status and report [HOST…]: the table of checks, only looking. The
 * exit status is that of a monitoring plugin in every format; usage and configuration errors are 3
 * too.
 */
#include "common/base/clock.h"
#include "common/base/files.h"
#include "kpropctl/commands/commands.h"
#include "kpropctl/output/health.h"
#include "kpropctl/run/fleet.h"
#include "kpropctl/run/run.h"
#include "kpropctl/state/roster.h"
#include "kpropctl/state/state.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    OPTION_FORMAT = 256,
    OPTION_CHECK,
    OPTION_TIMEOUT,
    OPTION_OUTPUT,
    OPTION_DIGEST,
    OPTION_KEYTAB,
    OPTION_CCACHE,
    OPTION_JSON,
    MAX_CHECKS = 64,
    MAX_HISTORY = 5000,
    WATCH_SECONDS = 5,
    MOST_AT_ONCE = 512 /* hosts, while none of those that were begun answers */
};

static const struct option options[] = {
    { "format", required_argument, NULL, OPTION_FORMAT },
    { "check", required_argument, NULL, OPTION_CHECK },
    { "timeout", required_argument, NULL, OPTION_TIMEOUT },
    { "output", required_argument, NULL, OPTION_OUTPUT },
    { "digest", no_argument, NULL, OPTION_DIGEST },
    { "keytab", required_argument, NULL, OPTION_KEYTAB },
    { "ccache", required_argument, NULL, OPTION_CCACHE },
    { NULL, 0, NULL, 0 },
};

static const struct option status_options[] = {
    { "json", no_argument, NULL, OPTION_JSON },
    { "watch", no_argument, NULL, 'w' },
    { "timeout", required_argument, NULL, OPTION_TIMEOUT },
    { "keytab", required_argument, NULL, OPTION_KEYTAB },
    { "ccache", required_argument, NULL, OPTION_CCACHE },
    { NULL, 0, NULL, 0 },
};

static const struct option report_options[] = {
    { "output", required_argument, NULL, OPTION_OUTPUT },
    { "timeout", required_argument, NULL, OPTION_TIMEOUT },
    { "keytab", required_argument, NULL, OPTION_KEYTAB },
    { "ccache", required_argument, NULL, OPTION_CCACHE },
    { NULL, 0, NULL, 0 },
};

struct checking {
    struct command_context *context;
    const char *name; /* of the command */
    const struct output_backend *backend;
    const char *only[MAX_CHECKS + 1];
    size_t only_count;
    const char *file; /* --output, or NULL */
    json_t *history;  /* for a report, or NULL */
    int timeout;
    bool digest;
    bool watch;       /* again and again, on a terminal */
    double deadline;  /* by clock_monotonic */
    struct names own; /* this host, as it is among the hosts */
};

static bool
take_format(struct checking *c, const char *name, struct error *err)
{
    static const struct output_backend *const backends[] = { &output_check_text, &output_nagios,
                                                             &output_check_json,
                                                             &output_prometheus };

    for (size_t i = 0; i < 4; i++) {
        if (strcmp(backends[i]->name, name) == 0) {
            c->backend = backends[i];
            return true;
        }
    }
    return error_set(err, ERROR_USAGE, "unknown format '%s': text, nagios, json or prometheus",
                     name);
}

static bool
take_check(struct checking *c, const char *id, struct error *err)
{
    if (!checks_is_id(id)) {
        error_set(err, ERROR_USAGE, "there is no check '%s'", id);
        return error_hint(err, "kpropctl(8) lists them");
    }
    if (c->only_count == MAX_CHECKS)
        return error_set(err, ERROR_USAGE, "too many --check options");
    c->only[c->only_count++] = id;
    return true;
}

static bool
take_string(char **slot, const char *value, struct error *err)
{
    free(*slot);
    *slot = strdup(value);
    return *slot != NULL || error_memory(err);
}

static bool
take_timeout(struct checking *c, const char *text, struct error *err)
{
    char *end;
    long seconds = strtol(text, &end, 10);

    if (*end != '\0' || seconds < 1 || seconds > 86400)
        return error_set(err, ERROR_USAGE, "bad timeout '%s': expected 1 to 86400 seconds", text);
    c->timeout = (int)seconds;
    return true;
}

static bool
take_option(struct checking *c, int option, struct error *err)
{
    switch (option) {
    case OPTION_FORMAT:
        return take_format(c, optarg, err);
    case OPTION_CHECK:
        return take_check(c, optarg, err);
    case OPTION_TIMEOUT:
        return take_timeout(c, optarg, err);
    case OPTION_OUTPUT:
        c->file = optarg;
        return true;
    case OPTION_DIGEST:
        c->digest = true;
        return true;
    case OPTION_KEYTAB:
        return take_string(&c->context->configuration->check_keytab, optarg, err);
    case OPTION_CCACHE:
        return take_string(&c->context->configuration->check_ccache, optarg, err);
    case OPTION_JSON:
        c->backend = &output_check_json;
        return true;
    case 'w':
        c->watch = true;
        return true;
    default:
        return error_set(err, ERROR_USAGE, "'kpropctl %s --help' lists the options", c->name);
    }
}

/* In the process of one host. */
static void
serve(void *closure, const char *host, const struct walk_listener *listener,
      struct host_result *result)
{
    const struct checking *c = closure;
    const struct configuration *configuration = c->context->configuration;
    struct walk walk = {
        .configuration = configuration,
        .realm = c->context->realm,
        .host = host,
        .kind = strcmp(host, c->own.host) == 0 ? WALK_CHECK_PRIMARY : WALK_CHECK,
        .only = c->only_count > 0 ? c->only : NULL,
        .compare_digest = c->digest,
        .deadline = c->deadline,
        .primary = c->own,
        .listener = listener,
    };

    result->status = checks_walk(&walk);
    result->primary = walk.kind == WALK_CHECK_PRIMARY;
    result->verified_at = walk.memory.verified_at;
    result->behind = walk.memory.behind;
    result->generation = walk.memory.content.generation;
    result->principals = walk.memory.content.principals;
    result->policies = walk.memory.content.policies;
    result->bytes = walk.memory.bytes;
    result->seconds = walk.memory.transfer_seconds;
    result->load_seconds = walk.memory.load_seconds;
    result->verify_seconds = walk.memory.verify_seconds;
    result->age_warning = configuration->age_warning;
    result->age_critical = configuration->age_critical;
    walk_finish(&walk);
}

/* What is told goes to memory first: a file for others is whole or not there. */
static enum health
tell(struct checking *c, char *const *hosts, size_t count, struct error *err)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = c->file != NULL ? open_memstream(&text, &size) : stdout;
    struct output *output;
    enum health health = HEALTH_UNKNOWN;

    output = stream == NULL ? NULL
                            : output_new(c->backend, stream, c->context->realm->name, hosts, count);
    if (output == NULL) {
        error_memory(err);
    } else {
        output->extra = c->history;
        c->deadline = clock_monotonic() + c->timeout;
        fleet_run(output, serve, c, (size_t)c->context->configuration->parallel, MOST_AT_ONCE,
                  c->timeout, err);
        health = health_of_all(output);
        output_finish(output);
    }
    if (c->file != NULL && stream != NULL) {
        fclose(stream);
        if (output != NULL && !file_replace(c->file, text, size, 0644, err))
            health = HEALTH_UNKNOWN;
        free(text);
    }
    return health;
}

/* This host and the recorded replicas, or the hosts named. */
static bool
all_hosts(struct checking *c, json_t **replicas, char ***list, size_t *count, struct error *err)
{
    struct state *state = state_open(c->context->configuration->state_dir, NULL, true, err);
    size_t index;
    json_t *replica, *kept;

    *replicas = state == NULL ? NULL : state_replicas(state, c->context->realm->name, err);
    state_close(state);
    if (*replicas == NULL)
        return false;
    /* A state database made anew has lost them; that nobody is left to be bad is not good. */
    if (json_array_size(*replicas) == 0 &&
        (kept = roster_recall(c->context->configuration->state_dir, c->context->realm->name)) !=
            NULL) {
        json_decref(*replicas);
        *replicas = kept;
    }
    *list = calloc(json_array_size(*replicas) + 1, sizeof(**list));
    if (*list == NULL)
        return error_memory(err);
    (*list)[(*count)++] = c->own.host;
    json_array_foreach(*replicas, index, replica)(*list)[(*count)++] =
        (char *)(uintptr_t)json_string_value(json_object_get(replica, "host"));
    return true;
}

/* Once, or until somebody ends it. */
static enum health
tell_again(struct checking *c, char *const *hosts, size_t count, struct error *err)
{
    enum health health;

    for (;;) {
        if (c->watch)
            fputs("\033[H\033[2J", stdout);
        health = tell(c, hosts, count, err);
        if (!c->watch || err->code != ERROR_NONE)
            return health;
        fflush(stdout);
        sleep(WATCH_SECONDS);
    }
}

/* Several steps may each wait for a host that is dark; together they stay within the deadline. */
static void
bound_patience(struct checking *c)
{
    struct configuration *configuration = c->context->configuration;
    int share = c->timeout < 4 ? 1 : c->timeout / 4;

    if (configuration->connect_timeout > share)
        configuration->connect_timeout = share;
}

static enum health
run_checks(struct checking *c, const char *letters, const struct option *table, int argc,
           char **argv, struct error *err)
{
    json_t *replicas = NULL;
    char **list = NULL;
    size_t count = 0;
    enum health health = HEALTH_UNKNOWN;
    int option;

    while ((option = getopt_long(argc, argv, letters, table, NULL)) != -1) {
        if (!take_option(c, option, err))
            return HEALTH_UNKNOWN;
    }
    if (!run_check_hosts(argv + optind, (size_t)(argc - optind), err) ||
        !names_look_up(NULL, c->context->realm->name, &c->own, err))
        return HEALTH_UNKNOWN;
    bound_patience(c);
    if (optind < argc)
        health = tell_again(c, argv + optind, (size_t)(argc - optind), err);
    else if (all_hosts(c, &replicas, &list, &count, err))
        health = tell_again(c, list, count, err);
    free(list);
    json_decref(replicas);
    return health;
}

int
cmd_check(struct command_context *context, int argc, char **argv, struct error *err)
{
    struct checking c = {
        .context = context,
        .name = "check",
        .backend = &output_check_text,
        .timeout = 10,
    };
    enum health health = run_checks(&c, "", options, argc, argv, err);

    if (err->code != ERROR_NONE)
        err->code = HEALTH_UNKNOWN;
    return (int)health;
}

int
cmd_status(struct command_context *context, int argc, char **argv, struct error *err)
{
    struct checking c = {
        .context = context,
        .name = "status",
        .backend = &output_status,
        .timeout = 10,
    };
    enum health health = run_checks(&c, "w", status_options, argc, argv, err);

    if (err->code != ERROR_NONE)
        err->code = HEALTH_UNKNOWN;
    return (int)health;
}

int
cmd_report(struct command_context *context, int argc, char **argv, struct error *err)
{
    struct checking c = {
        .context = context,
        .name = "report",
        .backend = &output_report,
        .timeout = 10,
    };
    struct state *state = state_open(context->configuration->state_dir, NULL, true, err);
    enum health health = HEALTH_UNKNOWN;

    if (state != NULL)
        c.history = state_history(state, context->realm->name, NULL, MAX_HISTORY, err);
    state_close(state);
    if (c.history != NULL)
        health = run_checks(&c, "", report_options, argc, argv, err);
    json_decref(c.history);
    if (err->code != ERROR_NONE)
        err->code = HEALTH_UNKNOWN;
    return (int)health;
}
