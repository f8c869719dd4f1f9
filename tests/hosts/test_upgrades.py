"""A fleet is never upgraded at once: version 0.1.0 (`tests/packages --old`) beside today's, in either place, and upgrades
in both orders while the watch runs. Nobody says 'verified' of what one of them cannot prove, and nothing is lost."""
import base64
import json
import re

import pytest

from lab import BUILD, wait_until
from propagate_kit import history, propagate
from setup_kit import LIVE, set_up

OLD = "0.1.0"
WATCH = "kpropctl-watch.service"
PACKAGE = {"kdc1": "kpropctl"}


def package_of(host):
    return PACKAGE.get(host.short, "kpropctl-agent")


def version(host):
    return host.out("dpkg-query", "--show", "--showformat=${Version}", package_of(host))


def put(host, file):
    """The file of a package, on the host."""
    name = f"/root/{file.name}"
    host.run(f"base64 -d >{name}", input=base64.b64encode(file.read_bytes()).decode())
    return name


def install(host, folder):
    """The package for this host, over the one that is there, as dpkg does it."""
    file = next(folder.glob(f"{package_of(host)}_*.deb"))
    host.run("dpkg", "--install", put(host, file), timeout=180)


class Fleet:
    """The hosts, each with the version that a test gives it."""

    def __init__(self, lab, old):
        self.lab, self.old, self.new = lab, old, lab.packages
        self.hosts = [lab.hosts[name] for name in ("kdc1", "kdc2", "kdc3")]
        self.primary, *self.replicas = self.hosts

    def begin(self, primary=None, replicas=None):
        """As they would have been installed at first: of the version given, the old one by default."""
        for host in self.hosts:
            host.run("dpkg", "--purge", package_of(host), timeout=120)
            install(host, (primary if host is self.primary else replicas) or self.old)

    def upgrade(self, *hosts):
        for host in hosts:
            install(host, self.new)


@pytest.fixture
def fleet(lab, release, kdc1, kdc2, kdc3):
    """kdc1, kdc2 and kdc3; at the end with the packages that the lab gave them."""
    old = BUILD / "packages" / "old" / release
    assert list(old.glob("kpropctl_*.deb")), f"the old packages are not built: tests/packages --old {release}"
    fleet = Fleet(lab, old)
    yield fleet
    kdc1.run("kpropctl schedule --disable; rm -rf /root/repacked*", check=False)
    fleet.begin(fleet.new, fleet.new)


def add(host, name):
    host.run("kadmin.local", "-q", f"addprinc -randkey {name}")


def has(host, name):
    return host.ok(f"kdb5_util dump | grep --quiet '\t{name}@'")


def check(primary):
    """kpropctl check: the rows that are not good, without 'schedule', as (host, row) -> (level, text, hint)."""
    done = primary.run("kpropctl", "check", "--format=json", check=False, timeout=180)
    try:
        told = json.loads(done.stdout)
    except ValueError:
        raise AssertionError((done.returncode, done.stdout, done.stderr))
    bad = {(host["host"].partition(".")[0], row["id"]): (row["level"], row["summary"], row["hint"])
           for host in told["hosts"] for row in host["checks"] or [] if row["level"] not in ("ok", "skipped")}
    bad.pop(("kdc1", "schedule"), None)
    assert "damaged" not in done.stdout, bad
    return bad


def only_versions(bad, *hosts):
    """Nothing is wrong but the versions of these hosts, and who reads it knows which package to upgrade where."""
    assert set(bad) == {(host.short, "version") for host in hosts}, bad
    for host in hosts:
        level, text, hint = bad[host.short, "version"]
        assert level == "warning" and host.name in text, bad
        assert f"upgrade the package kpropctl-agent on {host.name}" in hint, bad


def made(fleet, *replicas):
    """These replicas are set up, verified."""
    reports = set_up(fleet.primary, *replicas)
    for report in reports if isinstance(reports, list) else [reports]:
        report.good()


def good_run(fleet, name, *replicas):
    """A change is sent, proven, and there."""
    add(fleet.primary, name)
    reports = propagate(fleet.primary)
    assert set(reports) == {host.short for host in replicas}
    for host in replicas:
        report = reports[host.short].good()
        assert report.told["result"] == "verified" and report.level("digest") == "ok", report
        assert has(host, name)
    return reports


def state_of(host):
    """What an agent knows: its last verified content, and the greatest generation ever announced."""
    facts = host.json("kpropctl-agent", "facts")
    return facts["last_good"]["generation"], facts["last_good"]["digest"], facts["generation"]


def test_today_s_kpropctl_with_old_agents(fleet, kdc1, kdc2, kdc3):
    """All works that they can; `check` names the hosts to upgrade, and that alone."""
    fleet.begin(primary=fleet.new)
    assert (version(kdc1) != OLD, version(kdc2), version(kdc3)) == (True, OLD, OLD)
    made(fleet, kdc2, kdc3)
    good_run(fleet, "mixed", kdc2, kdc3)
    only_versions(check(kdc1), kdc2, kdc3)
    fleet.upgrade(kdc2)
    only_versions(check(kdc1), kdc3)
    # What an old one cannot do is said, not taken for done.
    done = kdc1.run("kpropctl", "remove-slave", kdc3.name, check=False)
    assert "upgrade" in done.stdout + done.stderr, done.stdout + done.stderr
    assert kdc3.exists("/etc/systemd/system/krb5-kpropd.service.d/zz-kpropctl.conf")


def test_old_kpropctl_with_today_s_agents(fleet, kdc1, kdc2):
    """A new agent is good to it."""
    fleet.begin(replicas=fleet.new)
    assert (version(kdc1), version(kdc2) != OLD) == (OLD, True)
    made(fleet, kdc2)
    good_run(fleet, "mixed", kdc2)
    assert check(kdc1) == {}


@pytest.mark.parametrize("order", ["agents-first", pytest.param("primary-first", marks=pytest.mark.long),
                                   pytest.param("agent-primary-agent", marks=pytest.mark.long)])
def test_upgraded_while_the_watch_runs(fleet, kdc1, kdc2, kdc3, order):
    """After each step a change is on all replicas, proven; roster, history and what the agents know go on."""
    fleet.begin()
    made(fleet, kdc2, kdc3)
    kdc1.run("kpropctl", "schedule", "--enable", timeout=120)
    wait_until(lambda: kdc1.active(WATCH))
    roster = kdc1.out("kpropctl", "list")
    generation, before = state_of(kdc2)[2], history(kdc1)
    steps = {"agents-first": [kdc2, kdc3, kdc1], "primary-first": [kdc1, kdc2, kdc3],
             "agent-primary-agent": [kdc2, kdc1, kdc3]}[order]
    for host in steps:
        known = {replica: state_of(replica) for replica in fleet.replicas}
        fleet.upgrade(host)
        assert version(host) != OLD and kdc1.active(WATCH)
        assert {replica: state_of(replica) for replica in fleet.replicas} == known
        bad = check(kdc1)
        assert all(row == "version" for _, row in bad), bad
        add(kdc1, f"with-{host.short}")
        for replica in fleet.replicas:
            wait_until(lambda: has(replica, f"with-{host.short}"), timeout=60)
            wait_until(lambda: history(kdc1, replica.name)[0]["generation"] > known[replica][0], timeout=30)
            assert history(kdc1, replica.name)[0]["result"] in ("verified", "unchanged")
    assert check(kdc1) == {}
    assert [line.split()[0] for line in kdc1.out("kpropctl", "list").splitlines()] == \
        [line.split()[0] for line in roster.splitlines()]
    # A run may meet an agent that is just being replaced; the next one, above, has verified what it could not.
    told = history(kdc1)
    assert told[-len(before):] == before and {one["result"] for one in told} <= {"verified", "unchanged", "failed"}
    for replica in fleet.replicas:
        assert state_of(replica)[2] >= generation + 3


@pytest.mark.parametrize("name", ["kdc1", "kdc2"])
def test_a_downgrade_is_refused(fleet, kdc1, kdc2, name):
    """In one line, which names the way out; until it is taken all goes on as it was."""
    made(fleet, kdc2)
    host = {"kdc1": kdc1, "kdc2": kdc2}[name]
    package, was = package_of(host), version(host)
    file = put(host, next(fleet.new.glob(f"{package}_*.deb")))
    host.run(f"dpkg-deb -R {file} /root/repacked && sed -i 's/^Version: .*/Version: 0.2.0~1/' /root/repacked/DEBIAN/control && "
             "dpkg-deb -b /root/repacked /root/repacked.deb")
    pid = host.out("pidof kpropctl-agent || :")
    done = host.run("dpkg", "--install", "/root/repacked.deb", check=False)
    assert done.returncode != 0
    said = [line for line in (done.stdout + done.stderr).splitlines() if "cannot install" in line]
    assert len(said) == 1 and f"{was} is there" in said[0] and "gives up" in said[0], done.stdout + done.stderr
    assert version(host) == was and not host.out("dpkg --audit") and host.out("pidof kpropctl-agent || :") == pid
    good_run(fleet, "meanwhile", kdc2)
    known = state_of(kdc2) if name == "kdc2" else history(kdc1)
    host.run(re.search("dpkg --remove [a-z-]*", said[0])[0], timeout=60)
    host.run("dpkg", "--install", "/root/repacked.deb")
    assert version(host) == "0.2.0~1"
    assert known == (state_of(kdc2) if name == "kdc2" else history(kdc1))
    good_run(fleet, "afterwards", kdc2)
    # And an upgrade is one.
    fleet.upgrade(host)
    assert version(host) == was


@pytest.mark.long
def test_back_to_the_old_version_and_forth(fleet, kdc1, kdc2):
    """0.1.0 knows no refusal; nothing is lost by it all the same."""
    made(fleet, kdc2)
    good_run(fleet, "one", kdc2)
    told, known = history(kdc1), state_of(kdc2)
    for host in (kdc1, kdc2):
        host.run("dpkg", "--install", "--force-downgrade", put(host, next(fleet.old.glob(f"{package_of(host)}_*.deb"))))
        assert version(host) == OLD
    assert history(kdc1) == told and state_of(kdc2) == known
    good_run(fleet, "two", kdc2)
    assert check(kdc1) == {}
    fleet.upgrade(kdc2, kdc1)
    good_run(fleet, "three", kdc2)
    assert check(kdc1) == {} and history(kdc1)[-len(told):] == told


@pytest.mark.long
def test_an_old_primary_that_is_denied(fleet, kdc1, kdc2):
    """0.1.0 takes 'denied' for absent and sends blindly: today's loader refuses, and nobody says 'verified'."""
    fleet.begin(replicas=fleet.new)
    made(fleet, kdc2)
    before = kdc2.fingerprint(LIVE)
    kdc2.write("/etc/kpropctl/agent.acl", "host/kdc3.lab.test@LAB.TEST\n")
    kdc2.write("/etc/kpropctl/agent.conf", "[kpropctl-agent]\n    acl = /etc/kpropctl/agent.acl\n")
    kdc2.systemctl("restart", "kpropctl-agent")
    add(kdc1, "ghost")
    done = kdc1.run("kpropctl", "propagate", "--json", check=False, timeout=120)
    told = json.loads(done.stdout)
    assert done.returncode != 0 and not told["verified"] and told["result"] != "verified", done.stdout
    assert kdc2.fingerprint(LIVE) == before and not has(kdc2, "ghost")


@pytest.mark.long
@pytest.mark.parametrize("where", ["new-primary", "new-agents"])
def test_the_rest_works_too(fleet, kdc1, kdc2, where):
    """rollback and renew between versions."""
    fleet.begin(**{"primary" if where == "new-primary" else "replicas": fleet.new})
    made(fleet, kdc2)
    good_run(fleet, "one", kdc2)
    good_run(fleet, "two", kdc2)
    kdc1.run("kpropctl", "rollback", "--yes", "--previous", kdc2.name, timeout=120)
    assert not has(kdc2, "two")
    good_run(fleet, "three", kdc2)
    kdc1.run("kpropctl", "renew", kdc2.name, timeout=120)
    good_run(fleet, "four", kdc2)
