/*
 * database_session - an open database in a child, for database*.c alone.
 */
#ifndef KPC_DATABASE_SESSION_H
#define KPC_DATABASE_SESSION_H

#include "common/database.h"

#include <kdb.h>
#include <krb5.h>

struct database_session {
    krb5_context context;
    bool open;
};

/* Open DB in a context of its own, with the KDC's profile. Ended by database_session_close. */
bool database_session_open(struct database_session *s, const struct database *db, int mode,
                           struct error *err);
void database_session_close(struct database_session *s);

/* "cannot WHAT PATH: text of CODE" in ERR. Returns false. */
bool database_failed(krb5_context context, krb5_error_code code, const char *what, const char *path,
                     struct error *err);

#endif
