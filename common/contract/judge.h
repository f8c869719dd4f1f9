/*
 * judge - what the facts of a replica (docs/protocol.md, verb facts) say of it, each function for
 * one row: the primary's checks judge so from afar, and `kpropctl-agent check` on the spot.
 *
 * Nothing here asks anybody anything: an object goes in, a verdict with its texts comes out.
 */
#ifndef KPC_JUDGE_H
#define KPC_JUDGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum verdict {
    HOLDS,
    HOLDS_BUT,  /* a warning */
    LACKING,    /* to be made to hold */
    IMPOSSIBLE, /* does not hold, and nothing here can change that */
    REFUSED,    /* could be made to hold, and must not */
    UNKNOWN,    /* cannot be told, and without it nothing may be called good */
    UNTOLD,     /* does not apply, or cannot be told now: skipped */
};

struct judgement {
    bool mild;         /* what lacks is a warning to a health check, not critical */
    char summary[512]; /* one line */
    char hint[1024];   /* what to do; or "" */
};

/* FACTS are of HOST, which the texts name. */
enum verdict judge_kpropd(const json_t *facts, const char *host, struct judgement *j);
enum verdict judge_kdc(const json_t *facts, const char *host, struct judgement *j);

/* Does kpropd load with our loader? ON_DEMAND: inetd or a socket unit starts it. */
enum verdict judge_loader(const json_t *facts, const char *host, bool on_demand,
                          struct judgement *j);

/* Is kpropd held up by a connection that is silent? It serves one at a time. */
enum verdict judge_stalled(const json_t *facts, const char *host, struct judgement *j);

/* Has an interrupted load left files? */
enum verdict judge_leftovers(const json_t *facts, const char *host, struct judgement *j);

/* Does kadmind run there, or will it after a boot, as on a primary? */
enum verdict judge_kadmind(const json_t *facts, const char *host, struct judgement *j);

/* Has the agent room for its callers: descriptors, and nobody turned away lately? */
enum verdict judge_limits(const json_t *facts, const char *host, struct judgement *j);

/*
 * Does kpropd run incrementally there (iprop)? What the running one does counts; where none runs,
 * or nobody can tell, what kdc.conf says of the next one.
 */
bool judge_incremental(const json_t *facts);

/*
 * May HOST be sent, or given back, a whole database? REFUSED where kpropd runs incrementally, and
 * as judge_backend says: with the reason why VERB ("propagate to", "roll back") must not be done,
 * and the lines that go on.
 */
enum verdict judge_whole(const json_t *facts, const char *host, const char *verb,
                         struct judgement *j);

/* Does HOST keep the realm where no database can take the place of another (lmdb)? */
bool judge_keeps_lmdb(const json_t *facts);

/* REFUSED where it does, and there is one; HOLDS_BUT where there is none yet. */
enum verdict judge_backend(const json_t *facts, const char *host, const char *verb,
                           struct judgement *j);

/* The lines that end incremental propagation on HOST, and make it a replica of kpropctl's. */
void judge_incremental_ways(const json_t *facts, const char *host, char *out, size_t size);

/* The value at OBJECT{A}{B} (B may be NULL), or NULL. */
const json_t *fact(const json_t *object, const char *a, const char *b);

/* As a string, integer or truth; "", 0 or false if it is not there. */
const char *fact_text(const json_t *object, const char *a, const char *b);
json_int_t fact_integer(const json_t *object, const char *a, const char *b);
bool fact_true(const json_t *object, const char *a, const char *b);

/* Is WORD in the list at OBJECT{A}{B}? False where there is none. */
bool fact_lists(const json_t *object, const char *a, const char *b, const char *word);

#endif
