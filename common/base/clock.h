/*
 * clock - the time, in seconds with their fraction.
 */
#ifndef KPC_CLOCK_H
#define KPC_CLOCK_H

/* Since some moment in the past, never set back: for durations and deadlines. */
double clock_monotonic(void);

/* Since the epoch: for records, and for other hosts. */
double clock_wall(void);

#endif
