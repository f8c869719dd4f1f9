/*
 * principals_session - an open database, for principals*.c alone.
 */
#ifndef KPC_PRINCIPALS_SESSION_H
#define KPC_PRINCIPALS_SESSION_H

#include "kpropctl/krb5/principals.h"

#include <kadm5/admin.h>
#include <krb5.h>

struct principals {
    krb5_context context;
    void *handle; /* of libkadm5srv */
    const struct realm *realm;
    bool logged; /* what is written goes into the update log of iprop too */
};

/* Before each write: without it, replicas that follow the update log (iprop) would never hear of
 * the change. False with ERR, and then nothing may be written. */
bool principals_log(struct principals *p, struct error *err);

/* "cannot VERB OBJECT: text of CODE" in ERR. Returns false. */
bool principals_failed(const struct principals *p, krb5_error_code code, const char *verb,
                       const char *object, struct error *err);

#endif
