/*
 * digest_kdb - the records of libkdb5 as records of the digest; pure, no database is touched.
 */
#ifndef KPC_DIGEST_KDB_H
#define KPC_DIGEST_KDB_H

#include "common/kdb/digest.h"

#include <kdb.h>
#include <stdbool.h>

/* Add ENTRY, as krb5_db_iterate hands it out. CONTEXT only unparses its name. False if it failed
 * (out of memory, or an entry that contradicts itself), as does everything after it. */
bool digest_principal_entry(struct digest *d, krb5_context context, const krb5_db_entry *entry);

/* Add POLICY, as krb5_db_iter_policy hands it out. False as above. */
bool digest_policy_entry(struct digest *d, const osa_policy_ent_rec *policy);

#endif
