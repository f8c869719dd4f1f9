/* commands - the table of subcommands, in the order of the help. */
#include "kpropctl/commands.h"

#include <stddef.h>

const struct command commands[] = {
    { NULL, NULL, NULL, NULL, NULL, 0, NULL },
};
