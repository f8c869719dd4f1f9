/*
 * progress - what a verb says while it works, and the form of all that it says: lines of JSON.
 */
#ifndef KPC_AGENT_PROGRESS_H
#define KPC_AGENT_PROGRESS_H

#include <jansson.h>
#include <stdio.h>

/*
 * For a verb that takes long: tell the caller where it stands, as one line of JSON
 * ({"progress": text}) on standard error. Say something every few seconds.
 */
void verbs_progress(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* REPLY to OUT as one line of JSON, flushed. */
void print_reply(json_t *reply, FILE *out);

#endif
