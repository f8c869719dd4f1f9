/* ports_ways - see ports_ways.h. */
#include "common/port/ports_ways.h"

#include "common/port/netlink.h"
#include "common/port/portreserve.h"
#include "common/port/ports_classify.h"
#include "common/port/ports_hidden.h"
#include "common/port/procwalk.h"

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

/* What is held, as trying shows, and by nothing that was found: at least its address is known. */
static void
add_nameless(struct port_report *report, struct look *look)
{
    struct hidden_hold holds[HIDDEN_MAX];
    size_t count;

    if (report->usable == PORTS_USABLE)
        return;
    count = ports_hidden(report->spec.port, &look->list, holds);
    for (size_t i = 0; i < count; i++) {
        struct socket_entry entry = { .family = holds[i].family,
                                      .state = SOCKET_STATE_BOUND,
                                      .nameless = true };

        memcpy(entry.src, holds[i].address, sizeof(entry.src));
        socket_list_add(&look->list, &entry);
        report->sure = PORTS_LIKELY;
    }
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
    add_nameless(report, look);
    procwalk_owners(&look->list, look->reserve.pid, &look->view);
    return true;
}

/* The daemon that holds PORT by its files, as far as these tell; 0 if they do not. */
static pid_t
reserving_pid(const struct look *look, uint16_t port)
{
    size_t at = 0;

    return portreserve_find(&look->reserve, port, &at) != NULL ? look->reserve.pid : 0;
}

/* May the socket of ENTRY, whose address is not known, be one of HOLDS? */
static bool
may_be(const struct socket_entry *entry, const struct hidden_hold *holds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (holds[i].family == entry->family || entry->family == AF_INET6)
            return true;
    }
    return false;
}

/*
 * Of the sockets without a known port keep those that may be the holds which nothing else explains.
 * Of portreserve, which has one for each reservation, one stands for all.
 */
static size_t
keep_likely(struct port_report *report, struct look *look)
{
    struct hidden_hold holds[HIDDEN_MAX];
    size_t count = ports_hidden(report->spec.port, &look->list, holds), kept = 0, unsure = 0;
    pid_t pid = reserving_pid(look, report->spec.port), seen = 0;
    struct socket_list *list = &look->list;

    for (size_t i = 0; pid > 0 && i < list->count; i++) {
        if (list->entries[i].unsure && (pid_t)list->entries[i].pid_hint == pid)
            seen = pid;
    }
    for (size_t i = 0; i < list->count; i++) {
        struct socket_entry entry = list->entries[i];

        if (entry.unsure) {
            bool own = pid > 0 && (pid_t)entry.pid_hint == pid;

            if (!may_be(&entry, holds, count) || (count == 1 && seen != 0 && !own) ||
                (own && seen == 0))
                continue;
            if (own)
                seen = 0;
            if (count == 1) {
                entry.placed = true;
                entry.family = holds[0].family;
                memcpy(entry.src, holds[0].address, sizeof(entry.src));
            }
            unsure++;
        }
        list->entries[kept++] = entry;
    }
    list->count = kept;
    return unsure;
}

static bool
look_by_proc(struct port_report *report, struct look *look, struct error *err)
{
    size_t unsure;

    forget(report, look);
    report->way = PORTS_PROC;
    if (!procwalk_tables(report->spec.port, &look->list, err) ||
        !procwalk_hidden(&look->list, &look->view, err))
        return false;
    unsure = keep_likely(report, look);
    if (unsure > 0)
        report->sure = unsure == 1 ? PORTS_LIKELY : PORTS_GUESS;
    if (unsure > 1)
        note(report, "one of these holds it: a socket that neither listens nor talks shows here "
                     "without its port");
    else if (look->view.closed > 0)
        note(report, "not every process could be looked into");
    if (unsure == 0)
        add_nameless(report, look);
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
