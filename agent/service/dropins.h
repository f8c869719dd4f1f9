/*
 * dropins - our additions to the units of others, and how they are made from what the units say.
 *
 * Both drop-ins live in /etc/systemd/system/UNIT.d: zz-kpropctl.conf makes kpropd use our loader,
 * kpropctl-port.conf (its text comes from the module of the ports) releases a reservation. Drop-ins
 * apply in the order of their names, and that of the loader repeats ExecStart with all that others
 * (`systemctl edit` writes override.conf) made of it: it has to be the last.
 */
#ifndef KPC_AGENT_DROPINS_H
#define KPC_AGENT_DROPINS_H

#include "common/base/buffers.h"
#include "common/base/errors.h"

#include <stdbool.h>

#define DROPIN_LOADER "zz-kpropctl.conf"
#define DROPIN_PORT "kpropctl-port.conf"

/* The path of drop-in NAME of UNIT into PATH. */
bool dropins_path(const char *unit, const char *name, char *path, size_t size, struct error *err);

/*
 * Replace *COMMAND (NULL: none so far; malloced) by what the [Service] section of TEXT, a unit file
 * or a drop-in, says of ExecStart: the line as it is written, continuations joined. ERROR_REFUSED
 * if that comes to more than one command.
 */
bool dropins_exec_start(const char *text, char **command, struct error *err);

/*
 * The text of the drop-in that appends "-p LOADER" to COMMAND, and lets the loader write STATE.
 * ERROR_REFUSED if COMMAND has a -p of its own.
 */
bool dropins_loader_text(const char *command, const char *loader, const char *state,
                         struct buffer *out, struct error *err);

/*
 * Write drop-in NAME of UNIT unless it has that TEXT already; *CHANGED tells. systemd is to read
 * its files again afterwards.
 */
bool dropins_write(const char *unit, const char *name, const char *text, bool *changed,
                   struct error *err);

#endif
