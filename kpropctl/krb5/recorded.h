/*
 * recorded - which recorded replica is meant by a name, and what is under its name now.
 *
 * Whoever talks to a replica looks it up here: a recorded one keeps the name it was recorded by.
 */
#ifndef KPC_RECORDED_H
#define KPC_RECORDED_H

#include "common/base/errors.h"
#include "kpropctl/krb5/names.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * The replica of REALM that is recorded in folder STATE_DIR as ASKED, or, where none is, the only
 * one whose name begins with ASKED and a dot (*WHOLE is then false): its name into NAME. False if
 * there is none, or nothing can be read.
 */
bool recorded_find(const char *state_dir, const char *realm, const char *asked, char *name,
                   size_t size, bool *whole);

/* Another replica of REALM that is recorded in STATE_DIR than NOT, whose only address is ADDRESS:
 * its name into NAME. May block on DNS. False if there is none. */
bool recorded_at(const char *state_dir, const char *realm, const char *address, const char * not,
                 char *name, size_t size);

/*
 * Look ASKED up for REALM: by names_look_up_recorded where it means a replica that is recorded in
 * STATE_DIR, else by names_look_up. A short name that could mean a recorded one and leads to
 * another host is refused (ERROR_REFUSED), and so is a recorded name that does; NAMES then has the
 * recorded name as its host, or nothing.
 */
bool recorded_look_up(const char *state_dir, const char *realm, const char *asked,
                      struct names *names, struct error *err);

#endif
