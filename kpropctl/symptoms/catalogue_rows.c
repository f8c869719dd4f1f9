/* catalogue_rows - what the rows of kpropctl's own table say, where no foreign text belongs to
 * them: what must hold, why, how to see it by hand, how to mend it. */
#include "kpropctl/symptoms/catalogue.h"

const struct symptom symptoms_rows[] = {
    { .id = "primary",
      .title = "this host is not the realm's primary, or lacks a part of it",
      .check = "primary",
      .program = "kpropctl",
      .where = ON_PRIMARY,
      .signs = { { "this host is not the primary of", SURE },
                 { "this host has no database of realm", SURE },
                 { "kpropd runs on this host: it is a replica", SURE },
                 { "keeps its database in * which kprop does not replicate", SURE },
                 { "cannot find kprop in /usr/sbin", SURE },
                 { "cannot find kdb5_util in /usr/sbin", SURE } },
      .cause = "kpropctl sends databases, so it runs where the realm's database is changed: where "
               "admin_server of krb5.conf points, with database, stash, kprop and kdb5_util. A "
               "host where kpropd runs is a replica. A database in LDAP is replicated by its "
               "directory, not by kprop.",
      .look = "primary# grep -A5 'REALM = {' /etc/krb5.conf\n"
              "primary# kadmin.local getprinc K/M | head -3\n"
              "primary# systemctl status krb5-admin-server krb5-kpropd",
      .remedy = "run it on the primary; if this host is the primary, mend admin_server in "
                "krb5.conf and disable kpropd here" },
    { .id = "kadmind",
      .title = "kadmind or krb5kdc does not run on PRIMARY",
      .check = "kadmind",
      .program = "kpropctl check",
      .where = ON_PRIMARY,
      .signs = { { "kadmind does not run on the primary", SURE },
                 { "krb5kdc does not run on the primary", SURE } },
      .cause = "Without kadmind nobody can change a password. On Debian a start of kpropd stops "
               "it (kadmind-stopped).",
      .look = "primary# systemctl status krb5-admin-server   (RHEL: kadmin)\n"
              "primary# journalctl -u krb5-admin-server -n 30",
      .remedy = "start and enable it: systemctl enable --now krb5-admin-server" },
    { .id = "space",
      .title = "there is no room for a dump on PRIMARY",
      .check = "space",
      .program = "kpropctl",
      .where = ON_PRIMARY,
      .signs = { { "no room for a dump in", SURE }, { "cannot write the dump", SURE } },
      .cause = "kpropctl keeps room for a dump and some more before it begins: kdb5_util dump on a "
               "full disk exits with 0 and leaves a cut file that looks good.",
      .look = "primary# df -h /var/lib/kpropctl\n"
              "primary# ls -la /var/lib/kpropctl/dump",
      .remedy = "free space there, or set state_dir in kpropctl.conf to a file system with room" },
    { .id = "state",
      .title = "the state database cannot be read or written",
      .check = "state",
      .program = "kpropctl",
      .where = ON_PRIMARY,
      .signs = { { "state database * cannot be", SURE },
                 { "be able to read */state.db", SURE },
                 { "cannot open*state.db", LIKELY } },
      .cause = "Replicas, runs and the time of each verified success are in "
               "/var/lib/kpropctl/state.db: root writes it, the group of state_group may read it. "
               "A run goes on without it, but is not recorded.",
      .look = "primary# ls -la /var/lib/kpropctl\n"
              "primary# sqlite3 /var/lib/kpropctl/state.db 'pragma integrity_check'\n"
              "primary# df -h /var/lib/kpropctl",
      .remedy = "mend owner and mode, or make room; a damaged file may be moved away\n"
                "The replicas remember the generation, so nothing is lost but history: run "
                "kpropctl setup-slave for each replica again." },
    { .id = "debris",
      .title = "dumps of a killed run are left",
      .check = "debris",
      .program = "kpropctl check",
      .where = ON_PRIMARY,
      .signs = { { "killed run * left dumps", SURE }, { "killed runs have left dumps", SURE } },
      .cause = "A dump holds every key of the realm. A run that was killed, or kdb5_util itself "
               "(dump-XXXXXX beside its file), left one.",
      .look = "primary# ls -la /var/lib/kpropctl/dump\n"
              "primary# find /var/lib/krb5kdc -name 'dump-*' -o -name '*.dump_ok'",
      .remedy = "remove it when no dump runs; the next kpropctl propagate clears its own" },
    { .id = "schedule",
      .title = "nothing propagates by itself",
      .check = "schedule",
      .program = "kpropctl check",
      .where = ON_PRIMARY,
      .signs = { { "nothing propagates by itself", SURE } },
      .cause = "Neither kpropctl's watch nor its timer is on, nor a job of cron: changes reach the "
               "replicas only when somebody runs kpropctl propagate.",
      .look = "primary# kpropctl schedule",
      .remedy = "turn it on: kpropctl schedule --enable" },
    { .id = "competitors",
      .title = "another job propagates too",
      .check = "competitors",
      .program = "kpropctl check, kpropctl schedule",
      .where = ON_PRIMARY,
      .signs = { { "another job runs kprop", SURE },
                 { "competing jobs, which send without proof", SURE } },
      .cause = "A cron job or timer runs kprop beside kpropctl. It may send an older or a cut "
               "dump, which nobody checks, over a good one, and the two lock each other out.",
      .look = "primary# kpropctl schedule",
      .remedy = "remove the job that kpropctl schedule names: a replica that was verified refuses "
                "what it sends" },
    { .id = "renew",
      .title = "the key of REPLICA could not be renewed",
      .check = "renew",
      .program = "kpropctl renew",
      .where = ON_PRIMARY,
      .signs = { { "both sides have the new key beside the old one, but", SURE },
                 { "cannot set the new keys of", SURE },
                 { "The key of * is not changed:", LIKELY },
                 { "cannot change keytab", SURE } },
      .cause = "The new key is put into REPLICA's keytab first, then into the database. Where that "
               "ends half-way, the old key goes on working.",
      .look = "replica# klist -ket\n"
              "primary# kadmin.local getprinc host/REPLICA | grep Key:",
      .remedy = "run it again; if the keytab lacks the newest key of the database: kpropctl enroll "
                "REPLICA | ssh root@REPLICA kpropctl-agent enroll" },
    { .id = "old-keys",
      .title = "older keys of REPLICA are kept",
      .check = "old-keys",
      .program = "kpropctl renew --finish, kpropctl check",
      .where = ON_PRIMARY,
      .signs = { { "has older keys than kvno", SURE },
                 { "older keys of * are kept", SURE },
                 { "cannot drop older keys of", SURE },
                 { "cannot drop keys from keytab", SURE } },
      .cause = "After kpropctl renew the old key stays on both sides, since tickets for it are in "
               "caches, and replicas issue them until they are sent the new key. Once those have "
               "expired, whoever has the old key can only do harm with it.",
      .look = "primary# kadmin.local getprinc host/REPLICA | grep Key:\n"
              "primary# kpropctl renew --finish --dry-run REPLICA",
      .remedy = "kpropctl renew --finish REPLICA; at once, if the old key is in wrong hands: with "
                "--force" },
    { .id = "new-stash",
      .title = "REPLICA has not the primary's stash",
      .check = "new-stash",
      .program = "kpropctl renew --stash, kpropctl check",
      .where = ON_PRIMARY,
      .signs = { { "lacks master key", SURE },
                 { "cannot read stash", LIKELY },
                 { "cannot read the stash", LIKELY },
                 { "the new stash waits", LIKELY },
                 { "the new stash * is not in place", SURE } },
      .cause =
          "The master key was changed on PRIMARY (kdb5_util add_mkey, use_mkey). The old stash "
          "opens the database until the old key is purged; then krb5kdc on REPLICA does not "
          "start again, and a new database is refused there. kprop does not bring the stash.",
      .look = "primary# klist -k /etc/krb5kdc/stash\n"
              "primary# kdb5_util list_mkeys\n"
              "replica# klist -k /etc/krb5kdc/stash",
      .remedy = "on PRIMARY 'kdb5_util stash', then: kpropctl renew --stash REPLICA" },
    { .id = "found",
      .title = "clients do not find REPLICA",
      .check = "found",
      .program = "kpropctl check",
      .where = ON_PRIMARY,
      .signs = { { "clients do not find", SURE } },
      .cause = "Clients ask the kdc lines of their krb5.conf, or else the realm's SRV or URI "
               "records. A replica that is in neither serves nobody when the primary is down.",
      .look = "primary# grep -A5 'REALM = {' /etc/krb5.conf\n"
              "primary# dig +short SRV _kerberos._udp.REALM",
      .remedy = "add 'kdc = REPLICA' to the realm in krb5.conf, or an SRV record "
                "_kerberos._udp.REALM and _tcp" },
    { .id = "enrolled",
      .title = "REPLICA cannot be enrolled by way of --via",
      .check = "enrolled",
      .program = "kpropctl setup-slave --via",
      .where = ON_PRIMARY,
      .signs = { { "cannot reach * by '", SURE },
                 { "cannot write the agent's package on", SURE },
                 { "'kpropctl-agent enroll' on * did not answer as it should", SURE } },
      .cause = "The program that --via names has to run the words behind it as a command on the "
               "host, as root, without asking anybody anything, with its input, output and exit "
               "status; 255 means that it cannot reach the host. ssh does all of that once root "
               "may log in with a key, and the host's own key is known.",
      .look = "primary# ssh -o BatchMode=yes root@REPLICA id   (what --via says, and a command)",
      .remedy = "mend that, or carry the bundle there by any other way: kpropctl enroll REPLICA "
                "writes it, kpropctl-agent enroll reads it" },
    { .id = "agent-missing",
      .title = "kpropctl-agent is not installed on REPLICA",
      .check = "enrolled",
      .program = "kpropctl setup-slave --via",
      .where = ON_PRIMARY,
      .signs = { { "kpropctl-agent is not installed on", SURE },
                 { "kpropctl-agent on * is too old to be enrolled", SURE },
                 { "kpropctl-agent: command not found", SURE },
                 { "cannot install the agent's package on", SURE } },
      .cause = "The agent sees and changes what is on a replica, and reads the bundle of its "
               "enrolment.",
      .look = "replica# kpropctl-agent --version",
      .remedy = "have its package installed: kpropctl setup-slave --via 'ssh root@%h' "
                "--agent-package FILE REPLICA" },
    { .id = "age",
      .title = "REPLICA was last verified too long ago",
      .check = "age",
      .program = "kpropctl check",
      .where = ON_PRIMARY,
      .signs = { { "has never been verified", SURE },
                 { "generations behind", LIKELY },
                 { "1 generation behind", LIKELY },
                 { "was verified * ago, at generation", POSSIBLE },
                 { "cannot tell when * was last verified", LIKELY } },
      .cause = "Age counts from the last time that the replica was proven to hold what was sent. "
               "It grows when nothing propagates, and when every run fails.",
      .look = "primary# kpropctl history REPLICA\n"
              "primary# kpropctl schedule",
      .remedy = "propagate now and read what it says: kpropctl propagate REPLICA" },
    { .id = "version",
      .title = "the agent on REPLICA is too old for this kpropctl",
      .check = "version",
      .program = "kpropctl check",
      .where = ON_PRIMARY,
      .signs = { { "kpropctl-agent * is older than this kpropctl", SURE },
                 { "has no verb *which this kpropctl needs", SURE } },
      .cause = "kpropctl was upgraded and the agent was not. What the old one does not tell is not "
               "checked, and what it cannot do is not done. A newer agent is fine.",
      .look = "primary# kpropctl --version\n"
              "replica# kpropctl-agent version",
      .remedy = "upgrade the package kpropctl-agent on REPLICA" },
    { .id = "limits",
      .title = "the agent on REPLICA lacks room for its callers",
      .check = "limits",
      .program = "kpropctl check",
      .where = ON_PRIMARY,
      .signs = { { "files open, and needs * when it is busy", SURE },
                 { "had too many callers", SURE } },
      .cause = "The agent serves a bounded number of connections, and turns others away or has the "
               "oldest that is not logged in make room: something connects again and again. Or its "
               "unit lets it open fewer files than that takes.",
      .look = "replica# ss -tnp 'sport = :4373'\n"
              "replica# systemctl show -p LimitNOFILE kpropctl-agent",
      .remedy = "end what connects so often, or raise LimitNOFILE= with systemctl edit "
                "kpropctl-agent" },
    { .id = "agent",
      .title = "the agent on REPLICA does not answer",
      .check = "agent",
      .program = "kpropctl",
      .where = ON_PRIMARY,
      .signs = { { "cannot connect to the agent", SURE },
                 { "it is no kpropctl-agent", SURE },
                 { "cannot authenticate to the agent", LIKELY },
                 { "no sign of life from the agent", SURE },
                 { "the agent on * closed the connection", SURE },
                 { "lost the agent on", SURE },
                 { "cannot be told without the agent", SURE },
                 { "cannot be told without its agent", SURE },
                 { "nothing is sent to it without its agent", SURE } },
      .cause = "kpropctl-agent on the replica (port 4373) sees and changes what is there. Without "
               "it nothing of a propagation can be verified, and a recorded replica is sent none.",
      .look = "replica# systemctl status kpropctl-agent\n"
              "replica# journalctl -u kpropctl-agent -n 30\n"
              "replica# ss -ltnp 'sport = :4373'",
      .remedy = "install and start it: systemctl enable --now kpropctl-agent on REPLICA, and open "
                "4373/tcp from the primary; a host that was never enrolled: kpropctl setup-slave "
                "--via 'ssh root@%h' REPLICA\n"
                "To send without it, unverified: kpropctl propagate --without-agent REPLICA" },
    { .id = "agent-denied",
      .title = "the agent on REPLICA does not let PRIMARY in",
      .check = "agent",
      .program = "kpropctl, kpropctl-agent",
      .where = ON_PRIMARY | ON_REPLICA,
      .signs = { { "the agent on * does not allow", SURE } },
      .cause = "The agent lets in host/ of the realm's admin_server, or whom its acl names. "
               "Everybody else is denied, and nothing is sent behind its back: it may follow "
               "another primary, whose changes would be lost.",
      .look = "replica# journalctl -u kpropctl-agent -n 10   (says who came, and which line "
              "decided)\n"
              "replica# grep -n acl /etc/kpropctl/agent.conf",
      .remedy = "set admin_server of the realm in krb5.conf of REPLICA to PRIMARY, or acl in "
                "/etc/kpropctl/agent.conf" },
    { .id = "realm",
      .title = "REPLICA does not serve the realm as PRIMARY does",
      .check = "realm",
      .program = "kpropctl",
      .where = ON_REPLICA,
      .signs = { { "serves realm * not", SURE },
                 { "keeps the realm in LDAP", SURE },
                 { "keeps its database in LDAP", SURE } },
      .cause = "The replica must know the realm (krb5.conf and kdc.conf), keep it in db2, "
               "call itself what the primary calls it, and have krb5 1.11 or later.",
      .look = "replica# cat /etc/krb5.conf /etc/krb5kdc/kdc.conf\n"
              "replica# hostname -f",
      .remedy = "bring the realm's configuration to REPLICA\n"
                "primary# kpropctl enroll REPLICA | ssh root@REPLICA kpropctl-agent enroll" },
    { .id = "lmdb",
      .title = "REPLICA keeps the realm in lmdb, and is sent no other database than it has",
      .check = "whole",
      .program = "kpropctl, kpropctl-agent, kpropctl-loader below kpropd",
      .where = ON_PRIMARY | ON_REPLICA,
      .signs = { { "keeps the realm in lmdb", SURE }, { "MDB_MAP_FULL", SURE } },
      .cause =
          "A kdb5_util load that fails on a live lmdb (klmdb) database destroys it, as when its "
          "map is too small for the old and the new content; and each one clears the "
          "lockouts. So none is run there. The first load of all, where no database is yet, "
          "is done; nothing could be lost.",
      .look = "replica# grep -rn db_library /etc/krb5kdc/kdc.conf /etc/krb5.conf\n"
              "replica# ls -l /var/lib/krb5kdc",
      .remedy = "keep it in db2 there (its KDC answers nothing in between):\n"
                "replica# systemctl stop krb5-kdc\n"
                "replica# sed -i '/db_library/s/k*lmdb/db2/' /etc/krb5kdc/kdc.conf /etc/krb5.conf\n"
                "primary# kpropctl setup-slave REPLICA\n"
                "principal.mdb and its like hold the old keys: remove them once that is verified" },
    { .id = "role",
      .title = "REPLICA looks like a primary itself",
      .check = "role",
      .program = "kpropctl",
      .where = ON_REPLICA,
      .signs = { { "that the primary does not have", SURE },
                 { "changed later than the primary's", SURE } },
      .cause = "A database sent to a primary would destroy what only it has. It is taken for one "
               "if kadmind runs or is enabled there, or if its database has entries that this one "
               "has not, or newer ones.",
      .look = "replica# systemctl status krb5-admin-server\n"
              "replica# kadmin.local listprincs",
      .remedy = "if it is a primary, leave it alone; if it is to be a replica, disable kadmind "
                "there, and if its entries may go: kpropctl setup-slave --overwrite REPLICA" },
    { .id = "timeline",
      .title = "REPLICA knows a later state of the realm than this primary",
      .check = "timeline",
      .program = "kpropctl",
      .where = ON_PRIMARY,
      .signs = { { "which this host has not recorded", SURE },
                 { "the newest that this host has recorded is", SURE },
                 { "with a content that this host has not recorded", SURE },
                 { "the database of this host was replaced since", SURE },
                 { "another content is known by this number", SURE } },
      .cause = "PRIMARY went back in time (a snapshot of its machine, an old backup of the "
               "database or of /var/lib/kpropctl), or another primary has sent to REPLICA. What "
               "REPLICA was sent last is then not in PRIMARY's record; if REPLICA has principals "
               "that PRIMARY lacks, or later ones, it may be the only place where they are.",
      .look = "primary# kpropctl history REPLICA\n"
              "replica# kadmin.local getprinc NAME   (of those that are named)",
      .remedy = "find out which database is the right one\n"
                "what is wanted of REPLICA's: there kdb5_util dump FILE NAME..., with that file "
                "on PRIMARY kdb5_util load -update FILE, then run again\n"
                "if it may go: kpropctl propagate --accept-timeline REPLICA" },
    { .id = "port",
      .title = "kpropd cannot have its port on REPLICA",
      .check = "port",
      .program = "kpropctl",
      .where = ON_REPLICA,
      .cause = "kpropd binds krb5_prop (754/tcp) on all addresses. A reservation (port-reserved), "
               "another program, or a connection that took it as its local port (port-held) "
               "stands in its way, now or after the next boot.",
      .look = "primary# kpropctl port --why REPLICA\n"
              "replica# kpropctl-agent port",
      .remedy = "a reservation is released by kpropctl setup-slave REPLICA; any other holder is "
                "yours to move" },
    { .id = "acl",
      .title = "kpropd.acl of REPLICA does not list PRIMARY",
      .check = "acl",
      .program = "kpropctl",
      .where = ON_REPLICA,
      .cause = "kpropd takes a database only from principals that its kpropd.acl lists: "
               "host/PRIMARY@REALM. What kprop and kpropd say without it: kpropd-acl.",
      .look = "replica# cat /etc/krb5kdc/kpropd.acl   (RHEL: /var/kerberos/krb5kdc/kpropd.acl)",
      .remedy = "add host/PRIMARY@REALM to it: kpropctl setup-slave REPLICA does" },
    { .id = "loader",
      .title = "kpropd on REPLICA loads with kdb5_util alone",
      .check = "loader",
      .program = "kpropctl",
      .where = ON_REPLICA,
      .signs = { { "loads with kdb5_util alone", SURE },
                 { "databases are loaded by kdb5_util itself", SURE } },
      .cause = "kdb5_util load replaces the live database by whatever the dump holds, and a full "
               "disk or a kill can leave one that cannot be opened. kpropctl's loader loads "
               "beside it, checks, and only then replaces it.",
      .look = "replica# systemctl cat krb5-kpropd   (ExecStart has -p "
              "/usr/lib/kpropctl/kpropctl-loader)",
      .remedy = "let kpropctl setup-slave REPLICA write the drop-in; without systemd start kpropd "
                "with -p /usr/lib/kpropctl/kpropctl-loader" },
    { .id = "kpropd",
      .title = "kpropd is not as it should be on REPLICA",
      .check = "kpropd",
      .program = "kpropctl",
      .where = ON_REPLICA,
      .signs = { { "kpropd runs on*not by its unit", SURE },
                 { "kpropd on*has failed", SURE },
                 { "cannot start kpropd: another one", SURE } },
      .cause = "It has to run by its unit (one that was started by hand is gone after a reboot, "
               "and loads without the loader), be enabled, and be seen listening. Where the agent "
               "runs it (supervise = yes), it may end again and again, or a second one is in the "
               "way; without systemd only a person gives the commands of its init script.",
      .look = "replica# systemctl status krb5-kpropd\n"
              "replica# ss -ltnp 'sport = :754'\n"
              "replica# ps -o pid,lstart,args -C kpropd\n"
              "replica# kpropctl-agent logs",
      .remedy = "end the one that was started by hand when no load runs, then kpropctl setup-slave "
                "REPLICA starts and enables the unit, or tells what to do" },
    { .id = "stalled",
      .title = "a silent connection holds kpropd up on REPLICA",
      .check = "stalled",
      .program = "kpropctl check",
      .where = ON_REPLICA,
      .cause = "kpropd serves one connection at a time. See kpropd-stalled.",
      .look = "replica# ss -tnp 'sport = :754'",
      .remedy = "end it at its other end, or restart kpropd when no load runs" },
    { .id = "reach",
      .title = "PRIMARY does not reach kpropd's port on REPLICA",
      .check = "reach",
      .program = "kpropctl",
      .where = ON_PRIMARY,
      .cause = "kpropd listens there, and a connection from here does not arrive: a firewall in "
               "between, or on one of the hosts, or a route. See no-route.",
      .look = "primary# nc -vz REPLICA 754\n"
              "replica# nft list ruleset   (or iptables -S, firewall-cmd --list-all)",
      .remedy = "open 754/tcp from the primary to REPLICA" },
    { .id = "leftovers",
      .title = "a load was interrupted on REPLICA",
      .check = "leftovers",
      .program = "kpropctl check",
      .where = ON_REPLICA,
      .signs = { { "an interrupted load has left", SURE }, { "principal~", LIKELY } },
      .cause = "A load that was killed leaves its half-made database (principal~ and the like) "
               "beside the live one. Its files hold keys, "
               "and take room. Whether the live one is whole, tells: kdb5_util dump FILE there.",
      .look = "replica# ls -la /var/lib/krb5kdc\n"
              "replica# pgrep -a 'kdb5_util|kpropctl-loader'",
      .remedy = "propagate again, which clears them; never remove them while a load runs" },
    { .id = "content",
      .title = "REPLICA does not hold what was last sent",
      .check = "content",
      .program = "kpropctl check",
      .where = ON_REPLICA,
      .signs = { { "last loaded generation * was verified there before", SURE },
                 { "holds * principals and * were sent", SURE },
                 { "does not hold this content", SURE } },
      .cause = "Somebody else has propagated or loaded there, a load ended badly, or the database "
               "was changed on the replica itself. (Logins change it too, but nothing that "
               "counts.)",
      .look = "replica# journalctl -u krb5-kpropd -n 30\n"
              "primary# kpropctl history REPLICA",
      .remedy = "send it again: kpropctl propagate --force REPLICA" },
    { .id = "dump",
      .title = "the database of PRIMARY cannot be dumped whole",
      .check = "dump",
      .program = "kpropctl",
      .where = ON_PRIMARY,
      .signs = { { "cannot dump the database", SURE }, { "cannot create the dump", SURE } },
      .cause = "kdb5_util failed, was silent too long, or its output is not whole (counts, last "
               "record). What is not whole is not sent.",
      .look = "primary# kdb5_util dump /root/test.dump; echo $?; rm /root/test.dump*\n"
              "primary# df -h /var/lib/kpropctl",
      .remedy = "mend what kdb5_util complains about; a missing stash makes it exit with 1" },
    { .id = "propagate",
      .title = "the database could not be brought to REPLICA",
      .check = "propagate",
      .program = "kpropctl",
      .where = ON_PRIMARY,
      .cause = "kprop failed. Its own words and the replica's log follow in the report; they have "
               "the cause.",
      .look = "primary# kpropctl propagate -v REPLICA\n"
              "replica# journalctl -u krb5-kpropd -n 30",
      .remedy = "paste those lines into kpropctl explain" },
    { .id = "rollback",
      .title = "REPLICA could not go back to an older dump",
      .check = "rollback",
      .program = "kpropctl, kpropctl-agent",
      .where = ON_REPLICA,
      .signs = { { "cannot roll back", SURE }, { "cannot go back", SURE } },
      .cause = "After each verified load the replica keeps the dump. Going back loads it again, "
               "with all the checks of a propagation; without such a dump there is nothing to go "
               "back to.",
      .look = "replica# ls -la /var/lib/kpropctl-agent\n"
              "replica# kpropctl-agent facts",
      .remedy = "propagate the present database instead: kpropctl propagate --force REPLICA" },
    { .id = "digest",
      .title = "the database of REPLICA is not what was dumped",
      .check = "digest",
      .program = "kpropctl",
      .where = ON_REPLICA,
      .signs = { { "is NOT what was sent", SURE },
                 { "nothing of it is verified", LIKELY },
                 { "nothing of * is verified", LIKELY } },
      .cause =
          "The digest over all principals, keys and policies differs from the dump's: the load "
          "lost something, or somebody else has written there. This is what kprop's "
          "SUCCEEDED does not tell.",
      .look = "replica# journalctl -u krb5-kpropd -n 30\n"
              "replica# df -h /var/lib/krb5kdc",
      .remedy = "send it again: kpropctl propagate --force REPLICA; if it stays so, look for "
                "another job that sends (kpropctl schedule)" },
    { .id = "kdc",
      .title = "krb5kdc does not run on REPLICA, or is not enabled",
      .check = "kdc",
      .program = "kpropctl",
      .where = ON_REPLICA,
      .signs = { { "krb5kdc does not run on", SURE },
                 { "krb5kdc runs on*does not listen", SURE },
                 { "krb5kdc runs on*not by its unit", SURE },
                 { "krb5* is not enabled: it will be gone", LIKELY } },
      .cause = "A replica without a KDC serves nobody. It fails to start before the first "
               "propagation, and with a wrong stash (stash-wrong).",
      .look = "replica# systemctl status krb5-kdc   (RHEL: krb5kdc)\n"
              "replica# journalctl -u krb5-kdc -n 30",
      .remedy = "start and enable it after the database is there: kpropctl setup-slave REPLICA "
                "does both" },
    { .id = "ticket",
      .title = "the KDC of REPLICA issues no ticket",
      .check = "ticket",
      .program = "kpropctl",
      .where = ON_PRIMARY,
      .signs = { { "cannot get a ticket from the KDC at", SURE } },
      .cause = "The last proof: the primary asks that KDC alone for a ticket with its own key. A "
               "wrong stash, an old database, a firewall on port 88, or a krb5kdc that still has "
               "a broken database open make it fail.",
      .look = "replica# journalctl -u krb5-kdc -n 20\n"
              "replica# kdb5_util list_mkeys\n"
              "replica# ss -lnp 'sport = :88'",
      .remedy = "restart krb5kdc on REPLICA and read its log; open 88/udp and 88/tcp" },
    { .id = "record",
      .title = "REPLICA is not in the state database",
      .check = "record",
      .program = "kpropctl",
      .where = ON_PRIMARY,
      .signs = { { "is not yet in the state database", SURE } },
      .cause = "Only recorded replicas are propagated to when no host is named, and watched.",
      .look = "primary# kpropctl list",
      .remedy = "record it: kpropctl setup-slave REPLICA ends with that" },
    { .id = NULL },
};
