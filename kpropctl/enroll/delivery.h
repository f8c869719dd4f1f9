/*
 * delivery - bring a bare host what it lacks, by a program of the administrator's (via.h): the
 * agent's package, and the bundle of its enrolment.
 */
#ifndef KPC_DELIVERY_H
#define KPC_DELIVERY_H

#include "common/base/buffers.h"
#include "common/base/errors.h"
#include "kpropctl/enroll/via.h"

#include <stdbool.h>

/* What setup-slave was asked. */
struct delivery {
    struct via *via;     /* NULL: there is no way */
    const char *package; /* the agent's package on this host; or NULL */
    bool with_stash;
    bool replace; /* what contradicts the bundle there may go */
};

/* Is FILE a package that can be brought to a host: a .deb or an .rpm of kpropctl-agent? ERROR_USAGE
 * if not. */
bool delivery_check_package(const char *file, struct error *err);

/* Is the package of a newer version than VERSION, that of a host's agent? False where nobody here
 * can tell its version. */
bool delivery_is_newer(const struct delivery *delivery, const char *version);

/*
 * Install the package on HOST, unless the agent is there in that version or a newer one; *INSTALLED
 * says which. What was brought there for it is removed in any case. ERR names HOST and the step.
 */
bool delivery_install(const struct delivery *delivery, const char *host, bool *installed,
                      struct error *err);

/*
 * Give BUNDLE (what bundle_write has written) to `kpropctl-agent enroll` on HOST, with DRY_RUN to
 * be told only. Appends what that says to SAID, clean, in lines. ERR has the agent's own error and
 * hint, ERROR_UNREACHABLE if HOST cannot be reached; *MISSING is true if there is no agent, or one
 * that cannot be enrolled.
 */
bool delivery_enroll(const struct delivery *delivery, const char *host, const struct buffer *bundle,
                     bool dry_run, struct buffer *said, bool *missing, struct error *err);

/* How a person brings HOST what a bundle has, with OPTIONS ("", "--with-stash ") of either command:
 * by the pipe, or by setup-slave. */
const char *delivery_ways(const char *host, const char *options, char *text, size_t size);

#endif
