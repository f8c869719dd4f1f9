"""A primary that went back in time, lost what it had recorded, is not the only one, or is none any
more: what a replica alone has is never overwritten without a word, and every refusal has a way out."""
import itertools
import json

import pytest

from lab import wait_until
from propagate_kit import fleet_of, good, last, propagate, sent
from setup_kit import LIVE, add_user, set_up, ticket

NEEDS = {
    "krb5-admin-server": "test_set_up_again_after_a_snapshot",
    "remctl-client": "test_another_content_of_this_number_meanwhile",
}

STATE = "/var/lib/kpropctl/state.db"
KNOWN = "/var/lib/kpropctl-agent/LAB.TEST.generation"
WATCH, TIMER = "kpropctl-watch.service", "kpropctl-propagate.timer"
number = itertools.count()


@pytest.fixture
def fleet(lab):
    kdc1, kdc2, kdc3 = fleet_of(lab, ["kdc2", "kdc3"])
    good(propagate(kdc1))
    return kdc1, kdc2, kdc3


def keep(kdc1, where="/root/kept"):
    """A snapshot of the primary: its database and what kpropctl has recorded."""
    kdc1.run(f"rm -rf {where} && mkdir {where} && cp -a {LIVE}* {where} && cp -a /var/lib/kpropctl {where}/state")


def put_back(kdc1, where="/root/kept", database=True, state=True):
    if database:
        kdc1.run(f"cp -a {where}/principal* /var/lib/krb5kdc/")
    if state:
        kdc1.run(f"rm -rf /var/lib/kpropctl && cp -a {where}/state /var/lib/kpropctl")


def live_on(kdc1):
    """Three more users and another password of alice: the new users."""
    names = [f"ghost{next(number)}" for _ in range(3)]
    for name in names:
        add_user(kdc1, name)
    # real time: a principal knows the second of its last change
    kdc1.run("sleep 1.1; kadmin.local -q 'cpw -pw newer-password alice'")
    return names


def has(host, name):
    return host.ok(f"kadmin.local getprinc {name} | grep -q ^Principal")


def password(host, word):
    """Whether the KDC of this host knows alice by this password."""
    return host.ok("""printf '[libdefaults]\\ndefault_realm = LAB.TEST\\ndns_lookup_kdc = false\\n
[realms]\\nLAB.TEST = {\\nkdc = %s\\n}\\n' "$(hostname)" >/tmp/lone.conf
KRB5_CONFIG=/tmp/lone.conf kinit -c MEMORY:lone alice""", input=f"{word}\n")


def checked(kdc1, host="kdc2.lab.test"):
    """The rows that `check` tells of a host."""
    done = kdc1.run("kpropctl", "check", "--format=json", "--timeout=60", check=False)
    return {one["host"]: {row["id"]: row for row in one["checks"]}
            for one in json.loads(done.stdout)["hosts"]}[host]


def refused(report, *words, hint="kpropctl propagate --accept-timeline kdc2.lab.test"):
    report.stopped("timeline", "refused", 3, summary=words, hint=hint)


def untouched(hosts, names):
    """Each still has the users and alice's newer password."""
    for host in hosts:
        assert all(has(host, name) for name in names) and password(host, "newer-password")


def test_a_snapshot_of_the_primary_is_put_back(fleet):
    kdc1, *replicas = fleet
    keep(kdc1)
    names = live_on(kdc1)
    good(propagate(kdc1))
    before = last(kdc1)["generation"]
    put_back(kdc1)
    assert not has(kdc1, names[0])
    rows = checked(kdc1)
    assert rows["timeline"]["level"] == "failed" and str(before) in rows["timeline"]["summary"], rows
    reports = propagate(kdc1, "--reason", "timer", status=3)
    refused(reports["kdc2"], *names, "1 principal changed later", "alice@LAB.TEST")
    refused(reports["kdc3"], *names, hint="--accept-timeline kdc3.lab.test")
    untouched(replicas, names)
    # Nor by a change here, a forced run, or a watch.
    add_user(kdc1, "other")
    refused(propagate(kdc1, "--force", status=3)["kdc2"], *names)
    kdc1.systemctl("start", WATCH)
    wait_until(lambda: "refused: timeline" in kdc1.journal(WATCH), timeout=60)
    kdc1.systemctl("stop", WATCH)
    untouched(replicas, names)
    # The way out, for one, and what it gives up.
    report = good(propagate(kdc1, "--accept-timeline", "kdc2.lab.test"))["kdc2"]
    assert names[0] in report.summary("timeline") and report.level("timeline") == "warning", report
    assert report.told["generation"] > before
    assert has(replicas[0], "other") and not has(replicas[0], names[0])
    assert password(replicas[0], "alice-password")
    untouched(replicas[1:], names)
    report = good(propagate(kdc1, "kdc2.lab.test"))["kdc2"]
    assert not sent(report) and report.level("timeline") == "ok", report
    good(propagate(kdc1, "--accept-timeline"))
    assert not has(replicas[1], names[0])
    assert checked(kdc1)["timeline"]["level"] == "ok"


def test_what_the_replica_has_is_brought_back(fleet):
    """The way on that gives up nothing, as the refusal tells it."""
    kdc1, kdc2, _ = fleet
    kdc1.run("kadmin.local -q 'cpw -pw alice-password alice'")
    keep(kdc1)
    names = live_on(kdc1)
    good(propagate(kdc1))
    put_back(kdc1)
    report = propagate(kdc1, status=3)["kdc2"]
    assert "kdb5_util load -update" in report.last["detail"], report
    wanted = " ".join(f"{name}@LAB.TEST" for name in [*names, "alice"])
    kdc2.run(f"kdb5_util dump /root/wanted {wanted}")
    kdc1.run("umask 077; cat >/root/wanted; kdb5_util load -update /root/wanted; rm /root/wanted",
             input=kdc2.read("/root/wanted"))
    for report in good(propagate(kdc1)).values():
        assert report.level("timeline") == "warning", report
    untouched([kdc1, kdc2], names)


def test_set_up_again_after_a_snapshot(fleet):
    kdc1, kdc2, _ = fleet
    keep(kdc1)
    names = live_on(kdc1)
    good(propagate(kdc1))
    put_back(kdc1)
    refused(set_up(kdc1, kdc2), *names, hint="kpropctl setup-slave --accept-timeline kdc2.lab.test")
    untouched([kdc2], names)
    set_up(kdc1, kdc2, options=["--accept-timeline"]).good()
    assert not has(kdc2, names[0])


@pytest.mark.parametrize("how", ["lost", "older"])
def test_the_state_alone(fleet, how):
    """The database is the newest: it goes on, says so once, and one content has one number."""
    kdc1, *replicas = fleet
    keep(kdc1)
    names = live_on(kdc1)
    good(propagate(kdc1))
    before = last(kdc1)["generation"]
    if how == "lost":
        kdc1.remove(STATE)
    else:
        put_back(kdc1, database=False)
    add_user(kdc1, "next")
    reports = good(propagate(kdc1))
    for report in reports.values():
        assert report.level("timeline") == "warning", report
        assert "nothing that is newer than here" in report.summary("timeline"), report
    assert len({report.told["generation"] for report in reports.values()}) == 1
    assert reports["kdc2"].told["generation"] > before
    assert all(has(host, "next") for host in replicas)
    untouched(replicas, names)
    reports = good(propagate(kdc1))
    for report in reports.values():
        assert report.level("timeline") == "ok" and not sent(report), report


@pytest.mark.parametrize("how", ["lost", "older"])
def test_the_state_alone_and_nothing_to_send(fleet, how):
    """What was compared and found the same is said once: after that, `check` has nothing to say of it."""
    kdc1 = fleet[0]
    keep(kdc1)
    live_on(kdc1)
    good(propagate(kdc1))
    if how == "lost":
        kdc1.remove(STATE)
    else:
        put_back(kdc1, database=False)
    reports = good(propagate(kdc1))
    for report in reports.values():
        assert report.level("timeline") == "warning" and not sent(report), report
    assert checked(kdc1)["timeline"]["level"] == "ok", checked(kdc1)
    for report in good(propagate(kdc1)).values():
        assert report.level("timeline") == "ok" and not sent(report), report
    assert checked(kdc1, "kdc3.lab.test")["timeline"]["level"] == "ok"


def test_lost_state_and_a_replica_that_knows_more(fleet):
    """The number is above all that any agent knows, also where nothing has to be sent."""
    kdc1, _, kdc3 = fleet
    kdc3.write(KNOWN, '{"greatest": 700}')
    kdc1.remove(STATE)
    reports = good(propagate(kdc1))
    assert [report.told["generation"] for report in reports.values()] == [701, 701], reports
    assert not any(sent(report) for report in reports.values())


@pytest.mark.parametrize("how", ["copied", "loaded"])
def test_the_database_alone_is_put_back(fleet, how):
    """What is recorded is intact, so that no number tells."""
    kdc1, *replicas = fleet
    keep(kdc1)
    kdc1.run("kdb5_util dump /root/old")
    names = live_on(kdc1)
    good(propagate(kdc1))
    if how == "copied":
        put_back(kdc1, state=False)
    else:
        kdc1.run("kdb5_util load /root/old")
    reports = propagate(kdc1, status=3)
    refused(reports["kdc2"], "was replaced", *names, "alice@LAB.TEST")
    untouched(replicas, names)
    add_user(kdc1, "other")
    refused(propagate(kdc1, status=3)["kdc2"], *names)
    good(propagate(kdc1, "--accept-timeline"))
    good(propagate(kdc1))
    assert not any(has(host, names[0]) for host in replicas)


def test_a_load_of_what_was_there(fleet):
    """An administrator's dump and load loses nothing: there is nothing to say."""
    kdc1, kdc2, _ = fleet
    kdc1.run("kdb5_util dump /root/same && kdb5_util load /root/same")
    for report in good(propagate(kdc1)).values():
        assert report.level("timeline") == "ok" and not sent(report), report
    add_user(kdc1, "next")
    kdc1.run("kdb5_util dump /root/same && kdb5_util load /root/same")
    for report in good(propagate(kdc1)).values():
        assert report.level("timeline") == "ok" and sent(report), report
    assert has(kdc2, "next")


def test_two_primaries_take_turns(fleet):
    """Both are let in, each has its own record: neither overwrites the other's work unasked."""
    kdc1, kdc2, _ = fleet
    keep(kdc1, "/root/one")
    add_user(kdc1, "of-one")
    good(propagate(kdc1))
    generation = last(kdc1)["generation"]
    keep(kdc1, "/root/mine")
    put_back(kdc1, "/root/one")
    add_user(kdc1, "of-other")
    for _ in range(2):
        refused(propagate(kdc1, status=3)["kdc2"], "of-one@LAB.TEST", f"generation {generation}")
    assert has(kdc2, "of-one") and not has(kdc2, "of-other")
    good(propagate(kdc1, "--accept-timeline"))
    keep(kdc1, "/root/other")
    assert has(kdc2, "of-other")
    put_back(kdc1, "/root/mine")
    for _ in range(2):
        refused(propagate(kdc1, status=3)["kdc2"], "of-other@LAB.TEST")
    add_user(kdc1, "more-of-one")
    refused(propagate(kdc1, status=3)["kdc2"], "of-other@LAB.TEST")
    assert has(kdc2, "of-other")


def test_another_content_of_this_number_meanwhile(fleet):
    """The agent hears of it after it was asked: it refuses, and the content decides."""
    kdc1, kdc2, _ = fleet
    add_user(kdc1, "theirs")
    good(propagate(kdc1))
    kdc1.run("kadmin.local -q 'delprinc -force theirs'")
    before = last(kdc1)["generation"]
    other = json.dumps({"generation": before + 1, "sha256": "ab" * 32, "nonce": "cd" * 32, "digest": "ef" * 32,
                        "size": 1, "principals": 1, "policies": 0})
    # Between facts and announce, while the dump is made.
    kdc1.write("/root/kdb5_util", f"#!/bin/sh\nremctl kdc2.lab.test kpropctl announce LAB.TEST '{other}' >/root/said 2>&1\n"
               "exec /usr/sbin/kdb5_util \"$@\"\n", "755")
    kdc1.write("/etc/kpropctl/kpropctl.conf", "[kpropctl]\nkdb5_util = /root/kdb5_util\n")
    kdc1.run("kinit -k")
    report = propagate(kdc1, "kdc2.lab.test", status=3)["kdc2"]
    report.stopped("propagate", "refused", 3, summary=["theirs@LAB.TEST"], hint="--accept-timeline kdc2.lab.test")
    assert has(kdc2, "theirs")
    kdc1.remove("/etc/kpropctl/kpropctl.conf")
    good(propagate(kdc1, "--accept-timeline", "kdc2.lab.test"))
    assert not has(kdc2, "theirs")


def test_a_host_that_is_no_primary_any_more(fleet):
    kdc1, kdc2, _ = fleet
    kdc1.run("kpropctl schedule --enable")
    wait_until(lambda: kdc1.active(WATCH))
    kdc1.run("sed -i 's/admin_server = kdc1.lab.test/admin_server = kdc2.lab.test/' /etc/krb5.conf; "
             "systemctl disable --now krb5-admin-server")
    rows = checked(kdc1, "kdc1.lab.test")
    assert rows["primary"]["level"] == "refused" and "admin_server is kdc2" in rows["primary"]["summary"], rows
    assert "kadmind" not in rows and "schedule" not in rows, rows
    done = kdc1.run("kpropctl", "check", check=False)
    assert "krb5-admin-server" not in done.stdout and "schedule --enable" not in done.stdout, done.stdout
    done = kdc1.run("kpropctl", "propagate", "--reason", "timer", check=False)
    assert done.returncode == 3 and "not the primary" in done.stdout, done
    # The watch ends, by itself, and stays so.
    kdc1.run("kadmin.local -q 'addprinc -randkey ghost'")
    wait_until(lambda: not kdc1.active(WATCH), timeout=60)
    show = kdc1.out("systemctl", "show", "--property=ExecMainStatus,NRestarts,ActiveState", WATCH)
    assert "ExecMainStatus=3" in show and "NRestarts=0" in show and "ActiveState=failed" in show, show
    assert "schedule --disable" in kdc1.journal(WATCH)
    assert ticket(kdc2) == "" and not has(kdc2, "ghost")
