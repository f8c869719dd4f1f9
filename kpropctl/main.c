/*
 * kpropctl - set up, run and check the replication of an MIT Kerberos realm, from its primary KDC.
 *
 * Main knows the global options and the table of commands; everything else is behind a row of it.
 */
#include "common/base/errors.h"
#include "common/base/files.h"
#include "common/base/log.h"
#include "kpropctl/base/clean.h"
#include "kpropctl/commands/commands.h"
#include "kpropctl/output/output.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct option global_options[] = {
    { "realm", required_argument, NULL, 'r' }, { "config", required_argument, NULL, 'c' },
    { "test-config", no_argument, NULL, 't' }, { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, 'V' },     { NULL, 0, NULL, 0 },
};

static void
print_usage(FILE *out)
{
    fputs("usage: kpropctl [-r REALM] [-c FILE] COMMAND [ARGUMENTS]\n\ncommands:\n", out);
    for (const struct command *c = commands; c->name != NULL; c++) {
        char left[128];

        snprintf(left, sizeof(left), "%s %s", c->name, c->usage);
        fprintf(out, "  %-34s %s\n", left, c->summary);
    }
    fputs("\noptions:\n"
          "  -r, --realm REALM     the realm (default: default_realm of krb5.conf)\n"
          "  -c, --config FILE     instead of " CONFIGURATION_FILE "\n"
          "  -t, --test-config     only check the configuration\n"
          "  -h, --help            this text; 'kpropctl COMMAND --help' for one command\n"
          "  -V, --version\n\n"
          "exit status: 0 good, 1 a check failed, 2 usage or configuration, 3 refused,\n"
          "             4 unreachable or timed out, 5 internal; see kpropctl(8)\n",
          out);
}

static void
print_command_help(const struct command *command)
{
    printf("usage: kpropctl %s %s\n\n%s\n", command->name, command->usage, command->summary);
    if (command->alias != NULL)
        printf("also: kpropctl %s\n", command->alias);
    if (command->options != NULL)
        printf("\n%s", command->options);
}

static const struct command *
find_command(const char *name)
{
    for (const struct command *c = commands; c->name != NULL; c++) {
        if (strcmp(c->name, name) == 0 || (c->alias != NULL && strcmp(c->alias, name) == 0))
            return c;
    }
    return NULL;
}

/* Print ERR; the exit status that it means to COMMAND (NULL: to kpropctl itself). */
static int
report(const struct command *command, const struct error *err)
{
    char clean[sizeof(err->text)];

    output_clean(err->text, false, clean, sizeof(clean));
    fprintf(stderr, "kpropctl: %s\n", clean);
    output_clean(err->hint, false, clean, sizeof(clean));
    if (clean[0] != '\0')
        fprintf(stderr, "kpropctl: %s\n", clean);
    return command != NULL && command->trouble != 0 ? command->trouble : err->code;
}

static bool
wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    }
    return false;
}

/* The realm, and what the configuration says of it, where the row wants them. */
static bool
load_realm(const struct command *command, struct command_context *context, struct error *err)
{
    return !(command->needs & NEEDS_REALM) ||
           (realm_load(context->realm_name, &context->realm, err) &&
            configuration_for_realm(context->configuration_file, context->realm->name,
                                    context->configuration, err));
}

static int
run_command(const struct command *command, struct command_context *context, int argc, char **argv)
{
    struct error err;
    int status;

    error_clear(&err);
    if ((command->needs & NEEDS_ROOT) && geteuid() != 0) {
        error_set(&err, ERROR_REFUSED, "cannot run '%s' as user %ld: it needs root", command->name,
                  (long)geteuid());
        error_hint(&err, "run it with sudo");
        return report(command, &err);
    }
    if (!load_realm(command, context, &err)) {
        realm_free(context->realm);
        return report(command, &err);
    }
    status = command->run(context, argc, argv, &err);
    realm_free(context->realm);
    /* What nobody got was not said; a reader that has gone knows. */
    errno = 0;
    if (err.code == ERROR_NONE && (fflush(stdout) != 0 || ferror(stdout)) && errno != EPIPE)
        error_errno(&err, ERROR_INTERNAL, errno, "cannot write to standard output");
    return err.code != ERROR_NONE ? report(command, &err) : status;
}

/* argv from the command's name on, with getopt started anew. */
static int
dispatch(struct command_context *context, int argc, char **argv)
{
    static char program[] = "kpropctl";
    const struct command *command = find_command(argv[0]);

    if (strcmp(argv[0], "help") == 0) {
        command = argc > 1 ? find_command(argv[1]) : NULL;
        if (command == NULL)
            print_usage(stdout);
        else
            print_command_help(command);
        return argc > 1 && command == NULL ? ERROR_USAGE : 0;
    }
    if (command == NULL) {
        fprintf(stderr, "kpropctl: unknown command '%s': 'kpropctl --help' lists them\n", argv[0]);
        return ERROR_USAGE;
    }
    if (wants_help(argc, argv)) {
        print_command_help(command);
        return 0;
    }
    optind = 0;        /* glibc: scan from the start, and permute again */
    argv[0] = program; /* its errors begin with that */
    return run_command(command, context, argc, argv);
}

/* A closed standard output would be the number of the next file that is opened: of the database, of
 * keys. What is written to it then fails. */
static bool
occupy_standard_descriptors(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && fd <= STDERR_FILENO);
    return fd >= 0 && close(fd) == 0;
}

int
main(int argc, char **argv)
{
    struct configuration configuration;
    struct command_context context = { .configuration = &configuration };
    const char *file = NULL;
    bool test_only = false;
    struct error err;
    int option, status;

    if (!file_fill_standard())
        return ERROR_INTERNAL;
    if (!occupy_standard_descriptors())
        return ERROR_INTERNAL;
    while ((option = getopt_long(argc, argv, "+r:c:thV", global_options, NULL)) != -1) {
        switch (option) {
        case 'r':
            context.realm_name = optarg;
            break;
        case 'c':
            context.configuration_file = file = optarg;
            break;
        case 't':
            test_only = true;
            break;
        case 'h':
            print_usage(stdout);
            return 0;
        case 'V':
            puts("kpropctl " KPC_VERSION);
            return 0;
        default:
            fputs("kpropctl: 'kpropctl --help' says how to call it\n", stderr);
            return ERROR_USAGE;
        }
    }
    setlocale(LC_CTYPE, "");
    signal(SIGPIPE, SIG_IGN);
    log_open("kpropctl", false);
    error_clear(&err);
    if (!configuration_load(file, &configuration, &err)) {
        configuration_free(&configuration);
        return report(optind < argc ? find_command(argv[optind]) : NULL, &err);
    }
    if (test_only) {
        file = file != NULL ? file : CONFIGURATION_FILE;
        printf(access(file, F_OK) == 0 ? "kpropctl: %s is good\n"
                                       : "kpropctl: there is no %s: the defaults hold\n",
               file);
        status = 0;
    } else if (optind >= argc) {
        print_usage(stderr);
        status = ERROR_USAGE;
    } else {
        status = dispatch(&context, argc - optind, argv + optind);
    }
    configuration_free(&configuration);
    return status;
}
