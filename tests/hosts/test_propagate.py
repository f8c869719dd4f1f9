"""kpropctl propagate, history, list, rollback, remove-slave on a primary with two replicas.

The fleet is set up once for this file; each test leaves it good."""
import pytest

from lab import wait_until
from propagate_kit import (count_dumps, dumps, fleet_of, good, history, last, lockout, propagate,
                           refused, sent, wrap_kprop)
from setup_kit import LIVE, add_user, dumps_left, serves_old, ticket
from standins import Held

NEEDS = {
    "python3": "test_stop_kpropd_never_during_a_load",
    "krb5-admin-server": "test_a_policy_alone_is_a_change",
}


@pytest.fixture(scope="module")
def made(lab):
    return fleet_of(lab, ["kdc2", "kdc3"])


@pytest.fixture
def fleet(made):
    """The three hosts, in step, with the configuration of a fresh package."""
    kdc1 = made[0]
    kdc1.remove("/etc/kpropctl/kpropctl.conf", "/root/dumps")
    yield made
    kdc1.remove("/etc/kpropctl/kpropctl.conf")
    good(propagate(kdc1, "--allow-shrink"))


def test_untouched_is_neither_dumped_nor_sent(fleet):
    kdc1 = fleet[0]
    count_dumps(kdc1)
    good(propagate(kdc1))
    before = dumps(kdc1)
    reports = good(propagate(kdc1))
    assert dumps(kdc1) == before
    assert set(reports) == {"kdc2", "kdc3"}
    for report in reports.values():
        assert not sent(report) and "untouched" in report.summary("dump"), report
    assert last(kdc1)["result"] == "unchanged" and last(kdc1)["bytes"] == 0


def test_a_run_is_no_reason_for_the_next(fleet):
    """Our own tickets are cached: the database's files stay as they are, run after run."""
    kdc1 = fleet[0]
    good(propagate(kdc1))
    before = kdc1.out("stat", "-c", "%n %i %s %y", LIVE, LIVE + ".kadm5")
    for _ in range(3):
        good(propagate(kdc1))
    assert kdc1.out("stat", "-c", "%n %i %s %y", LIVE, LIVE + ".kadm5") == before


def test_only_logins_are_dumped_and_not_sent(fleet):
    kdc1, kdc2, _ = fleet
    count_dumps(kdc1)
    good(propagate(kdc1))
    kdc1.run("kinit", "-c", "MEMORY:x", "alice", input="wrong\n", check=False)
    assert ticket(kdc1) == "" and ticket(kdc2) == ""
    before = dumps(kdc1)
    reports = good(propagate(kdc1))
    assert dumps(kdc1) > before
    for report in reports.values():
        assert not sent(report) and "only logins" in report.summary("dump"), report
    before = dumps(kdc1)
    good(propagate(kdc1))
    assert dumps(kdc1) == before, "that content is known by now"


def test_no_more_at_once_than_configured(fleet):
    """However long each takes."""
    kdc1 = fleet[0]
    kdc1.remove("/root/turns")
    # real time: others that ran beside it would begin meanwhile
    wrap_kprop(kdc1, "echo begin >>/root/turns; sleep 2; $real \"$@\"; status=$?; "
                     "echo end >>/root/turns; exit $status", parallel=1)
    good(propagate(kdc1, "--force"))
    assert kdc1.read("/root/turns").split() == ["begin", "end"] * 2


def test_a_policy_alone_is_a_change(fleet):
    kdc1, kdc2, _ = fleet
    good(propagate(kdc1))
    kdc1.run("kadmin.local", "-q", "addpol -minlength 9 nine")
    reports = good(propagate(kdc1))
    assert sent(reports["kdc2"]) and sent(reports["kdc3"])
    assert "nine" in kdc2.out("kadmin.local", "-q", "getpol nine")


def test_force_sends_what_is_there(fleet):
    kdc1 = fleet[0]
    good(propagate(kdc1))
    reports = good(propagate(kdc1, "--force"))
    assert all(sent(report) for report in reports.values()), reports


def test_one_host_of_the_fleet(fleet):
    kdc1, kdc2, kdc3 = fleet
    add_user(kdc1, "one")
    reports = good(propagate(kdc1, "kdc3.lab.test"))
    assert set(reports) == {"kdc3"} and ticket(kdc3, "one") == "" and serves_old(kdc2, "one")


def test_text_output(fleet):
    kdc1 = fleet[0]
    add_user(kdc1, "texts")
    said = kdc1.out("kpropctl", "propagate")
    assert len(said.splitlines()) == 2 and said.count("verified") == 2, said
    assert kdc1.out("kpropctl", "propagate", "-q") == ""
    assert kdc1.out("kpropctl", "propagate").count("unchanged") == 2


def test_shrink_guard(fleet):
    kdc1, kdc2, _ = fleet
    good(propagate(kdc1))
    kdc1.run("kadmin.local", input="".join(f"delprinc -force user{n}\n" for n in range(1, 100)))
    reports = propagate(kdc1, status=3)
    for report in reports.values():
        report.stopped("dump", "refused", 3, summary=["shrunk", "20 %"], hint="--allow-shrink")
    assert dumps_left(kdc1) == ""
    assert kdc2.ok("kadmin.local getprinc user99 | grep -q Principal")
    for report in propagate(kdc1, status=3).values():
        report.stopped("dump", "refused", 3, summary="shrunk")
    assert last(kdc1)["result"] == "failed" and "shrunk" in last(kdc1)["error"]
    good(propagate(kdc1, "--allow-shrink"))
    assert not kdc2.ok("kadmin.local getprinc user99 | grep -q Principal")


def test_history_and_list(fleet):
    kdc1 = fleet[0]
    add_user(kdc1, "historic")
    good(propagate(kdc1, "--reason", "by-test"))
    row = last(kdc1)
    assert (row["result"], row["reason"], row["error"]) == ("verified", "by-test", None), row
    assert row["bytes"] > 50000 and row["transfer_seconds"] > 0 and row["dump_seconds"] > 0, row
    assert len(row["digest"]) == 64 and row["generation"] > 1, row
    assert {one["host"] for one in history(kdc1)} == {"kdc2.lab.test", "kdc3.lab.test"}
    assert {one["host"] for one in history(kdc1, "kdc3.lab.test")} == {"kdc3.lab.test"}
    told = kdc1.json("kpropctl", "list", "--json")
    assert [one["host"] for one in told] == ["kdc2.lab.test", "kdc3.lab.test"]
    assert {one["generation"] for one in told} == {row["generation"]}
    assert "kdc2.lab.test" in kdc1.out("kpropctl", "list")
    assert "by-test" in kdc1.out("kpropctl", "history", "-n", "2")
    refused(kdc1, "one", "two", command="history", status=2)


# Row 17: what is locked on a replica stays so.

def test_lockout_of_the_replica_survives(fleet):
    kdc1, kdc2, _ = fleet
    kdc1.run("kadmin.local", input="addpol -maxfailure 3 -lockoutduration 1h strict\n"
             "addprinc -pw locked-password -policy strict +requires_preauth locked\n")
    good(propagate(kdc1))
    for _ in range(3):
        assert "Password incorrect" in wrong(kdc2)
    assert "revoked" in ticket(kdc2, "locked")
    before = lockout(kdc2, "locked")
    assert before[0] == 3
    add_user(kdc1, "later")
    reports = good(propagate(kdc1))
    assert sent(reports["kdc2"])
    assert ticket(kdc2, "later") == ""
    assert lockout(kdc2, "locked") == before
    assert "revoked" in ticket(kdc2, "locked")
    assert ticket(fleet[2], "locked") == "", "only there"


def wrong(host, user="locked"):
    return host.run("""printf '[libdefaults]\\ndefault_realm = LAB.TEST\\n[realms]\\nLAB.TEST = {
kdc = %s\\n}\\n' "$(hostname)" >/tmp/lone.conf
KRB5_CONFIG=/tmp/lone.conf kinit -c MEMORY:lone """ + user, input="wrong\n", check=False).stderr


# Rollback.

def test_rollback(fleet):
    kdc1, kdc2, _ = fleet
    good(propagate(kdc1))
    before = last(kdc1)["generation"]
    add_user(kdc1, "newest")
    good(propagate(kdc1))
    said = refused(kdc1, "kdc2.lab.test", "--previous", command="rollback", status=3, said="--yes")
    assert f"generation {before}" in said and "principals" in said
    assert ticket(kdc2, "newest") == "", "nothing was done"
    said = kdc1.out("kpropctl", "rollback", "--previous", "--yes", "kdc2.lab.test")
    assert "next propagation" in said and f"generation {before}" in said
    assert serves_old(kdc2, "newest")
    row = last(kdc1)
    assert (row["reason"], row["result"], row["generation"]) == ("rollback", "verified", before)
    # the same word undoes it
    kdc1.run("kpropctl", "rollback", "--previous", "--yes", "kdc2.lab.test")
    assert ticket(kdc2, "newest") == ""
    kdc1.run("kpropctl", "rollback", "--previous", "--yes", "kdc2.lab.test")
    # and a propagation goes forward
    reports = good(propagate(kdc1))
    assert sent(reports["kdc2"]) and not sent(reports["kdc3"])
    assert ticket(kdc2, "newest") == ""


def test_rollback_asks_on_a_terminal(fleet):
    kdc1, kdc2, _ = fleet
    good(propagate(kdc1))
    before = kdc2.fingerprint(LIVE)
    done = kdc1.run("script -qec 'kpropctl rollback kdc2.lab.test' /dev/null", input="n\n",
                    check=False)
    assert done.returncode == 3 and "[y/N]" in done.stdout, done
    assert kdc2.fingerprint(LIVE) == before
    done = kdc1.run("script -qec 'kpropctl rollback kdc2.lab.test' /dev/null", input="y\n",
                    check=False)
    assert done.returncode == 0, done
    assert kdc2.fingerprint(LIVE) != before and ticket(kdc2) == ""


def test_rollback_repairs_without_a_primary(fleet):
    """The database is damaged, its KDC dies of it, and there is nobody to send another."""
    kdc1, kdc2, _ = fleet
    good(propagate(kdc1))
    kdc2.run("truncate", "-s", "20000", LIVE)
    ticket(kdc2)
    kdc1.systemctl("stop", "krb5-kdc", "krb5-admin-server")
    try:
        told = kdc2.json("kpropctl-agent", "rollback", "LAB.TEST")
        assert told["kdc"]["running"], told
        assert ticket(kdc2) == ""
    finally:
        kdc1.systemctl("start", "krb5-kdc", "krb5-admin-server")


def test_rollback_that_cannot_be(fleet):
    kdc1, kdc2, _ = fleet
    good(propagate(kdc1))
    kept = f"{LIVE}.kpropctl/last_good"
    done = kdc2.run("kpropctl-agent", "rollback", "LAB.TEST", "99999", check=False)
    assert done.returncode == 1 and "not kept" in done.stderr, done
    before = kdc2.fingerprint(LIVE)
    kdc2.run(f"cp -a {kept} /root/kept && sed -i 's/alice/mallo/' {kept}")
    done = kdc2.run("kpropctl-agent", "rollback", "LAB.TEST", check=False)
    assert done.returncode == 1 and "is not generation" in done.stderr, done
    assert kdc2.fingerprint(LIVE) == before, "a dump that has changed meanwhile is not loaded"
    kdc2.run(f"mv /root/kept {kept}")
    kdc2.run("kpropctl-agent", "rollback", "LAB.TEST")


# A database that something else has damaged.

@pytest.mark.parametrize("damage", ["truncate -s 20000", "truncate -s 0", "shred -n 1", "rm -f"])
def test_a_damaged_database_is_repaired(fleet, damage):
    kdc1, kdc2, _ = fleet
    good(propagate(kdc1))
    kdc2.run(f"{damage} {LIVE}")
    ticket(kdc2)
    said = kdc1.out("kpropctl", "propagate")
    assert "kdc2.lab.test was damaged, and is repaired now" in said, said
    assert last(kdc1)["result"] == "verified"
    assert ticket(kdc2) == "" and kdc2.active("krb5-kdc")


def test_an_older_generation_is_not_compared(fleet):
    """A replica whose loader has verified an older content need not make a digest to lack the new."""
    kdc1, kdc2, _ = fleet
    kdc1.run("kadmin.local", "-q", "addprinc -pw counted-password +requires_preauth counted")
    good(propagate(kdc1))
    before = kdc2.fingerprint(LIVE)
    assert "Password incorrect" in wrong(kdc2, "counted") and kdc2.fingerprint(LIVE) != before
    add_user(kdc1, "unasked")
    assert sent(good(propagate(kdc1))["kdc2"])
    assert last(kdc1)["result"] == "verified" and last(kdc1)["verify_seconds"] == 0


def test_a_damaged_database_is_replaced_by_a_newer(fleet):
    """Its loader tells of the damage then, and needs no whole database."""
    kdc1, kdc2, _ = fleet
    good(propagate(kdc1))
    kdc2.run(f"truncate -s 20000 {LIVE}")
    ticket(kdc2)
    add_user(kdc1, "mended")
    report = good(propagate(kdc1))["kdc2"]
    assert "old database could not be read" in report.steps["propagate"]["detail"], report
    assert ticket(kdc2, "mended") == "" and kdc2.active("krb5-kdc")


def test_row_9_left_by_plain_kdb5_util(fleet):
    """A load killed just after its rename, before our loader was there: reload is refused."""
    kdc1, kdc2, _ = fleet
    good(propagate(kdc1))
    kdc2.run(f"kdb5_util dump /root/d && cd {LIVE}/.. 2>/dev/null; cp -a {LIVE} {LIVE}~; "
             f"cp -a {LIVE}.kadm5 {LIVE}~.kadm5; touch {LIVE}~.ok {LIVE}~.kadm5.lock; "
             f"truncate -s 0 {LIVE}", check=False)
    ticket(kdc2)
    report = good(propagate(kdc1))["kdc2"]
    assert sent(report) and ticket(kdc2) == "" and kdc2.active("krb5-kdc"), report


# remove-slave.

def test_remove_slave(fleet):
    kdc1, _, kdc3 = fleet
    try:
        refused(kdc1, "kdc9.lab.test", command="remove-slave", status=1, said="no known replica")
        refused(kdc1, "kdc9.lab.test", command="remove-slave", status=1,
                said="on kdc9.lab.test, as root: kpropctl-agent release-loader LAB.TEST")
        said = kdc1.out("kpropctl", "remove-slave", "--stop", "kdc3.lab.test")
        assert "forgotten" in said and "stopped" in said
        assert not kdc3.active("krb5-kpropd") and not kdc3.enabled("krb5-kpropd")
        assert kdc3.active("krb5-kdc") and ticket(kdc3) == ""
        assert set(good(propagate(kdc1))) == {"kdc2"}
        assert "kdc3.lab.test" not in kdc1.out("kpropctl", "list")
        assert history(kdc1, "kdc3.lab.test"), "its history stays"
        kdc3.run("kpropctl-agent", "stop-kpropd", "LAB.TEST")
    finally:
        kdc1.run("kpropctl", "setup-slave", "kdc3.lab.test")


def test_stop_kpropd_never_during_a_load(fleet):
    _, kdc2, _ = fleet
    load = Held(kdc2, f"{LIVE}.kpropctl/loading")
    stop = kdc2.start("kpropctl-agent", "stop-kpropd", "LAB.TEST")
    wait_until(lambda: kdc2.ok("pgrep", "-f", "kpropctl-agent stop-kpropd"))
    for _ in range(5):
        assert kdc2.active("krb5-kpropd") and stop.poll() is None
    load.let_go()
    said = stop.communicate(timeout=60)[0]
    assert stop.returncode == 0 and not kdc2.active("krb5-kpropd"), said
    kdc2.run("kpropctl-agent", "start-kpropd", "LAB.TEST")


def test_a_large_database_is_dumped_without_its_lock(fleet):
    """unlocked_dump: so kdb5_util is called, and what comes is whole; an old one is called without."""
    kdc1, *_ = fleet
    kdc1.write("/root/kdb5_util", """#!/bin/sh
echo "$@" >> /root/called
if [ -e /root/old ] && [ "$3" = -x ]; then
    echo 'kdb5_util: Unsupported argument "unlockiter" for db2 while initializing database' >&2
    exit 1
fi
exec /usr/sbin/kdb5_util "$@"
""", mode="755")

    def called():
        good(propagate(kdc1, "--force"))
        lines = kdc1.read("/root/called").splitlines()
        kdc1.remove("/root/called")
        return lines

    try:
        kdc1.write("/etc/kpropctl/kpropctl.conf", "[kpropctl]\n    kdb5_util = /root/kdb5_util\n    unlocked_dump = 1\n")
        assert called() == ["-r LAB.TEST dump"]
        kdc1.run("for i in $(seq 2500); do echo addprinc -randkey -e aes256-cts:normal large$i; done | "
                 "kadmin.local >/dev/null 2>&1", timeout=120)
        assert int(kdc1.out("stat", "-c", "%s", "/var/lib/krb5kdc/principal")) > 1 << 20
        assert called() == ["-r LAB.TEST -x unlockiter dump"]
        kdc1.write("/root/old", "")
        assert called() == ["-r LAB.TEST -x unlockiter dump", "-r LAB.TEST dump"]
    finally:
        kdc1.remove("/root/kdb5_util", "/root/old", "/etc/kpropctl/kpropctl.conf")
