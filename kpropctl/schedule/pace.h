/*
 * pace - when is the next propagation due? A state machine without a clock and without I/O, so that
 * a test can let hours pass in no time.
 *
 * All times are seconds of one clock that never goes back.
 */
#ifndef KPC_PACE_H
#define KPC_PACE_H

#include <stdbool.h>

struct pace {
    double settle;   /* from the first change to the run, so that one errand makes one run */
    double interval; /* between the starts of two runs that sent something */

    bool running;
    double started;
    bool changed; /* since the last run began */
    double changed_at;
    double rest_until; /* no change is answered before */
    double retry_at;   /* INFINITY: the last run was good */
    unsigned failures; /* in a row */
};

/* What became of a run. */
struct pace_outcome {
    bool good;
    bool sent;    /* something was sent, or may have been */
    bool changed; /* the database is not what it was when the run began */
};

/* Nothing has changed and nothing runs. */
void pace_init(struct pace *pace, double settle, double interval);

/* New settings; what is under way stays. */
void pace_set(struct pace *pace, double settle, double interval);

/* The database has changed. Only the first change before a run counts for the time of settling. */
void pace_change(struct pace *pace, double now);

/* A run begins: it takes up every change until now. */
void pace_start(struct pace *pace, double now);

/*
 * It has ended. One that only looked (logins touch the files too) does not hold the next change
 * back for the whole interval, but as long as keeps the looking below a tenth of the time. A failed
 * one is tried again without a change, later each time.
 */
void pace_end(struct pace *pace, double now, const struct pace_outcome *outcome);

/* When the next run is to begin; INFINITY: not before something changes. */
double pace_due(const struct pace *pace);

#endif
