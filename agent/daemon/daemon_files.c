/* daemon_files - see daemon_files.h. */
#include "agent/daemon/daemon_files.h"

#include "common/base/files.h"
#include "common/base/log.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void
daemon_files_make(const struct settings *settings)
{
    char path[PATH_MAX], text[32];
    struct error err;

    error_clear(&err);
    snprintf(path, sizeof(path), "%s/agent.pid", settings->runtime);
    snprintf(text, sizeof(text), "%d\n", (int)getpid());
    if (!file_make_folder(settings->state, 0700, &err) ||
        !file_make_folder(settings->runtime, 0755, &err) ||
        !file_replace(path, text, strlen(text), 0600, &err))
        log_warning("%s", err.text);
}
