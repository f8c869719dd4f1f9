/* catalogue_after - symptoms of the KDC behind a propagation, of kpropd's start, and of iprop. */
#include "kpropctl/symptoms/catalogue.h"

const struct symptom symptoms_after[] = {
    { .id = "stash-wrong",
      .title = "the stash of REPLICA is missing, or of another master key",
      .check = "stash",
      .program = "krb5kdc, kadmind, kdb5_util",
      .where = ON_REPLICA,
      .signs = { { "Can not fetch master key", SURE },
                 { "Cannot fetch master key", SURE },
                 { "while fetching master key", SURE },
                 { "Cannot find/read stored master key", SURE },
                 { "stash * does not open the database", SURE },
                 { "has no stash", SURE },
                 { "stash file * does not open it", SURE },
                 { "cannot initialize realm", LIKELY },
                 { "Decrypt integrity check failed", SURE, "master key" },
                 { "^Decrypt integrity check failed", POSSIBLE },
                 { ": Decrypt integrity check failed", POSSIBLE } },
      .cause = "The stash holds the master key that opens all others. kprop does not bring it, and "
               "a propagation succeeds without it: a running krb5kdc then answers 'Decrypt "
               "integrity check failed', and does not start again ('cannot initialize realm').",
      .apart = "kdb5_util list_mkeys fails on the replica",
      .look = "replica# kdb5_util list_mkeys\n"
              "replica# ls -l /etc/krb5kdc/stash   (RHEL: /var/kerberos/krb5kdc/.k5.REALM)",
      .remedy = "bring the primary's stash to REPLICA, and restart krb5kdc there\n"
                "primary# kpropctl renew --stash REPLICA\n"
                "or, where its agent cannot be reached: kpropctl enroll --with-stash REPLICA | ssh "
                "root@REPLICA kpropctl-agent enroll --replace" },
    { .id = "other-realm",
      .title = "REPLICA was sent the database of another realm, or an empty one",
      .check = "digest",
      .program = "krb5kdc",
      .where = ON_REPLICA,
      .signs = { { "No such entry in the database*K/M", SURE },
                 { "No such entry in the database*master", LIKELY },
                 { "cannot initialize realm", POSSIBLE },
                 { "CLIENT_NOT_FOUND", POSSIBLE },
                 { "Client*not found in Kerberos database", POSSIBLE } },
      .cause = "kprop and kpropd take any dump. The KDC then knows none of the realm's principals "
               "(CLIENT_NOT_FOUND), and fails at its next start. A dump cut behind its header "
               "loads as an empty database, with exit 0. For a single user it may just be a "
               "misspelt name, or one created since the last propagation.",
      .apart = "nobody can log in by way of this replica, not only one user",
      .look = "replica# kdb5_util dump | grep -c ^princ\n"
              "replica# kadmin.local listprincs K/M@REALM",
      .remedy = "send the right database: kpropctl propagate --force REPLICA (it looks for K/M and "
                "krbtgt before it sends)" },
    { .id = "database-damaged",
      .title = "the database of REPLICA is damaged",
      .check = "content",
      .program = "krb5kdc, kdb5_util",
      .where = ON_REPLICA,
      .signs = { { "krb5kdc*segfault", SURE },
                 { "krb5-kdc*status=11/SEGV", SURE },
                 { "krb5kdc*status=11/SEGV", SURE },
                 { "krb5-kdc*dumped core", LIKELY },
                 { "Database format error", SURE },
                 { "while opening database*Invalid argument", LIKELY },
                 { "Inappropriate file type or format", SURE },
                 { "cannot initialize realm", POSSIBLE } },
      .cause = "A load that met a full disk, or was killed just as it renamed its files, leaves a "
               "database that cannot be opened; a krb5kdc that has it open crashes at the next "
               "login. Later loads fail as well.",
      .apart = "kdb5_util dump fails on the replica, and list_mkeys too",
      .look = "replica# kdb5_util dump >/dev/null\n"
              "replica# ls -l /var/lib/krb5kdc; df -h /var/lib/krb5kdc",
      .remedy =
          "make room, then send it again: kpropctl propagate REPLICA (it puts kpropctl's loader in "
          "place there, which needs no whole database); or, without the primary, go back to "
          "the last good dump: kpropctl-agent rollback there\n"
          "Where neither is at hand: with krb5kdc stopped move away the file 'principal' "
          "alone, not principal.ok, and load a dump by hand." },
    { .id = "kadmind-stopped",
      .title = "starting kpropd has stopped kadmind",
      .check = "role",
      .program = "systemd, journal",
      .where = ON_PRIMARY | ON_REPLICA,
      .signs = { { "Stopped*krb5-admin-server", LIKELY, "krb5-kpropd" },
                 { "Stopped*Kerberos 5 Admin Server", LIKELY },
                 { "cannot start kpropd: kadmind", SURE },
                 { "kadmind * it looks like a primary", SURE } },
      .cause = "Debian's krb5-kpropd.service conflicts with krb5-admin-server.service: a host is "
               "either a primary or a replica. Starting kpropd on the primary ends password "
               "changes and administration for the realm.",
      .look = "replica# systemctl status krb5-admin-server krb5-kpropd\n"
              "primary# systemctl status krb5-admin-server krb5-kpropd",
      .remedy =
          "on a primary disable kpropd and start kadmind again; on a replica disable kadmind\n"
          "primary# systemctl disable --now krb5-kpropd; systemctl start krb5-admin-server\n"
          "replica# systemctl disable --now krb5-admin-server" },
    { .id = "kpropd-network",
      .title = "kpropd started before REPLICA had a network",
      .check = "kpropd",
      .program = "kpropd",
      .where = ON_REPLICA,
      .signs = { { "kpropd*getaddrinfo:", LIKELY }, { "^getaddrinfo: ", LIKELY } },
      .cause = "With only the loopback interface configured kpropd finds no address to listen on "
               "and ends.",
      .look = "replica# journalctl -b -u krb5-kpropd\n"
              "replica# systemctl is-enabled systemd-networkd-wait-online NetworkManager-wait-"
              "online",
      .remedy = "order it after network-online.target: a drop-in with After= and "
                "Wants=network-online.target" },
    { .id = "kpropd-not-standalone",
      .title = "kpropd was started by hand without -S",
      .check = "kpropd",
      .program = "kpropd",
      .where = ON_REPLICA,
      .signs = { { "Standard input does not appear to be a network", SURE },
                 { "Not run from inetd, and missing the -S option", SURE } },
      .cause = "Without -S (or -D) kpropd takes its standard input for a connection that inetd has "
               "accepted.",
      .look = "replica# systemctl cat krb5-kpropd",
      .remedy = "let its unit start it: systemctl enable --now krb5-kpropd; by hand: kpropd -S" },
    { .id = "kpropd-no-right",
      .title = "kpropd on REPLICA may not bind its port",
      .check = "kpropd",
      .program = "kpropd",
      .where = ON_REPLICA,
      .signs = { { "Permission denied*while binding listener socket", SURE } },
      .cause =
          "It does not run as root (nor with CAP_NET_BIND_SERVICE), or SELinux does not let it "
          "have this port.",
      .look = "replica# systemctl cat krb5-kpropd\n"
              "replica# ausearch -m avc -c kpropd",
      .remedy = "start it by its unit; with SELinux keep port 754 (kprop_port_t)" },
    { .id = "iprop-resync-loop",
      .title = "REPLICA asks for a full resync again and again, and gets none",
      .check = "content",
      .program = "kpropd (iprop)",
      .where = ON_REPLICA,
      .signs = { { "Full resync needed", LIKELY }, { "UPDATE_FULL_RESYNC_NEEDED", LIKELY } },
      .cause =
          "In incremental mode kpropd asks kadmind for changes. When those do not suffice (the "
          "log wrapped, a policy changed) kadmind runs kprop towards the replica, on port "
          "754, and that fails: kpropd.acl there lacks the primary, 754 is closed or "
          "taken. Once is normal; without end it is a fault of the plain propagation.",
      .look = "primary# kproplog -h\n"
              "primary# journalctl -u krb5-admin-server -n 30\n"
              "replica# kproplog -h; cat /etc/krb5kdc/kpropd.acl; ss -ltn 'sport = :754'",
      .remedy = "make plain propagation work: kpropctl setup-slave --dry-run REPLICA says what "
                "lacks\n"
                "If the log wraps too often, raise iprop_master_ulogsize of the realm." },
    { .id = "iprop-denied",
      .title = "kadm5.acl of PRIMARY does not let REPLICA fetch updates",
      .check = "content",
      .program = "kpropd (iprop), kadmind",
      .where = ON_REPLICA,
      .signs = { { "get_updates*permission denied", SURE },
                 { "Full resync, permission denied", SURE },
                 { "Full resync permission denied", SURE },
                 { "ERROR returned by *bailing", LIKELY },
                 { "kpropd*bailing", LIKELY } },
      .cause = "kadmind wants a line 'kiprop/REPLICA@REALM p' in kadm5.acl. Without it kpropd not "
               "only fails: it ends.",
      .look = "primary# grep kiprop /etc/krb5kdc/kadm5.acl\n"
              "replica# systemctl status krb5-kpropd",
      .remedy = "add 'kiprop/REPLICA@REALM p' to kadm5.acl of PRIMARY, restart kadmind, start "
                "kpropd again" },
    { .id = "iprop-keytab",
      .title = "the keytab of REPLICA lacks kiprop/REPLICA",
      .check = "replica-keytab",
      .program = "kpropd (iprop)",
      .where = ON_REPLICA,
      .signs = { { "Key table entry not found*while initializing kpropd interface", SURE },
                 { "while initializing kpropd interface", LIKELY } },
      .cause = "In incremental mode kpropd authenticates to kadmind as kiprop/REPLICA@REALM, with "
               "the keytab of the replica.",
      .look = "replica# klist -k /etc/krb5.keytab | grep kiprop\n"
              "primary# kadmin.local listprincs 'kiprop/*'",
      .remedy = "create kiprop/REPLICA and bring its key to the keytab of REPLICA\n"
                "primary# kadmin.local addprinc -randkey kiprop/REPLICA\n"
                "primary# kadmin.local ktadd -norandkey -k /root/kiprop.keytab kiprop/REPLICA" },
    { .id = "iprop-no-admin-server",
      .title = "krb5.conf of REPLICA names no admin_server",
      .check = "realm",
      .program = "kpropd (iprop), kadmin",
      .where = ON_REPLICA,
      .signs = { { "Missing parameters in krb5.conf required for kadmin client", SURE } },
      .cause = "kpropd in incremental mode is a client of kadmind, and looks for admin_server of "
               "the realm.",
      .look = "replica# grep -A5 'REALM = {' /etc/krb5.conf",
      .remedy = "add 'admin_server = PRIMARY' to the realm in krb5.conf of REPLICA" },
    { .id = "iprop-off",
      .title = "incremental propagation is off here, or its log is somewhere else",
      .program = "kproplog, kpropd, kadmind",
      .where = ON_PRIMARY | ON_REPLICA,
      .signs = { { "Unable to map log", SURE },
                 { "while mapping update log", LIKELY },
                 { "proponly can only be used when iprop_enable is true", SURE } },
      .cause = "iprop_enable is not true in this host's kdc.conf, or iprop_logfile is another path "
               "(it does not follow database_name: set it).",
      .look = "primary# grep -n iprop /etc/krb5kdc/kdc.conf\n"
              "replica# grep -n iprop /etc/krb5kdc/kdc.conf",
      .remedy = "set iprop_enable = true and iprop_logfile for the realm in kdc.conf, and restart "
                "kadmind or kpropd; or leave iprop alone if you do not use it" },
    { .id = "iprop-log-corrupt",
      .title = "the update log is corrupt",
      .program = "kadmind, kproplog, kpropd",
      .where = ON_PRIMARY | ON_REPLICA,
      .signs = { { "Update log is corrupt", SURE },
                 { "Corrupt header log", SURE },
                 { "Corrupt update entry", SURE } },
      .cause = "principal.ulog was cut (a full disk, a crash), or is of another size than "
               "configured. Of an empty one kadmind, kadmin.local and kdb5_util die with a bus "
               "error.",
      .look = "primary# kproplog -h; ls -l /var/lib/krb5kdc/principal.ulog",
      .remedy = "remove it and restart kadmind (on a replica: kpropd); a full resync follows\n"
                "primary# rm /var/lib/krb5kdc/principal.ulog\n"
                "primary# systemctl reset-failed krb5-admin-server\n"
                "primary# systemctl restart krb5-admin-server\n"
                "'kproplog -R' does not help: it fails of such a log itself." },
    { .id = "iprop-replica",
      .title =
          "REPLICA is incremental: kadmind keeps it current, and kpropctl verifies nothing there",
      .check = "whole",
      .program = "kpropctl",
      .where = ON_PRIMARY | ON_REPLICA,
      .signs = { { "runs incrementally (iprop)", SURE },
                 { "is incremental, content not verified", SURE },
                 { "left alone: its kpropd runs incrementally", SURE },
                 { "its kpropd will be incremental", SURE } },
      .cause = "kpropd there was started with iprop_enable in kdc.conf. It asks kadmind for "
               "changes all the time, and for the whole database when its update log does not "
               "continue kadmind's, as after every load past it: what kpropctl had sent and "
               "verified would be gone within a poll. So nothing is sent there, and equal serial "
               "numbers prove no equal content.",
      .look = "primary# kproplog -h\n"
              "replica# kproplog -h; grep -n iprop_enable /etc/krb5kdc/kdc.conf /etc/krb5.conf",
      .remedy = "leave it so, if that is meant; else end it there, and let kpropctl send whole "
                "databases\n"
                "replica# sed -i '/REALM *= *{/,/}/s/iprop_enable *=.*/iprop_enable = false/' "
                "/etc/krb5kdc/kdc.conf /etc/krb5.conf\n"
                "replica# systemctl restart krb5-kpropd\n"
                "primary# kpropctl setup-slave REPLICA" },
    { .id = NULL },
};
