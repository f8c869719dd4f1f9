/*
 * subprocess - run another program with a deadline, its output bounded, nothing inherited.
 *
 * The child gets an environment of its own (PATH, LC_ALL=C, what the caller adds, and KRB5_CONFIG
 * and KRB5_KDC_PROFILE as we have them, so that its files are ours), only the descriptors 0 to 2,
 * default signals, and is killed when its parent dies.
 */
#ifndef KPC_SUBPROCESS_H
#define KPC_SUBPROCESS_H

#include "common/base/buffers.h"
#include "common/base/errors.h"

#include <stdbool.h>
#include <sys/types.h>

struct subprocess {
    pid_t pid;
    int out; /* read end of its standard output, -1 if none was asked for */
    int err; /* read end of its standard error, likewise */
    const char *program;
};

struct subprocess_options {
    const char *const
        *environment; /* "NAME=value" strings ended by NULL, added to the own few; or NULL */
    int in;           /* its standard input, which stays the caller's; 0: /dev/null */
    bool pipe_out;    /* else standard output goes to /dev/null */
    bool pipe_err;
    bool merge; /* standard error goes where standard output goes */
    bool drop;  /* become uid and gid, without further groups */
    uid_t uid;
    gid_t gid;
    /* Called in the child with CLOSURE, last before the program is executed: 0, or the errno with
     * which the start fails. Only what is safe after a fork; no lock, no memory. */
    int (*confine)(void *closure);
    void *closure;
};

struct subprocess_result {
    int status;     /* exit status, or -1 if it did not exit by itself */
    int signal;     /* the signal that ended it, or 0 */
    bool timed_out; /* the deadline passed: it was killed (SIGTERM, then SIGKILL) */
    double seconds;
    struct buffer
        out; /* what it wrote, the first 64 KiB of each; freed by subprocess_result_free */
    struct buffer err;
};

/*
 * Start ARGV (argv[0] an absolute path, ended by NULL). On success the caller owns CHILD: its pipes
 * and the duty to call subprocess_wait. A program that cannot be executed is an error here.
 */
bool subprocess_start(const char *const *argv, const struct subprocess_options *options,
                      struct subprocess *child, struct error *err);

/*
 * Wait for CHILD at most TIMEOUT_MS (-1: for ever), then kill it; closes its pipes. Fills status,
 * signal and timed_out of RESULT, leaves its buffers alone.
 */
void subprocess_wait(struct subprocess *child, int timeout_ms, struct subprocess_result *result);

/*
 * Run ARGV to its end or TIMEOUT_MS, collecting its output. False only when it could not be
 * started; what became of it is in RESULT, to be freed by the caller in every case.
 */
bool subprocess_run(const char *const *argv, const char *const *environment, int timeout_ms,
                    struct subprocess_result *result, struct error *err);

/* True when it ended by itself with exit status 0. */
bool subprocess_succeeded(const struct subprocess_result *result);

/* One line that says how it ended: "exit status 1", "killed by signal 9", "not finished after 5 s".
 */
const char *subprocess_describe(const struct subprocess_result *result, char *text, size_t size);

/* The last line that is not empty of what it wrote (standard error first), cleaned, or "". */
const char *subprocess_last_line(const struct subprocess_result *result, char *text, size_t size);

void subprocess_result_init(struct subprocess_result *result);
void subprocess_result_free(struct subprocess_result *result);

#endif
