/* ports_json - see ports_json.h. */
#include "common/port/ports_json.h"

#include "common/port/netlink.h"

#include <stdio.h>
#include <string.h>

const char *
ports_state_name(uint8_t tcp_state)
{
    static const char *const names[] = {
        "unknown", "ESTABLISHED", "SYN_SENT", "SYN_RECV",  "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT",
        "bound",   "CLOSE_WAIT",  "LAST_ACK", "listening", "CLOSING",   "SYN_RECV",
    };

    return tcp_state < sizeof(names) / sizeof(names[0]) ? names[tcp_state] : names[0];
}

const char *
ports_kind_name(enum port_kind kind)
{
    static const char *const names[] = { "kpropd", "activator", "reservation", "connection",
                                         "other" };

    return names[kind];
}

static json_t *
text_or_null(const char *text)
{
    return text != NULL && text[0] != '\0' ? json_string(text) : json_null();
}

static json_t *
number_or_null(int64_t number, bool known)
{
    return known ? json_integer((json_int_t)number) : json_null();
}

static const char *
starter_name(enum process_starter starter)
{
    switch (starter) {
    case STARTED_BY_MANAGER:
        return "service manager";
    case STARTED_BY_PERSON:
        return "person";
    default:
        return NULL;
    }
}

static json_t *
holder_json(const struct port_holder *holder)
{
    const struct process_info *who = &holder->who;

    return json_pack(
        "{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:o}",
        "kind", ports_kind_name(holder->kind), "state", ports_state_name(holder->tcp_state),
        "address", text_or_null(holder->address), "pid", number_or_null(who->pid, who->pid > 0),
        "program", text_or_null(who->program), "command", text_or_null(who->command), "user",
        text_or_null(who->user), "unit", text_or_null(who->unit), "file",
        text_or_null(holder->file), "release", text_or_null(holder->release), "peer",
        text_or_null(holder->peer), "uid", number_or_null(who->uid, who->uid >= 0), "inode",
        number_or_null((int64_t)holder->inode, holder->inode != 0), "started_by",
        text_or_null(starter_name(who->starter)), "obstacle", holder->obstacle, "note",
        text_or_null(holder->note), "advice", text_or_null(holder->advice));
}

static const char *
sure_name(enum ports_sure sure)
{
    static const char *const names[] = { "certain", "likely", "guess" };

    return names[sure];
}

const char *
ports_advice(const struct port_report *report)
{
    const struct port_holder *first = ports_obstacle(report, -1);

    if (ports_ready(report))
        return report->usable == PORTS_USABLE ? "Start kpropd" : "Nothing to do";
    /* A reservation is what can be released; anything else beside it comes first. */
    for (size_t i = 0; i < report->count; i++) {
        if (report->holders[i].obstacle && report->holders[i].kind != PORT_RESERVATION)
            return report->holders[i].advice;
    }
    if (first != NULL)
        return first->advice;
    if (!report->privileged)
        return "Ask again as root, who can see who holds it";
    return "Ask again in a moment; if nobody is found then, look at the host's other services";
}

json_t *
ports_json(const struct port_report *report)
{
    json_t *holders = json_array();
    json_t *usable = report->usable == PORTS_UNKNOWN ? json_null()
                                                     : json_boolean(report->usable == PORTS_USABLE);

    for (size_t i = 0; i < report->count; i++)
        json_array_append_new(holders, holder_json(&report->holders[i]));
    return json_pack("{s:i, s:o, s:o, s:s, s:o, s:s, s:b, s:b, s:o, s:o, s:o, s:i}", "port",
                     (int)report->spec.port, "service", text_or_null(report->spec.service),
                     "usable", usable, "way", ports_way_name(report->way), "holders", holders,
                     "sure", sure_name(report->sure), "ready", ports_ready(report), "privileged",
                     report->privileged, "advice", text_or_null(ports_advice(report)), "warning",
                     text_or_null(report->warning), "note", text_or_null(report->note), "left_out",
                     (int)report->left_out);
}
