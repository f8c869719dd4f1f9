/* capabilities - see capabilities.h. */
#include "common/contract/capabilities.h"

#include <stddef.h>

static const struct capability table[] = {
    { "own-tickets", "takes tickets for any key of its keytab" },
    { "announced-only", "loads a dump that nobody announced" },
    { "incremental-told", "does not tell whether its kpropd runs incrementally" },
    { NULL, NULL },
};

const struct capability *
capabilities_table(void)
{
    return table;
}
