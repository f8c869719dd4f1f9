/*
 * conf_merge: a realm merged into whatever text is there, by replacing or not: libprofile finds the
 * realm in the result (conf_merge proves it itself), and a second merge finds nothing to do.
 */
#include "agent/enroll/krb5_conf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BUNDLE                                                                                     \
    "[libdefaults]\ndefault_realm = L\n[realms]\nL = {\nkdc = k\nadmin_server = k\ns = {\na = b\n" \
    "}\n}\n[domain_realm]\n.l = L\n"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* SIZE bytes as a file in memory, so that no test writes to a disk. */
static int
put(const void *data, size_t size, char path[64])
{
    int fd = memfd_create("krb5.conf", MFD_CLOEXEC);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, 64, "/proc/self/fd/%d", fd);
    return fd;
}

static bool
merge(const void *data, size_t size, bool replace, struct conf_plan *plan)
{
    struct error err;
    char path[64];
    int fd = put(data, size, path);
    bool ok;

    error_clear(&err);
    ok = krb5_conf_plan(path, "/nonexistent", BUNDLE, "L", replace, plan, &err);
    if (!ok && err.text[0] == '\0')
        abort();
    close(fd);
    return ok;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct conf_plan plan, again;

    if (size > 8192 || memmem(data, size, "include", 7) || memmem(data, size, "module", 6))
        return 0;
    for (int replace = 0; replace < 2; replace++) {
        if (merge(data, size, replace, &plan) && plan.result == CONF_MERGED) {
            if (!merge(plan.text.data, plan.text.len, false, &again) || again.result != CONF_SAME)
                abort();
            conf_plan_free(&again);
        } else if (replace && plan.result == CONF_CONFLICT) {
            abort();
        }
        conf_plan_free(&plan);
    }
    return 0;
}
