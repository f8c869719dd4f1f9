/*
 * loader - what kpropd runs instead of kdb5_util (kpropd -p): it loads a received dump beside the
 * live database, proves it, and only then puts it in its place.
 *
 * All of its own files are in the folder DATABASE.kpropctl (0700) on the live database's file
 * system: "loading" (its lock, and where it stands), "staging/" (the database in the making),
 * "last_good" (the dump of the last verified load) and "last_good.1" (that of the one before it).
 */
#ifndef KPC_AGENT_LOADER_H
#define KPC_AGENT_LOADER_H

#include "agent/base/settings.h"
#include "agent/load/announcement.h"
#include "agent/load/outcome.h"
#include "common/base/errors.h"
#include "common/kdb/backend.h"
#include "common/krb5/realm.h"

#include <stdbool.h>
#include <stdint.h>

/* What to load; all strings belong to the caller. */
struct loader_request {
    const struct realm *realm;
    const char *database;             /* path of the live database */
    const char *file;                 /* the dump */
    bool incremental;                 /* kpropd runs in incremental mode (-i) */
    const char *state;                /* the agent's folder of announcements and outcomes */
    int unannounced;                  /* enum unannounced of the realm's settings */
    const char *kdb5_util;            /* path of the real one */
    const struct announcement *again; /* what was announced of FILE when it was loaded before; NULL:
                                         what is pending now counts */
};

/*
 * Do it, and write the outcome to RESULT and into the state folder. True when the live database is
 * that of the dump, verified or (without an announcement) only proved by itself; false leaves it as
 * it was. Handles SIGTERM, SIGINT and SIGHUP for its duration: they end a load that has not been
 * promoted.
 */
bool loader_run(const struct loader_request *request, struct outcome *result);

/* Where a load of DATABASE stands. */
struct loader_progress {
    bool running;
    int pid;             /* 0 if not known */
    uint64_t generation; /* 0 if not announced */
    double since;        /* seconds since the epoch */
    char stage[16];
};

void loader_look(const char *database, struct loader_progress *progress);

/*
 * Finish what a killed load left half promoted, unless a load is running now. WHAT says what there
 * was. For the agent to call at its start, and before it looks at the live database.
 */
bool loader_recover(const struct backend *backend, const char *database,
                    enum backend_recovered *what, struct error *err);

/* The folder of the loader's files for DATABASE, and the file in it that is the last good dump, or
 * the one before that. */
bool loader_folder(const char *database, char *path, size_t size, struct error *err);
bool loader_last_good(const char *database, bool previous, char *path, size_t size,
                      struct error *err);

#endif
