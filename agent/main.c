/* main - the agent's start: options, then one verb at the console, or the daemon. */
#include "agent/base/settings.h"
#include "agent/daemon/server.h"
#include "agent/enroll/enroll.h"
#include "agent/verbs/self_check.h"
#include "agent/verbs/verbs.h"
#include "common/base/files.h"
#include "common/base/log.h"
#include "common/remctl/messages.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct options {
    const char *config; /* -c */
    bool foreground;    /* -f */
    bool check;         /* -t */
    int first;          /* index of the verb in argv */
};

static void
usage(FILE *out)
{
    fputs("Usage: kpropctl-agent [-c FILE] VERB [ARGUMENT...]  run one verb, as root\n"
          "       kpropctl-agent [-c FILE] [-f]                be the daemon\n"
          "       kpropctl-agent [-c FILE] -t | -h | -V\n"
          "\n"
          "  -c FILE  read this configuration instead of " KPC_SYSCONFDIR "/agent.conf\n"
          "  -f       stay in the foreground\n"
          "  -t       check the configuration and end\n"
          "  -h       this text\n"
          "  -V       the version\n"
          "\n"
          "Verbs:\n",
          out);
    verbs_usage(out);
}

static int
fail(const struct error *err)
{
    fprintf(stderr, "kpropctl-agent: %s\n", err->text);
    if (err->hint[0] != '\0')
        fprintf(stderr, "%s\n", err->hint);
    return err->code;
}

/* Returns -1 to go on, else the exit status. */
static int
parse_options(int argc, char **argv, struct options *options)
{
    int option;

    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        usage(stdout);
        return 0;
    }
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        puts("kpropctl-agent " KPC_VERSION);
        return 0;
    }
    while ((option = getopt(argc, argv, "+c:fthV")) != -1) {
        switch (option) {
        case 'c':
            options->config = optarg;
            break;
        case 'f':
            options->foreground = true;
            break;
        case 't':
            options->check = true;
            break;
        case 'h':
            usage(stdout);
            return 0;
        case 'V':
            puts("kpropctl-agent " KPC_VERSION);
            return 0;
        default:
            fputs("Try 'kpropctl-agent -h'\n", stderr);
            return ERROR_USAGE;
        }
    }
    options->first = optind;
    return -1;
}

static int
unknown_verb(const char *name)
{
    fprintf(stderr, "kpropctl-agent: unknown verb '%s'\nTry 'kpropctl-agent -h'\n", name);
    return ERROR_USAGE;
}

/* The words of a command, with the secret behind them where its verb takes one. */
struct command {
    const char *argv[MESSAGE_MAX_ARGS + 1]; /* the verb first, NULL at the end */
    size_t argc;
    char *secret;
};

static void
wipe_command(struct command *command)
{
    if (command->secret != NULL)
        explicit_bzero(command->secret, strlen(command->secret));
    free(command->secret);
    command->secret = NULL;
}

/* False with ERR; to be ended by wipe_command. */
static bool
gather_command(const struct verb *verb, int argc, char **argv, struct command *command,
               struct error *err)
{
    memset(command, 0, sizeof(*command));
    if (argc > MESSAGE_MAX_ARGS - 1)
        return error_set(err, ERROR_USAGE, "cannot run %s: too many arguments", argv[0]);
    for (int i = 0; i < argc; i++)
        command->argv[command->argc++] = argv[i];
    if (verb == NULL || !verb->secret)
        return true;
    command->secret = verbs_read_secret(verb, (size_t)argc - 1, STDIN_FILENO, err);
    command->argv[command->argc++] = command->secret;
    return command->secret != NULL;
}

/* A person at the console, who is root. */
static int
run_at_console(const struct settings *settings, int argc, char **argv)
{
    const struct verb *verb = verbs_find(argv[0]);
    struct command command;
    struct verb_call call = { .settings = settings, .table = verbs_table() };
    struct error err;
    int status;

    if (verb == NULL)
        return unknown_verb(argv[0]);
    error_clear(&err);
    if (!gather_command(verb, argc, argv, &command, &err))
        return fail(&err);
    call.argc = command.argc - 1;
    call.argv = command.argv + 1;
    if (verb->run == self_check_verb)
        return self_check_console(&call, stdout);
    if (verb->kind == VERB_CHANGING && geteuid() != 0) {
        fprintf(stderr, "kpropctl-agent: cannot run %s: only root may\n", verb->name);
        return ERROR_REFUSED;
    }
    if (verb->run == enroll_verb)
        return enroll_console(&call, stdout, stderr);
    status = verbs_run(verb, &call, stdout, stderr);
    wipe_command(&command);
    return status;
}

/* Behind an existing remctld: whatever it was asked for is in ARGV, and not to be trusted. */
static int
run_for_remctld(const char *peer, int argc, char **argv)
{
    struct settings settings;
    struct command command;
    struct error err;
    int status;

    if (argc < 2)
        return unknown_verb("");
    error_clear(&err);
    if (!settings_read(&settings, NULL, &err))
        return fail(&err);
    if (!gather_command(verbs_find(argv[1]), argc - 1, argv + 1, &command, &err)) {
        settings_free(&settings);
        return fail(&err);
    }
    status = verbs_serve(&settings, peer, command.argc, command.argv, stdout, stderr);
    wipe_command(&command);
    settings_free(&settings);
    if (status == VERBS_UNKNOWN)
        return unknown_verb(argv[1]);
    if (status != VERBS_DENIED)
        return status;
    fputs("kpropctl-agent: access denied\n", stderr);
    return ERROR_REFUSED;
}

static int
run_daemon(const struct options *options, struct settings *settings)
{
    struct error err;
    bool to_terminal = options->foreground && getenv("JOURNAL_STREAM") == NULL;

    error_clear(&err);
    log_open("kpropctl-agent", to_terminal);
    if (!options->foreground && daemon(0, 0) != 0) {
        error_set(&err, ERROR_INTERNAL, "cannot become a daemon");
        return fail(&err);
    }
    if (server_run(settings, options->config, &err))
        return 0;
    if (!to_terminal)
        log_error("%s", err.text);
    return fail(&err);
}

int
main(int argc, char **argv)
{
    const char *peer = getenv("REMOTE_USER");
    struct options options = { 0 };
    struct settings settings;
    struct error err;
    int status;

    if (!file_fill_standard())
        return ERROR_INTERNAL;
    error_clear(&err);
    log_open("kpropctl-agent", false);
    if (peer != NULL)
        return run_for_remctld(peer, argc, argv);
    status = parse_options(argc, argv, &options);
    if (status >= 0)
        return status;
    if (!settings_read(&settings, options.config, &err))
        return fail(&err);
    if (options.check)
        puts("the configuration is good");
    else if (options.first < argc)
        status = run_at_console(&settings, argc - options.first, argv + options.first);
    else
        status = run_daemon(&options, &settings);
    settings_free(&settings);
    return status < 0 ? 0 : status;
}
