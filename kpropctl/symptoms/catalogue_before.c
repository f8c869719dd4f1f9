/* catalogue_before - symptoms before anything is sent: ports, names, tickets of the primary. */
#include "kpropctl/symptoms/catalogue.h"

#define CONNECTION_REFUSED                                                                         \
    { "Connection refused*while connecting to server", POSSIBLE },                                 \
        { "kprop*: *Connection refused", POSSIBLE },                                               \
    {                                                                                              \
        "^Connection refused$", POSSIBLE                                                           \
    }
#define ADDRESS_IN_USE "Address already in use*binding listener socket"

const struct symptom symptoms_before[] = {
    { .id = "kpropd-down",
      .title = "kpropd does not run on REPLICA",
      .check = "kpropd",
      .program = "kprop",
      .where = ON_PRIMARY,
      .signs = { CONNECTION_REFUSED,
                 { "Active: inactive", SURE, "kpropd" },
                 { "Active: failed", POSSIBLE, "kpropd" },
                 { "Unit krb5-kpropd.service could not be found", SURE },
                 { "kpropd does not run on", SURE },
                 { "kpropd runs on*does not listen", SURE },
                 { "kpropd * is not enabled: it will be gone", SURE } },
      .cause = "Nothing listens on kpropd's port (754) of the replica. Either kpropd was never "
               "started, or it ended: it prints 'ready' and writes its pid file before it binds, "
               "so a start that exits with 0 proves nothing; only the socket does.",
      .apart = "systemctl says that kpropd is inactive or failed, and its journal has no 'Address "
               "already in use'",
      .look = "replica# systemctl status krb5-kpropd\n"
              "replica# journalctl -u krb5-kpropd -n 30\n"
              "replica# ss -ltnp 'sport = :754'\n"
              "On RHEL the unit is kprop.",
      .remedy = "start kpropd and enable it (kpropctl setup-slave REPLICA does both)\n"
                "By hand, on a host that is no primary (on Debian its start stops kadmind):\n"
                "replica# systemctl enable --now krb5-kpropd" },
    { .id = "port-reserved",
      .title = "portreserve on REPLICA has bound kpropd's port and does not listen",
      .check = "port",
      .program = "kpropd, kprop",
      .where = ON_PRIMARY | ON_REPLICA,
      .signs = { { ADDRESS_IN_USE, LIKELY },
                 { "kpropd*Address already in use", LIKELY },
                 { "Address already in use", SURE, "portreserve" },
                 { "Address already in use", POSSIBLE },
                 { "Connection refused*while connecting to server", LIKELY,
                   "Address already in use" },
                 { "is reserved by portreserve", SURE },
                 { "will be reserved by portreserve again", SURE },
                 CONNECTION_REFUSED },
      .cause = "portreserve (EL6, EL7) calls bind() on the ports that its files in "
               "/etc/portreserve name, and never listen(). netstat, lsof -i, ss -a, fuser and "
               "nmap do not show such a socket, but the kernel refuses the port to kpropd all the "
               "same. /etc/services with another port makes kpropd start, and so misleads; "
               "tcp_tw_reuse, xinetd and IPv6 have nothing to do with it.",
      .apart = "kpropd's log says 'Address already in use', yet netstat and lsof show nobody on "
               "the port",
      .look = "primary# kpropctl port --why REPLICA\n"
              "replica# kpropctl-agent port\n"
              "replica# grep -r . /etc/portreserve\n"
              "replica# ss --bound-inactive -tnp   (iproute2 6.10 and Linux 6.8, or later)",
      .remedy = "release the reservation and make that last: kpropctl setup-slave REPLICA does "
                "both, and proves it\n"
                "By hand, NAME being the name of the file in /etc/portreserve, not the service's:\n"
                "replica# portrelease NAME\n"
                "It never says whether it worked, so look at the port again. It lasts until "
                "portreserve starts: kpropd's unit needs an ExecStartPre= with that command." },
    { .id = "port-held",
      .title = "another program on REPLICA holds kpropd's port",
      .check = "port",
      .program = "kpropd",
      .where = ON_REPLICA,
      .signs = { { ADDRESS_IN_USE, POSSIBLE },
                 { "kpropd*Address already in use", POSSIBLE },
                 { "Address already in use", POSSIBLE },
                 { "port * on * is held by", SURE },
                 { "is held, and nobody can be seen", SURE } },
      .cause = "Somebody listens on the port, or has a connection with it as its local port (NFS, "
               "rpcbind and other clients of reserved ports take any below 1024 that is free), or "
               "holds it on one address only: kpropd binds all addresses at once, and one that is "
               "taken makes that fail. A kpropd that was started by hand counts too.",
      .apart = "ss -atnp run as root shows somebody with local port 754",
      .look = "primary# kpropctl port --why REPLICA\n"
              "replica# ss -atnp 'sport = :754'",
      .remedy = "stop that program, give it another port, or restart the service whose connection "
                "it is\n"
                "kpropctl names the holder and does not touch it. Never kill one unseen: it may be "
                "an NFS mount." },
    { .id = "services-missing",
      .title = "/etc/services lacks krb5_prop",
      .check = "services",
      .program = "kprop, kpropd",
      .where = ON_PRIMARY | ON_REPLICA,
      .signs = { { "Servname not supported for ai_socktype", SURE },
                 { "has no krb5_prop/tcp", SURE },
                 { "no krb5_prop/tcp in the services file", SURE },
                 { "cannot find service 'krb5_prop'", SURE } },
      .cause = "kprop and kpropd ask /etc/services for the port of krb5_prop, and it is not "
               "there. A kpropd that runs as a daemon ends without a word.",
      .look = "primary# getent services krb5_prop/tcp\n"
              "replica# getent services krb5_prop/tcp",
      .remedy = "add 'krb5_prop 754/tcp' to /etc/services of the host that lacks it" },
    { .id = "services-differ",
      .title = "PRIMARY and REPLICA do not agree which port is kpropd's",
      .check = "services",
      .program = "kprop",
      .where = ON_PRIMARY,
      .signs = { { "krb5_prop is port * miss each other", SURE }, CONNECTION_REFUSED },
      .cause = "/etc/services says one port on the primary and another on the replica (a 755 that "
               "was once to get around a taken 754), so each host looks healthy alone.",
      .apart = "kpropd listens, but on another port than kprop calls",
      .look = "primary# getent services krb5_prop/tcp\n"
              "replica# getent services krb5_prop/tcp\n"
              "replica# ss -ltnp | grep kpropd",
      .remedy = "make /etc/services of both hosts say 'krb5_prop 754/tcp', and restart kpropd" },
    { .id = "no-route",
      .title = "REPLICA is down, or a firewall is in between",
      .check = "reach",
      .program = "kprop",
      .where = ON_PRIMARY,
      .signs = { { "No route to host*while connecting", SURE },
                 { "Network is unreachable*while connecting", SURE },
                 { "Connection timed out*while connecting", SURE },
                 { "Permission denied*while connecting to server", SURE },
                 { "kprop*: *No route to host", SURE },
                 { "port * cannot be reached from here", SURE },
                 { "^No route to host$", LIKELY } },
      .cause = "The packets to port 754 do not arrive or are answered with a refusal by a firewall "
               "('No route to host' is what a rejecting firewall says too; silence ends in "
               "'Connection timed out' after minutes; 'Permission denied' is this host's own "
               "firewall).",
      .look = "primary# ping -c 3 REPLICA\n"
              "primary# kpropctl check REPLICA --check reach\n"
              "replica# nft list ruleset   (or iptables -S, firewall-cmd --list-all)",
      .remedy = "bring the host up, or open 754/tcp from the primary to it\n"
                "With firewalld:\n"
                "replica# firewall-cmd --permanent --add-port=754/tcp && firewall-cmd --reload" },
    { .id = "kpropd-stalled",
      .title = "something on REPLICA accepts the connection and stays silent",
      .check = "stalled",
      .program = "kprop (it hangs)",
      .where = ON_PRIMARY,
      .signs = { { "kprop*hangs", SURE },
                 { "kprop*nothing said*not finished after", SURE },
                 { "kprop*not finished after", LIKELY },
                 { "is held up by a connection", SURE } },
      .cause = "kpropd serves one connection at a time, and kprop has no timeout. One silent "
               "connection (a port scanner, a monitoring probe that stays connected, a kprop that "
               "was stopped) holds up all others until iprop_resync_timeout (300 s). Or it is not "
               "kpropd who listens there.",
      .look = "replica# ss -tnp 'sport = :754'   (who is connected?)\n"
              "replica# ps -o pid,lstart,args -C kpropd",
      .remedy = "end the silent connection at its other end, or restart kpropd when no load runs\n"
                "Let probes close at once, and let only the primary reach port 754." },
    { .id = "not-kpropd",
      .title = "something other than kpropd answers on the port of REPLICA",
      .check = "port",
      .program = "kprop",
      .where = ON_PRIMARY,
      .signs = { { "Bad response (during sendauth exchange)", SURE },
                 { "Connection reset by peer*while authenticating to server", LIKELY },
                 { "Broken pipe*while authenticating to server", LIKELY } },
      .cause = "The program that accepted the connection does not speak kprop's protocol, or hung "
               "up on it.",
      .look = "replica# ss -ltnp 'sport = :754'\n"
              "primary# kpropctl port REPLICA",
      .remedy = "stop or move the program that listens there, then start kpropd" },
    { .id = "primary-kdc-down",
      .title = "PRIMARY gets no ticket: no KDC of the realm answers",
      .check = "kdc",
      .program = "kprop",
      .where = ON_PRIMARY,
      .signs = { { "Cannot contact any KDC*while getting initial", SURE },
                 { "Cannot contact any KDC", LIKELY },
                 { "Cannot find KDC for", LIKELY } },
      .cause = "kprop needs a ticket before it connects. krb5kdc does not run on the primary, or "
               "krb5.conf names another host (or none) as kdc of the realm.",
      .look = "primary# systemctl status krb5-kdc\n"
              "primary# kinit -k && klist\n"
              "primary# KRB5_TRACE=/dev/stderr kinit -k",
      .remedy = "start krb5kdc on the primary, or mend the kdc lines of the realm in krb5.conf" },
    { .id = "replica-principal-missing",
      .title = "the database has no host/REPLICA",
      .check = "principals",
      .program = "kprop",
      .where = ON_PRIMARY,
      .signs = { { "Server*not found in Kerberos database*while getting", LIKELY },
                 { "Server*not found in Kerberos database", LIKELY },
                 { "the database has no host/", SURE } },
      .cause = "kprop asks for a ticket for host/REPLICA@REALM, and there is no such principal; "
               "often because kprop made another name of the host than you think (name-differs).",
      .apart = "the name in the message is the right, full one",
      .look = "primary# kadmin.local listprincs 'host/*'\n"
              "primary# getent ahosts REPLICA",
      .remedy = "create it and bring its key to the replica: kpropctl enroll does both\n"
                "primary# kpropctl enroll REPLICA | ssh root@REPLICA kpropctl-agent enroll" },
    { .id = "name-differs",
      .title = "the name of REPLICA is not what the hosts make of it",
      .check = "name",
      .program = "kprop, kpropd",
      .where = ON_PRIMARY | ON_REPLICA,
      .signs = { { "Server*not found in Kerberos database*while getting", POSSIBLE },
                 { "Server*not found in Kerberos database", POSSIBLE },
                 { "The ticket isn*t for us", SURE },
                 { "calls the replica*it calls itself", SURE },
                 { "a short name, so the principals will not match", SURE },
                 { "but the name of that address is", SURE },
                 { "cannot resolve*no such host", SURE },
                 { "cannot derive the host principal", SURE },
                 { "wrong principal in request", SURE },
                 { "rejected authentication*sendauth", POSSIBLE } },
      .cause = "Kerberos makes the principal of the host's canonical name. A short name first in "
               "/etc/hosts, reverse DNS that says another name, or a hostname set differently on "
               "the replica gives host/OTHER on one side. A name that does not resolve at all "
               "ends in 'Server not found in Kerberos database' too.",
      .apart = "the name in the message, or what hostname -f says on the replica, is not the "
               "full name that you expect",
      .look = "primary# getent ahosts REPLICA\n"
              "replica# hostname -f; getent hosts $(hostname)\n"
              "replica# klist -k /etc/krb5.keytab",
      .remedy = "make DNS or /etc/hosts of both hosts give the full name first: ADDRESS "
                "REPLICA.DOMAIN REPLICA\n"
                "Where reverse DNS cannot be mended: rdns = false in [libdefaults] of krb5.conf on "
                "both hosts." },
    { .id = "name-elsewhere",
      .title = "the name of REPLICA leads to another host",
      .check = "name",
      .program = "kpropctl",
      .where = ON_PRIMARY,
      .signs = { { "it leads to another host", SURE },
                 { "cannot hold kprop to that address", SURE } },
      .cause = "DNS or /etc/hosts of PRIMARY makes another host of the name of a recorded replica, "
               "or adds an address to it that may be another host's. kprop would send the whole "
               "database wherever the name leads.",
      .look = "primary# getent ahosts REPLICA\n"
              "primary# grep -n REPLICA /etc/hosts",
      .remedy = "mend DNS or /etc/hosts of PRIMARY\n"
                "Where the replica has another name for good: kpropctl remove-slave REPLICA, then "
                "kpropctl setup-slave with the new one." },
    { .id = "primary-keytab-missing",
      .title = "the keytab of PRIMARY lacks its own host key",
      .check = "keytab",
      .program = "kprop",
      .where = ON_PRIMARY,
      .signs = { { "Key table entry not found*while getting", SURE },
                 { "No such file or directory*while getting initial", SURE },
                 { "Key table file*not found*while getting", SURE },
                 { "no suitable keys*while getting", SURE },
                 { "cannot read keytab", LIKELY } },
      .cause = "kprop authenticates as host/PRIMARY@REALM with the key in /etc/krb5.keytab, and "
               "the file or the entry is missing, or has another name of this host.",
      .look = "primary# klist -kt /etc/krb5.keytab\n"
              "primary# hostname -f",
      .remedy = "extract the key without changing it: kadmin.local ktadd -norandkey host/PRIMARY" },
    { .id = "primary-keytab-stale",
      .title = "the keytab of PRIMARY holds an old key",
      .check = "keytab",
      .program = "kprop",
      .where = ON_PRIMARY,
      .signs = { { "Decrypt integrity check failed*while getting", SURE },
                 { "Preauthentication failed*while getting", SURE },
                 { "keytab holds kvno * the database has kvno", SURE },
                 { "keytab holds kvno * but another key", SURE },
                 { "^Decrypt integrity check failed", POSSIBLE },
                 { ": Decrypt integrity check failed", POSSIBLE } },
      .cause = "The key of host/PRIMARY@REALM was changed after the keytab was written: by a "
               "ktadd without -norandkey somewhere else, or a change of its password.",
      .apart = "the line ends in 'while getting initial credentials'",
      .look = "primary# klist -kt /etc/krb5.keytab\n"
              "primary# kadmin.local getprinc host/PRIMARY | grep vno\n"
              "primary# kinit -k",
      .remedy = "extract the current key: kadmin.local ktadd -norandkey host/PRIMARY" },
    { .id = "primary-principal-missing",
      .title = "the database has no host/PRIMARY",
      .check = "principals",
      .program = "kprop",
      .where = ON_PRIMARY,
      .signs = { { "Client*not found in Kerberos database*while getting", SURE },
                 { "CLIENT_NOT_FOUND", POSSIBLE },
                 { "Client*not found in Kerberos database", POSSIBLE } },
      .cause = "kprop authenticates as host/PRIMARY@REALM, and the principal does not exist, or "
               "the primary calls itself otherwise (hostname -f).",
      .apart = "kprop on the primary says so, not a user's kinit",
      .look = "primary# kadmin.local listprincs 'host/*'\n"
              "primary# hostname -f",
      .remedy = "create it and extract its key: kpropctl setup-slave REPLICA creates it\n"
                "primary# kadmin.local addprinc -randkey host/PRIMARY\n"
                "primary# kadmin.local ktadd -norandkey host/PRIMARY" },
    { .id = "clock",
      .title = "the clocks of PRIMARY and REPLICA differ by more than five minutes",
      .check = "clock",
      .program = "kprop, kpropd, krb5kdc",
      .where = ON_PRIMARY | ON_REPLICA,
      .signs = { { "Clock skew too great", SURE },
                 { "SKEW", POSSIBLE, "krb5kdc" },
                 { "the clock of * is * s ahead", SURE },
                 { "the clock of * is * s behind", SURE },
                 { "rejected authentication*sendauth", POSSIBLE } },
      .cause = "Kerberos refuses tickets and authenticators that are more than 300 s off.",
      .apart = "the second line says 'Clock skew too great'",
      .look = "primary# date -u\n"
              "replica# date -u\n"
              "replica# timedatectl",
      .remedy = "set the clocks, and start chrony or systemd-timesyncd on both hosts" },
    { .id = "dump-unfinished",
      .title = "the dump is older than its .dump_ok demands, or was copied by hand",
      .check = "dump",
      .program = "kprop",
      .where = ON_PRIMARY,
      .signs = { { "more recent than*dump_ok", SURE },
                 { "while trying to stat*dump_ok", SURE },
                 { "dump_ok*No such file", SURE } },
      .cause = "kprop sends FILE only if FILE.dump_ok exists and is not older. kdb5_util dump "
               "makes it at its end, so a dump is still running, has failed, or the file was "
               "copied without it. The mark proves little: its content is ignored, and a dump "
               "that was killed leaves the old dump with a new mark.",
      .look = "primary# ls -l --time-style=full-iso FILE FILE.dump_ok\n"
              "primary# pgrep -a kdb5_util",
      .remedy = "make a new dump and look at its exit status: kdb5_util dump FILE\n"
                "kpropctl propagate REPLICA makes, checks and sends one of its own." },
    { .id = "dump-locked",
      .title = "a dump or load is running on PRIMARY",
      .check = "dump",
      .program = "kprop, kdb5_util",
      .where = ON_PRIMARY,
      .signs = { { "database locked", SURE }, { "Cannot lock database", SURE } },
      .cause = "kprop locks the dump that it sends, and kdb5_util the one that it writes: two jobs "
               "meet, often two lines of cron.",
      .look = "primary# pgrep -a 'kprop|kdb5_util'\n"
              "primary# kpropctl schedule   (names the jobs that compete)",
      .remedy = "wait for the other to end, and leave one job that propagates" },
    { .id = "dump-cut",
      .title = "the dump is cut short, or shrank",
      .check = "dump",
      .program = "kprop, kpropctl",
      .where = ON_PRIMARY,
      .signs = { { "Premature EOF found for database file", SURE },
                 { "cannot trust the dump", SURE },
                 { "the database has shrunk from", SURE },
                 { "No space left on device", POSSIBLE, "dump" } },
      .cause = "A full disk does not make kdb5_util dump fail: it exits with 0, replaces the good "
               "dump with a cut one and marks it good. Cut at the end of a record it loads with "
               "exit 0 too, and principals are missing on the replica.",
      .apart = "the disk with the dump on the primary is full",
      .look = "primary# df -h FOLDER-OF-THE-DUMP\n"
              "primary# tail -c 200 DUMP   (the last principal's line ends in ';')",
      .remedy = "free space on the primary, dump again, and compare the counts with the database\n"
                "If the database is meant to have far fewer entries: kpropctl propagate "
                "--allow-shrink." },
    { .id = NULL },
};
