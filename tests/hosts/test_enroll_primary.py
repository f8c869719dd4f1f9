"""kpropctl enroll: what the bundle holds, whom it is for, and what it leaves as it is."""
import base64
import os
import pty
import subprocess
import sys

import pytest

from lab import TESTS

sys.path.insert(0, str(TESTS / "lib"))
import bundle  # noqa: E402

NEEDS = {"python3": "test_no_core"}

NAME = "host/kdc2.lab.test@LAB.TEST"
REALM_FILES = ("/etc/krb5kdc", "/var/lib/krb5kdc", "/etc/krb5.conf", "/etc/krb5.keytab", "/run/kpropctl", "/tmp", "/root",
               "/dev/shm", "/var/lib/kpropctl")


def enroll(primary, *words, **options):
    """kpropctl enroll: its CompletedProcess, with standard output as bytes."""
    done = primary.run("bash", "-o", "pipefail", "-c", 'kpropctl enroll "$@" | base64', "bash", *words, **options)
    done.stdout = base64.b64decode(done.stdout)
    return done


def parts_of(primary, *words):
    return bundle.read(enroll(primary, *words).stdout)


def refused(primary, *words, status, says=(), **options):
    """It ends so, with these words, and writes nothing."""
    done = primary.run("kpropctl", "enroll", *words, check=False, **options)
    assert (done.returncode, done.stdout) == (status, ""), done
    for word in [says] if isinstance(says, str) else says:
        assert word in done.stderr, done
    return done


def database_kvno(primary, name=NAME):
    lines = primary.out("kadmin.local", "getprinc", name).splitlines()
    return {int(line.split("vno ")[1].split(",")[0]) for line in lines if line.startswith("Key: vno")}


def keytab(host, data):
    """What klist says of a keytab: (kvno, principal, type) of each entry; and that its keys work."""
    host.run("base64 -d >/run/test.keytab", input=base64.b64encode(data).decode())
    lines = host.out("klist", "-ke", "/run/test.keytab").splitlines()[3:]
    host.run("kinit", "-c", "MEMORY:", "-kt", "/run/test.keytab", NAME)
    host.remove("/run/test.keytab")
    return [(int(line.split()[0]), line.split()[1], line.split("(")[1].rstrip(") ")) for line in lines]


def test_bundle(kdc1, kdc2):
    """All parts, of the right host; the key is the present one, and nothing has changed anywhere."""
    kvno = database_kvno(kdc1)
    before = kdc1.fingerprint(*REALM_FILES), kdc2.fingerprint("/etc", "/var/lib/krb5kdc")
    done = enroll(kdc1, "kdc2")
    after = kdc1.fingerprint(*REALM_FILES), kdc2.fingerprint("/etc", "/var/lib/krb5kdc")
    parts = bundle.read(done.stdout)
    assert done.stderr == "" and before == after
    assert set(parts) == set(bundle.MUST)
    assert parts["realm"] == b"LAB.TEST" and parts["host"] == b"kdc2.lab.test"
    assert parts["primary"] == b"host/kdc1.lab.test@LAB.TEST"
    assert abs(int(parts["created"]) - int(kdc1.out("date", "+%s"))) < 60
    assert (parts["data-dir"], parts["conf-dir"]) == (b"/var/lib/krb5kdc", b"/etc/krb5kdc")
    assert parts["kpropd.acl"] == parts["agent.acl"] == b"host/kdc1.lab.test@LAB.TEST\n"
    entries = keytab(kdc1, parts["keytab"])
    assert {name for _, name, _ in entries} == {NAME}
    assert {number for number, _, _ in entries} == kvno == database_kvno(kdc1)
    assert [kind for *_, kind in entries] == ["aes256-cts-hmac-sha1-96", "aes128-cts-hmac-sha1-96"]


def test_the_keytab_of_the_host_stays_good(kdc1, kdc2):
    kdc1.run("kpropctl", "setup-slave", "kdc2.lab.test")
    enroll(kdc1, "kdc2")
    assert kdc2.ok("kinit", "-c", "MEMORY:", "-k")
    kdc1.run("kpropctl", "propagate", "--force", "kdc2.lab.test")


def test_a_missing_principal_is_created(kdc1):
    kdc1.run("kadmin.local", "delprinc", "-force", NAME)
    done = enroll(kdc1, "kdc2.lab.test")
    assert done.stderr == f"kpropctl: created {NAME}\n"
    assert {number for number, *_ in keytab(kdc1, bundle.read(done.stdout)["keytab"])} == {1}
    assert enroll(kdc1, "kdc2.lab.test").stderr == ""


def test_rekey(kdc1):
    """Only then the keys change; older ones that were kept are in the bundle of another enrolment, but gone after it."""
    (old,) = database_kvno(kdc1)
    kdc1.run("kadmin.local", "cpw", "-keepold", "-randkey", NAME)
    assert {number for number, *_ in keytab(kdc1, parts_of(kdc1, "kdc2")["keytab"])} == {old, old + 1}
    done = enroll(kdc1, "--rekey", "kdc2")
    assert "changed the keys of " + NAME in done.stderr and "stale" in done.stderr
    assert {number for number, *_ in keytab(kdc1, bundle.read(done.stdout)["keytab"])} == {old + 2} == database_kvno(kdc1)


def test_locked_down_keys(kdc1):
    kdc1.run("kadmin.local", "modprinc", "+lockdown_keys", NAME)
    assert keytab(kdc1, parts_of(kdc1, "kdc2")["keytab"])
    assert "LOCKDOWN_KEYS" in kdc1.out("kadmin.local", "getprinc", NAME)


def test_the_stash_only_when_asked(kdc1):
    stash = base64.b64decode(kdc1.out("base64", "/etc/krb5kdc/stash"))
    without, with_stash = enroll(kdc1, "kdc2").stdout, enroll(kdc1, "--with-stash", "kdc2").stdout
    assert bundle.read(with_stash)["stash"] == stash
    assert "stash" not in bundle.read(without) and stash not in without


def test_configuration(kdc1):
    """Includes are resolved; kdc.conf tells of this realm, not of others."""
    kdc1.run("mkdir -p /etc/krb5.conf.d; sed -i '1i includedir /etc/krb5.conf.d' /etc/krb5.conf")
    kdc1.write("/etc/krb5.conf.d/more", "[libdefaults]\n rdns = false\n[realms]\n OTHER.TEST = {\n kdc = other.test\n }\n")
    kdc1.append("/etc/krb5kdc/kdc.conf", "\n[dbmodules]\n elsewhere = {\n  db_library = db2\n }\n")
    try:
        parts = parts_of(kdc1, "kdc2")
    finally:
        kdc1.run("rm -r /etc/krb5.conf.d; sed -i 1d /etc/krb5.conf")
    client, kdc = parts["krb5.conf"].decode(), parts["kdc.conf"].decode()
    for word in ("default_realm = LAB.TEST", "admin_server = kdc1.lab.test", "kdc = kdc1.lab.test", ".lab.test = LAB.TEST",
                 "rdns = false", "OTHER.TEST"):
        assert word in client
    assert "include" not in client
    for word in ("LAB.TEST = {", "database_name = /var/lib/krb5kdc/principal", "key_stash_file = /etc/krb5kdc/stash",
                 "kdc_ports = 750,88", "max_life = 10h 0m 0s"):
        assert word in kdc
    for word in ("OTHER.TEST", "elsewhere", "admin_server", "kdc1.lab.test"):
        assert word not in kdc


def test_a_terminal_is_refused(kdc1):
    """With the pipe to use instead, and before anything is made."""
    kdc1.run("kadmin.local", "delprinc", "-force", NAME)
    mine, theirs = pty.openpty()
    with kdc1.start("kpropctl", "enroll", "kdc2.lab.test", stdin=theirs, stdout=theirs, stderr=subprocess.PIPE) as process:
        os.close(theirs)
        said = process.stderr.read()
    os.close(mine)
    assert process.returncode == 3 and "terminal" in said
    assert "kpropctl enroll kdc2.lab.test | ssh root@kdc2.lab.test kpropctl-agent enroll" in said
    assert "does not exist" in kdc1.run("kadmin.local", "getprinc", NAME, check=False).stderr


def test_a_file_is_for_its_owner_alone(kdc1):
    kdc1.run("umask 022; kpropctl enroll kdc2 >/root/bundle")
    assert kdc1.out("stat", "-c", "%a", "/root/bundle") == "600"
    kdc1.remove("/root/bundle")
    kdc1.run("install -o nobody -m 600 /dev/null /root/bundle")
    done = kdc1.run("kpropctl enroll kdc2 >/root/bundle", check=False)
    assert done.returncode == 3 and "belongs to somebody else" in done.stderr
    assert kdc1.read("/root/bundle") == ""
    kdc1.remove("/root/bundle")


# Waits for a reader of what it writes, with the keys in its memory: prints what a core of it may be.
WAITING = """
import fcntl, os, resource, subprocess
resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
r, w = os.pipe()
fcntl.fcntl(w, 1031, 4096)
os.write(w, bytes(4096))
with subprocess.Popen(["kpropctl", "enroll", "kdc2.lab.test"], stdout=w) as p:
    while "pipe_write" not in open(f"/proc/{p.pid}/wchan").read():
        os.sched_yield()
    print(*(line for line in open(f"/proc/{p.pid}/limits") if "core" in line))
    p.kill()
"""


def test_no_core(kdc1):
    assert kdc1.out("/usr/bin/python3", "-c", WAITING).split()[:6] == "Max core file size 0 0".split()


@pytest.mark.parametrize("name, status, says", [
    ("-kdc2", 2, "enroll --help"), ("--", 2, "which host?"), ("", 2, "no valid host name"),
    ("kdc2;reboot", 2, "no valid host name"), ("$(id)", 2, "no valid host name"), ("kdc 2", 2, "no valid host name"),
    ("kdc2\n", 2, "no valid host name"), ("nowhere.lab.test", 4, ["cannot resolve nowhere.lab.test", "/etc/hosts"]),
    ("kdc1.lab.test", 3, "this host itself")])
def test_bad_names(kdc1, name, status, says):
    refused(kdc1, name, status=status, says=says)


def test_one_host_at_a_time(kdc1):
    refused(kdc1, "kdc2", "kdc3", status=2, says="one host at a time")
    refused(kdc1, status=2, says="which host?")
    assert "-kdc2" in refused(kdc1, "--", "-kdc2", status=2, says="no valid host name").stderr


def test_on_a_replica(kdc1, kdc2):
    """It has the database, and would give out the keys of others."""
    kdc1.run("kpropctl", "setup-slave", "kdc2.lab.test")
    kdc2.run("base64 -d >/run/kpropctl-here; chmod 755 /run/kpropctl-here", input=kdc1.out("base64", "/usr/sbin/kpropctl"))
    done = kdc2.run("/run/kpropctl-here", "enroll", "kdc1.lab.test", check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert "replica of LAB.TEST" in done.stderr or "not the primary" in done.stderr


def test_unprivileged(kdc1):
    refused_by = kdc1.run("setpriv", "--reuid", "nobody", "--clear-groups", "kpropctl", "enroll", "kdc2", check=False)
    assert (refused_by.returncode, refused_by.stdout) == (3, "") and "needs root" in refused_by.stderr


def test_a_reader_that_is_gone(kdc1):
    done = kdc1.run("bash", "-c", "kpropctl enroll kdc2 | true; exit ${PIPESTATUS[0]}", check=False)
    assert done.returncode in (0, 1)
    before = kdc1.out("kadmin.local", "getprinc", "host/kdc2.lab.test")
    done = kdc1.run("bash", "-c", "kpropctl enroll --rekey kdc2 >&-", check=False)
    assert kdc1.out("kadmin.local", "getprinc", "host/kdc2.lab.test") == before
    assert done.returncode == 1 and "cannot write the bundle: Bad file descriptor" in done.stderr
    done = kdc1.run("bash", "-c", "kpropctl enroll kdc2 >/dev/full", check=False)
    assert done.returncode == 1 and "cannot write the bundle" in done.stderr
