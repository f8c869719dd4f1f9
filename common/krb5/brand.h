/*
 * brand - which krb5 this process is linked with: libkrb5 has no function that tells, but brands
 * itself with a string.
 */
#ifndef KPC_BRAND_H
#define KPC_BRAND_H

#include <stdbool.h>
#include <stddef.h>

/* The version in BRAND, the string that libkrb5 brands itself with: "1.20.1", "1.23-prerelease".
 * Empty if it has none. */
void brand_version(const char *brand, char *version, size_t size);

/* That of the libkrb5 in use; "" if it cannot be told. */
void brand_of_libkrb5(char *version, size_t size);

/* Is VERSION older than MAJOR.MINOR? False if that is no version. */
bool brand_older(const char *version, int major, int minor, bool *older);

#endif
