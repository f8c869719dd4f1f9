/*
 * watch - run a propagation whenever the database changes: a service on libev and inotify.
 *
 * It decides nothing about what is sent: that is the command's, run as a child. It sees to it that
 * the command runs soon after a change, no more often than configured, again when something changed
 * meanwhile, and again when it failed. While nothing changes it does not wake up.
 */
#ifndef KPC_WATCH_H
#define KPC_WATCH_H

#include "common/base/errors.h"
#include "common/kdb/backend.h"

#include <stdint.h>

/* Everything belongs to the caller, and lives until the next reload. */
struct watch_settings {
    const struct backend *backend;
    const char *database;           /* path, as backend.h has it */
    const char *const *command;     /* argv of a propagation, ended by NULL */
    const char *const *environment; /* as subprocess.h has it */
    double settle;                  /* seconds, see pace.h */
    double interval;

    /* A number that grows with every content that is sent, or -1 if that is not known. */
    int64_t (*generation)(void *closure);
    /* Is this host no primary any more? Asked when the command was refused; with ERR saying so. */
    bool (*deposed)(void *closure, struct error *err);
    /* Read the configuration again, into SETTINGS. False with ERR: they stay as they are. */
    bool (*reload)(void *closure, struct watch_settings *settings, struct error *err);
    void *closure;
};

/*
 * Watch until SIGTERM or SIGINT, which also end a propagation that is under way. SIGHUP reloads.
 * What goes wrong is logged once for each kind of trouble, and told to systemd. Returns 0, or an
 * ERROR_* with ERR if it could not begin, or must not go on (ERROR_REFUSED: this host is no primary
 * any more).
 */
int watch_run(struct watch_settings *settings, struct error *err);

#endif
