/*
 * ports_json - a report as JSON, and the words in it.
 */
#ifndef KPC_PORTS_JSON_H
#define KPC_PORTS_JSON_H

#include "common/port/report.h"

#include <jansson.h>

/* What is to be done next, a sentence without a full stop. */
const char *ports_advice(const struct port_report *report);

/* The JSON object of docs/protocol.md, verb port. NULL if memory ran out. */
json_t *ports_json(const struct port_report *report);

/* "listening", "bound", or the TCP state as netstat calls it. */
const char *ports_state_name(uint8_t tcp_state);
const char *ports_kind_name(enum port_kind kind);

#endif
