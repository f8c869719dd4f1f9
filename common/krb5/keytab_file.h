/*
 * keytab_file - what all changes of a keytab file share: its lock, and its content in memory, so
 * that libkrb5 can work on it while no key is in any file but the keytab itself.
 */
#ifndef KPC_KEYTAB_FILE_H
#define KPC_KEYTAB_FILE_H

#include "common/base/buffers.h"
#include "common/base/errors.h"

#include <krb5.h>
#include <stdbool.h>

/* A keytab larger than this is refused. */
#define KEYTAB_MAX (1u << 20)

/* How long to wait for somebody who is writing a keytab. */
#define KEYTAB_LOCK_MS (30 * 1000)

/*
 * Take the lock that libkrb5's writers take on keytab PATH, within TIMEOUT_MS, so that no ktadd
 * falls between reading it and renaming another over it. Returns the descriptor, which unlocks when
 * closed, or -1: ERROR_UNREACHABLE when another process holds it. A missing file, ERROR_FAILED with
 * errno left at ENOENT, has no lock.
 */
int keytab_lock(const char *path, int timeout_ms, struct error *err);

/* Some bytes as a keytab that libkrb5 can open. */
struct keytab_memory {
    int fd;
    krb5_keytab keytab;
};

/* Put CONTENT (NULL or empty: a keytab without entries) into *M. Nothing is left on a failure. */
bool keytab_memory_open(krb5_context context, const struct buffer *content, struct keytab_memory *m,
                        struct error *err);

/* Append what libkrb5 has made of it to OUT, a secret. */
bool keytab_memory_read(const struct keytab_memory *m, struct buffer *out, struct error *err);

/* M may be { .fd = -1 }, or closed before. */
void keytab_memory_close(krb5_context context, struct keytab_memory *m);

#endif
