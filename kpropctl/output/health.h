/*
 * health - what the reports of a health check (output_collect.c) come to: the states of monitoring
 * plugins, for all backends alike.
 */
#ifndef KPC_HEALTH_H
#define KPC_HEALTH_H

#include "kpropctl/output/output.h"

#include <jansson.h>

/* The exit statuses of monitoring plugins. */
enum health { HEALTH_OK = 0, HEALTH_WARNING = 1, HEALTH_CRITICAL = 2, HEALTH_UNKNOWN = 3 };

/* "OK", "WARNING", "CRITICAL", "UNKNOWN". */
const char *health_name(enum health health);

/* The worse of two: critical before unknown before warning. */
enum health health_worse(enum health a, enum health b);

/* Of a row's level; a skipped row is HEALTH_OK here, since others decide. */
enum health health_of_step(const json_t *step);

/* The worst row of one report, and of all of OUTPUT. */
enum health health_of_report(const json_t *report);
enum health health_of_all(const struct output *output);

#endif
