/* supervisor_pid - see supervisor_pid.h. */
#include "agent/supervise/supervisor_pid.h"

#include "agent/service/supervised.h"
#include "common/base/files.h"
#include "common/base/log.h"
#include "common/host/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FILE_NAME "kpropd.pid"

/* When PID was started, in clock ticks since boot: field 22 of stat, the 20th behind the name; 0 if
 * there is no such process, or it has ended. */
static unsigned long long
started(pid_t pid)
{
    char path[64], text[1024], *p;
    unsigned long long ticks = 0;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (proc_read(path, text, sizeof(text)) <= 0 || (p = strrchr(text, ')')) == NULL ||
        p[1] != ' ' || p[2] == 'Z')
        return 0;
    for (int field = 2; field < 22 && p != NULL; field++)
        p = strchr(p + 1, ' ');
    if (p != NULL)
        ticks = strtoull(p, NULL, 10);
    return ticks;
}

void
supervisor_pid_remember(const struct settings *s, pid_t pid)
{
    char path[PATH_MAX], text[64];
    struct error err;

    error_clear(&err);
    snprintf(text, sizeof(text), "%d %llu\n", (int)pid, started(pid));
    if (!supervised_path(s, FILE_NAME, path, sizeof(path)) ||
        !file_replace(path, text, strlen(text), 0600, &err))
        log_error("an agent after this one will not know kpropd: %s", err.text);
}

void
supervisor_pid_forget(const struct settings *s)
{
    char path[PATH_MAX];

    if (supervised_path(s, FILE_NAME, path, sizeof(path)))
        unlink(path);
}

pid_t
supervisor_pid_recall(const struct settings *s, int *fd)
{
    unsigned long long when = 0;
    char path[PATH_MAX], text[64];
    int pid = 0;

    *fd = -1;
    if (!supervised_path(s, FILE_NAME, path, sizeof(path)) ||
        proc_read(path, text, sizeof(text)) <= 0 || sscanf(text, "%d %llu", &pid, &when) != 2 ||
        pid <= 1)
        return 0;
    *fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (*fd >= 0 && when != 0 && started(pid) == when) {
        fcntl(*fd, F_SETFD, FD_CLOEXEC);
        return pid;
    }
    if (*fd < 0 && errno == ENOSYS && started(pid) == when)
        log_error("kpropd (pid %d) cannot be taken up again on this kernel: end it", pid);
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    return 0;
}
