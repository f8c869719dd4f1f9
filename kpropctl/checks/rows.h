/*
 * rows - the functions behind the table of checks. Each sees one row, or makes it hold, as checks.h
 * says; they share nothing but the walk.
 */
#ifndef KPC_ROWS_H
#define KPC_ROWS_H

#include "kpropctl/checks/checks.h"
#include "kpropctl/checks/walk.h"

/* rows_primary.c: what the primary can tell alone */
enum verdict see_primary(struct walk *walk, struct step *step);
enum verdict see_space(struct walk *walk, struct step *step);
enum verdict see_name(struct walk *walk, struct step *step);
enum verdict see_principals(struct walk *walk, struct step *step);
bool make_principals(struct walk *walk, struct step *step, struct error *err);
enum verdict see_keytab(struct walk *walk, struct step *step);
bool make_keytab(struct walk *walk, struct step *step, struct error *err);

/* rows_timeline.c: does the replica know a later state of the realm? By what the agent has told, in
 * timeline_is_ahead; and whether a content that it refuses may have a greater number. */
enum verdict see_timeline(struct walk *walk, struct step *step);
bool timeline_is_ahead(struct walk *walk);
bool timeline_may_raise(void *closure, int64_t greatest, struct error *err);

/* rows_enroll.c: what a bare host lacks, by way of --via */
enum verdict see_enrolled(struct walk *walk, struct step *step);
bool make_enrolled(struct walk *walk, struct step *step, struct error *err);

/* rows_replica.c: what the agent tells of its host, held against the primary's */
enum verdict see_agent(struct walk *walk, struct step *step);
enum verdict see_clock(struct walk *walk, struct step *step);
enum verdict see_realm(struct walk *walk, struct step *step);
enum verdict see_whole(struct walk *walk, struct step *step);
enum verdict see_services(struct walk *walk, struct step *step);
enum verdict see_replica_keytab(struct walk *walk, struct step *step);
bool make_replica_keytab(struct walk *walk, struct step *step, struct error *err);
enum verdict see_replica_space(struct walk *walk, struct step *step);
enum verdict see_acl(struct walk *walk, struct step *step);
bool make_acl(struct walk *walk, struct step *step, struct error *err);
enum verdict see_loader(struct walk *walk, struct step *step);
bool make_loader(struct walk *walk, struct step *step, struct error *err);
enum verdict see_kpropd(struct walk *walk, struct step *step);
bool make_kpropd(struct walk *walk, struct step *step, struct error *err);
enum verdict see_kdc(struct walk *walk, struct step *step);
bool make_kdc(struct walk *walk, struct step *step, struct error *err);

/* rows_agent.c: the agent itself */
enum verdict see_version(struct walk *walk, struct step *step);
enum verdict see_limits(struct walk *walk, struct step *step);

/* rows_port.c: does inetd or a socket unit start kpropd there for each transfer? Asks the agent if
 * no row has yet. */
bool rows_on_demand(struct walk *walk);

/* rows_keys.c: new keys for the replica's host, and the end of old ones */
enum verdict see_renew(struct walk *walk, struct step *step);
bool make_renew(struct walk *walk, struct step *step, struct error *err);
enum verdict see_old_keys(struct walk *walk, struct step *step);
bool make_old_keys(struct walk *walk, struct step *step, struct error *err);

/* rows_stash.c: the replica's stash */
enum verdict see_new_stash(struct walk *walk, struct step *step);
enum verdict see_stash(struct walk *walk, struct step *step);
bool make_stash(struct walk *walk, struct step *step, struct error *err);

/* rows_role.c: is the replica a primary itself? */
enum verdict see_role(struct walk *walk, struct step *step);

/* rows_check.c: what only a health check asks, of a replica */
enum verdict see_found(struct walk *walk, struct step *step);
enum verdict see_age(struct walk *walk, struct step *step);
enum verdict see_stalled(struct walk *walk, struct step *step);
enum verdict see_leftovers(struct walk *walk, struct step *step);
enum verdict see_held(struct walk *walk, struct step *step);

/* rows_health.c: what only a health check asks, of the primary */
enum verdict see_kadmind_here(struct walk *walk, struct step *step);
enum verdict see_state(struct walk *walk, struct step *step);
enum verdict see_debris(struct walk *walk, struct step *step);
enum verdict see_schedule(struct walk *walk, struct step *step);
enum verdict see_competitors(struct walk *walk, struct step *step);

/* rows_port.c: who holds kpropd's port, and can it be reached? */
enum verdict see_port(struct walk *walk, struct step *step);
bool make_port(struct walk *walk, struct step *step, struct error *err);
enum verdict see_reach(struct walk *walk, struct step *step);

/* rows_content.c: the dump, the propagation and its proof */
enum verdict see_dump(struct walk *walk, struct step *step);
enum verdict see_content(struct walk *walk, struct step *step);
bool make_content(struct walk *walk, struct step *step, struct error *err);
enum verdict see_rollback(struct walk *walk, struct step *step);
bool make_rollback(struct walk *walk, struct step *step, struct error *err);
enum verdict see_digest(struct walk *walk, struct step *step);
enum verdict see_ticket(struct walk *walk, struct step *step);
bool make_ticket(struct walk *walk, struct step *step, struct error *err);
enum verdict see_record(struct walk *walk, struct step *step);
bool make_record(struct walk *walk, struct step *step, struct error *err);

#endif
