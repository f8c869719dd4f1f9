/* catalogue_during - symptoms of a replica that refuses, and of transfers and loads that fail. */
#include "kpropctl/symptoms/catalogue.h"

#define REJECTED "rejected authentication*sendauth"
#define BROKEN_PIPE                                                                                \
    { "Broken pipe*while sending database block", POSSIBLE },                                      \
        { "kprop*: *Broken pipe", POSSIBLE },                                                      \
    {                                                                                              \
        "^Broken pipe$", POSSIBLE                                                                  \
    }
#define ABORTED                                                                                    \
    { "Software caused connection abort*while reading response", POSSIBLE },                       \
        { "returned a bad exit status", POSSIBLE },                                                \
    {                                                                                              \
        "^Software caused connection abort$", POSSIBLE                                             \
    }

const struct symptom symptoms_during[] = {
    { .id = "replica-keytab-missing",
      .title = "the keytab of REPLICA is missing or lacks host/REPLICA",
      .check = "replica-keytab",
      .program = "kprop, kpropd",
      .where = ON_PRIMARY | ON_REPLICA,
      .signs = { { "Service key not available", SURE },
                 { "No key table entry found", SURE, "kpropd" },
                 { "cannot read its keytab", SURE },
                 { "keytab * on * has no key of", SURE },
                 { REJECTED, POSSIBLE } },
      .cause = "kpropd finds no key for the ticket that kprop brought: /etc/krb5.keytab of the "
               "replica is missing, unreadable, or holds keys of another name.",
      .apart = "the second line says 'Service key not available'",
      .look = "replica# klist -kt /etc/krb5.keytab\n"
              "replica# hostname -f",
      .remedy = "bring the key of host/REPLICA to the keytab of REPLICA\n"
                "primary# kpropctl enroll REPLICA | ssh root@REPLICA kpropctl-agent enroll" },
    { .id = "agent-key-not-taken",
      .title = "the agent on REPLICA does not take the key of host/REPLICA for its own",
      .check = "agent",
      .program = "kpropctl, kpropctl-agent",
      .where = ON_PRIMARY | ON_REPLICA,
      .signs = { { "opens nothing: * is no name of this host", SURE },
                 { "opens nothing: this host serves no realm", SURE },
                 { "nobody can be served: cannot use the keytab", SURE },
                 { "has no key of * that it takes for its own", LIKELY },
                 { "Request ticket server * not found in keytab", LIKELY } },
      .cause = "Of its keytab the agent takes the keys of host/ of this host in a realm that it "
               "serves, and no other: who knows a web server's key must not pass for the primary. "
               "A name is this host's by its host name, by /etc/hosts and by resolv.conf; a realm "
               "is served if kpropd.acl names a principal of it, or its stash is here.",
      .apart = "the agent's log names the key, and the line that lets it",
      .look = "replica# klist -kt /etc/krb5.keytab\n"
              "replica# hostname; journalctl -u kpropctl-agent | grep 'opens nothing'",
      .remedy = "enrol REPLICA again, which brings the key and says what it is called\n"
                "primary# kpropctl enroll REPLICA | ssh root@REPLICA kpropctl-agent enroll\n"
                "by hand: names = NAME, or realms = REALM, in agent.conf there\n"
                "replica# systemctl reload kpropctl-agent" },
    { .id = "replica-keytab-stale",
      .title = "the keytab of REPLICA holds another kvno than the database",
      .check = "replica-keytab",
      .program = "kprop, kpropd",
      .where = ON_PRIMARY | ON_REPLICA,
      .signs = { { "Key version is not available", SURE },
                 { "Key version number for principal in key table is incorrect", SURE },
                 { "keytab * on * holds kvno", SURE },
                 { REJECTED, POSSIBLE } },
      .cause = "The key of host/REPLICA was changed after it was brought to the replica: every "
               "ktadd without -norandkey changes it, and only the file that it wrote has the new "
               "one.",
      .apart = "the second line says 'Key version is not available'",
      .look = "replica# klist -kt /etc/krb5.keytab\n"
              "primary# kadmin.local getprinc host/REPLICA | grep vno",
      .remedy = "bring the current key to REPLICA again\n"
                "primary# kpropctl enroll REPLICA | ssh root@REPLICA kpropctl-agent enroll" },
    { .id = "replica-keytab-other",
      .title = "the keytab of REPLICA holds another key of the same kvno",
      .check = "replica-keytab",
      .program = "kprop, kpropd",
      .where = ON_PRIMARY | ON_REPLICA,
      .signs = { { "Decrypt integrity check failed*signal*ed from server", SURE },
                 { "Decrypt integrity check failed", SURE, "rejected authentication" },
                 { "kpropd*Decrypt integrity check failed", LIKELY },
                 { "^Decrypt integrity check failed", POSSIBLE },
                 { ": Decrypt integrity check failed", POSSIBLE },
                 { REJECTED, POSSIBLE } },
      .cause = "The number of the key agrees and the key does not: the principal was deleted and "
               "created again, or the keytab is of another realm or of a test.",
      .apart = "the line says 'signalled from server', or follows 'Server rejected "
               "authentication'",
      .look = "replica# klist -kKt /etc/krb5.keytab   (shows the key: nobody looks over your "
              "shoulder)\n"
              "replica# kinit -k host/REPLICA",
      .remedy = "bring the current key to REPLICA again\n"
                "primary# kpropctl enroll REPLICA | ssh root@REPLICA kpropctl-agent enroll" },
    { .id = "kpropd-acl",
      .title = "kpropd.acl of REPLICA lacks host/PRIMARY@REALM",
      .check = "acl",
      .program = "kpropd; kprop only says 'Broken pipe'",
      .where = ON_PRIMARY | ON_REPLICA,
      .signs = { { "Rejected connection from unauthorized principal", SURE },
                 { "kpropd.acl * does not list", SURE },
                 { "kpropd.acl is missing on", SURE },
                 BROKEN_PIPE,
                 { "kpropd.acl", LIKELY, "No such file" } },
      .cause = "kpropd accepts only principals that its kpropd.acl lists, one per line, exactly "
               "as host/PRIMARY@REALM (an enctype behind it must be that of the ticket). A "
               "missing file refuses everybody, and a relative path in -a breaks when kpropd "
               "becomes a daemon. kpropd hangs up, and kprop sees a broken pipe.",
      .apart = "the replica's log says 'Rejected connection from unauthorized principal'",
      .look = "replica# journalctl -u krb5-kpropd -n 20\n"
              "replica# cat /etc/krb5kdc/kpropd.acl   (RHEL: /var/kerberos/krb5kdc/kpropd.acl)",
      .remedy = "add host/PRIMARY@REALM to kpropd.acl of REPLICA (kpropctl setup-slave REPLICA "
                "does)\n"
                "replica# echo host/PRIMARY@REALM >>/etc/krb5kdc/kpropd.acl\n"
                "kpropd reads it at each connection: no restart is needed." },
    { .id = "load-running",
      .title = "a load still runs on REPLICA",
      .check = "propagate",
      .program = "kpropd; kprop only says 'Broken pipe'",
      .where = ON_PRIMARY | ON_REPLICA,
      .signs = { { "Resource temporarily unavailable*while trying to lock", SURE },
                 { "cannot load: another load", SURE },
                 BROKEN_PIPE },
      .cause = "kpropd locks the file that it receives (from_master) while a load reads it. A load "
               "may outlive its kpropd or its kprop, and still end well.",
      .apart = "the replica's log says 'Resource temporarily unavailable while trying to lock'",
      .look = "replica# pgrep -a 'kdb5_util|kpropctl-loader'",
      .remedy = "wait until the load has ended, then propagate again\n"
                "Do not kill it, nor stop kpropd: a kill in its last lines costs the database." },
    { .id = "spool-missing",
      .title = "the folder for received dumps is missing on REPLICA",
      .check = "replica-space",
      .program = "kpropd; kprop only says 'Broken pipe'",
      .where = ON_PRIMARY | ON_REPLICA,
      .signs = { { "Bad file descriptor*while trying to lock", SURE },
                 { "No such file or directory*while trying to*from_master", SURE },
                 BROKEN_PIPE },
      .cause = "kpropd cannot create from_master: the folder that its -f (or the built-in path) "
               "names is not there, or its unit does not let it write there.",
      .apart = "the replica's log says 'Bad file descriptor while trying to lock'",
      .look = "replica# systemctl cat krb5-kpropd\n"
              "replica# ls -ld /var/lib/krb5kdc   (RHEL: /var/kerberos/krb5kdc)",
      .remedy = "create that folder (root, mode 0700), or mend the -f of kpropd" },
    { .id = "transfer-broken",
      .title = "the connection broke during the transfer",
      .check = "propagate",
      .program = "kprop",
      .where = ON_PRIMARY,
      .signs = { { "Connection reset by peer*while sending database", LIKELY },
                 { "Connection timed out*while sending database", LIKELY },
                 { "Connection reset by peer*while reading response", LIKELY },
                 { "Broken pipe*while sending database block", POSSIBLE },
                 { "kprop*: *Broken pipe", POSSIBLE },
                 { "^Broken pipe$", POSSIBLE },
                 { "kprop*: *Connection reset by peer", POSSIBLE } },
      .cause = "The network, a firewall that forgets connections, or an end of kpropd (restarted, "
               "killed, the host rebooted) cut it. The load may go on all the same: what kprop "
               "says proves nothing.",
      .apart = "the offset in the message is not 0, and the replica's log says nothing",
      .look = "replica# journalctl -u krb5-kpropd -n 30\n"
              "primary# kpropctl check REPLICA",
      .remedy = "propagate again; if it breaks at the same place, look for a firewall or a wrong "
                "MTU in between" },
    { .id = "kprop-too-old",
      .title = "kprop of PRIMARY is too old for kpropd of REPLICA",
      .check = "realm",
      .program = "kprop",
      .where = ON_PRIMARY | ON_REPLICA,
      .signs = { { "Incorrect net address*signalled from server", SURE },
                 { "while decoding database size", SURE },
                 { "cannot send to kpropd of krb5", SURE } },
      .cause =
          "kprop of krb5 1.18 and before (Debian 11, RHEL 8) cannot send to kpropd of 1.22 and "
          "later: the message with the database's size is refused. 1.20 can, and 1.22 can send "
          "to 1.18.",
      .look = "primary# dpkg -l krb5-admin-server   (or rpm -q krb5-server)\n"
              "replica# dpkg -l krb5-kpropd",
      .remedy = "upgrade krb5 on PRIMARY to 1.20 or later, or keep that of REPLICA below 1.22" },
    { .id = "unannounced",
      .title = "REPLICA refuses a dump that nobody announced to its agent",
      .check = "loader",
      .program = "kprop, kpropctl-loader below kpropd",
      .where = ON_PRIMARY | ON_REPLICA,
      .signs = { { "nobody announced it", SURE },
                 { "refused the last dump", SURE },
                 { "takes what nobody announced", SURE },
                 ABORTED },
      .cause = "Once kpropctl's loader has verified a load of the realm, it takes no dump that no "
               "primary announced to the agent: what kprop sends from a job of cron, from a "
               "former primary, or by hand. kprop is told nothing but that the load failed. The "
               "dump is refused before anything is loaded; the line after it says what the live "
               "database was found to be.",
      .apart = "the replica's log has a line of kpropctl-loader with 'nobody announced it'",
      .look = "replica# journalctl -u krb5-kpropd -n 20\n"
              "primary# kpropctl schedule   (names the jobs that still send)",
      .remedy = "send it by kpropctl: kpropctl propagate REPLICA\n"
                "To have kpropd load whatever comes, as without kpropctl:\n"
                "primary# kpropctl remove-slave REPLICA\n"
                "Or for the next dump alone, or for this realm always (unannounced = accept in "
                "/etc/kpropctl/agent.conf):\n"
                "replica# kpropctl-agent accept-next REALM" },
    { .id = "dump-bad",
      .title = "REPLICA cannot read the dump: it is damaged, or of a newer format than its krb5",
      .check = "realm",
      .program = "kdb5_util below kpropd",
      .where = ON_REPLICA,
      .signs = { { "dump header bad in", SURE },
                 { "can't read dump header in", SURE },
                 { "error processing line * of", SURE },
                 { "cannot read the header of dump", SURE },
                 { "cannot load the dump format of this host", SURE },
                 ABORTED },
      .cause = "kdb5_util load gave up on the file: it is cut inside a record, no dump at all, or "
               "made by a much newer krb5. A db2 database is not touched by that; one in lmdb is "
               "destroyed by any kdb5_util load that fails.",
      .apart = "the replica's log says 'dump header bad in' or 'error processing line'",
      .look = "primary# head -c 60 DUMP   (kdb5_util load_dump version 7)\n"
              "replica# dpkg -l krb5-kdc   (or rpm -q krb5-server)\n"
              "replica# journalctl -u krb5-kpropd -n 30",
      .remedy = "dump again with room on the disk, or make it readable for an older krb5: "
                "kdb5_util dump -r18 FILE" },
    { .id = "policy-name",
      .title = "a password policy has a name (or allowed key salts) with a space in it",
      .check = "dump",
      .program = "kdb5_util below kpropd",
      .where = ON_REPLICA,
      .signs = { { "cannot parse policy", SURE }, ABORTED },
      .cause = "kdb5_util dumps such a policy without complaint, and cannot load it again.",
      .apart = "kdb5_util says 'cannot parse policy' when the dump is loaded by hand",
      .look = "primary# kadmin.local listpols",
      .remedy = "give the policy a name without a space: create it anew, move its principals, "
                "delete the old one" },
    { .id = "replica-disk-full",
      .title = "a disk is full on REPLICA",
      .check = "replica-space",
      .program = "kpropd, kdb5_util",
      .where = ON_REPLICA,
      .signs = { { "No space left on device", LIKELY, "kpropd" },
                 { "No space left on device", POSSIBLE },
                 { "incomplete write while writing database block", SURE },
                 { "while writing database block starting at offset", LIKELY },
                 { "no room on * a load may need", SURE },
                 { "cannot load: not enough space", SURE },
                 { "disk full or failing", SURE },
                 ABORTED },
      .cause = "The received dump, the new database beside the old one, or both find no room. "
               "kpropd complains and goes on: it loads the short file, and principals are "
               "missing; at the last pages of the database even kprop says SUCCEEDED, and the "
               "database can no longer be opened.",
      .apart = "df shows a full file system on the replica",
      .look = "replica# df -h /var/lib/krb5kdc /var/tmp   (RHEL: /var/kerberos/krb5kdc)\n"
              "primary# kpropctl check REPLICA   (does the replica hold all of it?)",
      .remedy = "make room for the dump and a second database there, then: kpropctl propagate "
                "--force REPLICA" },
    { .id = "load-path",
      .title = "kpropd on REPLICA cannot run the program that loads",
      .check = "loader",
      .program = "kpropd",
      .where = ON_REPLICA,
      .signs = { { "while trying to exec", SURE },
                 { "cannot use the loader", SURE },
                 { "cannot make kpropd use the loader", SURE },
                 ABORTED },
      .cause = "The path after kpropd's -p (or the built-in one of kdb5_util) names no program "
               "that it may run.",
      .apart = "the replica's log says 'while trying to exec'",
      .look = "replica# systemctl cat krb5-kpropd\n"
              "replica# ls -l /usr/lib/kpropctl/kpropctl-loader /usr/sbin/kdb5_util",
      .remedy = "mend the -p of kpropd: kpropctl setup-slave REPLICA writes the drop-in anew" },
    { .id = "loader-refused",
      .title = "the loader on REPLICA refused the dump",
      .check = "digest",
      .program = "kpropctl-loader",
      .where = ON_PRIMARY | ON_REPLICA,
      .signs = { { "cannot promote the new database", SURE },
                 { "cannot load dump * it is not generation", SURE },
                 { "cannot load dump * announced by", SURE },
                 { "refused the database:", SURE },
                 { "cannot load: the loader", SURE },
                 { "the loader was killed", SURE },
                 { "cannot load: told to end", SURE },
                 ABORTED },
      .cause = "kpropctl's loader loads into a database beside the live one, compares it with what "
               "the primary announced, and promotes it only if they agree. They did not, or it "
               "was stopped before.",
      .apart = "the replica's log has a line of kpropctl-loader that says what differed",
      .look = "replica# kpropctl-agent outcome REALM\n"
              "replica# journalctl -u krb5-kpropd -n 30",
      .remedy = "propagate again: kpropctl propagate REPLICA; if it stays so, look for another job "
                "that sends with kprop (kpropctl schedule)" },
    { .id = "load-timeout",
      .title = "the load on REPLICA took longer than iprop_resync_timeout",
      .check = "propagate",
      .program = "kpropd",
      .where = ON_REPLICA,
      .signs = { { "Full propagation timed out", SURE } },
      .cause = "kpropd gives a transfer and its load 300 s, then its worker ends and kprop fails, "
               "though the database was, or still will be, updated.",
      .look = "replica# pgrep -a 'kdb5_util|kpropctl-loader'\n"
              "primary# kpropctl check REPLICA",
      .remedy = "raise iprop_resync_timeout of the realm in kdc.conf of REPLICA and restart kpropd "
                "when no load runs" },
    { .id = "too-large",
      .title = "the dump is larger than 4 GB, and one side is older than krb5 1.20",
      .check = "realm",
      .program = "kprop, kpropd",
      .where = ON_PRIMARY | ON_REPLICA,
      .signs = { { "malformed*database size message", SURE } },
      .cause = "Before 1.20 the size is sent in 32 bits.",
      .look = "primary# ls -l DUMP\n"
              "replica# dpkg -l krb5-kpropd   (or rpm -q krb5-server)",
      .remedy = "upgrade krb5 to 1.20 or later on both hosts" },
    { .id = "completed",
      .title = "'completed' and 'SUCCEEDED' prove nothing",
      .check = "digest",
      .program = "kprop, kpropd",
      .where = ON_PRIMARY | ON_REPLICA,
      .signs = { { "Database load process for full propagation completed", POSSIBLE },
                 { "Database propagation to * SUCCEEDED", POSSIBLE } },
      .cause = "kpropd prints 'Database load process for full propagation completed.' after "
               "failures too, and kprop says SUCCEEDED of a stale dump, of one that was cut at a "
               "record, and where the replica's disk was full at the last pages.",
      .apart = "nothing else is told, and you want to be sure",
      .look = "primary# kpropctl check REPLICA",
      .remedy = "let the content decide: kpropctl propagate REPLICA compares its digest" },
    { .id = NULL },
};
