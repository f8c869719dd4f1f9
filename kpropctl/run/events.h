/*
 * events - on_event of kpropctl.conf(5): a program of the administrator's that is run when a
 * replica's state changes. Only runs of root call it, as another user, and never through a shell.
 */
#ifndef KPC_EVENTS_H
#define KPC_EVENTS_H

#include "common/base/errors.h"
#include "kpropctl/base/configuration.h"

#include <stdbool.h>
#include <stdint.h>

struct event {
    const char *realm;
    const char *host;
    bool good;          /* what the replica is now; before it was not so, or not known */
    const char *result; /* of the run: "verified", "unchanged", "sent", "failed" */
    const char *error;  /* or "" */
    int64_t generation;
};

/*
 * May PROGRAM be run by root? An absolute path to a regular, executable file that nobody but root
 * can write, in folders that nobody but root can write. ERROR_REFUSED says what is wrong.
 */
bool events_check_program(const char *program, struct error *err);

/*
 * Run the configured program (none: true) for EVENT and wait for it, at most on_event_timeout. The
 * environment is KPROPCTL_EVENT (good, bad), _REALM, _HOST, _RESULT, _GENERATION, _ERROR, besides
 * PATH and LC_ALL; control characters are taken out. False with ERR if it could not be run, failed,
 * or was too slow: the replica's state is not touched by that.
 */
bool events_tell(const struct configuration *configuration, const struct event *event,
                 struct error *err);

#endif
