"""kpropctl setup-slave --via: from a bare host to a verified replica with one command, over a real sshd and over a
stand-in for it; what goes wrong on the way, what is left then, and where keys never are."""
import base64
import json
import time
import unicodedata

import pytest

from lab import wait_until
from setup_kit import Report, ticket

NEEDS = {"python3": "test_bare_host_over_a_stand_in*"}

KINDS = ["bare+ssh", "bare+agent+ssh", "rhel+bare+agent+ssh"]
SSH = "ssh root@%h"
PACKAGE = "/root/kpropctl-agent.deb"

# The other end of the stand-in: runs words as they are, without a shell.
SERVER = """
import json, os, socket, subprocess, threading
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(('', 2222))
listener.listen()
print('listening', flush=True)

def serve(peer):
    stream = peer.makefile('rwb')
    words = json.loads(stream.readline())
    data = stream.read(int(stream.readline()))
    try:
        done = subprocess.run(words, input=data, capture_output=True)
        answer = [done.returncode, done.stdout.decode('latin1'), done.stderr.decode('latin1')]
    except FileNotFoundError as e:
        answer = [127, '', str(e)]
    stream.write(json.dumps(answer).encode())
    stream.close()
    peer.close()

while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""
CLIENT = """#!/usr/bin/python3
import json, socket, sys
data = sys.stdin.buffer.read()
peer = socket.create_connection((sys.argv[1], 2222), 10)
stream = peer.makefile('rwb')
stream.write(json.dumps(sys.argv[2:]).encode() + b'\\n' + str(len(data)).encode() + b'\\n' + data)
stream.flush()
status, out, err = json.loads(stream.read())
sys.stdout.buffer.write(out.encode('latin1'))
sys.stderr.buffer.write(err.encode('latin1'))
sys.exit(status)
"""

# All arguments and environments that any process ever has, told at the end.
WATCHER = """
import os, signal, sys
seen, going = set(), [True]
signal.signal(signal.SIGTERM, lambda *_: going.clear())
print('watching', flush=True)
while going:
    for pid in filter(str.isdigit, os.listdir('/proc')):
        for name in ('cmdline', 'environ'):
            try: seen.add(open(f'/proc/{pid}/{name}', 'rb').read())
            except OSError: pass
open('/run/seen', 'wb').write(b'\\n'.join(seen))
"""


@pytest.fixture
def primary(special):
    host = special.hosts["kdc1"]
    data = next(special.packages.glob("kpropctl-agent_*_amd64.deb")).read_bytes()
    host.run(f"base64 -d >{PACKAGE}", input=base64.b64encode(data).decode())
    return host


@pytest.fixture
def bare(special):
    """Kerberos' packages, nothing configured, no agent."""
    return special.host("bare+ssh")


@pytest.fixture
def ready(special):
    """A bare host with our package."""
    return special.host("bare+agent+ssh")


def set_up_by(primary, host, *options, via=SSH, check=None, **how):
    """kpropctl setup-slave --via: its Report."""
    words = ["--via", via] if via else []
    done = primary.run("kpropctl", "setup-slave", "--json", *words, *options, getattr(host, "name", host), check=False,
                       timeout=120, **how)
    try:
        return Report(json.loads(done.stdout), done.returncode, done.stderr)
    except ValueError:
        raise AssertionError(f"exit {done.returncode}: {done.stdout}{done.stderr}")


def all_in_one(primary, host, via=SSH):
    return set_up_by(primary, host, "--with-stash", "--agent-package", PACKAGE, via=via)


def uploads(host):
    return host.out("ls -A /root | grep kpropctl-agent || :")


def untouched(host):
    """What an enrolment would change. krb5's replay cache and logs aside."""
    return host.fingerprint("/etc/krb5.conf", "/etc/krb5kdc", "/etc/krb5.keytab", "/etc/kpropctl", "/var/lib/krb5kdc", "/root")


def script(primary, text, name="/root/via"):
    """A program for --via."""
    primary.write(name, "#!/bin/bash\n" + text, "755")
    return name + " %h"


# It works.

def test_bare_host_over_ssh(primary, bare):
    """Package, key, configuration and stash; and after a reboot all of it serves."""
    report = all_in_one(primary, bare).good()
    assert "installed kpropctl-agent, and enrolled kdc2.lab.test by 'ssh root@kdc2.lab.test', with the stash" in \
        report.summary("enrolled")
    for word in ("/etc/krb5.conf", "created /etc/krb5.keytab", "created /etc/krb5kdc/stash", "/etc/krb5kdc/kpropd.acl"):
        assert word in report.steps["enrolled"]["detail"], report.steps["enrolled"]
    assert {"principals", "enrolled", "loader", "propagate", "kdc", "record"} <= set(report.fixed())
    assert ticket(bare) == "" and uploads(bare) == ""
    assert bare.out("stat -c '%a %U' /etc/krb5.keytab /etc/krb5kdc/stash") == "600 root\n600 root"
    again = all_in_one(primary, bare).good()
    assert again.fixed() == [] and again.summary("enrolled").startswith("kdc2.lab.test has its key")
    assert set_up_by(primary, bare, via=None).good().fixed() == []
    bare.reboot()
    assert primary.run("kpropctl", "check", bare.name, check=False).returncode == 0
    assert ticket(bare) == ""


def test_bare_host_over_a_stand_in(primary, bare):
    """A program that executes words as they are, where ssh gives them to a shell."""
    with bare.python(SERVER) as server:
        assert server.line == "listening"
        primary.write("/root/stand-in", CLIENT, "755")
        report = all_in_one(primary, bare, via="'/root/stand-in' \"%h\"").good()
        assert "enrolled" in report.fixed() and uploads(bare) == ""
        server.kill()


def test_rhel_paths(primary, special):
    host = special.host("rhel+bare+agent+ssh")
    set_up_by(primary, host, "--with-stash").good()
    assert host.exists("/var/kerberos/krb5kdc/principal") and not host.exists("/etc/krb5kdc")
    assert host.active("kprop") and host.active("krb5kdc")


def test_the_pipe(primary, ready):
    """The two steps by hand; then setup-slave needs no --via."""
    primary.run(f"kpropctl enroll --with-stash {ready.name} | ssh root@{ready.name} kpropctl-agent enroll")
    report = set_up_by(primary, ready, via=None).good()
    assert "enrolled" not in report.steps and ticket(ready) == ""


def test_several_hosts(primary, ready, special):
    other = special.host("rhel+bare+agent+ssh")
    done = primary.run("kpropctl", "setup-slave", "--with-stash", "--via", SSH, ready.name, other.name, timeout=120)
    assert done.stdout.count("is a verified replica of LAB.TEST") == 2


def test_an_enrolled_host_keeps_its_key(primary, ready):
    """Nothing is enrolled where nothing lacks, and no key changes."""
    set_up_by(primary, ready, "--with-stash").good()
    before = ready.out("klist", "-ke")
    assert set_up_by(primary, ready, "--with-stash", "--replace").good().fixed() == []
    assert ready.out("klist", "-ke") == before


def test_a_stale_key_is_brought_again(primary, ready):
    set_up_by(primary, ready, "--with-stash").good()
    primary.run("kadmin.local", "cpw", "-randkey", f"host/{ready.name}")
    plain = set_up_by(primary, ready, via=None)
    assert plain.status != 0 and plain.last["id"] in ("agent", "replica-keytab"), plain
    assert f"kpropctl enroll {ready.name} | ssh root@{ready.name} kpropctl-agent enroll" in plain.last["hint"]
    assert f"setup-slave --via 'ssh root@%h' {ready.name}" in plain.last["hint"]
    assert set_up_by(primary, ready).good().fixed() == ["enrolled", "propagate"]


def test_hints_name_both_ways(primary, bare, ready):
    """No agent; and an agent without a key."""
    for host in (bare, ready):
        report = set_up_by(primary, host, via=None).stopped(
            "agent", "failed", 4, hint=[f"kpropctl enroll {host.name} | ssh root@{host.name} kpropctl-agent enroll",
                                        f"kpropctl setup-slave --via 'ssh root@%h' {host.name}"])
        assert "enrolled" not in report.steps


# The stash.

def test_no_stash(primary, ready):
    """Told with the remedy before anything is sent; and then mended as it says."""
    report = set_up_by(primary, ready).stopped("realm", "failed", 1, summary="kdc3.lab.test has no stash (/etc/krb5kdc/stash)",
                                           hint=["kpropctl enroll --with-stash kdc3.lab.test | ssh root@kdc3.lab.test",
                                                 "setup-slave --with-stash --via 'ssh root@%h' kdc3.lab.test"])
    assert "enrolled" in report.fixed() and not ready.exists("/var/lib/krb5kdc/principal")
    assert not ready.exists("/etc/krb5kdc/stash")
    report = set_up_by(primary, ready, "--with-stash").good()
    assert "enrolled" in report.fixed() and ready.exists("/etc/krb5kdc/stash")


# A dry run.

def test_dry_run(primary, bare, ready):
    """Of a host with the agent, what it says itself; and nothing is changed anywhere."""
    for host in (bare, ready):
        primary.run("kadmin.local", "addprinc", "-randkey", f"host/{host.name}")
        before = untouched(host), primary.fingerprint("/etc", "/var/lib/krb5kdc/.k5.LAB.TEST")
        report = set_up_by(primary, host, "--dry-run", "--with-stash", "--agent-package", PACKAGE)
        assert (untouched(host), primary.fingerprint("/etc", "/var/lib/krb5kdc/.k5.LAB.TEST")) == before
        assert report.status == 0 and "would enrol it" in report.summary("enrolled"), report
        assert report.last["id"] == "agent"
        if host is bare:
            assert f"would install {PACKAGE} there first" in report.steps["enrolled"]["detail"]
        else:
            assert "create /etc/krb5.keytab" in report.steps["enrolled"]["detail"]
            assert "create /etc/krb5kdc/stash" in report.steps["enrolled"]["detail"]


def test_dry_run_without_principal(primary, ready):
    report = set_up_by(primary, ready, "--dry-run", "--with-stash")
    assert report.status == 0 and "has no key yet: would enrol it" in report.summary("enrolled")
    assert "does not exist" in primary.run("kadmin.local", "getprinc", f"host/{ready.name}", check=False).stderr


# What contradicts there.

def test_another_krb5_conf(primary, ready):
    """Kept and told; with --replace it gives way."""
    ready.append("/etc/krb5.conf", "\n[realms]\n LAB.TEST = {\n  kdc = elsewhere.lab.test\n  admin_server = elsewhere.lab.test\n }\n")
    before = ready.read("/etc/krb5.conf")
    primary.run("kadmin.local", "addprinc", "-randkey", f"host/{ready.name}")
    for option in (["--dry-run"], []):
        report = set_up_by(primary, ready, "--with-stash", *option)
        told = report.stopped("enrolled", "refused", 3, summary="contradicts", hint="--replace").last
        assert "elsewhere.lab.test" in told["detail"] and "/etc/krb5.conf" in told["detail"], told
        assert ready.read("/etc/krb5.conf") == before and not ready.exists("/etc/krb5.keytab")
    assert "would be" not in report.summary("enrolled")
    report = set_up_by(primary, ready, "--with-stash", "--replace").good()
    assert "elsewhere" in ready.out("cat /etc/krb5.conf.kpropctl-backup-*")


# The way does not work.

def test_without_agent_and_package(primary, bare):
    set_up_by(primary, bare).stopped("enrolled", "failed", 1, summary="kpropctl-agent is not installed on kdc2.lab.test",
                                 hint="--agent-package FILE")


def test_a_dark_host(primary, bare):
    """Neither its agent nor ssh answers: it is unreachable, whatever else it lacks."""
    bare.fault("cut")
    before = time.monotonic()  # real time: TCP itself would try for minutes, each time
    for options in ([], ["--agent-package", PACKAGE], ["--dry-run"]):
        report = set_up_by(primary, bare, *options, via="ssh -o ConnectTimeout=3 root@%h")
        report.stopped("enrolled", "failed", 4, summary=["cannot reach kdc2.lab.test by 'ssh -o ConnectTimeout=3 root@kdc2.",
                                                         "connect to host kdc2.lab.test port 22"], hint="true")
    assert time.monotonic() - before < 60  # real time: as above


def test_a_closed_agent_port_is_no_reason_not_to_try(primary, ready):
    """Enrolled, and then it is the agent's port that is told."""
    ready.fault("drop", 4373)
    report = set_up_by(primary, ready, "--with-stash")
    assert (report.status, report.verified) == (4, False) and "4373" in report.last["summary"] + report.last["hint"], report
    assert ready.exists("/etc/krb5.keytab")


def test_permission_denied(primary, bare):
    set_up_by(primary, bare, via="ssh -o BatchMode=yes -i /nonexistent -o IdentitiesOnly=yes nobody@%h").stopped(
        "enrolled", "failed", 4, summary=["cannot reach kdc2.lab.test", "Permission denied"])


@pytest.mark.parametrize("text, status, says", [
    ("echo 'ssh: no way' >&2; exit 255", 4, ["cannot reach", "ssh: no way"]),
    ("exit 255", 4, "exit status 255"),
    ("echo 'bash: line 1: kpropctl-agent: command not found' >&2; exit 127", 1, "kpropctl-agent is not installed"),
    ("echo 'sudo: a password is required' >&2; exit 1", 1, ["did not answer as it should", "a password is required"]),
    ("printf 'Welcome \\033[31mto \\007this host\\n'; cat >/dev/null", 1, ["did not answer", "Welcome ?[31mto ?this host"]),
    ("head -c 3000000 /dev/urandom", 1, "did not answer as it should"),
    ("echo '{\"files\": 7, \"error\": \"\\u001b[31mred\"}'; exit 9", 1, "red"),
    ("echo '{{{{{{{{'", 1, "did not answer as it should"),
    ("kill -KILL $$", 1, "killed by signal 9"),
    ("exec >&- 2>&- <&-; exit 0", 1, "did not answer as it should")])
def test_a_program_that_fails(primary, ready, text, status, says):
    report = set_up_by(primary, ready, "--with-stash", via=script(primary, text))
    report.stopped("enrolled", "failed", status, summary=says)
    assert all(unicodedata.category(c) != "Cc" for c in report.last["summary"])
    assert not ready.exists("/etc/krb5.keytab")


def test_a_program_that_does_nothing_is_found_out(primary, ready):
    """What it says is good, and what is seen is not."""
    report = set_up_by(primary, ready, via=script(primary, "cat >/dev/null; echo '{\"files\": []}'"))
    assert report.status == 4 and report.last["id"] == "enrolled" and report.last["level"] == "failed", report


@pytest.mark.parametrize("options, says", [
    (["--with-stash"], "--with-stash is of no use without --via"), (["--replace"], "--replace is of no use"),
    (["--agent-package", PACKAGE], "--agent-package is of no use"), (["--via", ""], "which program?"),
    (["--via", "no-such-program %h"], "there is no program"), (["--via", "ssh 'root@%h"], "without its end"),
    (["--via", "ssh root@%H"], "means nothing"), (["--via", "ssh root@kdc2.lab.test", "kdc3.lab.test"], "leads to the same host"),
    (["--via", SSH, "--agent-package", "/etc/krb5.conf"], "no .deb and no .rpm"),
    (["--via", SSH, "--agent-package", "/root/none.deb"], "cannot read"),
    (["--via", SSH, "--agent-package", "/root/text.deb"], "whatever its name"),
    (["--via", SSH, "--agent-package", "/root"], "no .deb"), (["--via", SSH, "--agent-package", "/root/dir.deb"], "whatever its name"),
    (["--via", SSH, "--agent-package", "/root/other.deb"], "the package of hello")])
def test_usage(primary, options, says):
    if "other.deb" in options[-1]:
        primary.run("mkdir -p /run/hello/DEBIAN; printf 'Package: hello\\nVersion: 1\\nArchitecture: all\\n"
                    "Maintainer: x\\nDescription: x\\n' >/run/hello/DEBIAN/control; dpkg-deb -b /run/hello /root/other.deb")
    primary.run("echo text >/root/text.deb; mkdir -p /root/dir.deb")
    done = primary.run("kpropctl", "setup-slave", *options, "kdc2.lab.test", check=False)
    assert (done.returncode, done.stdout) == (2, "") and says in done.stderr, done


# The package.

def test_a_package_that_does_not_install(primary, bare):
    """Its own words, and nothing of it stays."""
    primary.run("mkdir -p /run/bad/DEBIAN; printf 'Package: kpropctl-agent\\nVersion: 9\\nArchitecture: all\\nMaintainer: x\\n"
                "Depends: no-such-package\\nDescription: x\\n' >/run/bad/DEBIAN/control; dpkg-deb -b /run/bad /root/bad.deb")
    report = set_up_by(primary, bare, "--agent-package", "/root/bad.deb")
    report.stopped("enrolled", "failed", 1, summary=["cannot install the agent's package on kdc2.lab.test", "exit status 100"])
    assert uploads(bare) == "" and not bare.exists("/etc/krb5.keytab")


def test_a_full_disk(primary, bare):
    report = set_up_by(primary, bare, "--agent-package", PACKAGE,
                   via=script(primary, 'case "$2" in dd) echo "dd: error writing: No space left on device" >&2; exit 1;; esac\n'
                                       'exec ssh "root@$1" "${@:2}"'))
    report.stopped("enrolled", "failed", 1, summary=["cannot write the agent's package on kdc2.lab.test", "No space left"])
    assert uploads(bare) == ""


def test_the_agent_that_is_there_stays(primary, ready):
    """The same version is not installed again, and a newer one not replaced."""
    log = script(primary, 'echo "${@:2}" >>/root/via.log\nexec ssh "root@$1" "${@:2}"')
    set_up_by(primary, ready, "--with-stash", "--agent-package", PACKAGE, via=log).good()
    told = primary.read("/root/via.log")
    assert told.splitlines() == ["kpropctl-agent --version", "kpropctl-agent enroll --json"]
    assert all(c.isalnum() or c in "-_./=:+,@ \n" for c in told)


def test_an_enrolled_host_gets_a_newer_agent(primary, ready):
    """Alone: its configuration is not looked at, and nothing else is done. The older one stays away."""
    set_up_by(primary, ready, "--with-stash").good()
    old = ready.out("kpropctl-agent", "--version").split()[1]
    ready.run("sed -i '/kdc = kdc1/d' /etc/krb5.conf")
    primary.run(f"dpkg-deb -R {PACKAGE} /run/newer && sed -i 's/^Version: .*/Version: 9.1.0+local1-2/' /run/newer/DEBIAN/control && "
                f"perl -pi -e 's/\\b{old}(?=\\0)/9.1.0/g' /run/newer/usr/sbin/kpropctl-agent && "
                "dpkg-deb -b /run/newer /root/newer.deb", timeout=120)
    dry = set_up_by(primary, ready, "--dry-run", "--agent-package", "/root/newer.deb")
    assert "would install /root/newer.deb" in dry.steps["enrolled"]["detail"], dry
    report = set_up_by(primary, ready, "--agent-package", "/root/newer.deb").good()
    assert report.summary("enrolled") == f"installed kpropctl-agent 9.1.0 on {ready.name}" and report.fixed() == ["enrolled"]
    assert ready.out("kpropctl-agent", "--version") == "kpropctl-agent 9.1.0"
    for package in ("/root/newer.deb", PACKAGE):
        assert set_up_by(primary, ready, "--agent-package", package).good().fixed() == []


def test_an_access_list_without_the_primary(primary, ready):
    """It has no place in it: the enrolment gives it one."""
    set_up_by(primary, ready, "--with-stash").good()
    ready.write("/etc/kpropctl/agent.acl", "host/old.lab.test@LAB.TEST\n")
    ready.write("/etc/kpropctl/agent.conf", "[kpropctl-agent]\n    acl = /etc/kpropctl/agent.acl\n")
    ready.systemctl("restart", "kpropctl-agent")
    set_up_by(primary, ready, via=None).stopped("agent", "refused", 3, summary="does not allow")
    assert set_up_by(primary, ready).good().fixed() == ["enrolled"]
    assert ready.read("/etc/kpropctl/agent.acl").splitlines()[0] == "host/old.lab.test@LAB.TEST"


def test_an_older_agent_is_replaced(primary, bare):
    """Words alone are in what is run there, whatever is done."""
    log = script(primary, 'echo "${@:2}" >>/root/via.log\n[ "$3" != --version ] || { echo kpropctl-agent 0.0.9; exit; }\n'
                          'exec ssh "root@$1" "${@:2}"')
    all_in_one(primary, bare, via=log).good()
    told = primary.read("/root/via.log")
    words = [line.split()[0] for line in told.splitlines()]
    assert words == ["kpropctl-agent", "test", "dd", "env", "rm", "kpropctl-agent"]
    assert all(c.isalnum() or c in "-_./=:+,@ \n" for c in told), told


def test_an_rpm(primary, ready):
    """There is no dnf here: the words that would be run, and what its failure becomes."""
    primary.run("printf '\\355\\253\\356\\333%0100d' 0 >/root/agent.rpm")
    log = script(primary, """echo "${@:2}" >>/root/via.log
case "$2 $3" in
    "kpropctl-agent --version") exit 127;;
    dnf*) ls -l /root/agent.rpm; echo "Error: $(cat /root/dnf)" >&2; [ ! -s /root/dnf ]; exit;;
esac
exec ssh "root@$1" "${@:2}"
""")
    primary.write("/root/dnf", "Unable to find a match")
    report = set_up_by(primary, ready, "--with-stash", "--agent-package", "/root/agent.rpm", via=log)
    report.stopped("enrolled", "failed", 1, summary=["cannot install the agent's package", "Unable to find a match"])
    primary.write("/root/dnf", "")
    primary.remove("/root/via.log")
    set_up_by(primary, ready, "--with-stash", "--agent-package", "/root/agent.rpm", via=log).good()
    told = primary.read("/root/via.log").splitlines()
    name = told[1].split("of=")[1]
    assert name.startswith("/root/.kpropctl-agent-") and name.endswith(".rpm")
    assert told == ["kpropctl-agent --version", f"dd status=none of={name}", f"dnf --assumeyes install {name}",
                    f"rm -f {name}", "kpropctl-agent enroll --json"]
    assert uploads(ready) == ""


def test_a_long_report_is_told_in_part(primary, ready):
    """More differences than a row can show."""
    lines = "".join(f"  kdc = old{n}-with-a-very-long-name-that-fills-the-report.lab.test\n" for n in range(400))
    ready.append("/etc/krb5.conf", f"\n[realms]\n LAB.TEST = {{\n{lines} }}\n")
    report = set_up_by(primary, ready, "--with-stash").stopped("enrolled", "refused", 3, detail="/etc/krb5.conf")
    assert len(report.last["detail"]) < 4096
    set_up_by(primary, ready, "--with-stash", "--replace").good()


# Ended half-way.

# Where it is to be slow it waits until whoever called it is gone.
SLOW = """case "$*" in *"$(cat /root/slow-at)"*) touch /run/arrived; tail --follow --pid=$PPID /dev/null <&0;; esac
exec ssh "root@$1" "${@:2}"
"""


@pytest.mark.parametrize("sig", ["INT", "TERM", "KILL"])
@pytest.mark.parametrize("step", ["version", "dd", "apt-get", "enroll"])
def test_ended_half_way(primary, bare, step, sig):
    """No process stays here, nothing uploaded there; and the same command again makes the replica."""
    via = script(primary, SLOW)
    primary.write("/root/slow-at", step)
    primary.run("rm -f /run/arrived")
    words = ["kpropctl", "setup-slave", "--via", via, "--with-stash", "--agent-package", PACKAGE, bare.name]
    with primary.start(*words) as process:
        wait_until(lambda: primary.exists("/run/arrived"), timeout=60)
        primary.run("pkill", "-" + sig, "-o", "-x", "kpropctl")
        process.communicate(timeout=60)
    assert process.returncode != 0
    wait_until(lambda: not primary.ok("pgrep -x 'kpropctl|ssh' || pgrep -f '[/]root/via'"), timeout=60)
    wait_until(lambda: uploads(bare) == "", timeout=60)
    primary.remove("/root/slow-at")
    primary.write("/root/slow-at", "never")
    all_in_one(primary, bare, via=via).good()
    assert uploads(bare) == ""


# Secrets.

def test_keys_are_nowhere_but_in_their_files(primary, bare):
    """Not in an argument, not in an environment, not in a log, and in no file but those that hold them."""
    with primary.python(WATCHER) as here, bare.python(WATCHER) as there:
        assert (here.line, there.line) == ("watching", "watching")
        done = all_in_one(primary, bare).good()
        for host in (primary, bare):
            host.run("pkill -TERM -f '[s]een, going'")
    keytab = base64.b64decode(bare.out("base64", "/etc/krb5.keytab"))
    stash = base64.b64decode(primary.out("base64", "/etc/krb5kdc/stash"))
    entries = bare.out("klist", "-keK").splitlines()[3:]
    keys = [bytes.fromhex(line.split("(0x")[1].rstrip(")")) for line in entries]
    assert len(keys) == 2 and all(key in keytab for key in keys)
    master = primary.out("klist", "-keK", "/etc/krb5kdc/stash").splitlines()[3]
    keys.append(bytes.fromhex(master.split("(0x")[1].rstrip(")")))
    assert keys[2] in stash
    forms = [form for key in keys for form in (key, key.hex().encode(), key.hex().upper().encode(),
                                               base64.b64encode(key).rstrip(b"="))]
    for host in (primary, bare):
        seen = base64.b64decode(host.out("base64", "/run/seen"))
        assert b"kpropctl-agent" in seen and b"enroll" in seen, "the watcher saw it at work"
        texts = [seen, host.journal(lines=100000).encode(), repr(done.told).encode()]
        assert not [form for form in forms for text in texts if form in text]
    holders = "\n".join(forms_in(host, [key.hex() for key in keys]) for host in (primary, bare))
    assert sorted(holders.split()) == sorted(["kdc1:/etc/krb5kdc/stash", "kdc2:/etc/krb5kdc/stash", "kdc2:/etc/krb5.keytab"])


def forms_in(host, keys):
    """HOST:PATH of each file that has one of the keys in it."""
    find = f"""
import os
keys = [bytes.fromhex(key) for key in {keys!r}]
for top in ('/etc', '/root', '/run', '/tmp', '/var', '/dev/shm'):
    for folder, _, names in os.walk(top):
        for path in (os.path.join(folder, name) for name in names):
            try: data = open(path, 'rb').read() if os.path.isfile(path) and not os.path.islink(path) else b''
            except OSError: continue
            if any(key in data for key in keys): print('{host.short}:' + path)
"""
    return host.out("/usr/bin/python3", "-c", find)


def test_a_realm_that_was_destroyed_and_created_anew(primary, bare):
    """Other master key, other keys, few principals, and a krb5kdc that runs with what is gone: one command adopts it,
    which names each thing that it would give up."""
    all_in_one(primary, bare).good()
    primary.run("kdb5_util -r LAB.TEST destroy -f && kdb5_util -P another create -s && "
                "systemctl restart krb5-kdc krb5-admin-server")
    set_up_by(primary, bare, via=None).stopped("keytab", "failed", 1, summary="another database", hint="--renew-keys")
    report = set_up_by(primary, bare, "--overwrite", "--with-stash", "--replace")
    report.stopped("dump", "refused", 3, summary="shrunk", hint="--allow-shrink")
    assert "enrolled" in report.fixed() and "of another database out" in report.summary("keytab"), report
    report = set_up_by(primary, bare, "--overwrite", "--with-stash", "--replace", "--allow-shrink").good()
    assert {"propagate", "ticket"} <= set(report.fixed()), report
    assert "not found" in ticket(bare)  # alice is gone with it
    assert set_up_by(primary, bare, via=None).good().fixed() == []
