/* cmd_replicas - kpropctl list, history, remove-slave: what the state database knows. */
#include "common/contract/judge.h"
#include "kpropctl/base/table.h"
#include "kpropctl/commands/commands.h"
#include "kpropctl/remote/connect.h"
#include "kpropctl/run/run.h"
#include "kpropctl/state/roster.h"
#include "kpropctl/state/state.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    OPTION_JSON = 256,
    OPTION_STOP,
    DEFAULT_LINES = 20,
    STOP_TIMEOUT = 120,
    RELEASE_TIMEOUT = 420,
    FACTS_TIMEOUT = 30,
};

static const struct option options[] = {
    { "json", no_argument, NULL, OPTION_JSON },
    { "lines", required_argument, NULL, 'n' },
    { "stop", no_argument, NULL, OPTION_STOP },
    { NULL, 0, NULL, 0 },
};

struct arguments {
    bool json;
    bool stop;
    int lines;
};

static bool
parse(int argc, char **argv, const char *letters, struct arguments *a, struct error *err)
{
    int option;
    char *end;

    *a = (struct arguments){ .lines = DEFAULT_LINES };
    while ((option = getopt_long(argc, argv, letters, options, NULL)) != -1) {
        if (option == OPTION_JSON) {
            a->json = true;
        } else if (option == OPTION_STOP) {
            a->stop = true;
        } else if (option == 'n') {
            a->lines = (int)strtol(optarg, &end, 10);
            if (*end != '\0' || a->lines < 1 || a->lines > 1000000)
                return error_set(err, ERROR_USAGE, "bad number of lines '%s'", optarg);
        } else {
            return false;
        }
    }
    return true;
}

/* Print ROWS, which are taken over; NULL means that ERR says why there are none. */
static int
tell(json_t *rows, bool json, const struct table_column *columns, const char *none,
     const struct error *err)
{
    if (rows == NULL)
        return err->code;
    if (json) {
        json_dumpf(rows, stdout, JSON_INDENT(2));
        putchar('\n');
    } else if (json_array_size(rows) == 0) {
        puts(none);
    } else {
        table_print(stdout, rows, columns);
    }
    json_decref(rows);
    return 0;
}

/* Has there never been a replica of REALM? A state database that was lost leaves its roster. */
static bool
is_untouched(const char *dir, const char *realm)
{
    json_t *kept = state_is_missing(dir) ? roster_recall(dir, realm) : NULL;
    bool untouched = kept == NULL && state_is_missing(dir);

    json_decref(kept);
    return untouched;
}

int
cmd_list(struct command_context *context, int argc, char **argv, struct error *err)
{
    static const struct table_column columns[] = {
        { "host", "REPLICA", TABLE_TEXT },
        { "verified_at", "LAST VERIFIED", TABLE_TIME },
        { "generation", "GENERATION", TABLE_TEXT },
        { "result", "LAST RUN", TABLE_TEXT },
        { "finished", "AT", TABLE_TIME },
        { "error", "ERROR", TABLE_TEXT },
        { NULL, NULL, TABLE_TEXT },
    };
    const char *dir = context->configuration->state_dir;
    struct arguments a;
    struct state *state;
    json_t *rows = NULL;

    if (!parse(argc, argv, "", &a, err))
        return ERROR_USAGE;
    if (is_untouched(dir, context->realm->name)) {
        rows = json_array();
    } else if ((state = state_open(dir, NULL, true, err)) != NULL) {
        rows = state_replicas(state, context->realm->name, err);
        state_close(state);
    }
    return tell(rows, a.json, columns, "no replicas yet: make one with 'kpropctl setup-slave HOST'",
                err);
}

int
cmd_history(struct command_context *context, int argc, char **argv, struct error *err)
{
    static const struct table_column columns[] = {
        { "finished", "WHEN", TABLE_TIME },
        { "reason", "WHY", TABLE_TEXT },
        { "host", "REPLICA", TABLE_TEXT },
        { "result", "RESULT", TABLE_TEXT },
        { "generation", "GENERATION", TABLE_TEXT },
        { "bytes", "SENT", TABLE_BYTES },
        { "dump_seconds", "DUMP", TABLE_SECONDS },
        { "transfer_seconds", "TRANSFER", TABLE_SECONDS },
        { "load_seconds", "LOAD", TABLE_SECONDS },
        { "verify_seconds", "VERIFY", TABLE_SECONDS },
        { "error", "ERROR", TABLE_TEXT },
        { NULL, NULL, TABLE_TEXT },
    };
    const char *dir = context->configuration->state_dir;
    struct arguments a;
    struct state *state;
    json_t *rows = NULL;

    if (!parse(argc, argv, "n:", &a, err) ||
        !run_check_hosts(argv + optind, (size_t)(argc - optind), err))
        return ERROR_USAGE;
    if (argc - optind > 1) {
        error_set(err, ERROR_USAGE, "too many hosts: one at most");
        return ERROR_USAGE;
    }
    if (is_untouched(dir, context->realm->name)) {
        rows = json_array();
    } else if ((state = state_open(dir, NULL, true, err)) != NULL) {
        rows = state_history(state, context->realm->name, argv[optind], a.lines, err);
        state_close(state);
    }
    return tell(rows, a.json, columns, "nothing has happened yet", err);
}

/* Have the agent of HOST run VERB for the realm; its answer into *WANTED (NULL: nobody asks). */
static bool
ask_agent(const struct command_context *context, const char *host, const char *verb, int timeout,
          json_t **wanted, struct error *err)
{
    const char *argv[] = { verb, context->realm->name, NULL };
    struct names replica;
    enum remote_fault fault;
    struct remote *agent;
    json_t *reply = NULL;
    bool ok;

    error_clear(err);
    agent = connect_agent(context, host, &replica, err);
    ok = agent != NULL && remote_call(agent, argv, timeout, NULL, NULL, &reply, &fault, err);
    if (wanted != NULL)
        *wanted = reply;
    else
        json_decref(reply);
    remote_close(agent);
    return ok;
}

/* Nobody announces anything to it from now on: a loader that waits for that would only refuse. */
static void
release_loader(const struct command_context *context, const char *host)
{
    struct error err, ignored;
    json_t *facts = NULL;

    if (ask_agent(context, host, "release-loader", RELEASE_TIMEOUT, NULL, &err)) {
        printf("kpropd on %s loads with kdb5_util itself again: nothing is checked there\n", host);
        return;
    }
    if (ask_agent(context, host, "facts", FACTS_TIMEOUT, &facts, &ignored) &&
        !fact_lists(facts, "agent", "verbs", "release-loader")) {
        printf("kpropd on %s keeps its loader, which kpropctl-agent %s there cannot take away\n"
               "on %s, as root: upgrade the package kpropctl-agent and run kpropctl-agent "
               "release-loader %s, or remove the package\n",
               host, fact_text(facts, "agent", "version"), host, context->realm->name);
        json_decref(facts);
        return;
    }
    json_decref(facts);
    printf("kpropd on %s may still refuse what nobody announces, since its loader could not be "
           "taken away from here: %s\n"
           "on %s, as root: kpropctl-agent release-loader %s\n",
           host, err.text, host, context->realm->name);
}

static bool
is_known(const struct command_context *context, const char *host, struct error *err)
{
    struct state *state = state_open(context->configuration->state_dir,
                                     context->configuration->state_group, false, err);
    struct state_memory memory;
    bool ok;

    ok = state != NULL && state_memory(state, context->realm->name, host, &memory, err);
    state_close(state);
    if (!ok || memory.known)
        return ok;
    error_set(err, ERROR_FAILED, "%s is no known replica of %s", host, context->realm->name);
    return error_hint(err,
                      "'kpropctl list' shows them, with their full names; if it was one: kpropctl "
                      "setup-slave %s records it again, and on %s, as root: kpropctl-agent "
                      "release-loader %s gives kpropd its own loader back (gives up: all checks of "
                      "what kpropd loads)",
                      host, host, context->realm->name);
}

static bool
forget(const struct command_context *context, const char *host, struct error *err)
{
    struct state *state = state_open(context->configuration->state_dir,
                                     context->configuration->state_group, false, err);
    bool known = false, ok;

    ok = state != NULL && state_replica_forget(state, context->realm->name, host, &known, err);
    if (ok && known) {
        json_t *left = state_replicas(state, context->realm->name, err);

        if (left != NULL)
            roster_keep(context->configuration->state_dir, context->realm->name, left);
        json_decref(left);
    }
    state_close(state);
    return ok;
}

int
cmd_remove(struct command_context *context, int argc, char **argv, struct error *err)
{
    struct arguments a;
    const char *host;

    if (!parse(argc, argv, "", &a, err))
        return ERROR_USAGE;
    if (argc - optind != 1) {
        error_set(err, ERROR_USAGE, "which host? (one)");
        return ERROR_USAGE;
    }
    host = argv[optind];
    if (!run_check_hosts(&argv[optind], 1, err))
        return ERROR_USAGE;
    if (!is_known(context, host, err))
        return err->code;
    if (a.stop && !ask_agent(context, host, "stop-kpropd", STOP_TIMEOUT, NULL, err)) {
        error_prefix(err, "%s is not forgotten", host);
        return err->code;
    }
    /* First, so that a run that is killed can be run again. */
    release_loader(context, host);
    if (!forget(context, host, err))
        return err->code;
    printf("%s is forgotten: it is not propagated to any more; its history stays\n", host);
    if (a.stop)
        printf("kpropd on %s is stopped and disabled: its KDC is sent nothing any more\n", host);
    return 0;
}
