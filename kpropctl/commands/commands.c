/* commands - the table of subcommands, in the order of the help. */
#include "kpropctl/commands/commands.h"

#include <stddef.h>

/* Of check, status and report. */
#define CHECK_OPTIONS                                                                              \
    "  --timeout SEC    for all hosts together (default 10)\n"                                     \
    "  --keytab FILE    credentials for the agents, if not root\n"                                 \
    "  --ccache NAME    likewise, a credential cache\n"

const struct command commands[] = {
    { "setup-slave", "setup-replica", "[--dry-run] [--via COMMAND] HOST...",
      "make HOST a replica, and prove it",
      "  -n, --dry-run   change nothing anywhere, say what would be done\n"
      "  --via COMMAND   how to reach a bare host, to enrol it first: 'ssh root@%h' (%h is HOST)\n"
      "  --with-stash    and bring it the stash, with which it can open the database\n"
      "  --agent-package FILE\n"
      "                  and install kpropctl-agent there, a .deb or .rpm, if it is not\n"
      "  --replace       what contradicts the realm's configuration there may go\n"
      "  --overwrite     what the replica's database alone has may go\n"
      "  --accept-timeline\n"
      "                  what a replica has of a later state of the realm may go\n"
      "  --allow-shrink  the database is meant to have far fewer entries than last time\n"
      "  --renew-keys    put the current keys into a keytab that is stale, here or on HOST\n"
      "  --no-wait       leave if another run for the realm is at work\n"
      "  -y, --yes       do not ask about jobs of this host that will fail from then on\n"
      "  --json          a report for programs\n",
      NEEDS_ROOT | NEEDS_REALM, cmd_setup },
    { "enroll", NULL, "[--with-stash] [--rekey] HOST",
      "write what a bare HOST needs to become a replica",
      "  --with-stash    the stash too: HOST can then open the database\n"
      "  --rekey         give HOST's principal new keys (without it an existing key stays)\n\n"
      "The bundle goes to standard output. It holds keys: send it to HOST by a channel that you\n"
      "trust, where 'kpropctl-agent enroll' reads it:\n"
      "  kpropctl enroll HOST | ssh root@HOST kpropctl-agent enroll\n",
      NEEDS_ROOT | NEEDS_REALM, cmd_enroll },
    { "propagate", NULL, "[HOST...]",
      "bring the database to HOST, or to all replicas, and prove it",
      "  --force         send even what a replica has already\n"
      "  --accept-timeline\n"
      "                  what a replica has of a later state of the realm may go\n"
      "  --allow-shrink  the database is meant to have far fewer entries than last time\n"
      "  --without-agent send to HOST without asking its agent: nothing is verified\n"
      "  --no-wait       leave if another run for the realm is at work\n"
      "  --reason WORD   for the history (default: propagate)\n"
      "  -q, --quiet     print only trouble\n"
      "  -v, --verbose   print every row\n"
      "  --json          a report for programs\n",
      NEEDS_ROOT | NEEDS_REALM, cmd_propagate },
    { "check", NULL, "[--format FORMAT] [HOST...]", "is everything well? for people and monitoring",
      "  --format FORMAT  text, nagios, json or prometheus\n"
      "  --check ID       only this row (may be given again); kpropctl(8) lists them\n"
      "  --digest         compare the content of each replica, whatever that costs it\n"
      "  --output FILE    write there, whole or not at all\n" CHECK_OPTIONS "\n"
      "Without HOST this primary and all its replicas. Changes nothing, needs no root.\n"
      "exit status: 0 ok, 1 warning, 2 critical, 3 unknown, and nothing else\n",
      NEEDS_REALM, cmd_check, .trouble = 3 },
    { "status", NULL, "[--watch] [HOST...]", "the fleet in one table",
      "  -w, --watch      again every few seconds\n" CHECK_OPTIONS
      "  --json           as kpropctl check --format json\n\n"
      "exit status: as kpropctl check\n",
      NEEDS_REALM, cmd_status, .trouble = 3 },
    { "report", NULL, "[--output FILE] [HOST...]", "the fleet and its history as one HTML page",
      "  --output FILE    write there, whole or not at all\n" CHECK_OPTIONS "\n"
      "exit status: as kpropctl check\n",
      NEEDS_REALM, cmd_report, .trouble = 3 },
    { "list", NULL, "[--json]", "the replicas, and when each was last verified",
      "  --json          for programs\n", NEEDS_REALM, cmd_list },
    { "history", NULL, "[-n LINES] [HOST]", "what became of the runs, the newest first",
      "  -n, --lines N   at most N (default 20)\n"
      "  --json          for programs\n",
      NEEDS_REALM, cmd_history },
    { "rollback", NULL, "[--previous] [--yes] HOST",
      "load the last good dump of HOST again, or the one before it",
      "  --previous      the one before the last good one\n"
      "  -y, --yes       do not ask\n"
      "  --json          a report for programs\n\n"
      "What a replica had verified is kept there. Without --previous this repairs a database that\n"
      "was damaged; with it the replica serves what it had before the last propagation, until the\n"
      "next one. Without a primary: 'kpropctl-agent rollback REALM [previous]' at the replica.\n",
      NEEDS_ROOT | NEEDS_REALM, cmd_rollback },
    { "renew", NULL, "[--finish|--stash] [HOST...]",
      "give HOST a new key on both sides, drop its old ones, or bring it the new stash",
      "  --stash         bring the primary's stash, after a change of the master key, and the\n"
      "                  database with it; without HOST to all replicas\n"
      "  --finish        drop the keys that nothing needs any more\n"
      "  --force         with --finish: also those that tickets may still be in use for\n"
      "  -n, --dry-run   change nothing anywhere, say what would be done\n"
      "  --no-wait       leave if another run for the realm is at work\n"
      "  --json          a report for programs\n\n"
      "At no time does neither key work: the new one is first added to HOST's keytab, then to the\n"
      "database; the old one stays on both sides until --finish. To be run again if it was "
      "killed.\n",
      NEEDS_ROOT | NEEDS_REALM, cmd_renew },
    { "remove-slave", "remove-replica", "[--stop] HOST", "forget HOST: propagate to it no more",
      "  --stop          also stop and disable kpropd there\n", NEEDS_ROOT | NEEDS_REALM,
      cmd_remove },
    { "port", NULL, "[--why] [--port PORT] [HOST]", "who holds kpropd's port, seen or not?",
      "  -p, --port PORT  a number or a service name (default: krb5_prop)\n"
      "  -w, --why        what happened, and why netstat did not show it\n"
      "  -j, --json       a report for programs\n\n"
      "Without HOST this host; else HOST's agent is asked. As root it sees every process.\n"
      "exit status: 0 usable, 1 held, 2 usage, 4 host unreachable, 5 could not find out\n",
      NEEDS_NOTHING, cmd_port },
    { "explain", NULL, "[--json] [TEXT...|ID]",
      "what an error or a line of log means, and what to do",
      "  --json          for programs\n\n"
      "TEXT is what kprop, kpropd, krb5kdc, kadmind, kdb5_util or kpropctl said; several lines of\n"
      "log narrow it down. Without it standard input is read, and on a terminal all ids are told.\n"
      "ID is one of those, or that of a check.\n"
      "exit status: 0 found, 1 nothing is known of it\n",
      NEEDS_NOTHING, cmd_explain },
    { "schedule", NULL, "[--enable|--disable]", "what propagates by itself; turn that on or off",
      "  --enable    enable and start our units; without an option, say what is on\n"
      "  --disable   stop and disable them\n"
      "  --watch     only the service that propagates when the database changes\n"
      "  --timer     only the timer that sees to it every few minutes\n"
      "  --both      both (the default)\n"
      "  --json      a report for programs\n\n"
      "Jobs of cron or systemd that would compete are named, and left alone.\n"
      "exit status without an option: 0 something is scheduled, 1 nothing is\n",
      NEEDS_REALM, cmd_schedule },
    { "watch", NULL, "", "propagate whenever the database changes, as a service",
      "It runs 'kpropctl propagate' soon after a change (watch_settle of kpropctl.conf), but no\n"
      "more often than watch_interval. SIGHUP reads the configuration again, SIGTERM ends it.\n"
      "'kpropctl schedule --enable' makes systemd run it.\n",
      NEEDS_ROOT, cmd_watch },
    { NULL, NULL, NULL, NULL, NULL, 0, NULL },
};
