/* primary - see primary.h. */
#include "kpropctl/krb5/primary.h"

#include "common/kdb/backend.h"
#include "common/port/ports.h"
#include "kpropctl/krb5/names.h"

#include <stdio.h>
#include <string.h>

/* kpropd serving here means that this host receives the database from another. */
static bool
kpropd_runs_here(void)
{
    struct port_spec spec;
    struct ports_options options = { PORTS_AUTO, NULL };
    struct port_report *report = NULL;
    struct error ignored;
    bool found;

    if (!ports_resolve(NULL, &spec, &ignored) || !ports_examine(&spec, &options, &report, &ignored))
        return false;
    found = ports_obstacle(report, PORT_KPROPD) != NULL;
    for (size_t i = 0; i < report->count && !found; i++)
        found = report->holders[i].kind == PORT_KPROPD;
    ports_report_free(report);
    return found;
}

static bool
admin_server_elsewhere(const struct realm *realm)
{
    char host[256];

    if (realm->admin_server == NULL || realm->admin_server[0] == NULL)
        return false;
    for (char **p = realm->admin_server; *p != NULL; p++) {
        snprintf(host, sizeof(host), "%s", *p);
        if (host[0] != '[' && strchr(host, ':') == strrchr(host, ':'))
            host[strcspn(host, ":")] = '\0';
        if (names_is_local(host))
            return false;
    }
    return true;
}

bool
primary_is_elsewhere(const struct realm *realm)
{
    return kpropd_runs_here() || admin_server_elsewhere(realm);
}

bool
primary_is_here(const struct realm *realm, struct error *err)
{
    const struct backend *backend = backend_find(realm->backend);
    const char *admin = realm->admin_server == NULL ? NULL : realm->admin_server[0];

    if (backend == NULL || !backend_has_files(backend)) {
        error_set(err, ERROR_REFUSED,
                  "realm %s keeps its database in '%s', which kprop does not replicate",
                  realm->name, realm->backend);
        return error_hint(err, "with LDAP all KDCs share the directory: replicate that instead");
    }
    if (!backend_exists(backend, realm->database))
        error_set(err, ERROR_REFUSED, "this host has no database of realm %s (%s)", realm->name,
                  realm->database);
    else if (kpropd_runs_here())
        error_set(err, ERROR_REFUSED,
                  "kpropd runs on this host: it is a replica of %s, not the primary", realm->name);
    else if (admin_server_elsewhere(realm))
        error_set(err, ERROR_REFUSED, "this host is not the primary of %s: admin_server is %s",
                  realm->name, admin);
    else
        return true;
    return error_hint(err, "run this on the primary KDC%s%s", admin == NULL ? "" : ": ",
                      admin == NULL ? "" : admin);
}
