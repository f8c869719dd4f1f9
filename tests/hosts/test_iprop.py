"""A realm whose kadmind propagates incrementally, beside kpropctl: kdc2 follows the update log, kdc3 is sent
whole databases. What kpropctl does reaches both, what it must not do to kdc2 it refuses, and says how to go on."""
import json
import re

import pytest

from lab import wait_until
from propagate_kit import fleet_of, good, history, propagate
from setup_kit import set_up
from test_check import check

NEEDS = {"krb5-admin-server": "test_what_kpropctl_writes_is_logged", "python3": "test_timer_and_watch_leave_it_alone*"}
HOST = "kdc2.lab.test"
CONF = "/etc/krb5kdc/kdc.conf"
ULOG = "/var/lib/krb5kdc/principal.ulog"
ANNOUNCED = "/var/lib/kpropctl-agent/LAB.TEST.announced"
ON = r"sed -i '/LAB.TEST = {/a\        iprop_enable = true\n        iprop_port = 2121\n        iprop_replica_poll = 2' " + CONF


pytestmark = pytest.mark.usefixtures("packages")


def begin_increments(primary, replica):
    """As an administrator sets it up by hand."""
    replica.run(ON)
    primary.run(f"kadmin.local -q 'addprinc -randkey kiprop/{replica.name}'; "
                f"kadmin.local -q 'ktadd -norandkey -k /root/kiprop.keytab kiprop/{replica.name}'; "
                f"echo 'kiprop/{replica.name}@LAB.TEST p' >>/etc/krb5kdc/kadm5.acl; "
                "systemctl restart krb5-admin-server")
    keys = primary.out("base64 /root/kiprop.keytab; rm /root/kiprop.keytab")
    replica.run("base64 -d >/root/k; printf 'rkt /root/k\\nwkt /etc/krb5.keytab\\n' | ktutil; rm /root/k; "
                "systemctl restart krb5-kpropd", input=keys)


def has(host, name):
    """Whether the host's database has this principal; nothing but the database is opened for it."""
    return host.ok(f"kdb5_util dump /root/look >/dev/null && grep -q '\t{name}@LAB.TEST\t' /root/look")


def arrives(host, name, wanted=True):
    wait_until(lambda: has(host, name) == wanted, 30, f"{name} at {host}: still {not wanted}")


def follows(primary, replica, name):
    """An increment gets there."""
    primary.run("kadmin.local", "-q", f"addprinc -randkey {name}")
    arrives(replica, name)


def versions(host, name):
    told = host.out("kadmin.local", "-q", f"getprinc {name}")
    return sorted({int(one) for one in re.findall(r"(?m)^Key: vno (\d+)", told)})


def place(host):
    """The newest serial number of the host's update log, and its time."""
    told = host.out("kproplog", "-h")
    return re.search(r"Last serial # : (\S+)", told)[1], re.search(r"Last time stamp : (.*)", told)[1]


def outcome(host):
    return host.json("kpropctl-agent", "outcome", "LAB.TEST", "0")


@pytest.fixture(scope="module")
def fleet(lab):
    kdc1, kdc2, kdc3 = fleet_of(lab, ["kdc2", "kdc3"])
    # What was announced and never sent, as by a kprop that was killed; for the test of it.
    a = kdc2.json("kpropctl-agent", "outcome", "LAB.TEST", "0")["last_good"]
    a = {**a, "generation": a["generation"] + 1, "size": a["size"] - 7, "sha256": "ab" * 32,
         "announced_at": 1, "expires_at": 80000}
    kdc2.run("kpropctl-agent", "announce", "LAB.TEST", json.dumps(a))
    kdc2.run(f"cp {ANNOUNCED} /root/announced; rm {ANNOUNCED}")
    kdc1.append("/etc/hosts", "10.75.4.19 kdc9.lab.test kdc9\n")
    kdc1.run(ON)
    kdc1.run("kadmin.local", "-q", f"addprinc -randkey kiprop/{kdc1.name}")
    begin_increments(kdc1, kdc2)
    arrives(kdc2, f"kiprop/{kdc2.name}")
    return kdc1, kdc2, kdc3


def test_what_kpropctl_writes_is_logged(fleet):
    """Principals that it creates, keys that it renews and drops: kdc2 has them from the log alone."""
    kdc1, kdc2, kdc3 = fleet
    before = outcome(kdc2)["finished"]
    kdc1.run("kpropctl enroll kdc9.lab.test >/root/bundle")
    arrives(kdc2, "host/kdc9.lab.test")
    name = f"host/{kdc3.name}"
    kdc1.run("kpropctl", "renew", kdc3.name)
    wait_until(lambda: versions(kdc2, name) == versions(kdc1, name), 30, "the new key did not come")
    assert len(versions(kdc1, name)) == 2
    kdc1.run("kpropctl", "renew", "--finish", "--force", kdc3.name)
    wait_until(lambda: versions(kdc2, name) == versions(kdc1, name), 30, "the old key did not go")
    assert len(versions(kdc1, name)) == 1
    assert outcome(kdc2)["finished"] == before, "no full load was needed for it"
    good(propagate(kdc1, kdc3.name))


def test_a_look_does_not_touch_the_log(fleet):
    """A check, and a run that writes no principal, leave the log as it is, and make none."""
    kdc1, kdc2, kdc3 = fleet
    before = kdc1.out("stat -c '%i %s %Y' " + ULOG), place(kdc1)
    check(kdc1)
    good(propagate(kdc1, "--force", kdc3.name))
    assert (kdc1.out("stat -c '%i %s %Y' " + ULOG), place(kdc1)) == before


def test_an_enrolment_brings_no_increments(fleet):
    kdc1, _, _ = fleet
    assert "iprop_enable" in kdc1.read(CONF)
    kdc1.run("kpropctl enroll kdc9.lab.test >/root/bundle")
    assert kdc1.out("grep -a -c iprop_ /root/bundle || :") == "0"
    assert kdc1.out("grep -a -c max_renewable_life /root/bundle || :") != "0"


def test_a_whole_database_is_refused(fleet):
    kdc1, kdc2, _ = fleet
    before = place(kdc2), outcome(kdc2)["finished"]
    for words in ([], ["--force"]):
        report = propagate(kdc1, *words, HOST, status=3)["kdc2"]
        report.stopped("whole", "refused", 3, summary=["runs incrementally (iprop)", HOST],
                       hint=["iprop_enable = false", "systemctl restart krb5-kpropd", f"setup-slave {HOST}"])
        assert report.told["result"] == "incremental"
    set_up(kdc1, kdc2).stopped("whole", "refused", 3, summary="runs incrementally")
    assert kdc1.run("kpropctl", "setup-slave", "--dry-run", HOST, check=False).returncode == 3
    assert (place(kdc2), outcome(kdc2)["finished"]) == before
    follows(kdc1, kdc2, "after-propagate")


def test_an_agent_is_told_by_nobody(fleet):
    """A primary that does not ask, as an older one, is refused by the agent: there is nothing announced."""
    kdc1, kdc2, _ = fleet
    a = outcome(kdc2)["last_good"]
    said = kdc2.run("kpropctl-agent", "announce", "LAB.TEST", json.dumps({**a, "generation": a["generation"] + 50}),
                    check=False)
    assert said.returncode == 3 and "runs incrementally" in said.stdout + said.stderr, said
    assert "iprop_enable = false" in said.stdout + said.stderr, said
    assert not kdc2.exists(ANNOUNCED)


def test_rollback_is_refused(fleet):
    kdc1, kdc2, _ = fleet
    before = place(kdc2), outcome(kdc2)["finished"]
    done = kdc1.run("kpropctl", "rollback", HOST, check=False)  # not asked first: no terminal either
    assert done.returncode == 3 and f"cannot roll back {HOST}: its kpropd" in done.stderr, done
    assert "iprop_enable = false" in done.stderr and f"setup-slave {HOST}" in done.stderr, done
    done = kdc2.run("kpropctl-agent", "rollback", "LAB.TEST", check=False)
    assert done.returncode == 3 and "runs incrementally" in done.stdout + done.stderr, done
    assert (place(kdc2), outcome(kdc2)["finished"]) == before
    follows(kdc1, kdc2, "after-rollback")


def test_check_warns_and_no_more(fleet):
    kdc1, kdc2, kdc3 = fleet
    good(propagate(kdc1, kdc3.name))
    result = check(kdc1)
    assert result.bad == {("kdc2", "content"): "WARNING"}, result
    row = result.rows["kdc2", "content"]
    assert "incremental, content not verified" in row["summary"] and "kproplog -h" in row["hint"], result
    assert result.rows["kdc2", "age"]["level"] == "skipped", result
    assert result.rows["kdc3", "content"]["level"] == result.rows["kdc3", "age"]["level"] == "ok", result
    assert result.status == 1, result
    done = kdc2.run("kpropctl-agent", "check", check=False)
    assert "incremental" in done.stdout and "CRITICAL" not in done.stdout, done


def test_timer_and_watch_leave_it_alone_and_say_so_once(fleet):
    kdc1, kdc2, kdc3 = fleet
    kdc1.run("kpropctl propagate kdc3.lab.test; kpropctl forget kdc9.lab.test", check=False)
    since = kdc1.out("date +%s.%N")
    told = len(history(kdc1, HOST))

    def said():
        kdc1.run("journalctl", "--sync", check=False)
        return kdc1.out(f"journalctl --since @{since} -o cat | grep -c 'kdc2.lab.test is left alone' || :")

    # Whatever the tests before have left: first something else, so that there is news.
    kdc1.run("/usr/bin/python3", "-c", "import sqlite3; c = sqlite3.connect('/var/lib/kpropctl/state.db'); "
             "c.execute(\"UPDATE outcome SET result = 'verified' WHERE host = 'kdc2.lab.test'\"); c.commit()")
    for reason in ("timer", "watch", "cron", "timer"):
        follows(kdc1, kdc2, f"by-{reason}")
        done = kdc1.run("kpropctl", "propagate", "--reason", reason, "-q")
        assert done.stdout == done.stderr == "", done
        assert has(kdc3, f"by-{reason}")
    assert said() == "1"
    assert [one["result"] for one in history(kdc1, HOST)][:2] == ["incremental", "verified"]
    assert len(history(kdc1, HOST)) == told + 1
    with_person = propagate(kdc1, HOST, status=3)["kdc2"]
    assert with_person.last["id"] == "whole"


def test_a_waiting_announcement_does_not_block_a_resync(fleet):
    kdc1, kdc2, _ = fleet
    kdc2.run(f"cp /root/announced {ANNOUNCED}")
    before = outcome(kdc2)["finished"]
    assert kdc2.json("kpropctl-agent", "facts", "LAB.TEST")["announced"]
    kdc1.run("kadmin.local", "-q", "addpol -minlength 6 resync")  # policies are in no increment
    wait_until(lambda: outcome(kdc2)["finished"] != before, 60, "no resync")
    last = outcome(kdc2)
    assert last["loaded"] and not last["error"], last
    assert kdc2.ok("kadmin.local -q 'getpol resync' | grep -q Minimum.password.length")
    follows(kdc1, kdc2, "after-resync")
    kdc2.remove(ANNOUNCED)


def test_the_running_kpropd_counts(fleet):
    """Not what kdc.conf says by now: it is read at kpropd's start."""
    kdc1, kdc2, kdc3 = fleet
    kdc3.run(ON)
    try:
        good(propagate(kdc1, "--force", kdc3.name))
        row = check(kdc1, kdc3.name).rows["kdc3", "content"]
        assert row["level"] == "warning" and "next start" in row["summary"], row
        assert "iprop_enable = false" in row["hint"], row
        kdc3.systemctl("stop", "krb5-kpropd")
        report = propagate(kdc1, "--force", kdc3.name, status=3)["kdc3"]
        report.stopped("whole", "refused", 3, summary="kdc.conf has iprop_enable", hint="iprop_enable = false")
    finally:
        kdc3.run(f"sed -i '/iprop_/d' {CONF}; systemctl start krb5-kpropd")
    good(propagate(kdc1, "--force", kdc3.name))
    assert check(kdc1, kdc3.name).bad == {}
    kdc2.run(f"cp {CONF} /root/kdc.conf; sed -i '/iprop_enable/d' {CONF}")
    try:
        report = propagate(kdc1, HOST, status=3)["kdc2"]
        report.stopped("whole", "refused", 3, summary="runs incrementally")
        assert "sed" not in report.last["hint"] and "systemctl restart krb5-kpropd" in report.last["hint"], report
        assert check(kdc1, HOST).rows["kdc2", "content"]["level"] == "warning"
    finally:
        kdc2.run(f"cat /root/kdc.conf >{CONF}")


def test_a_log_that_is_cut_stops_a_write_and_nobody_dies(fleet):
    """libkdb5 would die of SIGBUS, with the key in the agent's keytab and not in the database."""
    kdc1, kdc2, kdc3 = fleet
    name = f"host/{kdc3.name}"
    before = versions(kdc1, name)
    kdc1.systemctl("stop", "krb5-admin-server")
    kdc1.run(f"truncate -s 0 {ULOG}")
    done = kdc1.run("kpropctl", "renew", kdc3.name, check=False)
    assert done.returncode == 1, done
    assert f"rm {ULOG}" in done.stdout + done.stderr, done
    report = propagate(kdc1, "--force", kdc3.name, status=1)["kdc3"]
    report.stopped("dump", "failed", 1, summary=f"update log {ULOG} is cut", hint=f"rm {ULOG}")
    kdc1.run(re.search(rf"rm {ULOG}; systemctl reset-failed krb5-admin-server; systemctl restart krb5-admin-server",
                       done.stdout + done.stderr)[0])
    assert versions(kdc1, name) == before
    kdc1.run("kpropctl", "renew", kdc3.name)
    wait_until(lambda: versions(kdc2, name) == versions(kdc1, name), 60, "it did not come by a resync")
    kdc1.run("kpropctl", "renew", "--finish", "--force", kdc3.name)
    follows(kdc1, kdc2, "after-cut")
    good(propagate(kdc1, kdc3.name))


def test_the_lines_that_end_it(fleet):
    """What the refusal prints, as it is; from then on kdc2 is a replica as kdc3, of a primary that still logs."""
    kdc1, kdc2, kdc3 = fleet
    hint = propagate(kdc1, HOST, status=3)["kdc2"].last["hint"]
    lines = re.search(r"on kdc2\.lab\.test, as root: (.*); then, on the primary", hint)[1]
    command = re.search(r"on the primary: (kpropctl setup-slave \S+) \(gives up: increments", hint)[1]
    kdc2.run(lines)
    kdc1.run(command)
    kdc1.run("kadmin.local", "-q", "addprinc -randkey after-all")
    reports = good(propagate(kdc1))
    assert set(reports) == {"kdc2", "kdc3"}
    assert has(kdc2, "after-all") and has(kdc3, "after-all")
    assert check(kdc1).bad == {}
    done = kdc1.run("kpropctl", "rollback", "--yes", HOST)
    assert "went back" in done.stdout, done
