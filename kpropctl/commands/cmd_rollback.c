/* cmd_rollback - kpropctl rollback HOST: only a person goes back to an older generation. */
#include "kpropctl/base/text.h"
#include "kpropctl/checks/rows.h"
#include "kpropctl/commands/commands.h"
#include "kpropctl/remote/connect.h"
#include "kpropctl/run/run.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { OPTION_JSON = 256, OPTION_PREVIOUS, OUTCOME_TIMEOUT = 60 };

static const struct option options[] = {
    { "yes", no_argument, NULL, 'y' },
    { "previous", no_argument, NULL, OPTION_PREVIOUS },
    { "json", no_argument, NULL, OPTION_JSON },
    { NULL, 0, NULL, 0 },
};

struct arguments {
    bool yes;
    bool previous;
    bool json;
};

static bool
parse(int argc, char **argv, struct arguments *a, struct error *err)
{
    int option;

    *a = (struct arguments){ false, false, false };
    while ((option = getopt_long(argc, argv, "y", options, NULL)) != -1) {
        if (option == 'y')
            a->yes = true;
        else if (option == OPTION_PREVIOUS)
            a->previous = true;
        else if (option == OPTION_JSON)
            a->json = true;
        else
            return false;
    }
    if (argc - optind != 1)
        return error_set(err, ERROR_USAGE, "which host? (one)");
    return run_check_hosts(&argv[optind], 1, err);
}

/* What the agent of HOST tells of its loads; NULL with ERR. */
static json_t *
ask_outcome(const struct command_context *context, const char *host, struct error *err)
{
    const char *argv[] = { "outcome", context->realm->name, "0", NULL };
    enum remote_fault fault;
    struct names replica;
    json_t *reply = NULL;
    struct remote *agent = connect_agent(context, host, &replica, err);
    bool ok =
        agent != NULL && remote_call(agent, argv, OUTCOME_TIMEOUT, NULL, NULL, &reply, &fault, err);

    remote_close(agent);
    if (ok && !json_is_null(json_object_get(reply, "running"))) {
        ok = error_set(err, ERROR_UNREACHABLE, "a load is running on %s (at stage '%s')", host,
                       fact_text(reply, "running", "stage"));
        error_hint(err, "wait for its end, and look again at what is there then");
    }
    if (ok)
        return reply;
    json_decref(reply);
    return NULL;
}

/* The generation to go back to, told on the way; 0 with ERR if none is kept. */
static int64_t
choose(const json_t *outcome, const char *host, bool previous, struct error *err)
{
    const json_t *last = json_object_get(outcome, "last_good");
    const json_t *chosen = previous ? json_object_get(outcome, "previous_good") : last;
    char when[32];

    if (!json_is_object(chosen)) {
        error_set(err, ERROR_FAILED, "%s keeps no %sgood dump", host, previous ? "earlier " : "");
        error_hint(err, "only what its loader has verified is kept; after a propagation there is "
                        "one, after a second one of other content an earlier one");
        return 0;
    }
    if (previous)
        fprintf(stderr,
                "%s: the last good dump is generation %lld, sent %s: %lld principals, "
                "%lld policies\n",
                host, (long long)fact_integer(last, "generation", NULL),
                date_text(fact_integer(last, "announced_at", NULL), when, sizeof(when)),
                (long long)fact_integer(last, "principals", NULL),
                (long long)fact_integer(last, "policies", NULL));
    fprintf(stderr, "%s: %s generation %lld, sent %s: %lld principals, %lld policies\n", host,
            previous ? "it would go back to" : "it would load again",
            (long long)fact_integer(chosen, "generation", NULL),
            date_text(fact_integer(chosen, "announced_at", NULL), when, sizeof(when)),
            (long long)fact_integer(chosen, "principals", NULL),
            (long long)fact_integer(chosen, "policies", NULL));
    return fact_integer(chosen, "generation", NULL);
}

/* Before anybody is asked: where it would be undone, there is nothing to choose. */
static bool
may_go_back(const struct command_context *context, const char *host, struct error *err)
{
    const char *argv[] = { "facts", context->realm->name, NULL };
    struct judgement j = { .hint = "" };
    enum remote_fault fault;
    struct names replica;
    json_t *facts = NULL;
    struct remote *agent = connect_agent(context, host, &replica, err);
    bool ok =
        agent != NULL && remote_call(agent, argv, OUTCOME_TIMEOUT, NULL, NULL, &facts, &fault, err);

    remote_close(agent);
    if (ok && judge_whole(facts, replica.host, "roll back", &j) == REFUSED) {
        ok = error_set(err, ERROR_REFUSED, "%s", j.summary);
        error_hint(err, "%s", j.hint);
    }
    json_decref(facts);
    return ok;
}

static bool
confirm(const char *host, struct error *err)
{
    char answer[16] = "";

    if (!isatty(STDIN_FILENO)) {
        error_set(err, ERROR_REFUSED, "cannot ask whether to roll %s back: no terminal", host);
        return error_hint(err, "if it is meant so: --yes");
    }
    fprintf(stderr, "Do that? [y/N] ");
    if (fgets(answer, sizeof(answer), stdin) != NULL &&
        (strcasecmp(answer, "y\n") == 0 || strcasecmp(answer, "yes\n") == 0))
        return true;
    return error_set(err, ERROR_REFUSED, "nothing was done");
}

static void
hint_console(const struct command_context *context, bool previous, struct error *err)
{
    char hint[sizeof(err->hint)];

    snprintf(hint, sizeof(hint), "%s", err->hint);
    error_hint(err, "%s%sat its console, without any primary: kpropctl-agent rollback %s%s", hint,
               hint[0] != '\0' ? "; or " : "", context->realm->name, previous ? " previous" : "");
}

static void
tell_next(const struct arguments *a, const char *host)
{
    if (a->previous && !a->json)
        printf("The next propagation takes %s forward again. To stay here until the primary is "
               "mended: kpropctl schedule --disable\n",
               host);
}

int
cmd_rollback(struct command_context *context, int argc, char **argv, struct error *err)
{
    struct run_request request = {
        .context = context,
        .kind = WALK_ROLLBACK,
        .reason = "rollback",
        .backend = &output_text,
        .count = 1,
        .wait = context->configuration->wait,
    };
    struct arguments a;
    json_t *outcome;
    int status;

    if (!parse(argc, argv, &a, err))
        return ERROR_USAGE;
    request.hosts = &argv[optind];
    outcome = ask_outcome(context, argv[optind], err);
    if (outcome == NULL) {
        if (err->code == ERROR_UNREACHABLE)
            hint_console(context, a.previous, err);
        return err->code;
    }
    if (!may_go_back(context, argv[optind], err)) {
        json_decref(outcome);
        return err->code;
    }
    request.rollback = choose(outcome, argv[optind], a.previous, err);
    json_decref(outcome);
    if (request.rollback == 0 || (!a.yes && !confirm(argv[optind], err)))
        return err->code;
    if (a.json)
        request.backend = &output_json;
    status = run_walks(&request, err);
    if (status == 0)
        tell_next(&a, argv[optind]);
    return status;
}
