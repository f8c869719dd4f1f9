"""What goes wrong on the replica while a database comes in: never told as a success, the KDC there
issues tickets from the old database before, meanwhile and afterwards, and the next run heals."""
import json

import pytest

from lab import wait_until
from setup_kit import LIVE, add_user, break_load, configure, mend_load, serves_old, set_up, ticket
from standins import until

NEEDS = {"krb5-admin-server": "test_another_program_sends_meanwhile"}

KDB5_UTIL = "/usr/sbin/kdb5_util"
# kpropd's unit shows its children all of the disk read-only but these.
ARRIVED, GO = "/run/loading", "/run/go-on"
PAUSE = f"touch {ARRIVED}; " + until(f"[ -e {GO} ]") + "\n"


@pytest.fixture
def replica(kdc1, kdc2):
    """Set up, serving, and behind by one user. Its kdb5_util can be replaced with `break_load`."""
    set_up(kdc1, kdc2).good()
    add_user(kdc1)
    assert serves_old(kdc2)
    kdc2.run(f"rm -f {ARRIVED} {GO}")
    yield kdc2
    kdc2.run(f"touch {GO}; umount --lazy {KDB5_UTIL} 2>/dev/null || :")


def failed(report, replica, *words):
    """Not good, said why, and the old database is served."""
    assert report.status in (1, 4) and not report.verified, report
    assert report.last["id"] == "propagate" and report.last["level"] == "failed", report
    text = " ".join(report.last.values())
    for word in ("kdc2.lab.test", *words):
        assert word in text, (word, report)
    assert report.last["hint"], report
    assert serves_old(replica)
    assert replica.ok("kadmin.local", "-q", "listprincs")


def heals(primary, replica):
    set_up(primary, replica).good()
    assert ticket(replica, "carol") == ""
    assert "staging" not in replica.out("find", "/var/lib/krb5kdc", "-name", "principal*", "-path",
                                        "*staging*")


class Running:
    """setup-slave beside the test, held where its kdb5_util or kprop waits."""

    def __init__(self, primary, replica):
        self.primary, self.replica = primary, replica
        self.process = primary.start("kpropctl", "setup-slave", "--json", replica.name)

    def wait_for_load(self):
        wait_until(lambda: self.replica.exists(ARRIVED), timeout=60)
        return self

    def go_on(self):
        self.replica.run("touch", GO)
        return self

    def report(self, timeout=60):
        import json
        from setup_kit import Report
        told = self.process.communicate(timeout=timeout)[0]
        return Report(json.loads(told[told.index("{"):]), self.process.returncode, "")


# Row 8: at the beginning and at the last pages.
@pytest.mark.parametrize("free", [0, 80])
def test_full_disk_of_the_database(kdc1, replica, free):
    replica.fault("disk", "/var/lib/krb5kdc", "8m")
    break_load(replica, f"""
dd if=/dev/zero of={LIVE}.ballast bs=1k 2>/dev/null
truncate -s -{free}k {LIVE}.ballast
exec $real "$@" """)
    failed(set_up(kdc1, replica), replica)
    mend_load(replica)
    heals(kdc1, replica)


def test_full_disk_that_is_told_by_nobody(kdc1, replica):
    """kdb5_util exits 0 over a database that lost its last pages."""
    break_load(replica, f"""
$real "$@"; status=$?
for word; do [ "${{last:-}}" = -d ] && database=$word; last=$word; done
truncate -s 20000 "$database"
exit 0""")
    failed(set_up(kdc1, replica), replica)
    mend_load(replica)
    heals(kdc1, replica)


def test_load_that_loses_records(kdc1, replica):
    break_load(replica, """
for word; do file=$word; done
head -n 150 "$file" >/run/short
exec $real "${@:1:$#-1}" /run/short""")
    failed(set_up(kdc1, replica), replica, "principals")
    mend_load(replica)
    heals(kdc1, replica)


def test_no_room_is_seen_before_anything_is_sent(kdc1, replica):
    replica.fault("disk", "/var/lib/krb5kdc", "1m")
    set_up(kdc1, replica).stopped("replica-space", "failed", 1,
                                  summary=["kdc2.lab.test", "/var/lib/krb5kdc"], hint="free space")
    assert serves_old(replica)


# Row 7: kpropd's spool. kpropd goes on and loads what it has.
def test_full_disk_of_the_spool(kdc1, replica):
    replica.fault("disk", "/var/lib/krb5kdc", "8m")
    kdc1.write("/root/kprop", "#!/bin/sh\ntouch /tmp/arrived\n"
               f"{until('[ -e /tmp/go-on ]')}\nexec /usr/sbin/kprop \"$@\"\n", "755")
    configure(kdc1, kprop="/root/kprop")
    running = Running(kdc1, replica)
    wait_until(lambda: kdc1.exists("/tmp/arrived"), timeout=60)
    replica.run(f"dd if=/dev/zero of={LIVE}.ballast bs=1k 2>/dev/null; "
                f"truncate -s -40k {LIVE}.ballast")
    kdc1.run("touch", "/tmp/go-on")
    failed(running.report(), replica)
    mend_load(replica)
    heals(kdc1, replica)


# Rows 9 and 10.
@pytest.mark.parametrize("name", ["kdb5_util", "loader"])
def test_killed_during_the_load(kdc1, replica, name):
    victim = "$$" if name == "kdb5_util" else "$(pgrep -d ' ' -f /kpropctl-loader)"
    break_load(replica, f"kill -KILL {victim}")
    failed(set_up(kdc1, replica), replica)
    mend_load(replica)
    heals(kdc1, replica)


# Row 11.
@pytest.mark.parametrize("how", ["kill -KILL $(systemctl show --property MainPID --value krb5-kpropd)",
                                 "systemctl stop krb5-kpropd", "systemctl restart krb5-kpropd"])
def test_kpropd_ended_during_the_load(kdc1, replica, how):
    break_load(replica, PAUSE + "exec $real \"$@\"")
    running = Running(kdc1, replica).wait_for_load()
    assert serves_old(replica)
    replica.run(how)
    running.go_on()
    report = running.report()
    if report.verified:
        assert ticket(replica, "carol") == ""
    else:
        failed(report, replica)
    mend_load(replica)
    heals(kdc1, replica)
    assert replica.active("krb5-kpropd")


# Row 12, by our own deadline and by kpropd's.
def test_load_past_the_deadline(kdc1, replica):
    configure(kdc1, timeout=5)
    break_load(replica, PAUSE + "exec $real \"$@\"")
    running = Running(kdc1, replica).wait_for_load()
    report = running.report()
    failed(report, replica, "load", "running")
    assert report.status == 4
    running.go_on()
    wait_until(lambda: ticket(replica, "carol") == "", message="the load goes on, and is good")
    mend_load(replica)
    heals(kdc1, replica)


def test_load_longer_than_kpropds_own_deadline(kdc1, replica):
    """kpropd gives up and kprop fails, though the load goes on: its outcome decides."""
    conf = replica.read("/etc/krb5kdc/kdc.conf")
    replica.write("/etc/krb5kdc/kdc.conf", conf.replace(
        "LAB.TEST = {\n", "LAB.TEST = {\n        iprop_resync_timeout = 1\n"))
    replica.systemctl("restart", "krb5-kpropd")
    break_load(replica, "sleep 3; exec $real \"$@\"")  # real time: kpropd waits for 1 s
    report = set_up(kdc1, replica).good()
    assert ticket(replica, "carol") == "" and "propagate" in report.fixed()


def test_transfer_past_the_deadline(kdc1, replica):
    """A kpropd that accepts and stays silent."""
    configure(kdc1, timeout=2)
    replica.run("kill -STOP $(systemctl show --property MainPID --value krb5-kpropd)")
    try:
        report = set_up(kdc1, replica)
        failed(report, replica, "not finished after 2 s")
        assert report.status == 4
        assert not kdc1.ok("pgrep", "-x", "kprop")
    finally:
        replica.run("kill -CONT $(systemctl show --property MainPID --value krb5-kpropd)")
    heals(kdc1, replica)


def test_another_program_sends_meanwhile(kdc1, replica):
    """A cron job's kprop of another dump is not taken for the announced one."""
    kdc1.run("kdb5_util dump /root/cron.dump")
    kdc1.run("kadmin.local -q 'addprinc -pw x-password dave'")
    kdc1.write("/root/kprop", "#!/bin/sh\n/usr/sbin/kprop -f /root/cron.dump kdc2.lab.test\n"
               "exit $?\n", "755")
    configure(kdc1, kprop="/root/kprop")
    failed(set_up(kdc1, replica), replica, "announced")
    configure(kdc1)
    heals(kdc1, replica)


# Where our loader has no say, the digest decides.

def without_loader(replica, unit):
    replica.run("systemctl stop krb5-kpropd; rm -r /etc/systemd/system/krb5-kpropd.service.d; "
                "systemctl daemon-reload")
    if unit:
        replica.write("/etc/systemd/system/our-kpropd.service",
                      "[Service]\nExecStart=/usr/sbin/kpropd -D\n[Install]\n"
                      "WantedBy=multi-user.target\n")
        replica.run("systemctl daemon-reload; systemctl enable --now --quiet our-kpropd")
    else:
        replica.run("kpropd", "-S")
    wait_until(lambda: replica.listening(754))


@pytest.mark.parametrize("unit", [True, False])
def test_kpropd_that_is_not_ours(kdc1, replica, unit):
    without_loader(replica, unit)
    report = set_up(kdc1, replica).good()
    assert report.level("loader") == report.level("kpropd") == "warning", report
    assert "krb5-kpropd.service" in report.summary("kpropd")
    assert report.fixed() == ["propagate"]
    assert ticket(replica, "carol") == ""
    assert not replica.exists("/etc/systemd/system/krb5-kpropd.service.d/kpropctl.conf")


def test_kpropd_that_is_not_ours_and_loses_records(kdc1, replica):
    """What plain kdb5_util does with a cut dump is done: but it is told."""
    break_load(replica, """
for word; do file=$word; done
head -n 150 "$file" >/run/short
exec $real "${@:1:$#-1}" /run/short""")
    without_loader(replica, unit=False)
    report = set_up(kdc1, replica)
    report.stopped("digest", "failed", 1, summary=["kdc2.lab.test", "NOT what was sent"],
                   hint=["run again"])
    mend_load(replica)
    set_up(kdc1, replica).good()
    assert ticket(replica, "carol") == ""


def test_kpropd_on_demand(kdc1, replica):
    """A socket unit starts kpropd for each transfer, as inetd does."""
    replica.run("systemctl disable --now --quiet krb5-kpropd; "
                "rm -r /etc/systemd/system/krb5-kpropd.service.d")
    replica.write("/etc/systemd/system/prop.socket",
                  "[Socket]\nListenStream=754\nAccept=yes\n[Install]\nWantedBy=sockets.target\n")
    replica.write("/etc/systemd/system/prop@.service",
                  "[Service]\nExecStart=/usr/sbin/kpropd\nStandardInput=socket\n")
    replica.run("systemctl daemon-reload; systemctl enable --now --quiet prop.socket")
    report = set_up(kdc1, replica).good()
    assert report.level("loader") == "warning" and "on demand" in report.summary("loader"), report
    assert report.fixed() == ["propagate"] and "on demand" in report.summary("kpropd"), report
    assert ticket(replica, "carol") == "" and not replica.active("krb5-kpropd")
    for row, level in (("kpropd", "ok"), ("loader", "warning"), ("reach", "ok")):
        told = json.loads(kdc1.run("kpropctl", "check", "--format=json", "--check", row,
                                   "kdc2.lab.test", check=False).stdout)["hosts"][0]["checks"]
        assert [(one["id"], one["level"]) for one in told] == [(row, level)], told
        assert row == "reach" or "on demand" in told[0]["summary"], told
    own = json.loads(replica.run("kpropctl-agent", "check", "--json", check=False).stdout)
    assert "on demand" in next(one["summary"] for one in own["checks"]
                               if one["id"] == "kpropd" and one["level"] == "ok"), own


def test_stopped_krb5kdc_is_started(kdc1, replica):
    replica.run("systemctl disable --now --quiet krb5-kdc")
    assert "kdc" in set_up(kdc1, replica).good().fixed()
    assert replica.enabled("krb5-kdc") and ticket(replica, "carol") == ""
