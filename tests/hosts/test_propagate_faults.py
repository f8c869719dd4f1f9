"""kpropctl propagate when things break: never called verified, the cause named, healed by a later run.

The fleet is set up once for this file; a test that has broken something mends it, and the next
propagation must bring the fleet back by itself."""
import re
import signal

import pytest

from lab import wait_until
from propagate_kit import (Serving, configure_more, fleet_of, good, history, last, parse, propagate,
                           refused, sent, whole, wrap_kprop)
from setup_kit import add_user, break_load, dumps_left, mend_load, serves_old, ticket
from standins import until

NEEDS = {
    "python3": "test_a_silent_listener",
    "strace": "test_no_secret_in_arguments",
    "faketime": "test_clock_set_back_on_the_primary",
    "krb5-admin-server": "test_plain_load_killed_after_its_rename",
}

STATE = "/var/lib/kpropctl/state.db"
LOCK = "/run/kpropctl/LAB.TEST.lock"
DROPIN = "/etc/systemd/system/krb5-kpropd.service.d/zz-kpropctl.conf"
number = iter(range(1000))


@pytest.fixture(scope="module")
def made(lab):
    return fleet_of(lab, ["kdc2", "kdc3"])


@pytest.fixture
def fleet(made):
    kdc1 = made[0]
    configure_more(kdc1, retries=0, connect_timeout=2)
    yield made
    for host in made:
        disk = host.ok("grep -q lab-disk /proc/mounts")
        host.fault("clear")
        if disk:
            host.run("systemctl restart krb5-kdc krb5-kpropd kpropctl-agent")
    configure_more(kdc1, connect_timeout=5)
    # A host whose cable was out is not found again at once.
    wait_until(lambda: kdc1.ok("kpropctl", "propagate", timeout=120))
    good(propagate(kdc1))
    kdc1.remove("/etc/kpropctl/kpropctl.conf")
    assert dumps_left(kdc1) == "" and whole(kdc1)
    for host in made[1:]:
        assert ticket(host) == ""


def change(kdc1):
    """A new user, whom no replica knows yet: its name."""
    name = f"new{next(number)}"
    add_user(kdc1, name)
    return name


def has(host, name):
    """Whether the database of the host knows this user and serves it."""
    return ticket(host, name) == ""


# Hosts and networks.

def test_a_dead_replica_delays_no_other(fleet):
    kdc1, kdc2, kdc3 = fleet
    kdc1.append("/etc/hosts", "10.75.4.99 kdc9.lab.test kdc9\n")
    name = change(kdc1)
    kdc3.fault("cut")
    configure_more(kdc1, retries=0, connect_timeout=15)
    run = kdc1.start("kpropctl", "propagate", "kdc2.lab.test", "kdc3.lab.test", "kdc9.lab.test")
    wait_until(lambda: has(kdc2, name), timeout=60)
    assert run.poll() is None, "it waits for the others"
    said = run.communicate(timeout=60)[0]
    assert run.returncode == 4, said
    lines = [line.split()[:2] for line in said.splitlines() if line.startswith("kdc")]
    assert ["kdc2.lab.test", "verified"] in lines and ["kdc3.lab.test", "failed"] in lines, said
    assert ["kdc9.lab.test", "failed"] in lines, said
    rows = {row["host"]: row for row in history(kdc1)[:3]}
    assert rows["kdc3.lab.test"]["result"] == "failed" and rows["kdc3.lab.test"]["error"], rows


def test_what_passes_by_itself_is_tried_again(fleet):
    kdc1, kdc2, _ = fleet
    kdc1.remove("/root/tries")
    wrap_kprop(kdc1, "echo >>/root/tries; exec $real \"$@\"", retries=6, retry_delay=1)
    name = change(kdc1)
    kdc1.fault("forbid", "754")
    run = kdc1.start("kpropctl", "propagate", "kdc2.lab.test")
    wait_until(lambda: kdc1.ok("[ $(wc -l </root/tries) -ge 2 ]"), timeout=60)
    kdc1.fault("clear")
    said = run.communicate(timeout=120)[0]
    assert run.returncode == 0 and has(kdc2, name), said


def test_a_replica_that_vanishes_during_the_transfer(fleet):
    """Over a slow link, and its cable is pulled half-way."""
    kdc1, kdc2, kdc3 = fleet
    configure_more(kdc1, retries=0, connect_timeout=2, timeout=4)
    name = change(kdc1)
    kdc1.fault("slow", "300kbit")
    run = kdc1.start("kpropctl", "propagate", "--json", "kdc2.lab.test")
    wait_until(lambda: re.search(r"bytes_acked:\d{4}", kdc1.out("ss", "-Htin", "dport", "=", ":754")), timeout=60)
    kdc2.fault("cut")
    reports = parse(run.communicate(timeout=60)[0])
    assert run.returncode != 0
    assert not reports["kdc2"].verified and "kdc2" in reports["kdc2"].last["summary"], reports
    assert not kdc1.ok("pidof", "kprop")
    kdc2.fault("clear")
    assert serves_old(kdc2, name)


def test_a_slow_link_is_only_slow(fleet):
    kdc1, kdc2, _ = fleet
    name = change(kdc1)
    kdc1.fault("slow", "1mbit")
    good(propagate(kdc1, "kdc2.lab.test"))
    assert has(kdc2, name) and last(kdc1)["transfer_seconds"] > 0.5


def test_a_silent_listener(fleet):
    """kprop itself would wait for ever."""
    kdc1, kdc2, _ = fleet
    configure_more(kdc1, retries=0, timeout=2)
    name = change(kdc1)
    kdc2.systemctl("stop", "krb5-kpropd")
    silent = kdc2.python("import socket, time; s = socket.create_server(('', 754)); "
                         "print('there', flush=True); k = []\nwhile True: k.append(s.accept())")
    report = propagate(kdc1, "kdc2.lab.test", status=4)["kdc2"]
    report.stopped("propagate", "failed", 4, summary="kdc2.lab.test")
    silent.terminate()
    kdc2.run("for pid in $(ss -Hltnp 'sport = :754' | grep -o 'pid=[0-9]*' | cut -d= -f2); "
             "do kill $pid; done")
    kdc2.systemctl("start", "krb5-kpropd")
    assert serves_old(kdc2, name)


def test_kpropd_down(fleet):
    kdc1, kdc2, _ = fleet
    name = change(kdc1)
    kdc2.systemctl("stop", "krb5-kpropd")
    report = propagate(kdc1, "kdc2.lab.test", status=1)["kdc2"]
    report.stopped("propagate", "failed", 1, summary="Connection refused")
    kdc2.systemctl("start", "krb5-kpropd")
    assert serves_old(kdc2, name)


# Overlap, kills.

def running(kdc1):
    """The pid in the lock of a run that is at work."""
    wait_until(lambda: kdc1.ok(f"! flock -n {LOCK} true && test -s {LOCK}"))
    return kdc1.read(LOCK).split()[0]


def test_two_runs(fleet):
    kdc1, kdc2, _ = fleet
    kdc1.remove("/tmp/go")
    kdc1.write("/root/kdb5_util", f"#!/bin/sh\n{until('[ -e /tmp/go ]')}\nexec /usr/sbin/kdb5_util \"$@\"\n", "755")
    configure_more(kdc1, kdb5_util="/root/kdb5_util")
    name = change(kdc1)
    first = kdc1.start("kpropctl", "propagate", "--reason", "first")
    pid = running(kdc1)
    refused(kdc1, "--no-wait", command="propagate", status=4,
            said=[f"pid {pid}", "first", kdc1.out("date", "+since %Y-")])
    second = kdc1.start("kpropctl", "propagate")
    waits = second.stdout.readline()
    assert "waiting" in waits and pid in waits, waits
    kdc1.write("/tmp/go", "")
    said = first.communicate(timeout=60)[0], second.communicate(timeout=60)[0]
    assert first.returncode == second.returncode == 0, said
    assert said[1].count("unchanged") == 2 and has(kdc2, name), said


@pytest.mark.parametrize("point", ["dump", "transfer"])
def test_kpropctl_killed(fleet, point):
    """Its children end, its lock is no obstacle, the next run clears what it left."""
    kdc1, kdc2, _ = fleet
    name = change(kdc1)
    if point == "dump":
        kdc1.write("/root/kdb5_util", "#!/bin/sh\nexec sleep infinity\n", "755")
        configure_more(kdc1, kdb5_util="/root/kdb5_util")
    else:
        wrap_kprop(kdc1, "exec sleep infinity")
    run = kdc1.start("kpropctl", "propagate")
    pid = running(kdc1)
    wait_until(lambda: kdc1.ok("pidof", "sleep"))
    kdc1.run("kill", "-KILL", pid)
    run.wait(timeout=60)
    wait_until(lambda: not kdc1.ok("pidof", "sleep"), message="its children did not end")
    assert not kdc1.ok("pidof", "kpropctl")
    assert dumps_left(kdc1) != "" and whole(kdc1)
    kdc1.remove("/etc/kpropctl/kpropctl.conf")
    done = kdc1.run("kpropctl", "propagate", "--no-wait")
    assert "killed run" in done.stderr and done.stdout.count("verified") == 2, done
    assert dumps_left(kdc1) == "" and has(kdc2, name)


def test_interrupted(fleet):
    kdc1 = fleet[0]
    change(kdc1)
    wrap_kprop(kdc1, "exec sleep infinity")
    run = kdc1.start("kpropctl", "propagate")
    pid = running(kdc1)
    wait_until(lambda: kdc1.ok("pidof", "sleep"))
    kdc1.run("kill", "-INT", pid)
    assert run.wait(timeout=60) not in (0, -signal.SIGKILL)
    assert dumps_left(kdc1) == "" and not kdc1.ok("pidof", "sleep")


def killed_while_loading(kdc1, kdc2, program):
    """kpropctl propagate to kdc2, where this program is killed while the database is loaded: what it tells, its status."""
    kdc2.run("rm -f /run/loading /run/go-on")
    break_load(kdc2, f"touch /run/loading\n{until('[ -e /run/go-on ]')}\nexec $real \"$@\"")
    try:
        run = kdc1.start("kpropctl", "propagate", "--json", "kdc2.lab.test")
        wait_until(lambda: kdc2.exists("/run/loading"), timeout=60)
        kdc2.run("pkill", "-KILL", "-x", program)
        kdc2.run("touch /run/go-on")
        said = run.communicate(timeout=120)[0]
    finally:
        kdc2.run("touch /run/go-on")
        mend_load(kdc2)
    return said, run.returncode


@pytest.mark.parametrize("program", ["kdb5_util", "kpropctl-loader", "kpropd", "kpropctl-agent"])
def test_killed_on_the_replica(fleet, program):
    """Whatever dies there while the database is under way: its KDC serves, a later run heals."""
    kdc1, kdc2, _ = fleet
    name = change(kdc1)
    with Serving(kdc2):
        said, status = killed_while_loading(kdc1, kdc2, program)
        report = parse(said)["kdc2"]
        assert report.verified == (status == 0)
        if report.verified:
            assert has(kdc2, name), report
        else:
            assert "kdc2.lab.test" in repr(report), report
        kdc2.run("systemctl start krb5-kpropd kpropctl-agent")
        good(propagate(kdc1, "kdc2.lab.test"))
        assert has(kdc2, name)


# Rows 7 to 12 of the facts: the disk of the replica, a load that is killed, or late.

def test_disk_full_on_the_replica(fleet):
    """Rows 7 and 8: seen beforehand, and when it fills up during the transfer."""
    kdc1, kdc2, _ = fleet
    name = change(kdc1)
    kdc2.fault("disk", "/var/lib/krb5kdc", "12m")
    wrap_kprop(kdc1, f"touch /tmp/go; {until('[ ! -e /tmp/go ]')}; exec $real \"$@\"",
               retries=0)
    with Serving(kdc2):
        for left in (0, 100):  # kB: not even for the spool; not for the load
            run = kdc1.start("kpropctl", "propagate", "--json", "kdc2.lab.test")
            wait_until(lambda: kdc1.exists("/tmp/go"))
            free = int(kdc2.out("df --output=avail -k /var/lib/krb5kdc | tail -n 1"))
            kdc2.run(f"head -c {(free - left) * 1024} /dev/zero >/var/lib/krb5kdc/ballast; :")
            kdc1.remove("/tmp/go")
            report = parse(run.communicate(timeout=60)[0])["kdc2"]
            report.stopped("propagate", "failed", 1)
            assert "disk" in report.last["hint"] or "space" in report.last["summary"], report
            report = propagate(kdc1, "kdc2.lab.test", status=1)["kdc2"]
            report.stopped("replica-space", "failed", 1)
            kdc2.remove("/var/lib/krb5kdc/ballast")
        assert serves_old(kdc2, name)
        kdc1.remove("/etc/kpropctl/kpropctl.conf")
        good(propagate(kdc1, "kdc2.lab.test"))
        assert has(kdc2, name)


@pytest.fixture
def plain(fleet):
    """kpropd of kdc2 loads with kdb5_util itself, as before our loader was there."""
    kdc2 = fleet[1]
    kdc2.run(f"mv {DROPIN} /root/ && systemctl daemon-reload && systemctl restart krb5-kpropd")
    yield fleet
    kdc2.run(f"mv /root/zz-kpropctl.conf {DROPIN} && systemctl daemon-reload && "
             "systemctl restart krb5-kpropd")


def test_without_the_loader_the_digest_decides(plain):
    kdc1, kdc2, _ = plain
    name = change(kdc1)
    report = good(propagate(kdc1, "kdc2.lab.test"))["kdc2"]
    assert sent(report) and has(kdc2, name)
    assert last(kdc1)["result"] == "verified"
    assert not kdc2.exists(DROPIN), "what is not needed is not changed"


def test_plain_load_killed(plain):
    """Row 10: the live database is as it was, and the next load clears what is left."""
    kdc1, kdc2, _ = plain
    name = change(kdc1)
    said, status = killed_while_loading(kdc1, kdc2, "kdb5_util")
    report = parse(said)["kdc2"]
    assert status == 1 and not report.verified, report
    assert serves_old(kdc2, name)
    good(propagate(kdc1, "kdc2.lab.test"))
    assert has(kdc2, name)


def test_plain_load_killed_after_its_rename(fleet):
    """Row 9 from before our loader: the database cannot be opened, and kdb5_util refuses to load
    another. The next run puts our loader in place, which does, and starts the KDC that died of it."""
    kdc1, kdc2, _ = fleet
    name = change(kdc1)
    kdc2.run(f"rm {DROPIN} && systemctl daemon-reload && systemctl restart krb5-kpropd")
    kdc2.fault("inject", "krb5-kpropd", "rename:signal=KILL:when=2")
    report = propagate(kdc1, "kdc2.lab.test", status=1)["kdc2"]
    assert not report.verified and not kdc2.exists(DROPIN), report
    kdc2.systemctl("restart", "krb5-kpropd")
    dumped = kdc1.out("kdb5_util dump /root/plain 2>&1; kprop -f /root/plain kdc2.lab.test 2>&1; :")
    assert "SUCCEEDED" not in dumped and not kdc2.ok("kadmin.local", "-q", "listprincs"), dumped
    kdc2.systemctl("kill", "--signal=SEGV", "krb5-kdc")
    report = good(propagate(kdc1, "kdc2.lab.test"))["kdc2"]
    detail = report.steps["propagate"]["detail"]
    assert "was damaged, and is repaired now" in detail and "kpropctl's loader" in detail, report
    assert report.level("kdc") == "fixed" and kdc2.exists(DROPIN), report
    assert has(kdc2, name) and last(kdc1)["result"] == "verified"
    assert not sent(good(propagate(kdc1, "kdc2.lab.test"))["kdc2"])


def test_load_longer_than_the_resync_timeout(fleet):
    """Row 12: kpropd gives up waiting, kprop fails, and the database is updated all the same."""
    kdc1, kdc2, _ = fleet
    name = change(kdc1)
    # real time: kpropd waits for 1 s
    kdc2.run("cp -a /etc/krb5kdc/kdc.conf /root/ && cp -a /usr/sbin/kdb5_util /usr/sbin/kdb5_util.real && "
             "sed -i 's/LAB.TEST = {/&\\n        iprop_resync_timeout = 1/' /etc/krb5kdc/kdc.conf && "
             "printf '#!/bin/sh\\nsleep 3\\nexec /usr/sbin/kdb5_util.real \"$@\"\\n' >/usr/sbin/kdb5_util && "
             "systemctl restart krb5-kpropd")
    try:
        with Serving(kdc2):
            good(propagate(kdc1, "kdc2.lab.test"))
        assert has(kdc2, name)
    finally:
        kdc2.run("mv /root/kdc.conf /etc/krb5kdc/; mv /usr/sbin/kdb5_util.real /usr/sbin/kdb5_util; "
                 "systemctl restart krb5-kpropd")


def test_a_foreign_kprop_of_an_old_dump(fleet):
    """Row 14: nobody announced it. With kprop's stock loader it is loaded, and the next run sees and mends it."""
    kdc1, kdc2, _ = fleet
    kdc1.run("kdb5_util", "dump", "/root/old")
    name = change(kdc1)
    good(propagate(kdc1))
    assert not kdc1.ok("kprop", "-f", "/root/old", "kdc2.lab.test")
    assert has(kdc2, name) and not sent(good(propagate(kdc1))["kdc2"])
    kdc2.run("kpropctl-agent", "release-loader", "LAB.TEST")
    kdc1.run("kprop", "-f", "/root/old", "kdc2.lab.test")
    assert serves_old(kdc2, name)
    report = good(propagate(kdc1))["kdc2"]
    assert sent(report) and has(kdc2, name), report
    kdc2.run("kpropctl-agent", "use-loader", "LAB.TEST")


# The state database.

@pytest.fixture
def elsewhere(fleet):
    """A state folder on a small file system, with room for dumps."""
    kdc1 = fleet[0]
    kdc1.run("mkdir -p /mnt/state && mount -t tmpfs -o size=300k,mode=750 tmpfs /mnt/state && "
             "mkdir -m 700 /mnt/state/dump && mount -t tmpfs -o size=9m,mode=700 tmpfs /mnt/state/dump")
    configure_more(kdc1, state_dir="/mnt/state", retries=0)
    yield fleet
    kdc1.run("umount", "/mnt/state/dump", "/mnt/state")


@pytest.mark.parametrize("trouble", ["full", "read-only", "corrupt", "cut"])
def test_state_database(elsewhere, trouble):
    kdc1, kdc2, kdc3 = elsewhere
    done = kdc1.run("kpropctl", "setup-slave", "kdc2.lab.test", "kdc3.lab.test")
    good(propagate(kdc1))
    kdc1.run({"full": "dd if=/dev/zero of=/mnt/state/ballast bs=1k 2>/dev/null; :",
              "read-only": "mount -o remount,ro /mnt/state",
              "corrupt": "head -c 100000 /dev/urandom >/mnt/state/state.db",
              "cut": "truncate -s 5000 /mnt/state/state.db"}[trouble])
    name = change(kdc1)
    done = kdc1.run("kpropctl", "propagate", check=False)
    assert done.returncode == 0, done
    assert "/mnt/state/state.db" in done.stdout + done.stderr and "not recorded" in \
        done.stdout + done.stderr, done
    assert has(kdc2, name) and has(kdc3, name)
    kdc1.run("mount -o remount,rw /mnt/state; rm -f /mnt/state/ballast")


def test_lost_state_file(fleet):
    """The greatest generation that a replica knows wins, and nothing but the history is lost."""
    kdc1, kdc2, _ = fleet
    change(kdc1)
    good(propagate(kdc1))
    before = last(kdc1)["generation"]
    kdc1.run(f"mv {STATE} /root/state.db")
    name = change(kdc1)
    kdc1.run("kpropctl", "setup-slave", "kdc2.lab.test", "kdc3.lab.test")
    assert has(kdc2, name) and last(kdc1)["generation"] > before
    assert {one["host"] for one in kdc1.json("kpropctl", "list", "--json")} == \
        {"kdc2.lab.test", "kdc3.lab.test"}


def test_old_state_file(fleet):
    """Put back from a backup: its generations are behind those of the replicas."""
    kdc1, kdc2, _ = fleet
    good(propagate(kdc1))
    kdc1.run("cp", STATE, "/root/state.db")
    for _ in range(3):
        change(kdc1)
        good(propagate(kdc1))
    before = last(kdc1)["generation"]
    kdc1.run("cp", "/root/state.db", STATE)
    name = change(kdc1)
    good(propagate(kdc1))
    assert has(kdc2, name) and last(kdc1)["generation"] > before
    good(propagate(kdc1))
    assert last(kdc1)["result"] == "unchanged"


def test_clock_set_back_on_the_primary(fleet):
    kdc1, kdc2, _ = fleet
    change(kdc1)
    good(propagate(kdc1))
    before = last(kdc1)["generation"]
    name = change(kdc1)
    kdc1.run("LD_PRELOAD=$(ls /usr/lib/*/faketime/libfaketime.so.1) FAKETIME=-200s kpropctl propagate")
    assert has(kdc2, name) and last(kdc1)["generation"] > before
    name = change(kdc1)
    good(propagate(kdc1))
    assert has(kdc2, name) and last(kdc1)["generation"] > before + 1


# What else must not happen.

def test_ldap_is_not_propagated(fleet):
    kdc1 = fleet[0]
    kdc1.run("cp -a /etc/krb5kdc/kdc.conf /root/; printf '\\n[dbmodules]\\nLAB.TEST = {\\n"
             "db_library = kldap\\n}\\n' >>/etc/krb5kdc/kdc.conf; "
             "sed -i 's/LAB.TEST = {/&\\n        database_module = LAB.TEST/;ta;b;:a;n;ba' "
             "/etc/krb5kdc/kdc.conf")
    try:
        for command in ("propagate", "setup-slave"):
            refused(kdc1, "kdc2.lab.test", command=command, status=3, said="LDAP")
    finally:
        kdc1.run("mv /root/kdc.conf /etc/krb5kdc/")


def test_no_secret_in_arguments(fleet):
    """No key, digest or nonce is in the arguments of any program that a run starts."""
    kdc1 = fleet[0]
    change(kdc1)
    kdc1.run("strace", "-f", "-qq", "-e", "trace=execve", "-s", "1000", "-o", "/root/execs",
             "kpropctl", "propagate")
    said = kdc1.read("/root/execs")
    assert "kprop" in said and "kdb5_util" in said
    import re
    assert not re.search(r"[0-9a-f]{32}|password|master", said), said
