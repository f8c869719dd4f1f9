/*
 * ports_ways - the ways of finding who holds a port, one after the other. Part of ports.
 */
#ifndef KPC_PORTS_WAYS_H
#define KPC_PORTS_WAYS_H

#include "common/base/errors.h"
#include "common/port/report.h"

/*
 * Fill the holders of REPORT (whose spec, usable and bind_errno are set) by the way of OPTIONS, and
 * with them way, sure, finished, warning and note. Where the probe was not allowed, usable too.
 * What was there before is dropped.
 */
bool ports_look(struct port_report *report, const struct ports_options *options, struct error *err);

#endif
