/*
 * errors - a code and a text that travel upward and are printed once, at the edge.
 *
 * Texts follow one grammar: "cannot <verb> <object>: <reason>", lower case, no full stop.
 * The hint tells a person what to do about it, as a whole sentence without a full stop at its end.
 */
#ifndef KPC_ERRORS_H
#define KPC_ERRORS_H

#include <stdbool.h>

/* The codes are the exit statuses of both programs, and of the agent's verbs. */
enum error_code {
    ERROR_NONE = 0,
    ERROR_FAILED = 1,      /* what was asked for does not hold, or did not work */
    ERROR_USAGE = 2,       /* command line or configuration */
    ERROR_REFUSED = 3,     /* it could be done, and must not */
    ERROR_UNREACHABLE = 4, /* host, agent or service out of reach, or too late */
    ERROR_INTERNAL = 5,    /* out of memory, a bug, a file of our own that cannot be written */
};

struct error {
    int code; /* enum error_code */
    char text[1024];
    char hint[1024];
};

/* Empty ERR (no error, no texts). */
void error_clear(struct error *err);

/* Set code and text of ERR, drop its hint. Returns false, so that a caller can `return
 * error_set(...)`. */
bool error_set(struct error *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Set the hint of ERR. Returns false. */
bool error_hint(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Put "PREFIX: " before the text of ERR. Returns false. */
bool error_prefix(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* As error_set, with ": " and strerror(ERRNUM) after the text. Returns false. */
bool error_errno(struct error *err, int code, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Set ERR to "out of memory" (ERROR_INTERNAL). Returns false. */
bool error_memory(struct error *err);

#endif
