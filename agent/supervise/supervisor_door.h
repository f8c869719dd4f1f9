/*
 * supervisor_door - where verbs ask the supervisor: a socket in the runtime folder that root alone
 * reaches (see supervised.h for what is said there).
 */
#ifndef KPC_AGENT_SUPERVISOR_DOOR_H
#define KPC_AGENT_SUPERVISOR_DOOR_H

#include "agent/base/settings.h"
#include "common/base/errors.h"

#include <ev.h>
#include <jansson.h>

enum door_word { DOOR_NONE, DOOR_STATUS, DOOR_START, DOOR_STOP };

struct door;

/* Somebody has come and said WORD: waits for door_answer. */
typedef void door_asked(void *arg, enum door_word word);

/* Open it on LOOP. NULL with ERR if that cannot be. */
struct door *door_open(struct ev_loop *loop, const struct settings *s, door_asked *asked, void *arg,
                       struct error *err);

/* Say ANSWER (taken over, NULL is fine) to all who have said WORD, and part with them. */
void door_answer(struct door *door, enum door_word word, json_t *answer);

/* NULL is fine. */
void door_close(struct door *door);

#endif
