/*
 * port_text - a report about a port, told to people. It comes as the JSON of verb port, so that the
 * local host's and another's are told alike.
 */
#ifndef KPC_PORT_TEXT_H
#define KPC_PORT_TEXT_H

#include "common/base/buffers.h"

#include <jansson.h>

/* Who holds it and what to do next. HOST is its name, NULL for this host. Appended to OUT. */
void port_text(const json_t *report, const char *host, struct buffer *out);

/* A few lines on what happened, and why netstat did not show it. */
void port_text_why(const json_t *report, struct buffer *out);

#endif
