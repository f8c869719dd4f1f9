/*
 * log - what a program tells its administrator while nobody watches: syslog, or standard error.
 *
 * One line per call; control characters are replaced, so that a peer cannot forge a line.
 */
#ifndef KPC_LOG_H
#define KPC_LOG_H

#include <stdbool.h>

/* Log as IDENT: to syslog (the journal on hosts with systemd), or to standard error where STDERR.
 */
void log_open(const char *ident, bool to_stderr);

/* True if FD is the stream to the journal that systemd gave to this service (JOURNAL_STREAM in
 * systemd.exec(5)). */
bool log_is_journal(int fd);

/*
 * From now on log to FD, such a stream, here and in forked children: the journal knows the service
 * of what comes through it, even if the process has ended before it looks. (Kept in the
 * environment.)
 */
void log_to_journal(int fd);

void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_notice(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
