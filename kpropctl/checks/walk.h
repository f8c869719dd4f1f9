/*
 * walk - what the rows share: the agent and its facts, the database, the credentials.
 */
#ifndef KPC_WALK_H
#define KPC_WALK_H

#include "common/contract/judge.h"
#include "kpropctl/checks/checks.h"

/* The database through libkadm5, opened when first asked for. NULL, with STEP telling why. */
struct principals *walk_principals(struct walk *walk, struct step *step);

/* The keytab with this primary's own key. */
const char *walk_keytab(const struct walk *walk);

/*
 * Get tickets and connect to the agent; a propagation tries again what may pass by itself. False
 * with *FAULT and ERR.
 */
bool walk_connect(struct walk *walk, enum remote_fault *fault, struct error *err);

/* The only address that the database may be sent to: where the agent has answered; NULL without an
 * agent. */
const char *walk_address(const struct walk *walk);

/* Seconds to wait for an answer of the replica: fewer of one that has not answered already. */
int walk_patience(const struct walk *walk);

/*
 * In a health check: let no verb take more than PART (below 1) of the time that is left, so that
 * what an agent does not answer is told of this row, and the others are still looked at.
 */
void walk_bound_verbs(struct walk *walk, double part);

/* A host or network that may come back by itself. */
bool walk_may_pass(enum remote_fault fault);

/* True, with STEP saying so, where a propagation goes on without an agent. */
bool walk_is_blind(const struct walk *walk, struct step *step);

/* Call verb ARGV (ended by NULL) of the agent; *REPLY is to be freed. False with ERR. */
bool walk_call(struct walk *walk, const char *const *argv, int timeout, json_t **reply,
               struct error *err);

/* The agent's facts, fetched if a change has outdated them. False, or NULL, with ERR, or with STEP
 * telling why, if it does not answer. */
bool walk_fetch_facts(struct walk *walk, struct error *err);
const json_t *walk_facts(struct walk *walk, struct step *step);

#endif
