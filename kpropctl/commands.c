/* commands - the table of subcommands, in the order of the help. */
#include "kpropctl/commands.h"

#include <stddef.h>

const struct command commands[] = {
    { "setup-slave", "setup-replica", "[--dry-run] HOST...", "make HOST a replica, and prove it",
      "  -n, --dry-run   change nothing anywhere, say what would be done\n"
      "  --overwrite     what the replica's database alone has may go\n"
      "  --json          a report for programs\n",
      NEEDS_ROOT | NEEDS_REALM, cmd_setup },
    { NULL, NULL, NULL, NULL, NULL, 0, NULL },
};
