/*
 * ports - could kpropd have its port, and if not, who holds it?
 *
 * The question is asked exactly as kpropd asks it; the holders are found even where netstat, lsof
 * and ss show nothing, because a socket that is bound and does not listen is in none of the tables
 * that these read.
 */
#ifndef KPC_PORTS_H
#define KPC_PORTS_H

#include "common/base/errors.h"
#include "common/port/report.h"

#include <stdbool.h>

#define PORTS_SERVICE "krb5_prop"

/*
 * The port of TEXT: a service name, a number, or NULL for kpropd's own (krb5_prop). getservbyname
 * decides, as it does for kprop and kpropd. ERROR_USAGE for what is neither; ERROR_INTERNAL if
 * krb5_prop is missing, which stops kprop and kpropd as well.
 */
bool ports_resolve(const char *text, struct port_spec *spec, struct error *err);

/*
 * Could kpropd bind? As kpropd does it: the wildcard address, IPv6 if it can be had and then for
 * both families, SO_REUSEADDR. Bound for some microseconds and never put into listening: where
 * bind() works listen() does too (it repeats the same test), and a probe that listened would make a
 * kpropd fail that starts in the same moment. *BIND_ERRNO is 0 if it could, else why not; EACCES
 * means that we may not ask. False if there is no socket to be had at all.
 */
bool ports_probe(const struct port_spec *spec, int *bind_errno, struct error *err);

/*
 * Probe, and look for the holders. *OUT is to be freed with ports_report_free. ERROR_INTERNAL if it
 * could not be found out, or the forced way does not exist on this kernel.
 */
bool ports_examine(const struct port_spec *spec, const struct ports_options *options,
                   struct port_report **out, struct error *err);

#endif
