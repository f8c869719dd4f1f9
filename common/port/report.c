/* report - see report.h. */
#include "common/port/report.h"

#include "common/port/netlink.h"

#include <stdlib.h>
#include <string.h>

const char *
ports_way_name(enum ports_way way)
{
    static const char *const names[] = { "auto", "sock_diag", "pidfd", "proc", "portreserve" };

    return names[way];
}

bool
ports_way_from(const char *text, enum ports_way *way)
{
    static const struct {
        const char *name;
        enum ports_way way;
    } names[] = {
        { "auto", PORTS_AUTO },
        { "sock_diag", PORTS_DIAG },
        { "diag", PORTS_DIAG },
        { "pidfd", PORTS_PIDFD },
        { "pidfd_getfd", PORTS_PIDFD },
        { "proc", PORTS_PROC },
        { "portreserve", PORTS_PORTRESERVE },
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i].name, text) == 0) {
            *way = names[i].way;
            return true;
        }
    }
    return false;
}

void
ports_report_free(struct port_report *report)
{
    free(report);
}

bool
ports_ready(const struct port_report *report)
{
    for (size_t i = 0; report->usable == PORTS_HELD && i < report->count; i++) {
        const struct port_holder *holder = &report->holders[i];

        if (holder->tcp_state == SOCKET_STATE_LISTEN &&
            (holder->kind == PORT_KPROPD || holder->kind == PORT_ACTIVATOR))
            return true;
    }
    return report->usable == PORTS_USABLE;
}

const struct port_holder *
ports_obstacle(const struct port_report *report, int kind)
{
    for (size_t i = 0; i < report->count; i++) {
        if (report->holders[i].obstacle && (kind < 0 || (int)report->holders[i].kind == kind))
            return &report->holders[i];
    }
    return NULL;
}
