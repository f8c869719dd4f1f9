/* main - the agent's start: options, then one verb at the console, or the daemon. */
#include "agent/settings.h"
#include "agent/verbs.h"
#include "common/log.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void
usage(FILE *out)
{
    fputs("Usage: kpropctl-agent [-c FILE] VERB [ARGUMENT...]   (one-shot, as root)\n"
          "       kpropctl-agent [-c FILE] [-f]                 (the daemon)\n"
          "       kpropctl-agent [-c FILE] -t | -h | -V\n"
          "\n"
          "  -c FILE  read this configuration instead of " KPC_SYSCONFDIR "/agent.conf\n"
          "  -f       stay in the foreground, log to standard error\n"
          "  -t       check the configuration and end\n"
          "  -h       this text\n"
          "  -V       the version\n"
          "\n"
          "Verbs:\n",
          out);
    verbs_usage(out);
}

static int
one_shot(const struct settings *settings, int argc, char **argv)
{
    const struct verb *verb = verbs_find(argv[0]);
    struct verb_call call = { settings, NULL, (size_t)argc - 1,
                              (const char *const *)(uintptr_t)(argv + 1) };

    if (verb == NULL) {
        fprintf(stderr, "kpropctl-agent: unknown verb '%s'\n", argv[0]);
        return ERROR_USAGE;
    }
    return verbs_run(verb, &call, stdout, stderr);
}

int
main(int argc, char **argv)
{
    struct settings settings;
    struct error err;
    int status;

    error_clear(&err);
    log_open("kpropctl-agent", false);
    if (!settings_read(&settings, NULL, &err)) {
        fprintf(stderr, "kpropctl-agent: %s\n", err.text);
        return err.code;
    }
    if (argc < 2) {
        usage(stderr);
        status = ERROR_USAGE;
    } else {
        status = one_shot(&settings, argc - 1, argv + 1);
    }
    settings_free(&settings);
    return status;
}
