"""What once made a bad replica look good, or a good one bad: times that lie, numbers that two
primaries share, a state that was lost.

The fleet is set up once for this file; each test leaves it good."""
import json

import pytest

from propagate_kit import configure_more, fleet_of, good, last, propagate, sent
from setup_kit import LIVE, add_user, ticket

NEEDS = {"python3": "test_verified_by_a_clock_that_was_ahead"}

STATE = "/var/lib/kpropctl/state.db"
number = iter(range(1000))


@pytest.fixture(scope="module")
def made(lab):
    return fleet_of(lab, ["kdc2"])


@pytest.fixture
def fleet(made):
    kdc1, _ = made
    configure_more(kdc1, retries=0)
    yield made
    kdc1.remove("/etc/kpropctl/kpropctl.conf")
    good(propagate(kdc1))


def change(kdc1):
    """A new user, whom no replica knows yet: its name."""
    name = f"late{next(number)}"
    add_user(kdc1, name)
    return name


def has(host, name):
    return ticket(host, name) == ""


def checked(kdc1, row, *words):
    """What `check` says of one row of kdc2: its level and summary."""
    done = kdc1.run("kpropctl", "check", "--format=json", "--timeout=60", "--check", row, *words,
                    check=False)
    rows = {host["host"]: {one["id"]: one for one in host["checks"]}
            for host in json.loads(done.stdout)["hosts"]}
    one = rows["kdc2.lab.test"][row]
    return one["level"], one["summary"]


def put_back_older(kdc1, kdc2):
    """The replica's files of before a change come back, with their times: the user they lack."""
    good(propagate(kdc1))
    kdc2.run(f"rm -rf /root/older && mkdir /root/older && cp -p {LIVE} {LIVE}.kadm5 /root/older")
    name = change(kdc1)
    good(propagate(kdc1))
    assert checked(kdc1, "content")[0] == "ok"
    kdc2.run(f"mv -f /root/older/principal {LIVE} && mv -f /root/older/principal.kadm5 {LIVE}.kadm5")
    return name


def test_older_files_put_back(fleet):
    """Older than the last load, and yet not what it promoted."""
    kdc1, kdc2 = fleet
    name = put_back_older(kdc1, kdc2)
    level, summary = checked(kdc1, "content")
    assert level == "failed" and "NOT what was sent" in summary, (level, summary)
    console = kdc2.run("kpropctl-agent", "check", check=False)
    assert console.returncode == 3 and "other files are in its place" in console.stdout, console.stdout
    report = good(propagate(kdc1))["kdc2"]
    assert sent(report) and has(kdc2, name), report
    assert checked(kdc1, "content")[0] == "ok"


def test_older_files_put_back_between_two_comparisons(fleet):
    """digest_interval spares the comparison of what logins have written, not of other files."""
    kdc1, kdc2 = fleet
    configure_more(kdc1, digest_interval="1h")
    name = put_back_older(kdc1, kdc2)
    report = good(propagate(kdc1))["kdc2"]
    assert sent(report) and has(kdc2, name), report


def test_the_same_number_of_another_primary(fleet):
    """A clone of the primary has sent its own generation of this number, to an agent that let it."""
    kdc1, kdc2 = fleet
    configure_more(kdc1, digest_interval="1h")
    good(propagate(kdc1))
    kdc1.run(f"cp {STATE} /root/state.db && kdb5_util dump /root/before")
    mine = change(kdc1)
    good(propagate(kdc1))
    generation = last(kdc1)["generation"]
    kdc1.run(f"cp {STATE} /root/mine.db && kdb5_util dump /root/mine && kdb5_util load /root/before && "
             f"cp /root/state.db {STATE}")
    other = change(kdc1)
    kdc2.run("rm /var/lib/kpropctl-agent/LAB.TEST.*")
    good(propagate(kdc1, "--accept-timeline"))
    assert last(kdc1)["generation"] == generation and has(kdc2, other)
    kdc1.run(f"kdb5_util load /root/mine && cp /root/mine.db {STATE}")
    ticket(kdc2)
    level, summary = checked(kdc1, "content")
    assert level == "failed" and "NOT what was sent" in summary, (level, summary)
    propagate(kdc1, status=3)["kdc2"].stopped("timeline", "refused", 3, summary=f"{other}@LAB.TEST")
    report = good(propagate(kdc1, "--accept-timeline"))["kdc2"]
    assert sent(report) and has(kdc2, mine), report
    assert last(kdc1)["generation"] > generation


def test_a_good_replica_without_its_outcome(fleet):
    """The agent has lost its state, or refused what somebody else sent: the database is still right."""
    kdc1, kdc2 = fleet
    good(propagate(kdc1))
    kdc2.run("rm -f /var/lib/kpropctl-agent/LAB.TEST.*")
    level, summary = checked(kdc1, "content")
    assert level == "ok" and "digest compared" in summary, (level, summary)
    assert not sent(good(propagate(kdc1))["kdc2"])
    assert checked(kdc1, "content")[0] == "ok"


def test_verified_by_a_clock_that_was_ahead(fleet):
    """Once the clock is right again, nobody says 'verified 0 s ago' for a year."""
    kdc1, _ = fleet
    good(propagate(kdc1))
    kdc1.run("python3 -c \"import sqlite3; c = sqlite3.connect('" + STATE + "'); "
             "c.execute('UPDATE outcome SET finished = finished + 31536000 WHERE id = "
             "(SELECT max(id) FROM outcome)'); c.commit()\"")
    level, summary = checked(kdc1, "age")
    assert level == "unknown" and "the clock here was set back" in summary, (level, summary)
    configure_more(kdc1, ticket_interval="1h")
    report = good(propagate(kdc1))["kdc2"]
    assert checked(kdc1, "age")[0] == "ok"
    assert "ago" not in report.summary("ticket"), report


def test_check_after_the_state_was_lost(fleet):
    """A new state database knows no replica: that nobody is left to be bad is not good."""
    kdc1, _ = fleet
    good(propagate(kdc1))
    good(propagate(kdc1))
    kdc1.run(f"cp -p {STATE} /root/kept.db && rm {STATE}")
    try:
        good(propagate(kdc1))
        assert checked(kdc1, "name")[0] == "ok", "the replica is still among those that are asked"
    finally:
        kdc1.run(f"mv /root/kept.db {STATE}")


def test_kpropd_of_another_database(fleet):
    """kpropd -F: what it loads is not what the KDC serves."""
    kdc1, kdc2 = fleet
    good(propagate(kdc1))
    kdc2.run("mv /usr/lib/kpropctl/kpropctl-loader /root/loader && printf '#!/bin/sh\\n"
             "exec /usr/lib/kpropctl/real-loader load -d /var/lib/krb5kdc/other \"$4\"\\n' "
             "> /usr/lib/kpropctl/kpropctl-loader && chmod 755 /usr/lib/kpropctl/kpropctl-loader && "
             "mv /root/loader /usr/lib/kpropctl/real-loader")
    try:
        name = change(kdc1)
        report = propagate(kdc1, status=1)["kdc2"]
        assert "reads /var/lib/krb5kdc/principal" in report.summary("propagate"), report
        assert not has(kdc2, name)
    finally:
        kdc2.run("mv /usr/lib/kpropctl/real-loader /usr/lib/kpropctl/kpropctl-loader")
    good(propagate(kdc1))
    assert has(kdc2, name)
