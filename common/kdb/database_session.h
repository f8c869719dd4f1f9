/*
 * database_session - an open database in a child, for database*.c alone.
 */
#ifndef KPC_DATABASE_SESSION_H
#define KPC_DATABASE_SESSION_H

#include "common/base/forked.h"
#include "common/kdb/database.h"

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

/*
 * A walk over a damaged database may go round in circles for ever: no database holds more entries
 * than its size allows. Ends the child when COUNT, of those seen of one kind, is more than that.
 */
struct database_bound {
    const struct database *db;
    struct forked_outlet *outlet;
    uint64_t most;
};
void database_bound_init(struct database_bound *bound, const struct database *db,
                         struct forked_outlet *outlet);
void database_bound_check(const struct database_bound *bound, uint64_t count);

/* "cannot WHAT PATH: text of CODE" in ERR. Returns false. */
bool database_failed(krb5_context context, krb5_error_code code, const char *what, const char *path,
                     struct error *err);

#endif
