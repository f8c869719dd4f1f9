/*
 * surplus - what a replica's database has beyond the primary's: entries that are there alone, and
 * those that were changed later there.
 *
 * Names and times of change alone are compared; nothing is told of entries that the primary has
 * changed later, nor of what a policy says.
 */
#ifndef KPC_SURPLUS_H
#define KPC_SURPLUS_H

#include "kpropctl/checks/checks.h"

enum { SURPLUS_TOLD = 10 };

/* Entries of one kind: how many, and up to SURPLUS_TOLD names of them, with ", " between. */
struct surplus_kind {
    unsigned count;
    char names[1200];
};

struct surplus {
    struct surplus_kind principals; /* that the replica alone has */
    struct surplus_kind policies;   /* likewise */
    struct surplus_kind later;      /* principals that were changed later there */
};

/*
 * Compare the inventory of the walk's replica with a snapshot of the primary's database, part by
 * part, so that a large realm needs little memory. False with ERR: ERROR_FAILED where the replica's
 * database cannot be read.
 */
bool surplus_find(struct walk *walk, struct surplus *surplus, struct error *err);

/* Is there any? */
bool surplus_any(const struct surplus *surplus);

/*
 * All kinds that there are in one line: "2 principals that the primary does not have: a, b; …", at
 * most SURPLUS_TOLD names in all. Returns TEXT.
 */
char *surplus_text(const struct surplus *surplus, char *text, size_t size);

#endif
