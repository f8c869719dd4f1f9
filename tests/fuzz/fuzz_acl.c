/* acl: whatever is in the file, an answer or a fault that names the line; and who is not named in
 * it is not let in. */
#include "agent/base/acl.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NOBODY "nobody-of-that-name/fuzz@NO.SUCH.REALM"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
include(void *arg, const char *path, enum acl_answer *answer, struct error *err)
{
    (void)arg, (void)err;
    if (path[0] != '/')
        abort();
    *answer = ACL_NO_MATCH;
    return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char me[] = "host/kdc1.lab.test@LAB.TEST";
    enum acl_answer answer;
    struct error err;

    error_clear(&err);
    if (!acl_evaluate("f", (const char *)data, size, me, include, NULL, &answer, &err) &&
        (err.code != ERROR_USAGE || strncmp(err.text, "f:", 2) != 0))
        abort();
    if (acl_evaluate("f", (const char *)data, size, NOBODY, include, NULL, &answer, &err) &&
        answer != ACL_NO_MATCH && memmem(data, size, NOBODY, strlen(NOBODY)) == NULL)
        abort();
    return 0;
}
