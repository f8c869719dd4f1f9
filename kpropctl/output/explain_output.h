/*
 * explain_output - symptoms of the catalogue for people, for programs, and as docs/symptoms.md.
 */
#ifndef KPC_EXPLAIN_OUTPUT_H
#define KPC_EXPLAIN_OUTPUT_H

#include "common/base/buffers.h"
#include "kpropctl/symptoms/catalogue.h"

#include <jansson.h>

/*
 * Append to OUT what COUNT MATCHES say, wrapped to WIDTH columns: the surest in full, the others in
 * a line each. What to do next if there are none.
 */
void explain_print(const struct match *matches, size_t count, unsigned width, struct buffer *out);

/* Append SYMPTOM alone, in full, and the ids of those that the same check sees. */
void explain_print_symptom(const struct symptom *symptom, unsigned width, struct buffer *out);

/* Append every id with its title. */
void explain_print_list(unsigned width, struct buffer *out);

/* {"matches": […], "next": […]}; NULL if out of memory. */
json_t *explain_json(const struct match *matches, size_t count);

/* The members of one symptom: id, title, check, cause, apart, see, remedy, …; for lists too. */
json_t *explain_symptom_json(const struct symptom *symptom);

/* Append the whole catalogue as Markdown. */
void explain_markdown(struct buffer *out);

#endif
