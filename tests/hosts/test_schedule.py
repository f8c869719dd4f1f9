"""When propagations run by themselves: units, watch and timer, and jobs that compete."""
import json
import shutil
import time

import pytest

from lab import wait_until

NEEDS = {"python3": "test_a_busy_realm_is_held_back", "krb5-admin-server": "test_a_policy_is_a_change_too"}

pytestmark = pytest.mark.usefixtures("packages")

WATCH, TIMER = "kpropctl-watch.service", "kpropctl-propagate.timer"
CONF = "/etc/kpropctl/kpropctl.conf"
REPLICA = "kdc2.lab.test"


@pytest.fixture
def replica(kdc1, kdc2):
    """kdc2, set up; nothing is scheduled, and nothing is left of it afterwards."""
    done = kdc1.run("kpropctl", "setup-slave", REPLICA, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    yield kdc2
    kdc1.run("kpropctl", "schedule", "--disable", check=False)
    kdc1.run("systemctl", "reset-failed", check=False)
    kdc1.run("rm -rf /etc/kpropctl/kpropctl.conf /etc/cron.d/kerberos /root/prop.sh "
             "/etc/systemd/system/oldprop.* && systemctl daemon-reload", check=False)


def configure(kdc1, **keys):
    lines = "".join(f"    {key} = {value}\n" for key, value in keys.items())
    kdc1.write(CONF, f"[kpropctl]\n{lines}")


def schedule(kdc1):
    return json.loads(kdc1.run("kpropctl", "schedule", "--json", check=False).stdout)


def enable(kdc1, *words):
    return kdc1.out("kpropctl", "schedule", "--enable", *words, timeout=120)


def settled(kdc1):
    """Wait until the watch has done its first look, and rests."""
    wait_until(lambda: "waiting for changes" in (schedule(kdc1)["watch"]["status"] or "")
               and "last" in schedule(kdc1)["watch"]["status"], timeout=60)


def add(kdc1, name):
    kdc1.run("kadmin.local", "-q", f"addprinc -randkey {name}")


def holds(replica, name):
    return f"Principal: {name}@" in replica.run("kadmin.local", "-q", f"getprinc {name}",
                                                check=False).stdout


def runs(kdc1, reason="watch"):
    """How many runs there were for this reason."""
    return int(kdc1.out("/usr/bin/python3", "-c", f"""
import sqlite3
db = sqlite3.connect('file:/var/lib/kpropctl/state.db?mode=ro', uri=True)
print(db.execute("select count(*) from run where reason = '{reason}'").fetchone()[0])"""))


def switches(host, unit):
    pid = host.main_pid(unit)
    return int(host.out(f"sed -n 's/^voluntary_ctxt_switches:[^0-9]*//p' /proc/{pid}/status"))


def test_the_package_enables_nothing(kdc1):
    for unit in (WATCH, TIMER):
        assert not kdc1.enabled(unit) and not kdc1.active(unit)
        assert kdc1.ok("systemctl", "cat", unit)
    done = kdc1.run("kpropctl", "schedule", check=False)
    assert done.returncode == 1 and "kpropctl schedule --enable" in done.stdout
    assert schedule(kdc1)["scheduled"] is False
    kdc1.run("systemd-analyze", "verify", "--man=no", WATCH, TIMER, "kpropctl-propagate.service")


def test_enable_and_disable(kdc1, replica):
    said = enable(kdc1)
    assert "watch  on since" in said and "timer  on, next run at" in said
    for unit in (WATCH, TIMER):
        assert kdc1.enabled(unit) and kdc1.active(unit)
    known = schedule(kdc1)
    assert known["scheduled"] and known["competitors"] == []
    now = time.time()  # real time: the host's clock is this machine's, and the timer's interval 300 s
    assert now - 60 < known["watch"]["since"] < now + 1
    assert now - 60 < known["timer"]["next"] < now + 400
    kdc1.systemctl("start", "kpropctl-propagate.service")
    known = schedule(kdc1)["timer"]
    assert known["result"] == "success" and known["exit_status"] == 0
    kdc1.run("kpropctl", "schedule", "--disable", "--watch")
    assert not kdc1.active(WATCH) and not kdc1.enabled(WATCH) and kdc1.active(TIMER)
    kdc1.run("kpropctl", "schedule", "--disable")
    assert not kdc1.active(TIMER) and not kdc1.enabled(TIMER)


def test_another_realm_has_instances(kdc1):
    done = kdc1.run("kpropctl", "-r", "OTHER.TEST", "schedule", "--json", check=False)
    assert json.loads(done.stdout)["watch"]["unit"] == "kpropctl-watch@OTHER.TEST.service"
    done = kdc1.run("kpropctl", "-r", "OTHER.TEST", "schedule", "--enable", check=False)
    assert done.returncode != 0 and "database of realm OTHER.TEST" in done.stderr
    assert not kdc1.active("kpropctl-watch@OTHER.TEST.service")


def test_a_new_principal_is_there_in_seconds(kdc1, replica):
    enable(kdc1, "--watch")
    settled(kdc1)
    # Logins touch the same files. They are looked at, and do not hold a change back.
    before = runs(kdc1)
    for _ in range(3):
        kdc1.run("kinit alice", input="alice-password\n")
    wait_until(lambda: runs(kdc1) > before, timeout=60)
    settled(kdc1)
    add(kdc1, "swift")
    # The timer, which is off, would need minutes. How fast it is, tests/bench measures.
    wait_until(lambda: holds(replica, "swift"), timeout=60)


def test_a_busy_realm_is_held_back(kdc1, replica):
    configure(kdc1, watch_interval="5s")
    enable(kdc1, "--watch")
    settled(kdc1)
    before = runs(kdc1)
    began = time.monotonic()  # real time: of the intervals that it took
    # real time: some 10 s of changes
    kdc1.run("for i in $(seq 100); do echo \"addprinc -randkey busy$i\"; sleep 0.1; done | "
             "kadmin.local", timeout=300)
    wait_until(lambda: holds(replica, "busy100"), timeout=60)
    settled(kdc1)
    # One run each 5 s, one for the first change and one for the last.
    assert 2 <= runs(kdc1) - before <= (time.monotonic() - began) / 5 + 2  # real time: as above


def test_a_policy_is_a_change_too(kdc1, replica):
    configure(kdc1, watch_interval="2s")
    enable(kdc1, "--watch")
    settled(kdc1)
    kdc1.run("kadmin.local", "-q", "addpol -minlength 12 fresh")
    wait_until(lambda: "Policy: fresh" in
               replica.run("kadmin.local", "-q", "getpol fresh", check=False).stdout, timeout=60)


def test_watch_survives_kadmind_and_a_load(kdc1, replica):
    configure(kdc1, watch_interval="2s")
    enable(kdc1, "--watch")
    settled(kdc1)
    pid = kdc1.main_pid(WATCH)
    kdc1.systemctl("restart", "krb5-admin-server", "krb5-kdc")
    add(kdc1, "after-restart")
    wait_until(lambda: holds(replica, "after-restart"), timeout=60)
    kdc1.run("kdb5_util dump /root/d && kdb5_util load /root/d && rm /root/d*")
    kdc1.systemctl("restart", "krb5-kdc")
    settled(kdc1)
    add(kdc1, "after-load")
    wait_until(lambda: holds(replica, "after-load"), timeout=60)
    assert kdc1.main_pid(WATCH) == pid


def test_trouble_is_told_once_and_passes(kdc1, replica):
    configure(kdc1, watch_interval="1s", connect_timeout="2s", retries="0")
    enable(kdc1, "--watch")
    settled(kdc1)
    told = kdc1.journal(WATCH).count("propagation failed")
    replica.systemctl("stop", "kpropctl-agent")
    replica.systemctl("stop", "krb5-kpropd")
    for name in ("dark1", "dark2", "dark3"):
        before = runs(kdc1)
        add(kdc1, name)
        wait_until(lambda: runs(kdc1) > before, timeout=60)
    wait_until(lambda: "propagation failed" in (schedule(kdc1)["watch"]["status"] or ""),
               timeout=60)
    wait_until(lambda: kdc1.journal(WATCH).count("propagation failed") > told)
    assert kdc1.journal(WATCH).count("propagation failed") == told + 1
    # The timer's unit fails too, for systemctl status and OnFailure=.
    assert not kdc1.ok("systemctl", "start", "kpropctl-propagate.service", timeout=120)
    assert kdc1.ok("systemctl", "is-failed", "--quiet", "kpropctl-propagate.service")
    assert "the last FAILED" in kdc1.out("kpropctl", "schedule")
    replica.systemctl("start", "kpropctl-agent", "krb5-kpropd")
    add(kdc1, "light")
    wait_until(lambda: holds(replica, "light"), timeout=60)
    wait_until(lambda: "propagation works again" in kdc1.journal(WATCH))


def test_no_wake_ups_when_idle(kdc1, replica):
    configure(kdc1, watch_interval="1s")
    enable(kdc1, "--watch")
    settled(kdc1)

    def rests():
        before = switches(kdc1, WATCH)
        time.sleep(8)  # real time: several of its intervals, in which nothing happens
        return switches(kdc1, WATCH) == before

    wait_until(rests, timeout=60)


def test_reload_and_stop(kdc1, replica):
    configure(kdc1, watch_interval="1h")
    enable(kdc1, "--watch")
    settled(kdc1)
    configure(kdc1, watch_interval="nonsense")
    kdc1.systemctl("reload", WATCH)
    wait_until(lambda: "the configuration stays as it was" in kdc1.journal(WATCH))
    configure(kdc1, watch_interval="1s")
    kdc1.systemctl("reload", WATCH)
    wait_until(lambda: "configuration read again" in kdc1.journal(WATCH))
    settled(kdc1)
    for name in ("reloaded1", "reloaded2"):
        add(kdc1, name)
        wait_until(lambda: holds(replica, name), timeout=60)
    kdc1.systemctl("stop", WATCH)
    assert kdc1.out("systemctl", "show", "-p", "Result", "--value", WATCH) == "success"


def test_competing_jobs_are_named(kdc1, replica):
    kdc1.write("/root/prop.sh", "#!/bin/sh\nkdb5_util dump /x\nkprop -f /x kdc2.lab.test\n", mode="755")
    kdc1.write("/etc/cron.d/kerberos", "# hourly\n0 * * * * root /root/prop.sh\n")
    kdc1.write("/etc/systemd/system/oldprop.service", "[Service]\nType=oneshot\nExecStart=/root/prop.sh\n")
    kdc1.write("/etc/systemd/system/oldprop.timer",
               "[Timer]\nOnCalendar=hourly\n[Install]\nWantedBy=timers.target\n")
    kdc1.systemctl("daemon-reload")
    said = enable(kdc1, "--timer")
    assert "/etc/cron.d/kerberos:2 runs /root/prop.sh, which runs kprop in its line 3" in said
    assert "oldprop" not in said
    kdc1.systemctl("enable", "--now", "oldprop.timer")
    known = schedule(kdc1)["competitors"]
    assert [one["file"] for one in known] == ["/etc/cron.d/kerberos",
                                              "/etc/systemd/system/oldprop.service"]
    assert kdc1.exists("/etc/cron.d/kerberos") and kdc1.active("oldprop.timer")
    kdc1.systemctl("disable", "--now", "oldprop.timer")


def test_what_is_enabled_runs_after_a_boot(kdc1, replica):
    enable(kdc1)
    kdc1.reboot()
    wait_until(lambda: kdc1.active(WATCH) and kdc1.active(TIMER), timeout=60)
    settled(kdc1)
    add(kdc1, "booted")
    wait_until(lambda: holds(replica, "booted"), timeout=60)


def test_without_systemd_a_cron_line_is_told(kdc1, replica):
    hidden = "unshare --mount sh -c 'mount -t tmpfs none /run/systemd; exec \"$@\"' sh "
    done = kdc1.run(hidden + "kpropctl schedule", check=False)
    assert done.returncode == 1 and "/usr/sbin/kpropctl propagate" in done.stdout
    done = kdc1.run(hidden + "kpropctl schedule --enable", check=False)
    assert done.returncode == 1 and "/etc/cron.d/kpropctl: */5 * * * * root" in done.stderr
    kdc1.write("/etc/cron.d/kpropctl", kdc1.read("/usr/share/doc/kpropctl/examples/kpropctl.cron"))
    try:
        done = kdc1.run(hidden + "kpropctl schedule", check=False)
        assert done.returncode == 0 and "/etc/cron.d/kpropctl:" in done.stdout
        # And the line is a good one.
        line = [one for one in kdc1.read("/etc/cron.d/kpropctl").splitlines()
                if "kpropctl propagate" in one][-1]
        kdc1.run(line.split("root", 1)[1], timeout=120)
    finally:
        kdc1.remove("/etc/cron.d/kpropctl")


def test_removal_stops_and_purge_forgets(kdc1, replica):
    enable(kdc1)
    kdc1.run("dpkg", "--remove", "kpropctl", timeout=120)
    try:
        assert not kdc1.active(WATCH) and not kdc1.active(TIMER)
        assert kdc1.exists("/var/lib/kpropctl/state.db")
        kdc1.run("dpkg", "--purge", "kpropctl")
        assert kdc1.out("ls /etc/systemd/system/*.wants | grep kpropctl || true") == ""
        assert not kdc1.exists("/var/lib/kpropctl") and not kdc1.exists("/etc/kpropctl")
    finally:
        deb = sorted(kdc1.lab.packages.glob("kpropctl_*.deb"))[-1]
        shutil.copy(deb, kdc1.lab.must("path", kdc1.name).strip() + "/root/kpropctl.deb")
        kdc1.run("dpkg -i /root/kpropctl.deb && rm /root/kpropctl.deb", timeout=120)
    assert not kdc1.enabled(WATCH)
