/* clean - see clean.h. */
#include "kpropctl/base/clean.h"

void
output_clean(const char *text, bool lines, char *out, size_t size)
{
    size_t len = 0;

    for (const unsigned char *p = (const unsigned char *)text; *p != '\0' && len + 1 < size; p++) {
        /* C1 controls are U+0080 to U+009F: in UTF-8, C2 80 to C2 9F. */
        bool control = *p < 0x20 || *p == 0x7f || (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0);

        if (*p == 0xc2 && control)
            p++;
        out[len++] = !control ? (char)*p : *p == '\n' && lines ? '\n' : *p == '\t' ? ' ' : '?';
    }
    while (len > 0 && len + 1 == size && ((unsigned char)out[len - 1] & 0xc0) == 0x80)
        len--;
    out[len] = '\0';
}
