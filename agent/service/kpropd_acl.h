/*
 * kpropd_acl - kpropd's list of those who may propagate: a line `PRINCIPAL [ENCTYPE]` for each.
 */
#ifndef KPC_AGENT_KPROPD_ACL_H
#define KPC_AGENT_KPROPD_ACL_H

#include "common/base/errors.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * The lines of FILE as an array of strings (comments left out) into *ENTRIES, owned by the caller;
 * *EXISTS is false, and the array empty, where there is no such file.
 */
bool kpropd_acl_read(const char *file, bool *exists, json_t **entries, struct error *err);

/* True if TEXT (LEN bytes) lists PRINCIPAL for every enctype, as kpropd compares. */
bool kpropd_acl_lists(const char *text, size_t len, const char *principal);

/*
 * Add PRINCIPAL to FILE unless it is there, whole or not at all; other lines and the mode (0644 for
 * a new file) stay. *CHANGED tells whether anything was written.
 */
bool kpropd_acl_add(const char *file, const char *principal, bool *changed, struct error *err);

#endif
