/*
 * enroll_output - an enrolment, told to people and programs.
 */
#ifndef KPC_AGENT_ENROLL_OUTPUT_H
#define KPC_AGENT_ENROLL_OUTPUT_H

#include "agent/enroll/enroll_plan.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* What became of an enrolment. */
struct enroll_report {
    bool dry_run;
    bool installed;                     /* all files are in place */
    const char *host, *realm, *primary; /* as in the bundle */
    const char *recovered;          /* "completed" or "undone": a killed one before this; or NULL */
    const char *agent;              /* "started", "restarted", "running", "not started"; or NULL */
    const char *agent_text;         /* what to do about it, or NULL */
    const struct enroll_plan *plan; /* NULL: it did not come to one */
};

/* As lines, a line for each file. FAILED: the caller prints an error after them. */
void enroll_print(const struct enroll_report *report, bool failed, FILE *out);

/* As an object, owned by the caller. ERR (NULL: none) is what it failed with. */
json_t *enroll_json(const struct enroll_report *report, const struct error *err);

#endif
