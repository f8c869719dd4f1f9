/* loads - see loads.h. */
#include "agent/load/loads.h"

#include "agent/base/progress.h"
#include "agent/load/loader.h"
#include "agent/service/processes.h"
#include "common/base/files.h"
#include "common/krb5/realm.h"

#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

bool
loads_running(struct processes *all, pid_t *pid, double *since)
{
    static const char *const loaders[] = { "kpropctl-loader", "kdb5_util", NULL };
    char path[64];
    struct stat st;

    *pid = 0;
    *since = 0;
    if (processes_find(all, loaders, pid, 1) == 0)
        return false;
    snprintf(path, sizeof(path), "/proc/%d", (int)*pid);
    if (stat(path, &st) == 0)
        *since = (double)st.st_mtim.tv_sec + (double)st.st_mtim.tv_nsec / 1e9;
    return true;
}

bool
loads_wait(const char *verb, int seconds, struct error *err)
{
    static const struct timespec nap = { 0, 250 * 1000 * 1000 };
    struct processes all;
    double since;
    pid_t pid;

    processes_init(&all);
    for (int i = 0; loads_running(&all, &pid, &since); i++) {
        if (i >= seconds * 4) {
            processes_free(&all);
            error_set(err, ERROR_UNREACHABLE,
                      "cannot %s kpropd: a load (pid %d) has not ended after %d s", verb, (int)pid,
                      seconds);
            return error_hint(err, "Try again when it has ended");
        }
        if (i % 8 == 0)
            verbs_progress("waiting for the load of pid %d to end", (int)pid);
        nanosleep(&nap, NULL);
        processes_free(&all);
        processes_init(&all);
    }
    processes_free(&all);
    return true;
}

bool
loads_hold(const char *realm_name, const char *verb, int seconds, int *lock, struct error *err)
{
    char path[PATH_MAX], name[PATH_MAX + 16];
    struct realm *realm = NULL;
    bool ok;

    *lock = -1;
    ok = realm_load(realm_name, &realm, err) &&
         loader_folder(realm->database, path, sizeof(path), err);
    if (ok && access(path, F_OK) == 0) {
        snprintf(name, sizeof(name), "%s/loading", path);
        *lock = file_lock(name, seconds * 1000, err);
        ok = *lock >= 0;
        if (!ok && err->code == ERROR_UNREACHABLE) {
            error_set(err, ERROR_UNREACHABLE, "cannot %s kpropd: a load has not ended after %d s",
                      verb, seconds);
            error_hint(err, "Try again when it has ended");
        }
    }
    realm_free(realm);
    return ok;
}
