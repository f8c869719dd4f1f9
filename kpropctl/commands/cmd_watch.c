/* cmd_watch - kpropctl watch: propagate when the database changes. */
#include "common/base/log.h"
#include "kpropctl/commands/commands.h"
#include "kpropctl/krb5/primary.h"
#include "kpropctl/schedule/watch.h"
#include "kpropctl/state/state.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_ARGUMENTS = 12, MAX_PASSED = 8 };

/* What a watch needs to know, and to read again. */
struct service {
    const char *configuration_file;
    const char *realm_name; /* of -r, or NULL */
    struct configuration configuration;
    struct realm *realm;
    char program[PATH_MAX];
    const char *command[MAX_ARGUMENTS];
    char passed[MAX_PASSED][PATH_MAX + 32];
    const char *environment[MAX_PASSED + 1];
};

/* Our own file, also when a newer version has taken its place since. */
static bool
own_program(char *path, size_t size, struct error *err)
{
    static const char deleted[] = " (deleted)";
    ssize_t len = readlink("/proc/self/exe", path, size - 1);

    if (len <= 0)
        return error_set(err, ERROR_INTERNAL, "cannot find the program that runs: is /proc there?");
    path[len] = '\0';
    if ((size_t)len > strlen(deleted) && strcmp(path + len - strlen(deleted), deleted) == 0)
        path[(size_t)len - strlen(deleted)] = '\0';
    return true;
}

static void
fill_command(struct service *service)
{
    const char **arg = service->command;

    *arg++ = service->program;
    *arg++ = "-r";
    *arg++ = service->realm->name;
    if (service->configuration_file != NULL) {
        *arg++ = "-c";
        *arg++ = service->configuration_file;
    }
    *arg++ = "propagate";
    *arg++ = "--reason";
    *arg++ = "watch";
    *arg++ = "-q";
    *arg = NULL;
}

/* A child's environment is made anew: what says where Kerberos has its files is passed on. */
static void
fill_environment(struct service *service)
{
    static const char *const names[] = { "KRB5_CONFIG", "KRB5_KDC_PROFILE", "KRB5_KTNAME",
                                         "KRB5_CLIENT_KTNAME", "KRB5_TRACE" };
    size_t count = 0;

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        const char *value = getenv(names[i]);

        if (value == NULL || strlen(value) >= PATH_MAX)
            continue;
        snprintf(service->passed[count], sizeof(service->passed[count]), "%s=%s", names[i], value);
        service->environment[count] = service->passed[count];
        count++;
    }
    service->environment[count] = NULL;
}

static int64_t
last_generation(void *closure)
{
    struct service *service = closure;
    struct state_content content;
    int64_t generation = -1;
    struct error ignored;
    struct state *state;

    state = state_open(service->configuration.state_dir, NULL, true, &ignored);
    if (state == NULL)
        return -1;
    if (state_content_last(state, service->realm->name, &content, &ignored))
        generation = content.generation;
    state_close(state);
    return generation;
}

static void
fill_settings(struct service *service, struct watch_settings *settings)
{
    settings->backend = backend_find(service->realm->backend);
    settings->database = service->realm->database;
    settings->command = service->command;
    settings->environment = service->environment;
    settings->settle = service->configuration.watch_settle;
    settings->interval = service->configuration.watch_interval;
}

static bool
load(struct service *service, struct error *err)
{
    struct configuration configuration;
    struct realm *realm = NULL;

    if (!configuration_load(service->configuration_file, &configuration, err) ||
        !realm_load(service->realm_name, &realm, err) || !primary_is_here(realm, err)) {
        configuration_free(&configuration);
        realm_free(realm);
        return false;
    }
    configuration_free(&service->configuration);
    realm_free(service->realm);
    service->configuration = configuration;
    service->realm = realm;
    fill_command(service);
    return true;
}

/* As it is now, not as it was when the watch began. */
static bool
deposed(void *closure, struct error *err)
{
    const struct service *service = closure;
    struct realm *realm = NULL;
    struct error ignored;
    bool elsewhere = realm_load(service->realm_name, &realm, &ignored) &&
                     primary_is_elsewhere(realm) && !primary_is_here(realm, err);

    if (elsewhere)
        error_hint(err, "the watch ends: nothing is propagated from here. For good: kpropctl "
                        "schedule --disable");
    realm_free(realm);
    return elsewhere;
}

static bool
reload(void *closure, struct watch_settings *settings, struct error *err)
{
    if (!load(closure, err))
        return false;
    fill_settings(closure, settings);
    return true;
}

static const struct option options[] = { { NULL, 0, NULL, 0 } };

int
cmd_watch(struct command_context *context, int argc, char **argv, struct error *err)
{
    struct watch_settings settings = { .generation = last_generation,
                                       .deposed = deposed,
                                       .reload = reload };
    struct service *service;
    int status = ERROR_INTERNAL;

    if (getopt_long(argc, argv, "", options, NULL) != -1)
        return ERROR_USAGE;
    if (optind < argc) {
        error_set(err, ERROR_USAGE, "watch: takes no arguments");
        return err->code;
    }
    service = calloc(1, sizeof(*service));
    if (service == NULL) {
        error_memory(err);
        return ERROR_INTERNAL;
    }
    if (isatty(STDERR_FILENO))
        log_open("kpropctl", true);
    service->configuration_file = context->configuration_file;
    service->realm_name = context->realm_name;
    settings.closure = service;
    fill_environment(service);
    if (own_program(service->program, sizeof(service->program), err) && load(service, err)) {
        fill_settings(service, &settings);
        status = watch_run(&settings, err);
    } else {
        status = err->code;
    }
    configuration_free(&service->configuration);
    realm_free(service->realm);
    free(service);
    return status;
}
