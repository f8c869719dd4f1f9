/*
 * backend_files - the rows of the backends' table, for backend*.c alone.
 */
#ifndef KPC_BACKEND_FILES_H
#define KPC_BACKEND_FILES_H

#include "common/kdb/backend.h"

#include <limits.h>
#include <stddef.h>

enum { BACKEND_FILES = 5, BACKEND_NAME_MAX = PATH_MAX };

/* Beside the staging database while it is being promoted. */
#define BACKEND_JOURNAL ".promotion"

struct backend {
    const char *name;
    const char *libraries[BACKEND_FILES]; /* values of db_library */
    enum backend_promotion promotion;
    /* Suffixes to the database's path, each list ended by NULL. */
    const char *data[BACKEND_FILES];   /* hold principals and policies */
    const char *locks[BACKEND_FILES];  /* empty, locked in this order, kept when data is replaced */
    const char *debris[BACKEND_FILES]; /* may be left by a killed program */
};

/* PATH with SUFFIX into NAME; an error if it does not fit. */
bool backend_file_name(const char *path, const char *suffix, char *name, size_t size,
                       struct error *err);

#endif
