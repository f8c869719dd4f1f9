/*
 * text - numbers as people read them.
 */
#ifndef KPC_TEXT_H
#define KPC_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* BYTES as "812 kB", "43 MB", into TEXT, which is returned. */
const char *bytes_text(uint64_t bytes, char *text, size_t size);

/* SECONDS as "45 s", "12 min", "3 h", "5 d", into TEXT, which is returned; below 0 is 0. */
const char *age_text(double seconds, char *text, size_t size);

/* The time AT (seconds since the epoch) as "2026-11-22 13:55:28" of this host's zone into TEXT,
 * which is returned. */
const char *date_text(int64_t at, char *text, size_t size);

/* Are versions of dotted numbers A < B (negative), the same (0) or A > B? What follows the numbers
 * does not count. */
int version_order(const char *a, const char *b);

#endif
