/*
 * output - how a walk is told: a table of functions with a backend for people and one for programs.
 *
 * No command prints by itself. What comes from other hosts is cleaned of control characters here,
 * by output_clean of base.
 */
#ifndef KPC_OUTPUT_H
#define KPC_OUTPUT_H

#include "kpropctl/checks/checks.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum host_outcome {
    HOST_FAILED,
    HOST_SENT,      /* but not verified: no agent to ask */
    HOST_UNCHANGED, /* verified, nothing had to be sent */
    HOST_VERIFIED,  /* sent and verified */
    HOST_RENEWED,   /* its keys were renewed or old ones dropped; nothing is told of its content */
    HOST_INCREMENTAL, /* nothing was done: its kpropd fetches increments from kadmind */
};

/* "failed", "sent", "unchanged", "verified", "renewed", "incremental". */
const char *host_outcome_name(enum host_outcome outcome);

/* The end of one host's walk. */
struct host_result {
    int status; /* enum error_code */
    enum host_outcome outcome;
    bool dry_run;
    bool keys;      /* it was about keys, not about content */
    uint64_t bytes; /* sent; 0 if nothing was */
    double seconds; /* of the transfer */
    uint64_t principals;
    uint64_t policies;
    int64_t generation;
    bool primary;        /* of a health check: this is the primary itself */
    int64_t verified_at; /* likewise: seconds since the epoch, 0: never, or not told */
    int64_t behind;
    double load_seconds;
    double verify_seconds;
    int age_warning; /* the thresholds of row "age", seconds */
    int age_critical;
};

/* Nothing but HOST_UNCHANGED and HOST_VERIFIED is good. */
bool host_is_verified(const struct host_result *result);

struct output;

struct output_backend {
    const char *name;
    void (*step)(struct output *output, size_t host, const struct step *step);
    void (*progress)(struct output *output, size_t host, const char *id, uint64_t done,
                     uint64_t total, double seconds);
    void (*end)(struct output *output, size_t host, const struct host_result *result);
    void (*finish)(struct output *output);
};

/*
 * text: a line for each row; brief: a line for each host, and the rows that are not well; quiet:
 * the hosts that are not well; json: docs/protocol.md.
 */
extern const struct output_backend output_text, output_brief, output_quiet, output_json;

/* Of a health check: for people, worst first; a monitoring plugin's; a documented object; the text
 * format of Prometheus; a table of the
 * fleet; an HTML page (extra: the array of state_history). */
extern const struct output_backend output_check_text, output_nagios, output_check_json,
    output_prometheus, output_status, output_report;

struct output_host; /* the backend's own, one for each host */

struct output {
    const struct output_backend *backend;
    FILE *stream;
    const char *realm;
    char *const *hosts;
    size_t count;
    struct output_host *state;
    bool terminal; /* marks, colour, a progress bar */
    bool colour;
    bool utf8;
    unsigned width;
    const json_t *extra; /* the backend's own, if it wants one; borrowed */
};

/*
 * An output for COUNT HOSTS (which must outlive it) of REALM on STREAM. Whether STREAM is a
 * terminal, its width, NO_COLOR and the locale decide how it looks. NULL if out of memory.
 */
struct output *output_new(const struct output_backend *backend, FILE *stream, const char *realm,
                          char *const *hosts, size_t count);

/* Tell what is still to be told, and free it. */
void output_finish(struct output *output);

/* What the backends that tell all at the end have collected: functions of a backend, and the array
 * of the hosts' reports (borrowed; docs/protocol.md), which output_collect_free ends. */
void output_collect_step(struct output *output, size_t host, const struct step *step);
void output_collect_progress(struct output *output, size_t host, const char *id, uint64_t done,
                             uint64_t total, double seconds);
void output_collect_end(struct output *output, size_t host, const struct host_result *result);
const json_t *output_collected(const struct output *output, size_t host);
void output_collect_free(struct output *output);

#endif
