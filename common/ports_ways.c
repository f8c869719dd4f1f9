/* ports_ways - see ports_ways.h. */
#include "common/ports_ways.h"

#include "common/procwalk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* All that one look needs; too big for the stack. */
struct look {
    struct socket_list list;
    struct portreserve reserve;
    struct walk_view view;
    const char *root;
};

static void
note(struct port_report *report, const char *text)
{
    snprintf(report->note, sizeof(report->note), "%s", text);
}

static void
forget(struct port_report *report, struct look *look)
{
    memset(&look->list, 0, sizeof(look->list));
    memset(&look->view, 0, sizeof(look->view));
    report->count = report->left_out = report->finished = 0;
    report->note[0] = '\0';
    report->sure = PORTS_CERTAIN;
}

/* The answer has everything only if the kernel lists what is bound and does not listen. */
static bool
look_by_diag(struct port_report *report, struct look *look, bool *complete, struct error *err)
{
    forget(report, look);
    report->way = PORTS_DIAG;
    *complete = true;
    if (!netlink_sockets(report->spec.port, &look->list, err))
        return false;
    if (report->usable != PORTS_USABLE)
        *complete = netlink_shows_bound();
    procwalk_owners(&look->list, look->reserve.pid, &look->view);
    if (!*complete) {
        report->sure = PORTS_LIKELY;
        note(report, "this kernel does not list sockets that are bound and do not listen");
    }
    return true;
}

static bool
look_by_pidfd(struct port_report *report, struct look *look, struct error *err)
{
    forget(report, look);
    report->way = PORTS_PIDFD;
    if (!procwalk_tables(report->spec.port, &look->list, err) ||
        !procwalk_hidden_by_pidfd(report->spec.port, &look->list, &look->view, err))
        return false;
    if (look->view.closed > 0) {
        report->sure = PORTS_LIKELY;
        note(report, "not every process could be looked into");
    }
    procwalk_owners(&look->list, look->reserve.pid, &look->view);
    return true;
}

/* Of the sockets without a known port keep those that may explain why the port is held. */
static void
drop_unlikely(struct port_report *report, struct look *look)
{
    struct socket_list *list = &look->list;
    bool explained = report->usable == PORTS_USABLE, reserved = false;
    size_t at = 0, kept = 0;

    if (portreserve_find(&look->reserve, report->spec.port, &at) != NULL) {
        for (size_t i = 0; i < list->count; i++)
            reserved = reserved || (list->entries[i].unsure && look->reserve.pid > 0 &&
                                    (pid_t)list->entries[i].pid_hint == look->reserve.pid);
    }
    for (size_t i = 0; i < list->count; i++)
        explained = explained || (!list->entries[i].unsure && list->entries[i].inode != 0);
    for (size_t i = 0; i < list->count; i++) {
        const struct socket_entry *entry = &list->entries[i];

        if (entry->unsure &&
            ((explained && !reserved) || (reserved && (pid_t)entry->pid_hint != look->reserve.pid)))
            continue;
        if (entry->unsure && reserved) {
            /* It has a socket for each reservation: which is which cannot be told. One is. */
            reserved = false;
            explained = true;
        }
        list->entries[kept++] = *entry;
    }
    list->count = kept;
}

static bool
look_by_proc(struct port_report *report, struct look *look, struct error *err)
{
    size_t unsure = 0;

    forget(report, look);
    report->way = PORTS_PROC;
    if (!procwalk_tables(report->spec.port, &look->list, err) ||
        !procwalk_hidden(&look->list, &look->view, err))
        return false;
    drop_unlikely(report, look);
    for (size_t i = 0; i < look->list.count; i++)
        unsure += look->list.entries[i].unsure;
    if (unsure > 0)
        report->sure = unsure == 1 ? PORTS_LIKELY : PORTS_GUESS;
    if (unsure > 1)
        note(report, "one of these holds it: a socket that neither listens nor talks shows here "
                     "without its port");
    else if (look->view.closed > 0)
        note(report, "not every process could be looked into");
    procwalk_owners(&look->list, look->reserve.pid, &look->view);
    return true;
}

static bool
look_by_files(struct port_report *report, struct look *look)
{
    forget(report, look);
    report->way = PORTS_PORTRESERVE;
    report->sure = PORTS_LIKELY;
    if (report->usable != PORTS_USABLE)
        ports_classify_files(report, &look->reserve);
    if (report->usable == PORTS_HELD && report->count == 0) {
        report->sure = PORTS_GUESS;
        note(report, "portreserve does not run, or none of its files names this port");
    }
    return true;
}

static bool
explains(const struct port_report *report, const struct look *look)
{
    if (report->usable != PORTS_HELD)
        return true;
    for (size_t i = 0; i < look->list.count; i++) {
        if (look->list.entries[i].state != SOCKET_STATE_TIME_WAIT)
            return true;
    }
    return false;
}

/* Each way only if the one before it could not have seen everything. */
static bool
look_by_any(struct port_report *report, struct look *look, struct error *err)
{
    bool complete = false;

    if (look_by_diag(report, look, &complete, err) && complete)
        return true;
    if (look_by_pidfd(report, look, err) && (look->view.closed == 0 || explains(report, look)))
        return true;
    if (look_by_proc(report, look, err) && explains(report, look))
        return true;
    error_clear(err);
    return look_by_files(report, look);
}

static bool
look_by(struct port_report *report, struct look *look, enum ports_way way, struct error *err)
{
    bool complete;

    switch (way) {
    case PORTS_DIAG:
        return look_by_diag(report, look, &complete, err);
    case PORTS_PIDFD:
        return look_by_pidfd(report, look, err);
    case PORTS_PROC:
        return look_by_proc(report, look, err);
    case PORTS_PORTRESERVE:
        return look_by_files(report, look);
    default:
        return look_by_any(report, look, err);
    }
}

/* We may not bind a low port, so what was found has to decide. */
static void
decide_without_probe(struct port_report *report)
{
    bool found = false;

    if (report->usable != PORTS_UNKNOWN)
        return;
    for (size_t i = 0; i < report->count; i++)
        found = found || report->holders[i].tcp_state != SOCKET_STATE_TIME_WAIT;
    if (found)
        report->usable = PORTS_HELD;
    else if (report->way == PORTS_DIAG && report->sure == PORTS_CERTAIN)
        report->usable = PORTS_USABLE;
    if (report->sure == PORTS_CERTAIN)
        report->sure = PORTS_LIKELY;
}

bool
ports_look(struct port_report *report, const struct ports_options *options, struct error *err)
{
    struct look *look = (struct look *)calloc(1, sizeof(*look));
    struct error reading;
    bool ok;

    if (look == NULL)
        return error_memory(err);
    look->root = options->root;
    error_clear(&reading);
    portreserve_read(look->root, options->portreserve, &look->reserve, &reading);
    ok = look_by(report, look, options->way, err);
    if (ok) {
        if (report->way != PORTS_PORTRESERVE)
            ports_classify(report, &look->list, &look->reserve, look->root);
        report->privileged = geteuid() == 0 && look->view.closed == 0;
        decide_without_probe(report);
        ports_judge(report, &look->reserve);
        if (report->note[0] == '\0' && look->reserve.problem[0] != '\0' && report->count > 0)
            note(report, look->reserve.problem);
    }
    free(look);
    return ok;
}
