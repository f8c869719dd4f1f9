"""What goes wrong with an enrolment: damaged bundles touch nothing, and what is killed or fails half-way leaves the old
files or the new ones, all of them."""
import struct

import pytest

from enroll_kit import Untouched, bundle, changed, enroll, feed, make, others
from lab import wait_until
from setup_kit import set_up

NEEDS = {"strace": "test_killed_before_the_restart"}

KINDS = ["bare+agent"]
TOUCHED = ["/etc/krb5.conf", "/etc/krb5.keytab", "/etc/krb5kdc/kdc.conf", "/etc/krb5kdc/kpropd.acl", "/etc/krb5kdc/stash"]


@pytest.fixture
def kdc1(special):
    return special.hosts["kdc1"]


@pytest.fixture
def bare(special):
    host = special.host(KINDS[0])
    host.remove(*others(host))
    return host


def refused(host, data, *words, status=3):
    """With these words, and a hint or not; nothing is touched."""
    with Untouched(host):
        done = feed(host, data)
    assert done.returncode == status, done
    assert done.stdout == "", done
    for word in words:
        assert word in done.stderr, (word, done)


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


def test_damaged(kdc1, bare):
    """Every kind of damage to the bytes."""
    data = make(kdc1, bare, "--with-stash")
    parts = list(bundle.read(data).items())
    refused(bare, b"", "standard input is empty")
    refused(bare, b"hello\n", "cannot")
    refused(bare, data[:-1], "cannot")
    for part in (1, 16, 20, 24, 25, 40, len(data) // 2, len(data) - 32):
        refused(bare, data[:part], "cannot")
    refused(bare, data + b"\n", "cannot")
    refused(bare, data + data, "cannot")
    for at in (0, 18, 22, 24, 26, 40, len(data) // 3, len(data) // 2, len(data) - 40, len(data) - 1):
        refused(bare, flipped(data, at), "cannot")
    refused(bare, bundle.write(parts + [parts[0]]), "twice")
    refused(bare, bundle.write(parts + [("sudoers", b"x")]), "does not know")
    for name in bundle.MUST:
        refused(bare, bundle.write([part for part in parts if part[0] != name]), name)
    refused(bare, changed(data, realm=""), "empty part")
    refused(bare, data.replace(struct.pack(">I", 1), struct.pack(">I", 2), 1), "version")
    refused(bare, data + bytes(5 << 20), "larger than")


def test_wrong(kdc1, bare):
    """Whole, and yet not to be taken."""
    data = make(kdc1, bare, "--with-stash")
    mine = bundle.read(data)
    refused(bare, changed(data, host="kdc3.lab.test"), "it is for kdc3.lab.test, and this host is kdc2.lab.test")
    refused(bare, changed(data, host="-oProxyCommand=x"), "for no valid host")
    refused(bare, changed(data, realm="OTHER.TEST"), "not host/… of its realm OTHER.TEST")
    refused(bare, changed(data, realm="OTHER.TEST", primary="host/kdc1.lab.test@OTHER.TEST"), "OTHER.TEST")
    refused(bare, changed(data, primary="alice@LAB.TEST"), "alice@LAB.TEST")
    refused(bare, changed(data, keytab=b"\5\2"), "0 entries")
    refused(bare, changed(data, keytab=b"no keytab"), "new keytab")
    refused(bare, changed(data, keytab=mine["keytab"][:-9]), "new keytab")
    kdc1.run("kadmin.local", "ktadd", "-norandkey", "-k", "/run/two.keytab", "host/kdc2.lab.test", "host/kdc1.lab.test")
    two = bytes.fromhex(kdc1.out("od -An -v -tx1 /run/two.keytab; rm /run/two.keytab"))
    refused(bare, changed(data, keytab=two), "host/kdc1.lab.test@LAB.TEST, not of host/kdc2.lab.test@LAB.TEST alone")
    refused(bare, changed(data, krb5_conf="[realms\nwhat"), "krb5.conf")
    refused(bare, changed(data, krb5_conf="[libdefaults]\n default_realm = LAB.TEST\n"), "nothing of realm LAB.TEST")
    refused(bare, changed(data, krb5_conf="include /etc/shadow\n" + mine["krb5.conf"].decode()), "krb5.conf")
    refused(bare, changed(data, kdc_conf="[realms\nwhat"), "kdc.conf")
    refused(bare, changed(data, stash=b"no stash"), "no stash file of K/M@LAB.TEST")
    refused(bare, changed(data, stash=mine["keytab"]), "no stash file of K/M@LAB.TEST")


def test_damaged_here(kdc1, bare):
    """What is here cannot be read: it is told, and left alone."""
    data = make(kdc1, bare)
    bare.write("/etc/krb5.keytab", "no keytab", "600")
    refused(bare, data, "old keytab", "klist -kt /etc/krb5.keytab", status=1)
    bare.run("rm /etc/krb5.keytab; mkdir /etc/krb5.keytab")
    refused(bare, data, "/etc/krb5.keytab", status=1)
    bare.run("rmdir /etc/krb5.keytab; ln -s /nowhere/at-all /etc/krb5.keytab")
    refused(bare, data, "/etc/krb5.keytab", status=1)
    bare.run("rm /etc/krb5.keytab")
    enroll(bare, data).good()


def test_mounted_file(kdc1, bare):
    """A file that cannot be replaced: all others are put back."""
    data = make(kdc1, bare, "--with-stash")
    bare.run("cp /etc/krb5.conf /run/mounted; mount --bind /run/mounted /etc/krb5.conf")
    try:
        before = contents(bare)
        done = feed(bare, data)
        after = contents(bare)
    finally:
        bare.run("umount /etc/krb5.conf")
    assert done.returncode == 5 and "cannot keep /etc/krb5.conf" in done.stderr, done
    assert before == after and others(bare) == []
    enroll(bare, data).good()


def test_read_only(kdc1, bare):
    """Nothing can be written there: told, and nothing is left to be undone."""
    data = make(kdc1, bare)
    bare.run("mount --bind /etc /etc; mount -o remount,ro,bind /etc")
    try:
        refused_by = enroll(bare, data).failed(5, "/etc/.krb5.conf", "Read-only file system")
        assert "Undoing" not in refused_by.stderr
        assert not bare.exists("/var/lib/kpropctl-agent/enrolment.journal")
    finally:
        bare.run("umount /etc")
    enroll(bare, data).good()


def contents(host):
    """The files that an enrolment touches: kind, mode, owner and content, of those that are there. A keytab's entries
    tell when they were put there; what counts are its keys."""
    paths = " ".join(TOUCHED)
    return host.run(f"stat -c '%n %F %a %u %g' {paths} 2>/dev/null; sha256sum {paths} 2>/dev/null | grep -v keytab; "
                    "[ ! -e /etc/krb5.keytab ] || klist -keK /etc/krb5.keytab 2>&1 | tr '\n' ' '", check=False).stdout


def put_back(host):
    host.run("rm -rf /etc/krb5* /var/lib/krb5kdc; cp -a /run/saved/. /")


class Strikes:
    """Enrolments with a fault at one system call after the other, until one gets through; and what the files were before
    and are after a whole one."""

    def __init__(self, primary, host):
        self.host = host
        self.data = make(primary, host, "--with-stash")
        host.run("chgrp mail /etc/krb5.conf; chmod 640 /etc/krb5.conf")
        host.run("rm -rf /run/saved; mkdir -p /run/saved/etc /run/saved/var/lib; cp -a /etc/krb5* /run/saved/etc; "
                 "cp -a /var/lib/krb5kdc /run/saved/var/lib")
        self.old = contents(host)
        enroll(host, self.data, "--no-start").good()
        self.new = contents(host)
        put_back(host)
        assert contents(host) == self.old != self.new

    def strike(self, what, calls, when):
        """One of them: its CompletedProcess. The children only look: they are spared."""
        return feed(self.host, self.data, "--no-start",
                    agent=f"strace -qq -o /dev/null -e trace={calls} -e inject={calls}:{what}:when={when} kpropctl-agent")

    def all(self, what, calls):
        """Yields the CompletedProcess of each, and puts the files back afterwards; what it leaves otherwise is to be
        cleared by whoever asks."""
        when = 1
        while True:
            done = self.strike(what, calls, when)
            yield done
            if done.returncode == 0:
                break
            put_back(self.host)
            when += 1


def test_killed(kdc1, bare):
    """At each call that matters (test_install.c does so at all): no file is half written, and the next enrolment, or the agent's start, makes them all old or new."""
    strikes = Strikes(kdc1, bare)
    ends = {"old": 0, "new": 0}
    pending = 0
    for count, done in enumerate(strikes.all("signal=KILL", "fsync,link,chmod,rename,unlink")):
        now = contents(bare)
        if done.returncode == 0:
            assert now == strikes.new
            break
        lines = set(strikes.old.splitlines()) | set(strikes.new.splitlines())
        assert set(now.splitlines()) <= lines, "a file that is neither the old nor the new one"
        waiting = bare.exists("/var/lib/kpropctl-agent/enrolment.journal")
        pending += waiting
        if waiting and count % 2:
            with Untouched(bare):
                dry = feed(bare, strikes.data, "--dry-run")
            assert dry.returncode == 4 and "was killed here" in dry.stderr, dry
        bare.run("systemctl reset-failed kpropctl-agent; systemctl restart kpropctl-agent")
        now = contents(bare)
        assert now in (strikes.old, strikes.new), done
        ends["old" if now == strikes.old else "new"] += 1
        left = [path for path in others(bare) if "-backup-" not in path]
        assert left == [] and bare.out("find /var/lib/kpropctl-agent -name '*journal*'") == "", left
        if now == strikes.old:
            assert others(bare) == []
        if waiting:
            assert "an enrolment that was killed has been" in bare.journal("kpropctl-agent", 5)
    assert pending > 10 and ends["old"] > 10 and ends["new"] > 5, (ends, pending)


def test_killed_then_enrolled(kdc1, bare):
    """The next enrolment finishes a killed one first, and says so."""
    strikes = Strikes(kdc1, bare)
    told = set()
    for done in strikes.all("signal=KILL", "link,rename"):
        again = enroll(bare, strikes.data, "--no-start").good()
        assert contents(bare) == strikes.new, done
        told.add(again.told["recovered"])
    assert told == {"undone", "completed", None}


def test_killed_before_the_restart(kdc1, bare):
    """The agent that runs knows nothing of what is new: the next enrolment, which finds all in place, restarts it."""
    data = make(kdc1, bare)
    enroll(bare, data, "--no-start").good()
    assert enroll(bare, data).good().told["agent"] == "restarted"
    assert enroll(bare, data).good().told["agent"] == "running"
    bare.run("rm /etc/krb5.keytab /etc/krb5kdc/kpropd.acl")
    feed(bare, data, agent="strace -qq -o /dev/null -e trace=rename -e inject=rename:signal=KILL:when=3 kpropctl-agent")
    done = enroll(bare, data).good()
    assert done.told["recovered"] == "completed" and set(done.actions().values()) == {"unchanged"}, done
    assert done.told["agent"] == "restarted"


def test_power_cut(kdc1, bare):
    """Between two renames: the boot completes it, and the host can be set up."""
    strikes = Strikes(kdc1, bare)
    # The first two are the journal's, the next one was that of krb5.conf.
    strikes.strike("signal=KILL", "rename", 4)
    assert contents(bare) not in (strikes.old, strikes.new)
    bare.reboot(hard=True)
    wait_until(lambda: bare.active("kpropctl-agent"))
    assert contents(bare) == strikes.new and not bare.exists("/var/lib/kpropctl-agent/enrolment.journal")
    set_up(kdc1, bare).good()


def test_failures(kdc1, bare):
    """A call that fails: told, and everything is as it was."""
    strikes = Strikes(kdc1, bare)
    failed = 0
    for done in strikes.all("error=ENOSPC", "fchmod,fsync,link,chmod,rename"):
        if done.returncode == 0 and contents(bare) == strikes.new:
            break
        assert done.returncode in (1, 3, 5) and "cannot" in done.stderr, done
        assert "No space left on device" in done.stderr
        assert contents(bare) == strikes.old and others(bare) == [], done
        assert not bare.exists("/var/lib/kpropctl-agent/enrolment.journal")
        failed += 1
    assert failed > 10
