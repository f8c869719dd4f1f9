/*
 * conf_allowed - what of a bundle's krb5.conf and kdc.conf may come into the files here: one list,
 * for a file that is there and for a new one. Whatever is not in it stays out.
 *
 * A bundle is as trustworthy as the primary that wrote it, and a replica must outlive a primary
 * that is not. So no relation is in the list that names a program, a library, a module, a log or
 * another file to write; nor any that a KDC does not need, or that means something else here.
 */
#ifndef AGENT_CONF_ALLOWED_H
#define AGENT_CONF_ALLOWED_H

#include "agent/enroll/conf_wanted.h"
#include "common/base/errors.h"

#include <profile.h>
#include <stdbool.h>

/* What the values of a relation are. */
enum conf_kind {
    CONF_PLAIN,
    CONF_LISTEN,   /* addresses and ports to listen on: only those that every host has */
    CONF_FILE,     /* a file that kadmind reads */
    CONF_DATABASE, /* the database's */
    CONF_LIBRARY,  /* one that libkdb5 loads, by its name */
};

/* A relation of one section. */
struct conf_allowed {
    const char *relation; /* NULL: the end */
    enum conf_rule rule;
    enum conf_kind kind;
};

/* The lists: krb5.conf's [libdefaults] (without default_realm) and [realms] REALM; kdc.conf's
 * [kdcdefaults], [realms] REALM and [dbmodules] MODULE. */
extern const struct conf_allowed conf_krb5_defaults[], conf_krb5_realm[];
extern const struct conf_allowed conf_kdc_defaults[], conf_kdc_realm[], conf_kdc_module[];

/* Add what PROFILE says in SECTION (names ended by NULL, one or two) of the relations of LIST. */
bool conf_want_allowed(struct conf_wanted *wanted, profile_t profile, const char *const *section,
                       const struct conf_allowed *list, struct error *err);

/* The kind of a wanted relation of kdc.conf. */
enum conf_kind conf_kind_of(const struct conf_relation *relation);

/* Is NAME, of a bundle's [domain_realm], a host's or domain's name? */
bool conf_is_domain(const char *name);

#endif
