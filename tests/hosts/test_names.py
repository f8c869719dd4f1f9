"""A recorded replica keeps its name: whatever the resolver says, no other host gets the database."""
import pytest

from propagate_kit import configure_more, fleet_of, good, last, propagate, sent
from setup_kit import set_up

NEEDS = {"python3": "test_clients_find_it_by_an_alias*"}
HOSTS = "/etc/hosts"
HONEST = """127.0.0.1 localhost
10.75.4.11 kdc1.lab.test kdc1
10.75.4.12 kdc2.lab.test kdc2
10.75.4.13 kdc3.lab.test kdc3
"""
LIE = """127.0.0.1 localhost
10.75.4.11 kdc1.lab.test kdc1
10.75.4.13 kdc3.lab.test kdc3 kdc2.lab.test kdc2
"""
# kdc2's own name in another's place: its address, or one of two.
BY_ADDRESS = HONEST.replace("10.75.4.12 ", "10.75.4.13 ")
OF_TWO = HONEST.replace("10.75.4.12 kdc2.lab.test kdc2",
                        "10.75.4.13 kdc2.lab.test\n10.75.4.12 kdc2.lab.test kdc2")
FILES = "/var/lib/krb5kdc"


@pytest.fixture
def fleet(lab):
    """kdc2 is a replica; kdc3 a host of the realm that is none, but takes what kprop brings: with
    kpropd, a kpropd.acl, the stash and no agent. It must never get anything."""
    lab.used = ["kdc1", "kdc2", "kdc3"]
    kdc1, kdc2 = fleet_of(lab, ["kdc2"])
    kdc3 = lab.hosts["kdc3"]
    lab.used = ["kdc1", "kdc2", "kdc3"]
    lab.reset("kdc3")
    kdc3.write("/etc/krb5kdc/kpropd.acl", "host/kdc1.lab.test@LAB.TEST\n")
    kdc3.systemctl("stop", "kpropctl-agent")
    kdc3.systemctl("start", "krb5-kpropd")
    yield kdc1, kdc2, kdc3
    hosts(kdc1, HONEST)


def hosts(primary, text):
    """What the resolver of the primary says."""
    primary.run(f"cat >{HOSTS}", input=text)


def got_nothing(host):
    assert not host.out(f"find {FILES} -name 'from_master*' -o -name principal"), host


def change(kdc1, name):
    kdc1.run("kadmin.local", "-q", f"addprinc -randkey {name}")


def has(host, name):
    """Whether the host's database has this principal; kadmin.local is the primary's alone."""
    return host.ok(f"kdb5_util dump /root/look >/dev/null && grep -q '\t{name}@LAB.TEST\t' /root/look")


def test_a_recorded_name_leads_elsewhere(fleet):
    kdc1, kdc2, kdc3 = fleet
    change(kdc1, "leads")
    hosts(kdc1, LIE)
    for words in (["kdc2.lab.test"], ["KDC2.lab.test"], ["kdc2.lab.test."], ["kdc2"], []):
        done = kdc1.run("kpropctl", "propagate", *words, check=False)
        assert done.returncode == 3, (words, done)
        for word in ("it leads to another host, kdc3.lab.test (10.75.4.13)", "mend DNS or /etc/hosts",
                     "kpropctl remove-slave kdc2.lab.test"):
            assert word in done.stdout + done.stderr, (word, done)
        got_nothing(kdc3)
    assert last(kdc1)["result"] == "failed"
    # a short name of its own elsewhere: nobody can tell which is meant
    hosts(kdc1, HONEST + "10.75.4.13 kdc2.other.test\n")
    kdc1.run(f"sed -i 's/ kdc2$//; s/kdc2.other.test/& kdc2/' {HOSTS}")
    for words in (["propagate", "kdc2"], ["setup-slave", "kdc2"], ["propagate", "--without-agent", "kdc2"]):
        done = kdc1.run("kpropctl", *words, check=False)
        assert done.returncode == 3 and "name it in full" in done.stdout + done.stderr, (words, done)
    got_nothing(kdc3)
    hosts(kdc1, LIE)
    # forced, without an agent, or by another walk: no way but the one that it prints
    for words in (["propagate", "--force", "kdc2"], ["propagate", "--without-agent", "kdc2.lab.test"],
                  ["setup-slave", "kdc2.lab.test"], ["rollback", "--yes", "kdc2.lab.test"],
                  ["renew", "kdc2.lab.test"], ["enroll", "kdc2"], ["port", "kdc2"]):
        done = kdc1.run("kpropctl", *words, check=False)
        assert done.returncode == 3 and "it leads to another host" in done.stdout + done.stderr, (words, done)
        got_nothing(kdc3)
    done = kdc1.run("kpropctl", "check", "kdc2.lab.test", check=False)
    assert done.returncode == 2 and "it leads to another host" in done.stdout, done
    assert "remove-slave" in done.stdout, done
    # the state database gone: the roster knows
    kdc1.run("mv /var/lib/kpropctl/state.db /var/lib/kpropctl/state.away")
    done = kdc1.run("kpropctl", "propagate", "kdc2.lab.test", check=False)
    kdc1.run("mv /var/lib/kpropctl/state.away /var/lib/kpropctl/state.db")
    assert done.returncode == 3 and "it leads to another host" in done.stdout + done.stderr, done
    got_nothing(kdc3)
    # the way out: whoever is under that name now becomes a replica by its own name
    kdc1.run("kpropctl", "remove-slave", "kdc2.lab.test")
    kdc3.systemctl("stop", "krb5-kpropd")
    kdc3.systemctl("start", "kpropctl-agent")
    set_up(kdc1, "kdc2").good()
    assert [one["host"] for one in kdc1.json("kpropctl", "list", "--json")] == ["kdc3.lab.test"]
    assert has(kdc3, "leads")


def test_the_address_of_another_host(fleet):
    """The name is right, its address is not: what answers there has another key."""
    kdc1, kdc2, kdc3 = fleet
    change(kdc1, "address")
    hosts(kdc1, BY_ADDRESS)
    report = propagate(kdc1, "kdc2.lab.test", status=4)["kdc2"]
    report.stopped("agent", "failed", 4, hint="--without-agent")
    got_nothing(kdc3)
    kdc3.systemctl("start", "kpropctl-agent")
    report = propagate(kdc1, "kdc2.lab.test", status=4)["kdc2"]
    report.stopped("agent", "failed", 4)
    got_nothing(kdc3)
    # whoever insists sends it to nobody: kprop's own ticket is for kdc2, and kpropd there is not
    kdc1.run("kpropctl", "propagate", "--without-agent", "kdc2.lab.test", check=False)
    got_nothing(kdc3)
    hosts(kdc1, HONEST)
    good(propagate(kdc1, "kdc2.lab.test"))


def test_the_address_of_another_replica(fleet):
    """Not its key is wrong then, and enrolling it anew would mend nothing."""
    kdc1, kdc2, kdc3 = fleet
    kdc3.systemctl("stop", "krb5-kpropd")
    kdc3.systemctl("start", "kpropctl-agent")
    set_up(kdc1, kdc3).good()
    hosts(kdc1, BY_ADDRESS)
    said = "kdc2.lab.test and kdc3.lab.test, both replicas, have one address here, 10.75.4.13"
    report = propagate(kdc1, "kdc2.lab.test", status=4)["kdc2"]
    report.stopped("agent", "failed", 4, summary=said, hint="give each its own address")
    for words in (["check"], ["rollback", "--yes"], ["port"]):
        done = kdc1.run("kpropctl", *words, "kdc2.lab.test", check=False)
        assert done.returncode != 0 and said in done.stdout + done.stderr, (words, done)
        assert "bring it there" not in done.stdout + done.stderr, (words, done)
    hosts(kdc1, HONEST)
    good(propagate(kdc1))


@pytest.mark.parametrize("agent", ["without", "with"])
def test_one_of_two_addresses_is_another_hosts(fleet, agent):
    """The agent's word and kprop's connection concern the same address, whatever comes first."""
    kdc1, kdc2, kdc3 = fleet
    if agent == "with":
        kdc3.systemctl("start", "kpropctl-agent")
    for n, text in enumerate((OF_TWO, OF_TWO.replace("10.75.4.13 kdc2.lab.test\n10.75.4.12 kdc2.lab.test kdc2",
                                                     "10.75.4.12 kdc2.lab.test kdc2\n10.75.4.13 kdc2.lab.test"))):
        change(kdc1, f"{agent}{n}")
        hosts(kdc1, text)
        report = propagate(kdc1, "kdc2.lab.test")["kdc2"].good()
        assert sent(report) and has(kdc2, f"{agent}{n}")
        assert "at 10.75.4.12" in report.summary("agent")
        got_nothing(kdc3)
        if agent == "with" and n == 0:
            assert report.level("agent") == "warning" and "10.75.4.13: " in report.steps["agent"]["detail"]


def test_the_name_changes_behind_the_agents_back(fleet):
    """Between the agent's answer and kprop's own look-up another host takes the name, with kdc2's very
    key: only the address tells the two apart."""
    kdc1, kdc2, kdc3 = fleet
    key = kdc1.out("kadmin.local -q 'ktadd -norandkey -k /tmp/clone host/kdc2.lab.test' >/dev/null && base64 -w0 /tmp/clone")
    kdc3.run("base64 -d >/etc/krb5.keytab", input=key)
    kdc3.run(f"sed -i 's/^10.75.4.13.*/10.75.4.13 kdc2.lab.test/; s/^10.75.4.12.*//' {HOSTS}; hostname kdc2.lab.test")
    kdc3.systemctl("restart", "krb5-kpropd")
    try:
        change(kdc1, "behind")
        hosts(kdc1, HONEST)
        kdc1.write("/root/kprop", f"#!/bin/sh\nsed -i 's/^10.75.4.12/10.75.4.13/' {HOSTS}\nexec /usr/sbin/kprop \"$@\"\n", "755")
        configure_more(kdc1, kprop="/root/kprop")
        report = propagate(kdc1, "kdc2.lab.test")["kdc2"].good()
        assert sent(report) and has(kdc2, "behind")
        got_nothing(kdc3)
    finally:
        kdc3.run("hostname kdc3.lab.test")


def test_kprop_takes_the_name_as_it_is(fleet):
    """An alias that appears between two look-ups makes no other principal of it."""
    kdc1, kdc2, kdc3 = fleet
    change(kdc1, "asitis")
    kdc1.write("/root/kprop", f"#!/bin/sh\necho '{LIE}' >{HOSTS}\nKRB5_TRACE=/root/trace exec /usr/sbin/kprop \"$@\"\n", "755")
    configure_more(kdc1, kprop="/root/kprop")
    report = propagate(kdc1, "kdc2.lab.test")["kdc2"].good()
    assert sent(report) and has(kdc2, "asitis")
    assert "host/kdc2.lab.test@LAB.TEST" in kdc1.read("/root/trace") and "host/kdc3" not in kdc1.read("/root/trace")
    got_nothing(kdc3)


def test_reverse_names_decide_nothing(fleet):
    """A reverse name may be wrong behind a name that is right: said, but no other principal."""
    kdc1, kdc2, kdc3 = fleet
    change(kdc1, "reverse")
    # the first line of an address has its reverse name
    hosts(kdc1, HONEST.replace("127.0.0.1 localhost\n", "127.0.0.1 localhost\n10.75.4.12 kdc3.lab.test\n"))
    report = propagate(kdc1, "kdc2.lab.test")["kdc2"].good()
    assert report.level("name") == "warning" and "kdc3.lab.test" in report.summary("name")
    assert sent(report) and has(kdc2, "reverse")
    got_nothing(kdc3)


def test_aliases_at_setup(fleet):
    """A short name or an alias is taken at setup, and what is recorded is the host's own name."""
    kdc1, kdc2, _ = fleet
    kdc1.run("kpropctl", "remove-slave", "kdc2.lab.test")
    hosts(kdc1, HONEST.replace("kdc2.lab.test kdc2", "kdc2.lab.test kdc2 kerberos-1.lab.test"))
    for name in ("kdc2", "kerberos-1.lab.test", "kdc2.lab.test."):
        set_up(kdc1, name).good()
        assert [one["host"] for one in kdc1.json("kpropctl", "list", "--json")] == ["kdc2.lab.test"]
    for name in ("kdc2", "kerberos-1.lab.test", "kdc2.lab.test"):
        change(kdc1, f"by-{name}")
        done = kdc1.run("kpropctl", "propagate", name)
        assert "verified" in done.stdout and has(kdc2, f"by-{name}"), done


def test_agent_down_is_refused_or_never_verified(fleet):
    """A replica that was ever verified by its agent is sent nothing without it, unless a person says so."""
    kdc1, kdc2, _ = fleet
    change(kdc1, "down")
    kdc2.systemctl("stop", "kpropctl-agent")
    try:
        report = propagate(kdc1, "kdc2.lab.test", status=4)["kdc2"]
        report.stopped("agent", "failed", 4, summary="nothing is sent to it without its agent",
                       hint="kpropctl propagate --without-agent kdc2.lab.test")
        assert last(kdc1)["result"] == "failed" and not has(kdc2, "down")
        # the state database lost or empty: the roster knows
        for away in ("mv state.db state.away", "mv state.db state.away; : >state.db"):
            kdc1.run(f"cd /var/lib/kpropctl; {away}")
            report = propagate(kdc1, "kdc2.lab.test", status=4)["kdc2"]
            kdc1.run("cd /var/lib/kpropctl; mv -f state.away state.db")
            report.stopped("agent", "failed", 4, summary="nothing is sent to it without its agent",
                           hint="kpropctl propagate --without-agent kdc2.lab.test")
            assert not has(kdc2, "down")
        done = kdc1.run("kpropctl", "propagate", "--without-agent", check=False)
        assert done.returncode == 2, done
        done = kdc1.run("kpropctl", "propagate", "--without-agent", "kdc2.lab.test", check=False)
        assert done.returncode == 1 and "verified" not in done.stdout.replace("nothing will be verified", "").replace(
            "knows a verified database", ""), done
        assert "kpropctl-agent accept-next LAB.TEST" in done.stdout and not has(kdc2, "down"), done
        kdc2.run("kpropctl-agent", "accept-next", "LAB.TEST")
        done = kdc1.run("kpropctl", "propagate", "--without-agent", "kdc2.lab.test", check=False)
        assert done.returncode == 1 and "NOT verified" in done.stdout, done
        assert last(kdc1)["result"] == "sent" and has(kdc2, "down")
        # by an alias it is not sent blindly: nothing would tell that this is the host meant
        hosts(kdc1, HONEST.replace("kdc2.lab.test kdc2", "kdc2.lab.test kdc2 kerberos-1.lab.test"))
        done = kdc1.run("kpropctl", "propagate", "--without-agent", "kerberos-1.lab.test", check=False)
        assert done.returncode == 3 and "--without-agent kdc2.lab.test" in done.stdout + done.stderr, done
    finally:
        kdc2.systemctl("start", "kpropctl-agent")
    good(propagate(kdc1, "kdc2.lab.test"))


def test_kprop_cannot_be_held(fleet):
    """Where the system lets nobody hold a program's connections, a name with one address will do."""
    kdc1, kdc2, kdc3 = fleet
    run = ["systemd-run", "--quiet", "--wait", "--pipe", "-p", "SystemCallFilter=~seccomp", "-p", "SystemCallErrorNumber=EPERM"]
    change(kdc1, "held")
    hosts(kdc1, OF_TWO)
    done = kdc1.run(*run, "kpropctl", "propagate", "kdc2.lab.test", check=False)
    assert done.returncode == 3 and "cannot hold kprop to that address" in done.stdout + done.stderr, done
    assert not has(kdc2, "held")
    got_nothing(kdc3)
    hosts(kdc1, HONEST)
    done = kdc1.run(*run, "kpropctl", "propagate", "kdc2.lab.test")
    assert "verified" in done.stdout and has(kdc2, "held"), done


@pytest.mark.parametrize("name", ["kdc1", "other", "KDC1.Lab.Test"])
def test_the_primarys_own_name(fleet, name):
    """kprop comes to this host's own principal whatever the host is called, also in its unit's sandbox."""
    kdc1, kdc2, _ = fleet
    hosts(kdc1, HONEST.replace("kdc1.lab.test kdc1", "kdc1.lab.test kdc1 other"))
    kdc1.run("hostname", name)
    try:
        change(kdc1, f"own-{name.lower()}")
        good(propagate(kdc1, "kdc2.lab.test"))
        assert has(kdc2, f"own-{name.lower()}")
        change(kdc1, f"unit-{name.lower()}")
        kdc1.systemctl("start", "kpropctl-propagate.service")
        assert has(kdc2, f"unit-{name.lower()}")
    finally:
        kdc1.run("hostname", "kdc1.lab.test")


DNS = r"""
import socket, struct
def name(text):
    return b"".join(bytes([len(part)]) + part.encode() for part in text.split(".") if part) + b"\0"
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
print("ready", flush=True)
while True:
    query, client = server.recvfrom(512)
    end = query.index(b"\0", 12) + 5
    kind = struct.unpack(">H", query[end - 4:end - 2])[0]
    data = {33: struct.pack(">HHH", 0, 0, 88) + name("kerberos-1.lab.test"),
            256: struct.pack(">HH", 1, 1) + b"krb5srv:m:udp:kerberos-1.lab.test"}.get(kind if kind == WANTED else 0)
    answer = b"" if data is None else b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(data)) + data
    server.sendto(query[:2] + b"\x84\x00" + b"\0\1" + struct.pack(">H", data is not None) + b"\0\0\0\0" +
                  query[12:end] + answer, client)
"""


@pytest.mark.parametrize("record", [33, 256])
def test_clients_find_it_by_an_alias(fleet, record):
    """A record of an alias, as MIT recommends them, is one of the host, at whichever of its addresses."""
    kdc1, kdc2, _ = fleet
    kdc1.run("sed -i '/kdc = /d; s/dns_lookup_kdc.*//' /etc/krb5.conf; echo nameserver 127.0.0.1 >/etc/resolv.conf")
    kdc1.run("sed -i 's/^    LAB.TEST = {/&\\n kdc = kdc1.lab.test/' /etc/krb5.conf")
    dns = kdc1.python(DNS.replace("WANTED", str(record)))
    try:
        assert dns.line == "ready", dns.line
        for more, level in (("", "WARNING"), ("10.75.4.12 kerberos-1.lab.test\n", "OK"),
                            ("10.75.4.12 kerberos-1.lab.test\n10.75.4.77 kdc2.lab.test\n", "OK"),
                            ("10.75.4.13 kerberos-1.lab.test\n", "WARNING")):
            hosts(kdc1, HONEST + more)
            done = kdc1.run("kpropctl", "check", "--format=json", "--check", "found", "kdc2.lab.test", check=False)
            assert f'"{level.lower()}"' in done.stdout, (more, level, done)
    finally:
        dns.kill()
        kdc1.run("pkill -x python3; : >/etc/resolv.conf", check=False)  # of the lab's own host
