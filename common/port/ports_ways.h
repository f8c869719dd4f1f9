/*
 * ports_ways - the ways of finding who holds a port, one after the other. Part of ports.
 */
#ifndef KPC_PORTS_WAYS_H
#define KPC_PORTS_WAYS_H

#include "common/port/netlink.h"
#include "common/port/portreserve.h"
#include "common/port/ports.h"

/*
 * Fill the holders of REPORT (whose spec, usable and bind_errno are set) by the way of OPTIONS, and
 * with them way, sure, finished, warning and note. Where the probe was not allowed, usable too.
 * What was there before is dropped.
 */
bool ports_look(struct port_report *report, const struct ports_options *options, struct error *err);

/*
 * Part of ports_classify.c: turn the sockets of LIST into the holders of REPORT. RESERVE is what
 * portreserve's files say.
 */
void ports_classify(struct port_report *report, const struct socket_list *list,
                    const struct portreserve *reserve, const char *root);

/* A holder made up from portreserve's files alone, if they name the port and it runs. */
void ports_classify_files(struct port_report *report, const struct portreserve *reserve);

/* Mark the obstacles, and give advice, now that all holders are known. */
void ports_judge(struct port_report *report, const struct portreserve *reserve);

#endif
