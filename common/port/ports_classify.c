/* ports_classify - see ports_classify.h. */
#include "common/port/ports_classify.h"

#include "common/port/activators.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void __attribute__((format(printf, 2, 3)))
set_note(struct port_holder *holder, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(holder->note, sizeof(holder->note), fmt, ap);
    va_end(ap);
}

static void __attribute__((format(printf, 2, 3)))
set_advice(struct port_holder *holder, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(holder->advice, sizeof(holder->advice), fmt, ap);
    va_end(ap);
}

/* An IPv4 address inside an IPv6 one is told as IPv4. */
static void
address_text(int family, const unsigned char *bytes, char *text, size_t size)
{
    static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

    if (family == AF_INET6 && memcmp(bytes, mapped, sizeof(mapped)) == 0) {
        family = AF_INET;
        bytes += sizeof(mapped);
    }
    if (inet_ntop(family, bytes, text, (socklen_t)size) == NULL)
        text[0] = '\0';
}

static bool
talks(uint8_t state)
{
    return state != SOCKET_STATE_LISTEN && state != SOCKET_STATE_BOUND;
}

static void
fill_addresses(struct port_holder *holder, const struct socket_entry *entry)
{
    char address[64];

    if (entry->unsure && !entry->placed)
        return;
    address_text(entry->family, entry->src, holder->address, sizeof(holder->address));
    if (!talks(entry->state))
        return;
    address_text(entry->family, entry->dst, address, sizeof(address));
    snprintf(holder->peer, sizeof(holder->peer), strchr(address, ':') != NULL ? "[%s]:%u" : "%s:%u",
             address, entry->dport);
}

static void
fill_process(struct port_holder *holder, const struct socket_entry *entry)
{
    if (entry->pid_hint != 0 && process_describe((pid_t)entry->pid_hint, &holder->who))
        return;
    holder->who = (struct process_info){ .uid = entry->uid };
    if (entry->state == SOCKET_STATE_TIME_WAIT || entry->nameless)
        holder->who.uid = -1;
    process_user(holder->who.uid, holder->who.user, sizeof(holder->who.user));
}

/* The file that makes it a reservation, and the name that releases it. */
static void
fill_reservation(struct port_holder *holder, uint16_t port, const struct portreserve *reserve)
{
    size_t at = 0;
    const struct portreserve_file *file = portreserve_find(reserve, port, &at), *second;

    holder->kind = PORT_RESERVATION;
    if (file == NULL) {
        set_note(holder, "no file of " PORTRESERVE_FOLDER " names this port any more, so there is "
                         "no name that would release it");
        set_advice(holder, "Restart portreserve: it then holds only what its files name");
        return;
    }
    snprintf(holder->file, sizeof(holder->file), "%s/%s", reserve->folder, file->name);
    snprintf(holder->release, sizeof(holder->release), "%s", file->name);
    second = portreserve_find(reserve, port, &at);
    if (second != NULL)
        set_note(holder, "file '%.200s' names it as well: releasing one may not be enough",
                 second->name);
    set_advice(holder,
               "Release it with 'kpropctl-agent release' (or 'portrelease %.200s') and "
               "start kpropd; setup-slave does both, and makes it last",
               file->name);
}

/* portreserve's own, by its name or pid; or out of view, and like one of its sockets in all else.
 */
static bool
is_reservation(const struct port_holder *holder, const struct socket_entry *entry, uint16_t port,
               const struct portreserve *reserve)
{
    static const unsigned char any[4] = { 0 };
    size_t at = 0;

    if (entry->state != SOCKET_STATE_BOUND)
        return false;
    if (holder->who.pid > 0)
        return process_is(&holder->who, "portreserve") || holder->who.pid == reserve->pid;
    return reserve->pid > 0 && entry->uid == 0 && entry->family == AF_INET &&
           (entry->inode != 0 || entry->nameless) && memcmp(entry->src, any, sizeof(any)) == 0 &&
           portreserve_find(reserve, port, &at) != NULL;
}

static void
classify_kpropd(struct port_holder *holder)
{
    holder->kind = PORT_KPROPD;
    if (holder->tcp_state == SOCKET_STATE_BOUND)
        set_note(holder, "it has just bound and will listen in a moment, or it hangs");
    else if (holder->who.starter == STARTED_BY_PERSON)
        set_note(holder, "a person started it in a login session: it will not come back after a "
                         "reboot");
    else if (holder->who.starter == STARTED_UNKNOWN && !talks(holder->tcp_state))
        set_note(holder, "no service of systemd's started it");
    else if (holder->who.starter == STARTED_BY_MANAGER && strstr(holder->who.unit, "kprop") == NULL)
        set_note(holder, "it belongs to %s, which is not kpropd's own service", holder->who.unit);
    if (holder->who.starter == STARTED_BY_PERSON)
        set_advice(holder, "End process %d and start kpropd's service instead",
                   (int)holder->who.pid);
    else
        set_advice(holder, "Nothing to do");
}

static bool
classify_activator(struct port_holder *holder, uint16_t port, const char *root)
{
    struct activation found;

    if (holder->tcp_state != SOCKET_STATE_LISTEN ||
        !activators_ask(&holder->who, port, root, &found))
        return false;
    snprintf(holder->file, sizeof(holder->file), "%s", found.file);
    if (found.kpropd) {
        holder->kind = PORT_ACTIVATOR;
        set_note(holder, "it starts kpropd (%.200s) for each propagation", found.server);
        set_advice(holder, "Nothing to do, unless incremental propagation is wanted: then kpropd "
                           "has to stand alone");
        return true;
    }
    if (found.found)
        set_note(holder, "it starts '%.200s' for each connection", found.server);
    else
        set_note(holder, "nothing in its configuration explains it");
    set_advice(holder, "Take the port out of %.200s, or give that service another port",
               found.file[0] != '\0' ? found.file : "its configuration");
    return true;
}

static void
classify_connection(struct port_holder *holder)
{
    bool nfs =
        strlen(holder->peer) > 5 && strcmp(holder->peer + strlen(holder->peer) - 5, ":2049") == 0;

    holder->kind = PORT_CONNECTION;
    if (holder->who.pid > 0) {
        set_note(holder, "a connection to %s happens to have this port on our side", holder->peer);
        set_advice(holder, "Restart %s: it will pick another port",
                   holder->who.unit[0] != '\0' ? holder->who.unit : holder->who.program);
    } else if (nfs) {
        set_note(holder, "the kernel's NFS client talks to %s from this port", holder->peer);
        set_advice(holder, "Mount that file system again (or with the option noresvport)");
    } else if (geteuid() != 0 && holder->inode != 0) {
        set_note(holder, "a connection to %s of a process of somebody else", holder->peer);
        set_advice(holder, "Ask again as root, who can see which process it is");
    } else {
        set_note(holder, "a connection to %s that no process in view has open", holder->peer);
        set_advice(holder, holder->inode == 0 ? "Wait until it has ended"
                                              : "See which mount or service talks to that host");
    }
}

static void
classify_other(struct port_holder *holder)
{
    holder->kind = PORT_OTHER;
    if (holder->who.pid > 0) {
        set_advice(holder, "Stop %s, or give it another port; kpropctl touches nothing of it",
                   holder->who.unit[0] != '\0' ? holder->who.unit : holder->who.program);
    } else if (geteuid() != 0) {
        set_note(holder, "its process belongs to somebody else");
        set_advice(holder, "Ask again as root, who can see which process it is");
    } else {
        set_note(holder, "no process in view has it open: it is in flight between processes, the "
                         "kernel's own, or in another pid namespace");
        set_advice(holder, "Look for a service%s%s that was started lately, and restart it",
                   holder->who.user[0] != '\0' ? " of user " : "", holder->who.user);
    }
}

static void
classify_one(struct port_holder *holder, const struct socket_entry *entry, uint16_t port,
             const struct portreserve *reserve, const char *root)
{
    if (is_reservation(holder, entry, port, reserve)) {
        if (holder->who.pid == 0)
            process_describe(reserve->pid, &holder->who);
        fill_reservation(holder, port, reserve);
    } else if (holder->who.pid > 0 &&
               (process_is(&holder->who, "kpropd") || process_is(&holder->who, "_kpropd"))) {
        classify_kpropd(holder);
    } else if (talks(holder->tcp_state)) {
        classify_connection(holder);
    } else if (holder->who.pid == 0 || !classify_activator(holder, port, root)) {
        classify_other(holder);
    } else if (holder->kind != PORT_ACTIVATOR) {
        holder->kind = PORT_OTHER;
    }
}

/* One holder stands for all that is finished. */
static void
add_finished(struct port_report *report, const struct socket_entry *entry)
{
    for (size_t i = 0; report->finished++ > 0 && i < report->count; i++) {
        if (report->holders[i].tcp_state == SOCKET_STATE_TIME_WAIT)
            return;
    }
    if (report->count == PORTS_HOLDERS_MAX) {
        report->left_out++;
    } else {
        struct port_holder *holder = &report->holders[report->count++];

        memset(holder, 0, sizeof(*holder));
        holder->kind = PORT_CONNECTION;
        holder->tcp_state = SOCKET_STATE_TIME_WAIT;
        holder->who.uid = -1;
        fill_addresses(holder, entry);
    }
}

static void
add_holder(struct port_report *report, const struct socket_entry *entry,
           const struct portreserve *reserve, const char *root)
{
    struct port_holder *holder = &report->holders[report->count];

    if (report->count == PORTS_HOLDERS_MAX) {
        report->left_out++;
        return;
    }
    memset(holder, 0, sizeof(*holder));
    report->count++;
    holder->tcp_state = entry->state;
    holder->inode = entry->inode;
    fill_addresses(holder, entry);
    fill_process(holder, entry);
    classify_one(holder, entry, report->spec.port, reserve, root);
}

void
ports_classify(struct port_report *report, const struct socket_list *list,
               const struct portreserve *reserve, const char *root)
{
    bool listener = false;

    report->left_out = list->left_out;
    for (size_t i = 0; i < list->count; i++)
        listener = listener || list->entries[i].state == SOCKET_STATE_LISTEN;
    for (size_t i = 0; i < list->count; i++) {
        const struct socket_entry *entry = &list->entries[i];

        if (entry->state == SOCKET_STATE_TIME_WAIT)
            add_finished(report, entry);
        else if (entry->inode != 0 || entry->nameless ||
                 !listener) /* else it waits in the listener's queue */
            add_holder(report, entry, reserve, root);
    }
}

void
ports_classify_files(struct port_report *report, const struct portreserve *reserve)
{
    struct port_holder *holder = &report->holders[0];
    size_t at = 0;

    if (reserve->pid == 0 || portreserve_find(reserve, report->spec.port, &at) == NULL)
        return;
    memset(holder, 0, sizeof(*holder));
    holder->tcp_state = SOCKET_STATE_BOUND;
    if (!process_describe(reserve->pid, &holder->who)) {
        /* Without /proc: the lock on its pid file told who it is. */
        snprintf(holder->who.name, sizeof(holder->who.name), "portreserve");
        snprintf(holder->who.program, sizeof(holder->who.program), "portreserve");
    }
    snprintf(holder->address, sizeof(holder->address), "0.0.0.0");
    fill_reservation(holder, report->spec.port, reserve);
    report->count = 1;
}

/* What a release would cost: other lines of the same file, or with the old daemon everything. */
static void
warn_of_release(struct port_report *report, const struct portreserve *reserve)
{
    const struct port_holder *holder = ports_obstacle(report, PORT_RESERVATION);
    char same[128], all[256];
    enum portreserve_age age;

    report->warning[0] = '\0';
    if (holder == NULL || holder->release[0] == '\0' ||
        portreserve_others(reserve, NULL, report->spec.port, all, sizeof(all)) == 0)
        return;
    age = portreserve_installed_age();
    if (age == PORTRESERVE_OLD)
        snprintf(report->warning, sizeof(report->warning),
                 "this portreserve is as EL6 first shipped it: releasing one name drops all of its "
                 "reservations and ends it, so that %s will be free for anybody too",
                 all);
    else if (portreserve_others(reserve, holder->release, report->spec.port, same, sizeof(same)) >
             0)
        snprintf(report->warning, sizeof(report->warning),
                 "file '%s' reserves %s as well, which the release gives up too", holder->release,
                 same);
    else if (age == PORTRESERVE_UNKNOWN)
        snprintf(report->warning, sizeof(report->warning),
                 "should this be portreserve 0.0.4 as EL6 first shipped it, the release drops its "
                 "other reservations too (%s)",
                 all);
}

void
ports_judge(struct port_report *report, const struct portreserve *reserve)
{
    bool held = report->usable == PORTS_HELD, others = false;

    for (size_t i = 0; i < report->count; i++)
        others = others || report->holders[i].tcp_state != SOCKET_STATE_TIME_WAIT;
    for (size_t i = 0; i < report->count; i++) {
        struct port_holder *holder = &report->holders[i];

        holder->obstacle = held && (holder->tcp_state != SOCKET_STATE_TIME_WAIT || !others);
        if (holder->tcp_state == SOCKET_STATE_TIME_WAIT) {
            set_note(holder, "what is left of %zu finished connection%s; %s", report->finished,
                     report->finished == 1 ? "" : "s",
                     holder->obstacle ? "made without SO_REUSEADDR, they keep the port for up to a "
                                        "minute"
                                      : "no obstacle");
            set_advice(holder, holder->obstacle ? "Wait a minute and try again" : "Nothing to do");
        } else if (report->usable == PORTS_USABLE && holder->note[0] == '\0') {
            set_note(holder,
                     "kpropd can bind beside it (SO_REUSEADDR, or another kind of address): no "
                     "obstacle");
            set_advice(holder, "Nothing to do");
        }
    }
    warn_of_release(report, reserve);
}
