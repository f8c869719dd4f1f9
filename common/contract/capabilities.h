/*
 * capabilities - what an agent does beyond answering its verbs, by names that its facts state: what
 * a primary may rely on is asked of this list and of that of the verbs, never of a version.
 */
#ifndef KPC_CAPABILITIES_H
#define KPC_CAPABILITIES_H

/* A name is never taken away: an agent that does not state it does what `without` says. */
struct capability {
    const char *name;
    const char *without; /* "loads …": what an agent without it does, or does not */
};

/* All that this version has, in the order in which they came; ended by a NULL name. */
const struct capability *capabilities_table(void);

#endif
