/*
 * ports_classify - from sockets and processes to holders, and to what is right for each. Part of
 * ports.
 */
#ifndef KPC_PORTS_CLASSIFY_H
#define KPC_PORTS_CLASSIFY_H

#include "common/port/netlink.h"
#include "common/port/portreserve.h"
#include "common/port/report.h"

/* Turn the sockets of LIST into the holders of REPORT. RESERVE is what portreserve's files say. */
void ports_classify(struct port_report *report, const struct socket_list *list,
                    const struct portreserve *reserve, const char *root);

/* A holder made up from portreserve's files alone, if they name the port and it runs. */
void ports_classify_files(struct port_report *report, const struct portreserve *reserve);

/* Mark the obstacles, and give advice, now that all holders are known. */
void ports_judge(struct port_report *report, const struct portreserve *reserve);

#endif
