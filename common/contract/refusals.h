/*
 * refusals - the safety rules that stop a person, each with its ways out: what goes on all the
 * same, where it is run, and what is given up with it.
 *
 * A rule refuses by refusal_set(), so its own message prints the ways. docs/recovery.md is made of
 * the same rows (tests/check-docs --write-recovery), and a row without a way, or without a test
 * that takes it, is a fault of the documents.
 */
#ifndef KPC_REFUSALS_H
#define KPC_REFUSALS_H

#include "common/base/errors.h"

#include <stddef.h>

/* One for each row of the table, whose id is the name in lower case: REFUSAL_UNANNOUNCED has the
 * row "unannounced". */
enum refusal_id {
    REFUSAL_SURPLUS,
    REFUSAL_SHRUNK,
    REFUSAL_UNANNOUNCED,
    REFUSAL_UNANNOUNCED_PLAIN,
    REFUSAL_DENIED,
    REFUSAL_JOBS,
    REFUSAL_FOREIGN_KEY,
    REFUSAL_INCREMENTAL,
    REFUSAL_TIMELINE,
    REFUSAL_RENAMED,
    REFUSAL_AGENTLESS,
    REFUSAL_UNBOUND,
    REFUSAL_BUNDLE_PATH,
    REFUSAL_BUNDLE_LIBRARY,
    REFUSAL_LMDB,
    REFUSALS, /* their number */
};

enum { REFUSAL_WAYS = 4 };

/* REPLICA, PRIMARY and REALM stand for names in it. */
struct refusal_way {
    const char *where;    /* "primary", or "replica": as root at its console */
    const char *command;  /* what to run, or to write */
    const char *gives_up; /* what is lost or risked with it */
    const char *test;     /* the test that takes it: a function in tests/hosts or tests/unit */
};

struct refusal {
    const char *id;
    const char *says; /* what its message says in any case, for people who search for it */
    const char *why;  /* what the rule keeps from happening, as a sentence */
    struct refusal_way ways[REFUSAL_WAYS + 1]; /* the best first, ended by a NULL command */
};

/* Names for the ways; NULL: the word itself stays. */
struct refusal_names {
    const char *realm;
    const char *replica;
    const char *primary;
};

/* The row of ID. */
const struct refusal *refusal_row(enum refusal_id id);

/* The ways out of ID as one line of hint, with NAMES (may be NULL) put in; returns TEXT. */
char *refusal_ways(enum refusal_id id, const struct refusal_names *names, char *text, size_t size);

/* Refuse: ERROR_REFUSED with the text from FMT, and the ways out of ID as the hint. Returns false.
 */
bool refusal_set(struct error *err, enum refusal_id id, const struct refusal_names *names,
                 const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#endif
