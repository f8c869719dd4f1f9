/* process - see process.h. */
#include "common/host/process.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The length of the UTF-8 sequence at P (LEFT bytes), or 0 if it is none or not printable. */
static size_t
utf8_length(const unsigned char *p, size_t left)
{
    static const unsigned char first[] = { 0xc2, 0xe0, 0xf0 }, last[] = { 0xdf, 0xef, 0xf4 };
    size_t n = 0;

    if (p[0] < 0x80)
        return p[0] >= 0x20 && p[0] != 0x7f;
    for (size_t i = 0; i < 3; i++) {
        if (p[0] >= first[i] && p[0] <= last[i])
            n = i + 2;
    }
    if (n == 0 || n > left)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((p[0] == 0xc2 && p[1] < 0xa0) || (p[0] == 0xe0 && p[1] < 0xa0) ||
        (p[0] == 0xed && p[1] >= 0xa0) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] >= 0x90))
        return 0;
    return n;
}

void
text_clean(const char *data, size_t len, char *out, size_t size)
{
    const unsigned char *p = (const unsigned char *)data;
    size_t n = 0;

    while (len > 0 && size > 0) {
        size_t step = utf8_length(p, len);

        if (n + (step > 0 ? step : 1) >= size)
            break;
        if (step > 0)
            memmove(out + n, p, step);
        else
            out[n] = *p == '\0' || *p == '\t' || *p == '\n' ? ' ' : '?';
        step = step > 0 ? step : 1;
        n += step;
        p += step;
        len -= step;
    }
    if (size > 0)
        out[n] = '\0';
}

ssize_t
proc_read(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    size_t len = 0;
    ssize_t got = 1;

    if (fd < 0)
        return -1;
    while (len < size - 1 && got > 0) {
        got = read(fd, text + len, size - 1 - len);
        if (got < 0 && errno == EINTR)
            got = 1;
        else if (got > 0)
            len += (size_t)got;
    }
    close(fd);
    text[len] = '\0';
    return got < 0 && len == 0 ? -1 : (ssize_t)len;
}

void
process_user(int64_t uid, char *text, size_t size)
{
    struct passwd entry, *found = NULL;
    char buffer[4096];

    text[0] = '\0';
    if (uid < 0)
        return;
    if (getpwuid_r((uid_t)uid, &entry, buffer, sizeof(buffer), &found) == 0 && found != NULL)
        text_clean(found->pw_name, strlen(found->pw_name), text, size);
    else
        snprintf(text, size, "%lld", (long long)uid);
}

static bool
ends_with(const char *text, size_t len, const char *end)
{
    size_t n = strlen(end);

    return len > n && memcmp(text + len - n, end, n) == 0;
}

/* One path of a control group: its last part that is a unit. */
static void
unit_of_path(const char *path, size_t len, char *unit, size_t size)
{
    static const char *const kinds[] = { ".service", ".scope", ".socket", ".mount", ".swap" };
    const char *end = path + len;

    while (path < end) {
        const char *slash = memchr(path, '/', (size_t)(end - path));
        size_t part = (size_t)((slash != NULL ? slash : end) - path);

        for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
            if (ends_with(path, part, kinds[i]))
                text_clean(path, part, unit, size);
        }
        path += part + 1;
    }
}

enum process_starter
process_unit(const char *cgroup, char *unit, size_t size)
{
    unit[0] = '\0';
    while (*cgroup != '\0') {
        size_t len = strcspn(cgroup, "\n");
        const char *name = memchr(cgroup, ':', len), *path = NULL;

        if (name != NULL)
            path = memchr(name + 1, ':', len - (size_t)(name + 1 - cgroup));
        if (path != NULL && (path == name + 1 || strncmp(name, ":name=systemd:", 14) == 0))
            unit_of_path(path + 1, len - (size_t)(path + 1 - cgroup), unit, size);
        cgroup += len + (cgroup[len] == '\n');
    }
    if (ends_with(unit, strlen(unit), ".service"))
        return STARTED_BY_MANAGER;
    if (strncmp(unit, "session-", 8) == 0)
        return STARTED_BY_PERSON;
    return STARTED_UNKNOWN;
}

static void
read_status(pid_t pid, struct process_info *info)
{
    char path[64], text[4096];
    const char *line;
    long long uid;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    if (proc_read(path, text, sizeof(text)) < 0)
        return;
    if ((line = strstr(text, "\nPPid:")) != NULL)
        info->ppid = (pid_t)strtol(line + 6, NULL, 10);
    if ((line = strstr(text, "\nUid:")) != NULL && sscanf(line + 5, "%*d %lld", &uid) == 1)
        info->uid = uid;
}

static void
read_program(pid_t pid, struct process_info *info)
{
    static const char gone[] = " (deleted)";
    char path[64], text[1024];
    ssize_t len;

    snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
    len = readlink(path, text, sizeof(text));
    if (len <= 0) {
        snprintf(info->program, sizeof(info->program), "%s", info->name);
        return;
    }
    if (ends_with(text, (size_t)len, gone))
        len -= (ssize_t)strlen(gone);
    text_clean(text, (size_t)len, info->program, sizeof(info->program));
}

bool
process_describe(pid_t pid, struct process_info *info)
{
    char path[64], text[4096];
    ssize_t len;

    memset(info, 0, sizeof(*info));
    info->pid = pid;
    info->uid = -1;
    snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
    len = proc_read(path, text, sizeof(text));
    if (len <= 0)
        return false;
    text_clean(text, (size_t)len - (text[len - 1] == '\n'), info->name, sizeof(info->name));
    read_program(pid, info);
    read_status(pid, info);
    process_user(info->uid, info->user, sizeof(info->user));
    snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
    len = proc_read(path, text, sizeof(info->command));
    while (len > 0 && text[len - 1] == '\0')
        len--;
    if (len > 0)
        text_clean(text, (size_t)len, info->command, sizeof(info->command));
    snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
    if (proc_read(path, text, sizeof(text)) > 0)
        info->starter = process_unit(text, info->unit, sizeof(info->unit));
    return true;
}

bool
process_is(const struct process_info *info, const char *name)
{
    const char *slash = strrchr(info->program, '/');

    return strcmp(slash != NULL ? slash + 1 : info->program, name) == 0 ||
           strcmp(info->name, name) == 0;
}
