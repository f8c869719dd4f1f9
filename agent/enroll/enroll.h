/*
 * enroll - make a bare host a replica: a bundle (common/contract/bundle.h) from standard input, its
 * files put in place together, and the agent started. For the console alone.
 *
 * Everything is looked at before anything is touched. What is killed half-way is completed or
 * undone by the next enrolment, or by the agent's start.
 */
#ifndef KPC_AGENT_ENROLL_H
#define KPC_AGENT_ENROLL_H

#include "agent/base/verb.h"

#include <stdio.h>

/* For a person, or with --json for a program; returns the exit status. */
int enroll_console(const struct verb_call *call, FILE *out, FILE *errors);

/* The row's function, for the table: it only says that this is for the console. */
verb_function enroll_verb;

/* Finish what a killed enrolment has left, unless one runs; for the daemon's start. Logs. True: new
 * files are in place, and agent.conf may be one of them. */
bool enroll_recover(const struct settings *settings);

#endif
