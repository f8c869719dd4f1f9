/*
 * clean - what came from elsewhere, fit for a terminal.
 */
#ifndef KPC_CLEAN_H
#define KPC_CLEAN_H

#include <stdbool.h>
#include <stddef.h>

/* TEXT without control characters (line feeds stay where LINES), cut on a whole character, in OUT.
 */
void output_clean(const char *text, bool lines, char *out, size_t size);

#endif
