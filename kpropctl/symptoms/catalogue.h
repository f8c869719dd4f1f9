/*
 * catalogue - one const table of symptoms: what a user saw, why, how to see it, what to do.
 *
 * `kpropctl explain`, the hints of a propagation that failed and docs/symptoms.md are made of it.
 * Facts in it were seen by running krb5 1.20, or read in its documentation.
 */
#ifndef KPC_CATALOGUE_H
#define KPC_CATALOGUE_H

#include "common/base/buffers.h"

#include <stdbool.h>
#include <stddef.h>

/* How far a text proves its cause. */
enum certainty {
    POSSIBLE = 1, /* other causes say the same */
    LIKELY,       /* others may say the same, but seldom do */
    SURE,
};

/* "possible", "likely", "sure". */
const char *certainty_name(enum certainty certainty);

enum seen_on { ON_PRIMARY = 1, ON_REPLICA = 2 };

enum { SIGNS_MAX = 12 };

/*
 * A text to be found within one line, whatever its case; '*' stands for any run of bytes, '^' at
 * the start and '$' at the end for those of the line.
 */
struct sign {
    const char *text;
    enum certainty certainty;
    const char *with; /* only if this too is found in some line; or NULL */
};

/*
 * In texts REPLICA, PRIMARY and REALM stand for names. Lines that begin with "primary# " or
 * "replica# " are commands; others are paragraphs. The first line of the remedy is one sentence.
 */
struct symptom {
    const char *id;
    const char *title;
    const char *check;                /* the row of checks.h that sees it, or NULL */
    const char *program;              /* who says it */
    int where;                        /* enum seen_on, together: whose screen or log has it */
    struct sign signs[SIGNS_MAX + 1]; /* ended by a NULL text */
    const char *cause;
    const char *apart; /* what tells it from others that say the same, or NULL */
    const char *look;
    const char *remedy;
};

/* The table: the I-th symptom, NULL behind the last. */
const struct symptom *catalogue_at(size_t i);

/* The symptom ID, or the first that check ID sees; NULL if there is none. */
const struct symptom *catalogue_find(const char *id);

enum { MATCHES_MAX = 16, MATCH_LINE = 200 };

struct match {
    const struct symptom *symptom;
    const struct sign *sign; /* the best of those that were found */
    size_t line;             /* offset of the line in the text, for comparing */
    size_t weight;           /* bytes of the text that the sign names */
    char text[MATCH_LINE];   /* that line, clean and valid UTF-8, cut */
};

/*
 * What the LEN bytes of TEXT (any bytes, several lines) are symptoms of: at most MATCHES_MAX into
 * MATCHES, the surest first, then the last line's, then the most precise. Causes that a surer one
 * rules out are not among them. Returns their number.
 */
size_t catalogue_match(const char *text, size_t len, struct match matches[MATCHES_MAX]);

/* The names that stand for REPLICA, PRIMARY and REALM; NULL: the word itself. */
struct catalogue_names {
    const char *replica;
    const char *primary;
    const char *realm;
};

/* Append TEXT with its names (NAMES may be NULL) to OUT. */
void catalogue_expand(const char *text, const struct catalogue_names *names, struct buffer *out);

/*
 * A hint for an error whose text (with the logs that belong to it) is TEXT: the cause and the first
 * thing to do about it, or the causes that it may have. Returns how sure the best is; 0, with "",
 * if nothing is known.
 */
int catalogue_hint(const char *text, const struct catalogue_names *names, char *hint, size_t size);

/* The parts of the table, each ended by a NULL id: before a transfer, refused by the replica and
 * during a transfer, incremental propagation and the KDC, and what kpropctl's own rows say. */
extern const struct symptom symptoms_before[], symptoms_during[], symptoms_after[], symptoms_rows[];

#endif
