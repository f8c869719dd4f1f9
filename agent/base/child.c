/* child - see child.h. */
#include "agent/base/child.h"

#include "common/base/errors.h"
#include "common/base/log.h"

#include <fcntl.h>
#include <signal.h>
#include <syslog.h>
#include <unistd.h>

enum { JOURNAL_FD = 3 };

static void
close_above(int first)
{
#ifdef CLOSE_RANGE_CLOEXEC
    if (close_range((unsigned int)first, ~0U, 0) == 0)
        return;
#endif
    for (int fd = first; fd < sysconf(_SC_OPEN_MAX); fd++)
        close(fd);
}

void
leave_parent(int out, int error, int *keep)
{
    int first = JOURNAL_FD;
    struct sigaction action = { .sa_handler = SIG_DFL };
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    /* The journal's stream stays: what a child logs through /dev/log in its last moments would not
     * be told with the unit's lines. */
    int journal = log_is_journal(2) ? fcntl(2, F_DUPFD_CLOEXEC, JOURNAL_FD) : -1;
    sigset_t none;

    if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(error, 2) < 0)
        _exit(ERROR_INTERNAL);
    closelog();
    if (journal >= 0 && (journal == JOURNAL_FD || dup3(journal, JOURNAL_FD, O_CLOEXEC) >= 0)) {
        log_to_journal(JOURNAL_FD);
        first++;
    }
    if (keep != NULL && *keep != first && dup3(*keep, first, O_CLOEXEC) < 0)
        _exit(ERROR_INTERNAL);
    if (keep != NULL)
        *keep = first++;
    close_above(first);
    for (int sig = 1; sig < NSIG; sig++)
        sigaction(sig, &action, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0);
}

pid_t
request_fork(int out, int *keep)
{
    pid_t pid = fork();

    if (pid == 0) {
        leave_parent(out, out, keep);
        log_open("kpropctl-agent", false);
    }
    return pid;
}

bool
request_run_aside(void (*function)(const struct settings *), const struct settings *settings)
{
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    pid_t pid = null < 0 ? -1 : fork();

    if (pid == 0) {
        leave_parent(null, null, NULL);
        log_open("kpropctl-agent", false);
        function(settings);
        _exit(0);
    }
    if (null >= 0)
        close(null);
    return pid > 0;
}
