/* log - see log.h. syslog(3) and the environment keep what there is to keep: no state here. */
#include "common/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

void
log_open(const char *ident, bool to_stderr)
{
    /* LOG_PERROR copies to standard error; the journal would then show every line twice. */
    openlog(ident, LOG_PID | (to_stderr ? LOG_PERROR : 0), LOG_DAEMON);
}

#define STREAM_VARIABLE "KPROPCTL_LOG_STREAM"

bool
log_is_journal(int fd)
{
    const char *wanted = getenv("JOURNAL_STREAM");
    char name[64];
    struct stat st;

    if (wanted == NULL || fstat(fd, &st) != 0)
        return false;
    snprintf(name, sizeof(name), "%llu:%llu", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    return strcmp(name, wanted) == 0;
}

void
log_to_journal(int fd)
{
    char text[16];

    snprintf(text, sizeof(text), "%d", fd);
    setenv(STREAM_VARIABLE, text, 1);
}

static void __attribute__((format(printf, 2, 0)))
log_line(int priority, const char *fmt, va_list ap)
{
    const char *stream;
    char line[2048];

    vsnprintf(line, sizeof(line), fmt, ap);
    for (char *p = line; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = *p == '\t' ? ' ' : '?';
    }
    stream = getenv(STREAM_VARIABLE);
    if (stream != NULL)
        dprintf(atoi(stream), "<%d>%s\n", priority, line);
    else
        syslog(priority, "%s", line);
}

#define LOG_FUNCTION(name, priority)                                                               \
    void name(const char *fmt, ...)                                                                \
    {                                                                                              \
        va_list ap;                                                                                \
                                                                                                   \
        va_start(ap, fmt);                                                                         \
        log_line(priority, fmt, ap);                                                               \
        va_end(ap);                                                                                \
    }

LOG_FUNCTION(log_error, LOG_ERR)
LOG_FUNCTION(log_warning, LOG_WARNING)
LOG_FUNCTION(log_notice, LOG_NOTICE)
LOG_FUNCTION(log_info, LOG_INFO)
