/* log - see log.h. syslog(3) keeps the identity, so that this file has no state of its own. */
#include "common/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

void
log_open(const char *ident, bool to_stderr)
{
    /* LOG_PERROR copies to standard error; the journal would then show every line twice. */
    openlog(ident, LOG_PID | (to_stderr ? LOG_PERROR : 0), LOG_DAEMON);
}

static void __attribute__((format(printf, 2, 0)))
log_line(int priority, const char *fmt, va_list ap)
{
    char line[2048];

    vsnprintf(line, sizeof(line), fmt, ap);
    for (char *p = line; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = *p == '\t' ? ' ' : '?';
    }
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
