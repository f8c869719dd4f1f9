/*
 * update_log - the update log of incremental propagation (iprop), looked at from outside.
 */
#ifndef KPC_UPDATE_LOG_H
#define KPC_UPDATE_LOG_H

#include "common/base/errors.h"
#include "common/krb5/realm.h"

#include <stdbool.h>

/*
 * False with ERR, and the remedy in its hint, if REALM has incremental propagation on and the file
 * of its log is shorter than it says: whoever maps it then, as every program that opens the
 * database to write it and kdb5_util dump do, dies of SIGBUS half-way. Changes nothing, and makes
 * no log where there is none.
 */
bool update_log_whole(const struct realm *realm, struct error *err);

#endif
