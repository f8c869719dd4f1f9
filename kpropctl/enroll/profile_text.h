/*
 * profile_text - this host's Kerberos configuration as texts for another host.
 */
#ifndef KPC_PROFILE_TEXT_H
#define KPC_PROFILE_TEXT_H

#include "common/base/buffers.h"
#include "common/base/errors.h"

#include <stdbool.h>

/*
 * Append krb5.conf to OUT (initialised by the caller) as libkrb5 understands it: all files that it
 * reads, includes and modules resolved, in an order that lets what counts here count there, but for
 * what concerns KDCs alone. Comments are gone, and the marks that keep later files from being read.
 */
bool profile_text_client(struct buffer *out, struct error *err);

/*
 * Append to OUT, in kdc.conf's syntax, what kdc.conf and krb5.conf together say of REALM as a KDC:
 * its [realms] section without what only clients ask for, the [dbmodules] section that it uses, and
 * [dbdefaults] and [kdcdefaults]. Nothing of other realms.
 */
bool profile_text_kdc(const char *realm, struct buffer *out, struct error *err);

#endif
