/*
 * keytab_bytes - a keytab as bytes in memory, so that keys need no file on their way.
 *
 * The format is version 0x502, MIT krb5's doc/formats/keytab_file_format.rst. libkrb5 writes it to
 * files alone.
 */
#ifndef KPC_KEYTAB_BYTES_H
#define KPC_KEYTAB_BYTES_H

#include "common/base/buffers.h"

#include <krb5.h>
#include <stdbool.h>

/* Append the version that begins a keytab to OUT (initialised by the caller; a secret from then
 * on). False if it does not fit. */
bool keytab_bytes_begin(struct buffer *out);

/* Append KEY of PRINCIPAL and version KVNO, made at TIME (seconds since 1970). False if it does not
 * fit, or a part of it is longer than the format can say. */
bool keytab_bytes_add(struct buffer *out, krb5_const_principal principal, unsigned kvno,
                      uint32_t time, const krb5_keyblock *key);

#endif
