"""kpropctl-agent enroll: from a bundle to a host that setup-slave can make a replica."""
import os
import pty
import subprocess
import threading

import pytest

from enroll_kit import Untouched, bundle, changed, enroll, feed, keys, make, mode, others, start
from lab import wait_until
from setup_kit import set_up, ticket

NEEDS = {"python3": "test_keytab_is_free_while_a_stash_is_tried", "strace": "test_ktadd_meanwhile"}

KINDS = ["bare+agent", "bare+agent+rhel", "sysvinit+bare+agent"]
NEW_KEYTAB = {"krb5.conf": "merge", "keytab": "create", "kpropd's access list": "create"}


@pytest.fixture
def kdc1(special):
    return special.hosts["kdc1"]


@pytest.fixture
def bare(special):
    host = special.host(KINDS[0])
    host.remove(*others(host))
    return host


@pytest.fixture
def rhel(special):
    return special.host(KINDS[1])


def verified(primary, host):
    set_up(primary, host).good()
    assert ticket(host) == ""


def test_bare_host(kdc1, bare):
    """It becomes a verified replica, also after a boot; the files have the modes of their packages."""
    done = enroll(bare, make(kdc1, bare, "--with-stash")).good()
    assert done.actions() == {**NEW_KEYTAB, "kdc.conf": "unchanged", "stash": "create"}
    assert done.told["agent"] == "restarted" and done.told["changed"]
    for path, wanted in (("/etc/krb5.conf", "644"), ("/etc/krb5.keytab", "600"), ("/etc/krb5kdc/stash", "600"),
                         ("/etc/krb5kdc/kpropd.acl", "644"), ("/etc/krb5kdc", "700")):
        assert mode(bare, path) == wanted + " root:root", path
    assert others(bare) == [done.files["krb5.conf"]["backup"]]
    assert bare.active("kpropctl-agent") and bare.enabled("kpropctl-agent")
    verified(kdc1, bare)
    bare.reboot()
    wait_until(lambda: bare.active("kpropctl-agent") and bare.active("krb5-kpropd") and bare.active("krb5-kdc"))
    assert ticket(bare) == ""


def test_again(kdc1, bare):
    data = make(kdc1, bare)
    enroll(bare, data).good()
    with Untouched(bare):
        done = enroll(bare, data).good()
    assert set(done.actions().values()) == {"unchanged"} and not done.told["changed"]
    assert done.told["agent"] == "running"
    assert "already enrolled" in feed(bare, data, check=True).stdout


def test_text(kdc1, bare):
    """As a person sees it: each file, its backup, and what comes next."""
    told = feed(bare, make(kdc1, bare), check=True).stdout
    lines = told.splitlines()
    assert lines[0] == "kdc2.lab.test as a replica of realm LAB.TEST, propagated by host/kdc1.lab.test@LAB.TEST"
    assert "  merged     /etc/krb5.conf: " in told and "the old one is /etc/krb5.conf.kpropctl-backup-2" in told
    assert "  unchanged  /etc/krb5kdc/kdc.conf" in lines
    assert "  created    /etc/krb5.keytab: keys of host/kdc2.lab.test@LAB.TEST: 2 added" in lines
    assert "  created    /etc/krb5kdc/kpropd.acl: host/kdc1.lab.test@LAB.TEST added" in lines
    assert lines[-2:] == ["enrolled", "Next, on the primary: kpropctl setup-slave kdc2.lab.test"]
    for line in keys(bare):
        assert line.split("(0x")[1].rstrip(")") not in told


def test_dry_run(kdc1, bare):
    data = make(kdc1, bare, "--with-stash")
    with Untouched(bare):
        done = enroll(bare, data, "--dry-run").good()
        told = feed(bare, data, "--dry-run", check=True).stdout
    assert done.actions() == {**NEW_KEYTAB, "kdc.conf": "unchanged", "stash": "create"}
    assert not done.told["changed"] and done.told["agent"] is None
    assert "dry run: nothing was changed\n" in told and "  create     /etc/krb5.keytab" in told
    enroll(bare, data).good()
    with Untouched(bare):
        assert "it is enrolled already" in feed(bare, data, "--dry-run", check=True).stdout


def test_rhel_layout(kdc1, rhel):
    done = enroll(rhel, make(kdc1, rhel, "--with-stash")).good()
    assert {file["path"] for file in done.told["files"]} == {
        "/etc/krb5.conf", "/var/kerberos/krb5kdc/kdc.conf", "/etc/krb5.keytab", "/var/kerberos/krb5kdc/.k5.LAB.TEST",
        "/var/kerberos/krb5kdc/kpropd.acl"}
    assert mode(rhel, "/var/kerberos/krb5kdc/kdc.conf") == "600 root:root", "as the package had it"
    assert "/etc/krb5kdc" not in rhel.read("/var/kerberos/krb5kdc/kdc.conf") and not rhel.exists("/etc/krb5kdc")
    verified(kdc1, rhel)


def test_without_systemd(kdc1, special):
    """The agent is started by its init script, and restarted with what is new."""
    host = special.host(KINDS[2])
    before = host.out("pgrep", "-o", "-x", "kpropctl-agent")
    done = enroll(host, make(kdc1, host, "--with-stash")).good()
    assert done.told["agent"] == "restarted" and host.out("pgrep", "-o", "-x", "kpropctl-agent") != before
    assert "lets host/kdc1.lab.test@LAB.TEST in" in kdc1.run("kpropctl", "setup-slave", host.name, check=False).stdout
    host.run("/etc/init.d/kpropctl-agent", "stop")
    with Untouched(host):
        done = enroll(host, make(kdc1, host)).good()
    assert done.told["agent"] == "running" and host.out("pgrep", "-x", "kpropctl-agent")


def test_second_realm(kdc1, bare):
    """The primary of the realm that was here first stays let in."""
    data = make(kdc1, bare)
    enroll(bare, data).good()
    add_key(bare, "host/kdc2.lab.test@SECOND.TEST", path="/run/second.keytab")
    second = bytes.fromhex(bare.out("od -An -v -tx1 /run/second.keytab; rm /run/second.keytab"))
    conf = kdc1.read("/etc/krb5.conf").replace("[realms]\n", "[realms]\n    SECOND.TEST = {\n        kdc = kdc1.lab.test\n"
                                               "        admin_server = kdc1.lab.test\n    }\n")
    primary = "host/kdc1.lab.test@SECOND.TEST"
    data = changed(data, realm="SECOND.TEST", primary=primary, keytab=second, krb5_conf=conf, agent_acl=primary + "\n",
                   kpropd_acl=primary + "\n", kdc_conf="[realms]\n SECOND.TEST = {\n"
                   "  database_name = /var/lib/krb5kdc/second\n }\n")
    assert enroll(bare, data).good().actions()["krb5.conf"] == "merge"
    assert bare.read("/etc/kpropctl/agent.acl").splitlines() == [primary, "host/kdc1.lab.test@LAB.TEST"]
    assert bare.read("/etc/krb5kdc/kpropd.acl").splitlines() == ["host/kdc1.lab.test@LAB.TEST", primary]
    assert len(keys(bare)) == 3 and "default_realm = LAB.TEST" in bare.read("/etc/krb5.conf")
    assert "lets host/kdc1.lab.test@LAB.TEST in" in kdc1.run("kpropctl", "setup-slave", bare.name, check=False).stdout


def test_nothing_there(kdc1, bare):
    """Neither krb5.conf nor the KDC's folders."""
    bare.run("rm -rf /etc/krb5.conf /etc/krb5kdc /var/lib/krb5kdc")
    done = enroll(bare, make(kdc1, bare, "--with-stash"), before="umask 777;").good()
    assert set(done.actions().values()) == {"create"}, done
    assert mode(bare, "/etc/krb5kdc") == mode(bare, "/var/lib/krb5kdc") == "700 root:root"
    assert mode(bare, "/etc/krb5.conf") == mode(bare, "/etc/krb5kdc/kdc.conf") == "644 root:root"
    verified(kdc1, bare)


def add_key(host, principal, password="x", path="/etc/krb5.keytab", kvno=7):
    host.run("ktutil", input=f"addent -password -p {principal} -k {kvno} -e aes256-cts-hmac-sha1-96\n{password}\n"
             f"wkt {path}\n")


def test_keytab_of_others(kdc1, bare):
    """Other services' keys stay, and who may read them."""
    add_key(bare, "HTTP/kdc2.lab.test@LAB.TEST")
    add_key(bare, "host/kdc2.lab.test@LAB.TEST")
    bare.run("chgrp mail /etc/krb5.keytab; chmod 640 /etc/krb5.keytab")
    before = keys(bare)
    done = enroll(bare, make(kdc1, bare)).good()
    after = keys(bare)
    assert set(before) < set(after) and len(after) == 4
    assert done.files["keytab"]["action"] == "merge" and "2 others kept" in done.files["keytab"]["detail"]
    assert mode(bare, "/etc/krb5.keytab") == "640 root:mail"
    backup = done.files["keytab"]["backup"]
    assert keys(bare, backup) == before and mode(bare, backup) == "640 root:mail"


def test_keys_that_everybody_could_read(kdc1, bare):
    """What is new in such a file is for its owner and group alone."""
    add_key(bare, "HTTP/kdc2.lab.test@LAB.TEST")
    bare.run("chmod 644 /etc/krb5.keytab; install -m 664 /dev/null /etc/krb5kdc/stash")
    done = enroll(bare, make(kdc1, bare, "--with-stash")).good()
    assert mode(bare, "/etc/krb5.keytab") == "640 root:root" and mode(bare, "/etc/krb5kdc/stash") == "660 root:root"
    for what in ("keytab", "stash"):
        assert "everybody could read it, no more" in done.files[what]["detail"]


def test_other_key_of_the_same_number(kdc1, bare):
    """The key in the bundle is the one in the database: it counts."""
    add_key(bare, "host/kdc2.lab.test@LAB.TEST", kvno=1)
    (old,) = keys(bare)
    done = enroll(bare, make(kdc1, bare)).good()
    assert done.files["keytab"]["action"] == "replace" and old not in keys(bare)
    assert bare.ok("kinit", "-c", "MEMORY:", "-k")


OTHER = """# ours, of old
[libdefaults]
    default_realm = OTHER.TEST
    forwardable = true
[realms]
    OTHER.TEST = {
        kdc = kdc.other.test
    }
"""


def test_other_krb5_conf(kdc1, bare):
    """It is kept and the differences are told; with --replace they give way, and all else stays."""
    data = make(kdc1, bare, "--with-stash")
    bare.write("/etc/krb5.conf", OTHER)
    with Untouched(bare):
        done = enroll(bare, data).failed(3, "/etc/krb5.conf", "contradicts the bundle", "--replace")
        told = feed(bare, data)
        dry = feed(bare, data, "--dry-run")
    assert done.actions()["krb5.conf"] == "conflict"
    assert {"relation": "[libdefaults] default_realm", "here": ["OTHER.TEST"], "bundle": ["LAB.TEST"],
            "action": "conflict"} in done.files["krb5.conf"]["differences"]
    assert "default_realm: here OTHER.TEST, in the bundle LAB.TEST" in told.stdout and told.returncode == 3
    assert (dry.returncode, dry.stdout, dry.stderr) == (3, told.stdout, told.stderr)
    done = enroll(bare, data, "--replace").good()
    assert done.actions()["krb5.conf"] == "replace" and bare.read(done.files["krb5.conf"]["backup"]) == OTHER
    now = bare.read("/etc/krb5.conf")
    for line in ("# ours, of old", "    forwardable = true", "        kdc = kdc.other.test"):
        assert line in now.splitlines()
    verified(kdc1, bare)


def test_link(kdc1, bare):
    """A krb5.conf that is a link to elsewhere stays one."""
    bare.run("mv /etc/krb5.conf /etc/krb5-site.conf; ln -s krb5-site.conf /etc/krb5.conf")
    done = enroll(bare, make(kdc1, bare)).good()
    assert bare.out("readlink", "/etc/krb5.conf") == "krb5-site.conf"
    assert done.files["krb5.conf"]["path"] == "/etc/krb5-site.conf" and "LAB.TEST = {" in bare.read("/etc/krb5-site.conf")


def test_primary_of_another_name(kdc1, bare):
    """Where admin_server is not the host that propagates, the agent is told whom to let in."""
    data = make(kdc1, bare, "--with-stash")
    conf = kdc1.read("/etc/krb5.conf").replace("admin_server = kdc1.lab.test", "admin_server = kerberos.lab.test")
    assert "kerberos.lab.test" in conf
    done = enroll(bare, changed(data, krb5_conf=conf)).good()
    assert bare.read("/etc/kpropctl/agent.acl") == "host/kdc1.lab.test@LAB.TEST\n"
    assert "acl = /etc/kpropctl/agent.acl" in bare.read("/etc/kpropctl/agent.conf")
    assert done.files["agent.conf"]["action"] == "create" and bare.ok("kpropctl-agent", "-t")
    with Untouched(bare):
        again = enroll(bare, changed(data, krb5_conf=conf)).good()
    assert set(again.actions().values()) == {"unchanged"}, again
    verified(kdc1, bare)


def test_purge(kdc1, bare):
    """The package takes what an enrolment has made for the agent with it; keys and krb5.conf stay."""
    conf = kdc1.read("/etc/krb5.conf").replace("admin_server = kdc1.lab.test", "admin_server = kerberos.lab.test")
    enroll(bare, changed(make(kdc1, bare), krb5_conf=conf)).good()
    assert bare.exists("/etc/kpropctl/agent.acl")
    try:
        bare.run("dpkg", "--purge", "kpropctl-agent")
        assert not bare.exists("/etc/kpropctl") and not bare.exists("/var/lib/kpropctl-agent")
    finally:
        bare.install()
    assert keys(bare) and "LAB.TEST = {" in bare.read("/etc/krb5.conf")


def test_agent_acl_that_is_there(kdc1, bare):
    data = make(kdc1, bare)
    bare.write("/etc/kpropctl/agent.conf", "[kpropctl-agent]\n acl = /etc/kpropctl/who\n")
    bare.write("/etc/kpropctl/who", "admin/admin@LAB.TEST\n")
    done = enroll(bare, data).good()
    assert done.actions()["agent's access list"] == "merge"
    assert bare.read("/etc/kpropctl/who") == "admin/admin@LAB.TEST\nhost/kdc1.lab.test@LAB.TEST\n"
    bare.write("/etc/kpropctl/who", "deny:princ:host/kdc1.lab.test@LAB.TEST\n")
    with Untouched(bare):
        enroll(bare, data).failed(3, "/etc/kpropctl/who denies it")


def test_one_file_for_two(kdc1, bare):
    """The agent's own keytab is a link to the system's, and its list is kpropd's."""
    data = make(kdc1, bare)
    add_key(bare, "HTTP/kdc2.lab.test@LAB.TEST")
    bare.write("/etc/kpropctl/agent.conf",
               "[kpropctl-agent]\n keytab = /etc/kpropctl/keytab\n acl = /etc/krb5kdc/kpropd.acl\n")
    bare.run("ln -s ../krb5.keytab /etc/kpropctl/keytab")
    done = enroll(bare, data).good()
    assert len(keys(bare)) == 3 and bare.read("/etc/krb5kdc/kpropd.acl") == "host/kdc1.lab.test@LAB.TEST\n"
    assert done.told["agent"] == "restarted"


def test_services(kdc1, bare):
    bare.run("sed -i '/krb5_prop/d; /^krb-prop/d' /etc/services")
    done = enroll(bare, make(kdc1, bare)).good()
    assert done.actions()["services"] == "merge" and bare.out("getent", "services", "krb5_prop/tcp")
    assert len(bare.read("/etc/services").splitlines()) > 50


def test_other_stash(kdc1, bare):
    """A stash that opens the database here does not go, unless asked; the database is not touched."""
    enroll(bare, make(kdc1, bare, "--with-stash")).good()
    verified(kdc1, bare)
    add_key(bare, "K/M@LAB.TEST", path="/run/other-stash", kvno=1)
    other = subprocess.run(["base64", "-d"], input=bare.run("base64", "/run/other-stash").stdout.encode(),
                           capture_output=True, check=True).stdout
    data = changed(make(kdc1, bare, "--with-stash"), stash=other)
    before = bare.fingerprint("/var/lib/krb5kdc/principal", "/var/lib/krb5kdc/principal.kadm5")
    with Untouched(bare):
        done = enroll(bare, data).failed(3, "/etc/krb5kdc/stash", "it opens the database that is here", "--replace")
    assert done.actions()["stash"] == "conflict"
    done = enroll(bare, data, "--replace").good()
    assert done.files["stash"]["action"] == "replace"
    assert before == bare.fingerprint("/var/lib/krb5kdc/principal", "/var/lib/krb5kdc/principal.kadm5")
    # And back: the one that opens it needs no word.
    assert enroll(bare, make(kdc1, bare, "--with-stash")).good().files["stash"]["action"] == "replace"
    verified(kdc1, bare)


def test_a_file_that_is_no_stash(kdc1, bare):
    """This host's kdc.conf says where the stash is: what else is there does not go, unless asked."""
    data = make(kdc1, bare, "--with-stash")
    bare.run("sed -i 's#key_stash_file = .*#key_stash_file = /etc/profile.d/../fstab#' /etc/krb5kdc/kdc.conf; "
             "echo '# mine' >>/etc/fstab")
    with Untouched(bare):
        enroll(bare, data).failed(3, "fstab: it is no stash file of K/M@LAB.TEST", "--replace")


def test_keytab_is_free_while_a_stash_is_tried(kdc1, bare):
    """That reads a database, which can take long: nobody who needs the keytab waits for it."""
    enroll(bare, make(kdc1, bare, "--with-stash")).good()
    verified(kdc1, bare)
    add_key(bare, "K/M@LAB.TEST", path="/run/other-stash", kvno=1)
    other = bytes.fromhex(bare.out("od -An -v -tx1 /run/other-stash"))
    data = changed(make(kdc1, bare, "--with-stash"), stash=other)
    bare.systemctl("stop", "krb5-kdc", "krb5-kpropd", "kpropctl-agent")
    holder = bare.python("""
import fcntl, signal
f = open('/var/lib/krb5kdc/principal.ok', 'r+')
fcntl.lockf(f, fcntl.LOCK_EX)
print('locked', flush=True)
signal.pause()""")
    assert holder.line == "locked"
    process = start(bare, data)
    wait_until(lambda: "change.lock" in bare.run("ls /run/kpropctl-agent", check=False).stdout)
    for _ in range(10):
        assert bare.ok("timeout", "30", "klist", "-k"), "somebody keeps the keytab"
    assert process.poll() is None, process.stdout.read()
    bare.run("pkill -f '[i]mport fcntl'")
    holder.wait()
    told = process.communicate(timeout=60)[0]
    assert process.returncode == 3 and "it opens the database that is here" in told, told


def test_on_the_primary(kdc1, bare):
    data = make(kdc1, bare)
    agent = "/run/kpropctl-agent-here"
    kdc1.run(f"base64 -d >{agent}; chmod 755 {agent}", input=bare.out("base64", "/usr/sbin/kpropctl-agent"))
    for what, words in ((data, ["it is for kdc2.lab.test, and this host is kdc1.lab.test"]),
                        (changed(data, host="kdc1.lab.test"), ["primary itself", "that is to be a replica"]),
                        (changed(data, host="kdc1.lab.test", primary="host/kdc9.lab.test@LAB.TEST"),
                         ["kadmind (pid", "so it is a primary"])):
        with Untouched(kdc1):
            done = feed(kdc1, what, agent=agent)
        assert done.returncode == 3, done
        for word in words:
            assert word in done.stderr, done


def test_name(kdc1, bare):
    """The bundle must be for this host, by its name, its canonical name, or as it is told."""
    data = make(kdc1, bare)
    try:
        bare.run("hostname", "kdc2")
        enroll(bare, data, "--dry-run").good()
        bare.run("hostname", "elsewhere")
        with Untouched(bare):
            enroll(bare, data).failed(3, "it is for kdc2.lab.test, and this host is elsewhere", "--host kdc2.lab.test")
            enroll(bare, data, "--host", "kdc9.lab.test").failed(3, "this host is kdc9.lab.test")
        done = enroll(bare, data, "--host", "kdc2.lab.test").good()
        # The agent could not tell that it is its own: it lets the primary in all the same.
        assert done.files["agent.conf"]["detail"] == "names = kdc2.lab.test added", done
        assert "lets host/kdc1.lab.test@LAB.TEST in" in kdc1.run("kpropctl", "setup-slave", bare.name, check=False).stdout
        with Untouched(bare):
            again = enroll(bare, data, "--host", "kdc2.lab.test").good()
        assert "agent.conf" not in again.files, again
    finally:
        bare.run("hostname", bare.name)


def test_input(kdc1, bare):
    """A terminal and an empty pipe are told what to do."""
    with Untouched(bare):
        mine, theirs = pty.openpty()
        with bare.start("kpropctl-agent", "enroll", stdin=theirs, stdout=theirs, stderr=subprocess.PIPE) as process:
            os.close(theirs)
            said = process.stderr.read()
        os.close(mine)
        assert process.returncode == 2 and "terminal" in said
        assert "kpropctl enroll HOST | ssh root@HOST kpropctl-agent enroll" in said
        done = feed(bare, b"")
        assert done.returncode == 3 and "standard input is empty" in done.stderr and "before the pipe" in done.stderr
        done = feed(bare, make(kdc1, bare), "--nonsense")
        assert done.returncode == 2 and "enroll --help" in done.stderr
        enroll(bare, changed(make(kdc1, bare), realm="R\u00e9alm"), "--dry-run").failed(3, "of its realm")
        latin = changed(make(kdc1, bare), realm=b"R\xe9alm", primary=b"host/kdc1.lab.test@R\xe9alm")
        assert enroll(bare, latin, "--dry-run").failed(3).told["error"]
        # Not behind remctld, and for root alone.
        done = feed(bare, make(kdc1, bare), before="REMOTE_USER=host/kdc1.lab.test@LAB.TEST")
        assert done.returncode == 2 and "unknown verb" in done.stderr
        done = bare.run("setpriv", "--reuid", "nobody", "--clear-groups", "kpropctl-agent", "enroll", check=False)
        assert done.returncode == 3 and "only root may" in done.stderr


def test_no_start(kdc1, bare):
    bare.systemctl("disable", "--now", "kpropctl-agent")
    done = enroll(bare, make(kdc1, bare), "--no-start").good()
    assert done.told["agent"] == "not started" and not bare.active("kpropctl-agent")
    done = enroll(bare, make(kdc1, bare)).good()
    assert done.told["agent"] == "started" and bare.enabled("kpropctl-agent")


def test_agent_that_does_not_start(kdc1, bare):
    """Told, with the files in place; the next enrolment starts it."""
    data = make(kdc1, bare)
    bare.systemctl("stop", "kpropctl-agent")
    holder = bare.python("import signal, socket\ns = socket.create_server(('', 4373))\n"
                         "print('held', flush=True)\nsignal.pause()")
    assert holder.line == "held"
    done = enroll(bare, data)
    assert done.status == 1 and "the files are in place, but the agent does not run" in done.stderr, done
    assert "cannot listen on port 4373" in done.stderr and keys(bare)
    bare.run("pkill -f '[c]reate_server'")
    holder.wait()
    assert enroll(bare, data).good().told["agent"] in ("started", "running")


@pytest.fixture
def held(bare):
    """Enrolments there wait for the keytab's lock, having looked at configuration files alone, until it is called."""
    add_key(bare, "HTTP/kdc2.lab.test@LAB.TEST")
    holder = bare.python("""
import fcntl, signal
f = open('/etc/krb5.keytab', 'r+')
fcntl.lockf(f, fcntl.LOCK_EX)
print('locked', flush=True)
signal.pause()""")
    assert holder.line == "locked"

    def let_go():
        bare.run("pkill -f '[i]mport fcntl'")
        holder.wait()
    yield let_go


def test_two_at_once(kdc1, bare, held):
    """The second waits for the first, says for whom, and finds all done."""
    data = make(kdc1, bare)
    first = start(bare, data)
    pid = wait_until(lambda: bare.out("cat /run/kpropctl-agent/change.lock 2>/dev/null || :"))
    second = start(bare, data)
    assert second.stdout.readline() == f"kpropctl-agent: another change (pid {pid}) is still running: waiting for it\n"
    held()
    said = first.communicate(timeout=60)[0], second.communicate(timeout=60)[0]
    assert first.returncode == second.returncode == 0, said
    assert "\nenrolled\n" in said[0] and "already enrolled" in said[1], said


def test_ktadd_meanwhile(kdc1, bare):
    """Whoever writes into the keytab while it is being replaced loses nothing: here just before the rename."""
    add_key(bare, "HTTP/kdc2.lab.test@LAB.TEST")
    bare.run("rm -f /run/late")
    halted = "strace -qq -o /dev/null -e trace=link -e inject=link:signal=STOP:when=1"
    data = make(kdc1, bare)
    process = start(bare, data, before=halted)
    wait_until(lambda: [path for path in others(bare) if "/.krb5" in path])
    somebody = threading.Thread(target=add_key, args=(bare, "nfs/kdc2.lab.test@LAB.TEST"))
    somebody.start()
    wait_until(lambda: bare.ok("grep -q -e '->' /proc/locks"), timeout=60, message="nobody waits for the keytab's lock")
    bare.run("pkill -CONT -x kpropctl-agent")
    somebody.join()
    told = process.communicate(timeout=60)[0]
    assert process.returncode == 0, told
    assert {line.split()[1].partition("/")[0] for line in keys(bare)} == {"HTTP", "host", "nfs"}, told
    assert "1 that somebody added meanwhile kept" in told
    assert enroll(bare, data).good().actions()["keytab"] == "unchanged"
