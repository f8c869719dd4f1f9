/* brand - see brand.h. */
#include "common/krb5/brand.h"

#include <ctype.h>
#include <dlfcn.h>
#include <krb5.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/*
 * "KRB5_BRAND: TAG VERSION [DATE]" (krb5's brand.c, patchlevel.h). The tag is that of the source,
 * krb5-1.20.1-final or master; only the version after it is one.
 */
void
brand_version(const char *brand, char *version, size_t size)
{
    static const char before[] = "KRB5_BRAND: ";

    version[0] = '\0';
    if (strncmp(brand, before, sizeof(before) - 1) != 0)
        return;
    brand += sizeof(before) - 1;
    brand += strcspn(brand, " ");
    brand += strspn(brand, " ");
    if (isdigit((unsigned char)brand[0]))
        snprintf(version, size, "%.*s", (int)strcspn(brand, " "), brand);
}

struct brand {
    const char *path; /* of the library */
    char version[32];
};

/* One loaded library: if it is BRAND's, look for the string in what of it cannot be written. */
static int
find_brand(struct dl_phdr_info *info, size_t size, void *arg)
{
    static const char brand[] = "KRB5_BRAND: ";
    struct brand *wanted = arg;

    (void)size;
    if (strcmp(info->dlpi_name, wanted->path) != 0)
        return 0;
    for (int i = 0; i < info->dlpi_phnum && wanted->version[0] == '\0'; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        const char *start = (const char *)(info->dlpi_addr + segment->p_vaddr), *p;

        if (segment->p_type != PT_LOAD || (segment->p_flags & (PF_R | PF_X)) != PF_R)
            continue;
        p = memmem(start, segment->p_filesz, brand, sizeof(brand) - 1);
        if (p != NULL)
            brand_version(p, wanted->version, sizeof(wanted->version));
    }
    return 1;
}

/* In memory the string is found at once. */
void
brand_of_libkrb5(char *version, size_t size)
{
    struct brand brand = { .version = "" };
    Dl_info info;

    if (dladdr((void *)(uintptr_t)krb5_init_context, &info) != 0) {
        brand.path = info.dli_fname;
        dl_iterate_phdr(find_brand, &brand);
    }
    snprintf(version, size, "%s", brand.version);
}

bool
brand_older(const char *version, int major, int minor, bool *older)
{
    int theirs, its_minor;

    if (sscanf(version, "%d.%d", &theirs, &its_minor) != 2)
        return false;
    *older = theirs < major || (theirs == major && its_minor < minor);
    return true;
}
