/* events - see events.h. */
#include "kpropctl/run/events.h"

#include "common/base/subprocess.h"
#include "kpropctl/base/clean.h"
#include "kpropctl/output/output.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { VARIABLES = 6, VARIABLE_SIZE = 1200 };

/* A file or folder that nobody but root can change. /tmp's sticky bit does not make it so. */
static bool
is_roots_own(const char *path, bool file, struct error *err)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return error_errno(err, ERROR_REFUSED, errno, "cannot run on_event program %s", path);
    if (file && (!S_ISREG(st.st_mode) || !(st.st_mode & 0111)))
        return error_set(err, ERROR_REFUSED, "cannot run on_event program %s: no executable file",
                         path);
    if (st.st_uid == 0 && !(st.st_mode & (S_IWGRP | S_IWOTH)))
        return true;
    error_set(err, ERROR_REFUSED, "cannot run on_event program: others than root can write %s",
              path);
    return error_hint(err, "chown root:root %s; chmod go-w %s", path, path);
}

bool
events_check_program(const char *program, struct error *err)
{
    char *path = realpath(program, NULL);
    bool ok;

    if (path == NULL)
        return error_errno(err, ERROR_REFUSED, errno, "cannot run on_event program %s", program);
    ok = is_roots_own(path, true, err);
    for (char *slash = strrchr(path, '/'); ok && slash != NULL; slash = strrchr(path, '/')) {
        slash[slash == path ? 1 : 0] = '\0';
        ok = is_roots_own(path, false, err);
        if (strcmp(path, "/") == 0)
            break;
    }
    free(path);
    return ok;
}

static void
fill_environment(const struct event *event, char values[VARIABLES][VARIABLE_SIZE],
                 const char *environment[VARIABLES + 1])
{
    char error[1000], host[300], realm[300];

    output_clean(event->error, false, error, sizeof(error));
    output_clean(event->host, false, host, sizeof(host));
    output_clean(event->realm, false, realm, sizeof(realm));
    snprintf(values[0], VARIABLE_SIZE, "KPROPCTL_EVENT=%s", event->good ? "good" : "bad");
    snprintf(values[1], VARIABLE_SIZE, "KPROPCTL_REALM=%s", realm);
    snprintf(values[2], VARIABLE_SIZE, "KPROPCTL_HOST=%s", host);
    snprintf(values[3], VARIABLE_SIZE, "KPROPCTL_RESULT=%s", event->result);
    snprintf(values[4], VARIABLE_SIZE, "KPROPCTL_GENERATION=%lld", (long long)event->generation);
    snprintf(values[5], VARIABLE_SIZE, "KPROPCTL_ERROR=%s", error);
    for (size_t i = 0; i < VARIABLES; i++)
        environment[i] = values[i];
    environment[VARIABLES] = NULL;
}

static bool
find_user(const char *name, struct subprocess_options *options, struct error *err)
{
    const struct passwd *entry = getpwnam(name);

    if (entry == NULL) {
        error_set(err, ERROR_USAGE, "on_event_user: there is no user '%s'", name);
        return error_hint(err, "name one in kpropctl.conf");
    }
    options->drop = true;
    options->uid = entry->pw_uid;
    options->gid = entry->pw_gid;
    return true;
}

bool
events_tell(const struct configuration *configuration, const struct event *event, struct error *err)
{
    const char *user =
        configuration->on_event_user != NULL ? configuration->on_event_user : "nobody";
    const char *argv[] = { configuration->on_event, NULL };
    char values[VARIABLES][VARIABLE_SIZE], how[256];
    const char *environment[VARIABLES + 1];
    struct subprocess_options options = { .environment = environment };
    struct subprocess_result result;
    struct subprocess child;

    if (configuration->on_event == NULL || geteuid() != 0)
        return true;
    fill_environment(event, values, environment);
    if (!events_check_program(configuration->on_event, err) || !find_user(user, &options, err) ||
        !subprocess_start(argv, &options, &child, err))
        return false;
    subprocess_result_init(&result);
    subprocess_wait(&child, configuration->on_event_timeout * 1000, &result);
    result.seconds = configuration->on_event_timeout;
    if (subprocess_succeeded(&result))
        return true;
    return error_set(err, ERROR_FAILED, "on_event program %s: %s", configuration->on_event,
                     subprocess_describe(&result, how, sizeof(how)));
}
