"""setup-slave where something is wrong: each row's fault is named with host and remedy, and what
must not be touched is not."""
import pytest

from lab import wait_until
from setup_kit import (LIVE, add_user, configure, differences, files, serves_old, set_up,
                       ticket)

NEEDS = {
    "python3": "test_a_foreign_holder_is_named_and_left_alone",
    "faketime": "test_clock_skew_beyond_tickets",
    "krb5-admin-server": "test_the_replica_has_what_the_primary_has_not",
}

AGENT = "kpropctl-agent"
FOLDERS = ["/var/lib/krb5kdc", "/etc/krb5kdc", "/etc/systemd/system", "/etc/krb5.keytab"]


# The port.

HOLD = """
import signal, socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, {reuse})
s.bind(("0.0.0.0", 754))
{listen}
print("holding", flush=True)
signal.pause()
"""


@pytest.mark.parametrize("state, listen", [("bound", ""), ("listening", "s.listen()")])
def test_a_foreign_holder_is_named_and_left_alone(kdc1, kdc2, state, listen):
    kdc2.write("/root/hog.py", HOLD.format(reuse=0, listen=listen))
    kdc2.write("/etc/systemd/system/hog.service",
               "[Service]\nUser=nobody\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n"
               "ExecStart=/usr/bin/python3 /hog.py\n")
    kdc2.run("install -m 644 /root/hog.py /hog.py; systemctl daemon-reload; systemctl start hog")
    pid = kdc2.main_pid("hog")
    wait_until(lambda: "holding" in kdc2.journal("hog"))
    report = set_up(kdc1, kdc2)
    report.stopped("port", "refused", 3,
                   summary=["port 754 on kdc2.lab.test", "python3", f"pid {pid}", state,
                            "user nobody", "unit hog.service"],
                   detail="/usr/bin/python3 /hog.py", hint="hog.service")
    assert kdc2.main_pid("hog") == pid and report.fixed() == []
    assert not kdc2.exists("/etc/krb5kdc/kpropd.acl") and not kdc2.active("krb5-kpropd")


def test_a_foreign_holder_beside_a_reservation(kdc1, kdc2):
    """The reservation is of another port: nothing is released for one that cannot be had."""
    kdc2.reserve({"kerberos-adm": "kerberos-adm/tcp\n"})
    hog = kdc2.python(HOLD.format(reuse=0, listen=""))
    assert hog.line == "holding"
    set_up(kdc1, kdc2).stopped("port", "refused", 3, summary="user root")
    assert kdc2.reserved() == ["tcp 749"] and hog.poll() is None


def test_a_hold_that_lets_kpropd_through_is_no_obstacle(kdc1, kdc2):
    hog = kdc2.python(HOLD.format(reuse=1, listen=""))
    assert hog.line == "holding"
    set_up(kdc1, kdc2).good()
    assert hog.poll() is None


# Names, principals and keytabs.

def test_missing_principal_of_the_replica(kdc1, kdc2):
    """A new principal has a new key: the replica's keytab is told stale."""
    kdc1.run("kadmin.local", "-q", "delprinc -force host/kdc2.lab.test")
    report = set_up(kdc1, kdc2)
    assert "created host/kdc2.lab.test@LAB.TEST" in report.summary("principals")
    report.stopped("agent", "failed", 4, summary="kdc2.lab.test",
                   hint=["keytab", "kpropctl enroll kdc2.lab.test | ssh root@kdc2.lab.test", "host/kdc2.lab.test"])
    assert report.fixed() == ["principals"]
    mend_keytab(kdc1, kdc2)
    set_up(kdc1, kdc2).good()


def mend_keytab(primary, host):
    """What the hint says, by hand."""
    primary.run("kadmin.local", "-q", f"ktadd -norandkey -k /root/new.keytab host/{host.name}")
    text = primary.out("base64", "/root/new.keytab")
    host.run("base64 -d >/etc/krb5.keytab", input=text)


def test_missing_principal_of_the_primary(kdc1, kdc2):
    kdc1.run("kadmin.local", "-q", "delprinc -force host/kdc1.lab.test")
    report = set_up(kdc1, kdc2)
    assert report.fixed() == ["principals"]
    report.stopped("keytab", "failed", 1, summary=["/etc/krb5.keytab", "host/kdc1.lab.test"],
                   hint=["ktadd -norandkey", "host/kdc1.lab.test"])
    kdc1.run("rm /etc/krb5.keytab")
    mend_keytab(kdc1, kdc1)
    set_up(kdc1, kdc2).good()


def test_stale_key_on_the_primary(kdc1, kdc2):
    kdc1.run("kadmin.local", "-q", "cpw -randkey host/kdc1.lab.test")
    set_up(kdc1, kdc2).stopped("keytab", "failed", 1,
                               summary=["/etc/krb5.keytab", "host/kdc1.lab.test@LAB.TEST", "kvno"],
                               hint=["on this host", "ktadd -norandkey"])


def test_same_kvno_and_another_key_on_the_primary(kdc1, kdc2):
    """Deleted and made again until the number is the old one."""
    kdc1.run("kadmin.local -q 'delprinc -force host/kdc1.lab.test'; "
             "kadmin.local -q 'addprinc -randkey host/kdc1.lab.test'; "
             "kadmin.local -q 'cpw -randkey host/kdc1.lab.test'")
    set_up(kdc1, kdc2).stopped("keytab", "failed", 1, summary="host/kdc1.lab.test@LAB.TEST",
                               hint="ktadd -norandkey")


def test_keytab_missing_on_the_primary(kdc1, kdc2):
    kdc1.remove("/etc/krb5.keytab")
    set_up(kdc1, kdc2).stopped("keytab", "failed", 1,
                               summary=["/etc/krb5.keytab", "No such file"],
                               hint="ktadd -norandkey")


@pytest.mark.parametrize("running", [False, True])
def test_stale_key_on_the_replica(kdc1, kdc2, running):
    """With and without a good run before, whose ticket is still cached."""
    if running:
        set_up(kdc1, kdc2).good()
    kdc1.run("kadmin.local", "-q", "cpw -randkey host/kdc2.lab.test")
    report = set_up(kdc1, kdc2)
    assert report.last["id"] in ("agent", "replica-keytab"), report
    if report.last["id"] == "agent":
        report.stopped("agent", "failed", 4, summary="kdc2.lab.test",
                       hint=["keytab on kdc2.lab.test", "kpropctl enroll", "--via 'ssh root@%h'"])
    else:
        report.stopped("replica-keytab", "failed", 1, summary=["/etc/krb5.keytab", "kvno"],
                       hint=["kpropctl enroll", "--via 'ssh root@%h' kdc2.lab.test"])
    mend_keytab(kdc1, kdc2)
    set_up(kdc1, kdc2).good()


def test_keytab_missing_on_the_replica(kdc1, kdc2):
    kdc2.remove("/etc/krb5.keytab")
    set_up(kdc1, kdc2).stopped("agent", "failed", 4, summary=["kdc2.lab.test", "keytab"],
                               hint=["on kdc2.lab.test", "journalctl -u kpropctl-agent"])
    wait_until(lambda: "/etc/krb5.keytab" in kdc2.journal(AGENT))


def test_no_host_of_that_name(kdc1):
    set_up(kdc1, "nosuch.lab.test").stopped("name", "failed", 4,
                                            summary=["nosuch.lab.test", "no such host"],
                                            hint="/etc/hosts")


def test_short_name_means_the_same_host(kdc1, kdc2):
    report = set_up(kdc1, "kdc2").good()
    assert "kdc2.lab.test" in report.summary("record")
    assert set_up(kdc1, kdc2).good().fixed() == []


def test_short_name_first_in_hosts(kdc1, kdc2):
    hosts = kdc1.read("/etc/hosts")
    kdc1.write("/etc/hosts", hosts.replace("kdc2.lab.test kdc2", "kdc2 kdc2.lab.test"))
    set_up(kdc1, "kdc2").stopped("name", "failed", 1, summary=["host/kdc2@", "short name"],
                                 hint="/etc/hosts")


@pytest.mark.parametrize("name", ["kdc1.lab.test", "localhost", "10.75.4.11"])
def test_the_primary_itself(kdc1, name):
    set_up(kdc1, name).stopped("name", "refused", 3, summary=[name, "this host"])


def test_run_on_the_replica(kdc1, kdc2, lab):
    """kpropctl is not installed there: the primary's own is shown a replica's files."""
    set_up(kdc1, kdc2).good()
    kdc1.run("kpropctl --version")
    binary = kdc1.out("base64", "/usr/sbin/kpropctl")
    kdc2.run("base64 -d >/root/kpropctl; chmod 755 /root/kpropctl", input=binary)
    import json
    done = kdc2.run("/root/kpropctl", "setup-slave", "--json", "kdc1.lab.test", check=False)
    last = json.loads(done.stdout)["steps"][-1]
    assert (done.returncode, last["id"], last["level"]) == (3, "primary", "refused")
    assert "replica" in last["summary"] and "kdc1.lab.test" in last["hint"]
    kdc2.systemctl("stop", "krb5-kpropd")
    done = kdc2.run("/root/kpropctl", "setup-slave", "--json", "kdc1.lab.test", check=False)
    last = json.loads(done.stdout)["steps"][-1]
    assert (done.returncode, last["id"], last["level"]) == (3, "primary", "refused")
    assert "admin_server is kdc1.lab.test" in last["summary"]
    assert kdc1.active("krb5-admin-server")


# Files that an administrator keeps by hand.

def test_missing_acl_line_is_added_and_the_rest_kept(kdc1, kdc2):
    old = "# who may send\nhost/old.lab.test@LAB.TEST\n\nkadmin/admin@LAB.TEST aes256-cts"
    kdc2.write("/etc/krb5kdc/kpropd.acl", old, mode="640")
    assert "acl" in set_up(kdc1, kdc2).good().fixed()
    assert kdc2.read("/etc/krb5kdc/kpropd.acl") == old + "\nhost/kdc1.lab.test@LAB.TEST\n"
    assert kdc2.out("stat", "-c", "%a", "/etc/krb5kdc/kpropd.acl") == "640"
    assert set_up(kdc1, kdc2).good().fixed() == []


def test_acl_line_of_one_enctype_only(kdc1, kdc2):
    """kpropd takes such a line for tickets of that enctype alone (facts: also 'unauthorized')."""
    kdc2.write("/etc/krb5kdc/kpropd.acl", "host/kdc1.lab.test@LAB.TEST des3-cbc-sha1\n")
    set_up(kdc1, kdc2).good()


SERVICES = "/etc/services"


@pytest.mark.parametrize("host, change, summary", [
    ("kdc2", "s/^krb-prop.*/krb-prop 755\\/tcp krb5_prop/", ["754 on this host", "755 on kdc2"]),
    ("kdc1", "s/^krb-prop.*/krb-prop 755\\/tcp krb5_prop/", ["755 on this host", "754 on kdc2"]),
    ("kdc2", "/^krb-prop/d", ["kdc2.lab.test", "has no krb5_prop"]),
    ("kdc1", "/^krb-prop/d", ["this host has no krb5_prop"]),
])
def test_services_files_that_disagree(hosts, host, change, summary):
    hosts[host].run("sed", "-i", change, SERVICES)
    set_up(hosts["kdc1"], hosts["kdc2"]).stopped("services", "failed", 1, summary=summary,
                                                 hint=["/etc/services", "754/tcp"])


def test_services_files_that_agree_on_another_port(kdc1, kdc2):
    for host in (kdc1, kdc2):
        host.run("sed", "-i", "s/^krb-prop.*/krb-prop 755\\/tcp krb5_prop/", SERVICES)
    set_up(kdc1, kdc2).good()
    assert "kpropd" in kdc2.listening(755)[0]


# A replica that is a primary.

def test_kadmind_runs_on_the_replica(kdc1, kdc2):
    kdc1.run("kdb5_util dump /root/dump")
    copy_database(kdc1, kdc2)
    kdc2.systemctl("start", "krb5-admin-server")
    pid = kdc2.main_pid("krb5-admin-server")
    set_up(kdc1, kdc2).stopped("role", "refused", 3, summary=["kadmind runs on kdc2.lab.test"],
                               hint="systemctl disable --now krb5-admin-server")
    assert kdc2.main_pid("krb5-admin-server") == pid


def copy_database(primary, host):
    text = primary.out("kdb5_util", "dump")
    host.run("cat >/root/dump; kdb5_util load /root/dump; rm /root/dump", input=text + "\n")


def test_kadmind_is_enabled_on_the_replica(kdc1, kdc2):
    kdc2.systemctl("enable", "--quiet", "krb5-admin-server")
    set_up(kdc1, kdc2).stopped("role", "refused", 3,
                               summary="kadmind is enabled on kdc2.lab.test",
                               hint="systemctl disable --now krb5-admin-server")


@pytest.mark.parametrize("query, summary", [
    ("addprinc -pw dora-password dora", ["1 principal", "dora@LAB.TEST"]),
    ("addpol -minlength 3 theirs", ["1 polic", "theirs"]),
    ("modprinc -maxlife 1hour bob", ["1 principal", "later", "bob@LAB.TEST"]),
])
def test_the_replica_has_what_the_primary_has_not(kdc1, kdc2, query, summary):
    copy_database(kdc1, kdc2)
    # real time: a principal knows the second of its last change
    kdc2.run("sleep 1.1; kadmin.local -q '" + query + "'")
    before = files(kdc2, *FOLDERS)
    set_up(kdc1, kdc2).stopped("role", "refused", 3, summary=["kdc2.lab.test", *summary],
                               hint=["leave it alone", "--overwrite"])
    assert not kdc2.active("krb5-kpropd")
    assert differences(before, files(kdc2, *FOLDERS)) == []
    report = set_up(kdc1, kdc2, options=["--overwrite"]).good()
    assert report.level("role") == "warning"
    assert ticket(kdc2) == "" and "not found" in ticket(kdc2, "dora")


def test_a_replica_of_old_is_taken_over(kdc1, kdc2):
    """Set up by hand, an older state, nothing of its own, and logins since."""
    copy_database(kdc1, kdc2)
    kdc2.systemctl("start", "krb5-kdc")
    assert ticket(kdc2) == ""
    add_user(kdc1)
    report = set_up(kdc1, kdc2).good()
    assert report.level("role") == "ok", report
    assert ticket(kdc2, "carol") == ""


# The agent, and the way to it.

def test_agent_stopped(kdc1, kdc2):
    kdc2.systemctl("stop", AGENT)
    set_up(kdc1, kdc2).stopped("agent", "failed", 4,
                               summary=["kdc2.lab.test", "4373", "Connection refused"],
                               hint=["on kdc2.lab.test", "systemctl enable --now kpropctl-agent"])


def test_agent_behind_a_dropped_port(kdc1, kdc2):
    configure(kdc1, connect_timeout=2)
    kdc2.fault("drop", "4373")
    set_up(kdc1, kdc2).stopped("agent", "failed", 4, summary=["kdc2.lab.test", "4373", "timed out"],
                               hint=["firewall", "4373/tcp"])


def test_no_route(kdc1, kdc2):
    kdc1.fault("forbid", "4373")
    set_up(kdc1, kdc2).stopped("agent", "failed", 4, summary=["kdc2.lab.test", "unreachable"],
                               hint="route")


def test_host_down(kdc1, kdc2):
    configure(kdc1, connect_timeout=4)
    kdc2.fault("cut")
    report = set_up(kdc1, kdc2)
    report.stopped("agent", "failed", 4, summary="kdc2.lab.test")
    assert "No route to host" in report.last["summary"] or "timed out" in report.last["summary"]


def test_propagation_port_dropped(kdc1, kdc2):
    configure(kdc1, connect_timeout=2)
    kdc2.fault("drop", "754")
    set_up(kdc1, kdc2).stopped("reach", "failed", 4, summary=["port 754 of kdc2.lab.test"],
                               hint=["754/tcp", "firewalls"])


@pytest.mark.parametrize("conf, hint", [
    ("    acl = /etc/kpropctl/agent.acl\n", "agent.conf"),
])
def test_not_authorised(kdc1, kdc2, conf, hint):
    kdc2.write("/etc/kpropctl/agent.acl", "princ:somebody@LAB.TEST\n")
    kdc2.write("/etc/kpropctl/agent.conf", "[kpropctl-agent]\n" + conf)
    kdc2.systemctl("restart", AGENT)
    set_up(kdc1, kdc2).stopped("agent", "refused", 3, summary=["kdc2.lab.test", "does not allow"],
                               hint=["on kdc2.lab.test", hint])


def test_may_read_but_not_change(kdc1, kdc2):
    kdc2.write("/etc/kpropctl/agent.acl", "princ:somebody@LAB.TEST\n")
    kdc2.write("/etc/kpropctl/read.acl", "princ:host/kdc1.lab.test@LAB.TEST\n")
    kdc2.write("/etc/kpropctl/agent.conf", "[kpropctl-agent]\n    acl = /etc/kpropctl/agent.acl\n"
               "    acl_read = /etc/kpropctl/read.acl\n")
    kdc2.systemctl("restart", AGENT)
    report = set_up(kdc1, kdc2)
    report.stopped("acl", "refused", 3, summary=["does not allow 'acl-add'"], hint="kdc2.lab.test")
    assert not kdc2.exists("/etc/krb5kdc/kpropd.acl")


@pytest.mark.parametrize("answer", ["c.sendall(b'HTTP/1.0 400 Bad Request\\r\\n\\r\\n'); c.close()",
                                    "c.close()", "signal.pause()"])
def test_something_else_on_the_agents_port(kdc1, kdc2, answer):
    configure(kdc1, connect_timeout=2)
    kdc2.systemctl("stop", AGENT)
    other = kdc2.python("""
import signal, socket
s = socket.create_server(("", 4373))
print("listening", flush=True)
while True:
    c = s.accept()[0]
    """ + answer)
    assert other.line == "listening"
    report = set_up(kdc1, kdc2)
    report.stopped("agent", "failed", 4,
                   summary=["kdc2.lab.test port 4373", "no kpropctl-agent"])
    assert "on kdc2.lab.test" in report.last["hint"] or "there" in report.last["hint"], report


@pytest.mark.parametrize("offset, said", [("-20m", "not yet valid"), ("+20m", "lock skew"),
                                          ("+2d", "expired")])
def test_clock_skew_beyond_tickets(kdc1, kdc2, offset, said):
    kdc2.fault("clock", AGENT, offset)
    set_up(kdc1, kdc2).stopped("agent", "failed", 4, summary=["kdc2.lab.test", said],
                               hint=["clocks", "chrony"])


def test_clock_skew_that_tickets_stand(kdc1, kdc2):
    kdc2.fault("clock", AGENT, "+100s")
    report = set_up(kdc1, kdc2)
    assert report.level("clock") == "warning" and "100 s ahead" in report.summary("clock"), report
    configure(kdc1, max_clock_skew=60)
    set_up(kdc1, kdc2).stopped("clock", "failed", 1, summary="100 s ahead", hint="chrony")


def test_krb5kdc_of_the_primary_down(kdc1, kdc2):
    kdc1.systemctl("stop", "krb5-kdc")
    set_up(kdc1, kdc2).stopped("agent", "failed", 4, summary="host/kdc1.lab.test",
                               hint="systemctl start krb5-kdc")


# The replica's stash.

@pytest.mark.parametrize("how", ["wrong", "missing"])
def test_stash(kdc1, kdc2, how):
    set_up(kdc1, kdc2).good()
    stash = kdc2.out("base64", "/etc/krb5kdc/stash")
    if how == "missing":
        kdc2.remove("/etc/krb5kdc/stash")
    else:
        kdc2.run("cd /tmp && cp /etc/krb5kdc/kdc.conf . && sed -i "
                 "'s,/var/lib/krb5kdc,/tmp,; s,/etc/krb5kdc/stash,/tmp/stash,' kdc.conf && "
                 "KRB5_KDC_PROFILE=/tmp/kdc.conf kdb5_util create -s -P other -r LAB.TEST && "
                 "cp /tmp/stash /etc/krb5kdc/stash")
    add_user(kdc1)
    report = set_up(kdc1, kdc2)
    assert report.status == 1 and not report.verified, report
    assert report.last["id"] in (["realm"] if how == "missing" else ["propagate", "stash"]), report
    assert "/etc/krb5kdc/stash" in report.last["summary"] + report.last["hint"], report
    assert "kdc2.lab.test" in report.last["summary"], report
    assert serves_old(kdc2), "the KDC that runs has its master key, and the old database"
    kdc2.run("base64 -d >/etc/krb5kdc/stash; chmod 600 /etc/krb5kdc/stash", input=stash)
    set_up(kdc1, kdc2).good()
    assert ticket(kdc2, "carol") == ""


def test_stash_missing_on_the_primary(kdc1, kdc2):
    kdc1.remove("/etc/krb5kdc/stash")
    set_up(kdc1, kdc2).stopped("primary", "failed", 1, hint=["stash", "/etc/krb5kdc/stash"])


def test_kdc_of_the_replica_behind_a_firewall(kdc1, kdc2):
    """Its own krb5kdc runs, and nobody gets a ticket from it."""
    kdc2.fault("drop", "88")
    kdc2.net("ip", "rule", "add", "pref", "51", "iif", "eth0", "ipproto", "udp", "dport", "88",
             "blackhole")
    try:
        report = set_up(kdc1, kdc2)
        report.stopped("ticket", "failed", 4, summary=["port 88"], hint=["krb5kdc", "firewall"])
    finally:
        kdc2.net("ip", "rule", "del", "pref", "51")
    set_up(kdc1, kdc2).good()


def test_a_damaged_database_is_healed(kdc1, kdc2):
    set_up(kdc1, kdc2).good()
    kdc2.systemctl("stop", "krb5-kdc")
    kdc2.run("truncate", "-s", "20000", LIVE)
    report = set_up(kdc1, kdc2).good()
    assert report.level("role") == "warning" and "propagate" in report.fixed(), report
    assert ticket(kdc2) == ""
