"""kpropctl renew: a new key for a replica's host while everything goes on; killed, dark half-way,
twice at once; and setup-slave --renew-keys, which heals a stale keytab."""
import json
import re
import threading

import pytest

from lab import wait_until
from setup_kit import set_up
from standins import Held

NEEDS = {
    "python3": "test_stale_kvno_without_the_old_key_is_a_case_for_an_enrolment",
    "strace": "test_agent_killed*",
    "faketime": "test_finish",
    "krb5-admin-server": "test_without_a_gap",
}

HOST = "host/kdc2.lab.test@LAB.TEST"
KEYTAB = "/etc/krb5.keytab"
AGENT = "/usr/sbin/kpropctl-agent"
LOCK = "/run/kpropctl-agent/change.lock"
STATE = "/var/lib/kpropctl/state.db"


@pytest.fixture(autouse=True)
def wanted(packages):
    pass


@pytest.fixture
def pair(kdc1, kdc2):
    set_up(kdc1, kdc2).good()
    return kdc1, kdc2


def renew(primary, *words, status=0, timeout=120):
    """kpropctl renew --json WORDS... kdc2: its report with the rows by id."""
    done = primary.run("kpropctl", "renew", "--json", *words, "kdc2.lab.test", check=False,
                       timeout=timeout)
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    told = json.loads(done.stdout)
    told["rows"] = {step["id"]: step for step in told["steps"]}
    return told


def there(host, principal=HOST, keytab=KEYTAB):
    """The versions of a principal in a keytab."""
    lines = host.out("klist", "-k", keytab).splitlines()
    return sorted({int(line.split()[0]) for line in lines if line.endswith(" " + principal)})


def known(primary, principal=HOST):
    """The versions in the database."""
    return sorted({int(one) for one in
                   re.findall(r"(?m)^Key: vno (\d+)", primary.out("kadmin.local", "-q", f"getprinc {principal}"))})


def works(primary):
    """A connection with a fresh ticket is let in."""
    done = primary.run("kpropctl", "check", "--check", "agent", "kdc2.lab.test", check=False)
    return done.returncode == 0


class Watching:
    """Connections to the agent with fresh tickets, one after the other, as long as the block lasts."""

    def __init__(self, primary):
        self.primary, self.tried, self.failed = primary, 0, []

    def __enter__(self):
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.loop)
        self.thread.start()
        return self

    def loop(self):
        while not self.ended.is_set():
            done = self.primary.run("kpropctl", "check", "--check", "agent", "kdc2.lab.test",
                                    check=False)
            self.tried += 1
            if done.returncode != 0:
                self.failed.append(done.stdout + done.stderr)

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def test_without_a_gap(pair):
    """Five times, while others connect all the time and a database comes in."""
    kdc1, kdc2 = pair
    first = known(kdc1)[-1]
    kdc2.run("mkdir -p /root/other; kadmin.local -q 'ktadd -norandkey -k /root/other/keytab bob' && "
             f"printf 'rkt /root/other/keytab\\nwkt {KEYTAB}\\n' | ktutil; chmod 640 {KEYTAB}; "
             f"chown root:daemon {KEYTAB}")
    assert there(kdc2, "bob@LAB.TEST")
    with Watching(kdc1) as watching:
        for i in range(5):
            told = renew(kdc1)
            assert told["result"] == "renewed" and told["status"] == 0, told
            row = told["rows"]["renew"]
            assert row["level"] == "fixed" and f"kvno {first + i + 1}" in row["summary"], row
            assert "proved by a new connection" in row["summary"], row
            assert "renew --finish" in row["hint"], row
        wait_until(lambda: watching.tried >= 5, timeout=60)
    assert not watching.failed, watching.failed
    assert there(kdc2) == known(kdc1) == list(range(first, first + 6))
    assert there(kdc2, "bob@LAB.TEST"), "another principal's key is gone"
    assert kdc2.out("stat", "-c", "%a %U %G", KEYTAB) == "640 root daemon"
    # kprop with its own ticket, and a user's of before.
    kdc1.run("kadmin.local", "-q", "addprinc -pw dave-password dave")
    kdc1.run("kpropctl", "propagate", "kdc2.lab.test")
    assert kdc2.out("find", "/etc", "-name", ".krb5.keytab*") == ""


def test_ticket_of_before_goes_on_working(pair):
    """A service that has a ticket for the old key is let in until --finish."""
    kdc1, kdc2 = pair
    kdc1.run("kinit -k -c /tmp/old host/kdc1.lab.test && kvno -c /tmp/old host/kdc2.lab.test")
    accept = ("KRB5_KTNAME=/etc/krb5.keytab KRB5_TRACE=/dev/stderr; "
              "base64 -d >/tmp/old && kvno -c /tmp/old -k /etc/krb5.keytab host/kdc2.lab.test")
    cache = kdc1.out("base64", "/tmp/old")
    renew(kdc1)
    assert "keytab entry valid" in kdc2.out(accept, input=cache)
    renew(kdc1, "--finish", "--force")
    assert not kdc2.ok(accept, input=cache)


def test_dry_run_changes_nothing(pair):
    kdc1, kdc2 = pair
    before = known(kdc1), kdc2.fingerprint(KEYTAB), kdc1.out("sha256sum", "/var/lib/kpropctl/state.db")
    told = renew(kdc1, "--dry-run")
    assert "would make a new key" in told["rows"]["renew"]["summary"], told
    told = renew(kdc1, "--finish", "--dry-run")
    assert told["rows"]["old-keys"]["level"] == "ok", told
    assert (known(kdc1), kdc2.fingerprint(KEYTAB),
            kdc1.out("sha256sum", "/var/lib/kpropctl/state.db")) == before


def test_says_what_it_does(pair):
    kdc1, _ = pair
    text = kdc1.out("kpropctl", "renew", "kdc2.lab.test")
    assert "fixed    renew" in text and "has a new key, kvno" in text, text
    assert "NOT" not in text, text
    usage = kdc1.run("kpropctl", "renew", check=False)
    assert usage.returncode == 2 and "which host" in usage.stderr
    usage = kdc1.run("kpropctl", "renew", "--force", "kdc2.lab.test", check=False)
    assert usage.returncode == 2 and "--finish" in usage.stderr
    usage = kdc1.run("kpropctl", "renew", "--stash", "--finish", "kdc2.lab.test", check=False)
    assert usage.returncode == 2 and "either" in usage.stderr
    assert kdc1.run("kpropctl", "renew", "kdc1.lab.test", check=False).returncode == 3
    # A renewal is no propagation: the replica's last result stays what it was.
    assert kdc1.json("kpropctl", "list", "--json")[0]["result"] in ("verified", "unchanged")


class HeldAgent(Held):
    """No change of the agent's begins, until let_go."""

    def __init__(self, replica):
        super().__init__(replica, LOCK)
        self.replica = replica
        self.before = self.asked()

    def asked(self):
        """How often it was asked for a change of its keytab."""
        return int(self.replica.out("journalctl --sync; journalctl -u kpropctl-agent --boot -o cat | "
                                    "grep -c 'keytab-add asked for' || :"))

    def wait_for_a_key(self):
        """Until a process of the agent's waits with a new key."""
        wait_until(lambda: self.asked() > self.before, timeout=60)


def test_replica_dark_half_way(pair):
    """It has taken the new key, and nobody hears of it: the old one goes on, and the next renewal
    ends well."""
    kdc1, kdc2 = pair
    first = known(kdc1)[-1]
    agent = HeldAgent(kdc2)
    process = kdc1.start("kpropctl", "renew", "--json", "kdc2.lab.test")
    agent.wait_for_a_key()
    kdc2.fault("cut")
    agent.let_go()
    wait_until(lambda: there(kdc2) == [first, first + 1])
    told = json.loads(process.communicate(timeout=90)[0])
    assert process.returncode == 4 and told["result"] == "failed", told
    assert "is not changed" in told["steps"][-1]["summary"], told
    assert "kdc2.lab.test" in told["steps"][-1]["summary"], told
    assert known(kdc1) == [first]
    kdc2.fault("clear")
    wait_until(lambda: works(kdc1), timeout=60)
    told = renew(kdc1)
    assert "proved by a new connection" in told["rows"]["renew"]["summary"], told
    assert there(kdc2) == known(kdc1) == [first, first + 1]


def test_dark_before(pair):
    """Nothing is changed when the replica cannot be reached at all."""
    kdc1, kdc2 = pair
    before = known(kdc1), there(kdc2)
    kdc2.systemctl("stop", "kpropctl-agent")
    told = renew(kdc1, status=4)
    assert told["steps"][-1]["id"] == "agent" and told["steps"][-1]["hint"], told
    assert (known(kdc1), there(kdc2)) == before


@pytest.mark.parametrize("call, times", [("rename", 1), ("fsync", 1), ("fsync", 2), ("openat", 60)])
def test_agent_killed(pair, call, times):
    """At the write of the keytab, before and after: it is the old or the new one, whole."""
    kdc1, kdc2 = pair
    first = known(kdc1)[-1]
    kdc2.fault("inject", "kpropctl-agent", f"{call}:signal=KILL:when={times}")
    done = kdc1.run("kpropctl", "renew", "--json", "kdc2.lab.test", check=False, timeout=120)
    kdc2.fault("clear")
    kdc2.run("systemctl reset-failed kpropctl-agent; systemctl restart kpropctl-agent")
    assert there(kdc2) in ([first], [first, first + 1]), done.stdout
    if done.returncode != 0:
        assert known(kdc1) == [first], done.stdout
    assert works(kdc1)
    renew(kdc1)
    assert there(kdc2) == known(kdc1) and works(kdc1)
    assert kdc2.out("find", "/etc", "-name", ".krb5.keytab*") == ""


@pytest.mark.parametrize("call", ["sendto", "write", "fcntl", "recvfrom", "fdatasync,fsync,close"])
def test_primary_killed_at_any_point(pair, call):
    """The run dies at the Nth call of a kind, for many N: both keys work at each of them, and the
    next run ends well."""
    kdc1, kdc2 = pair
    killed = 0
    for when in (1, 2, 3, 5, 8, 13, 21, 34, 55):
        done = kdc1.run(f"timeout 60 strace -f -qq -o /tmp/trace -e trace={call} "
                        f"-e inject={call}:signal=KILL:when={when} "
                        "kpropctl renew --json kdc2.lab.test", check=False, timeout=90)
        killed += done.returncode != 0
        assert set(known(kdc1)) <= set(there(kdc2)), (when, done.stdout)
        assert works(kdc1), (when, done.stdout)
    assert killed > 1
    renew(kdc1)
    assert known(kdc1)[-1] in there(kdc2) and works(kdc1)


def test_two_at_once(pair):
    """The second waits, then renews once more; or, told not to wait, leaves."""
    kdc1, kdc2 = pair
    first = known(kdc1)[-1]
    agent = HeldAgent(kdc2)
    one = kdc1.start("kpropctl", "renew", "kdc2.lab.test")
    agent.wait_for_a_key()
    left = kdc1.run("kpropctl", "renew", "--no-wait", "kdc2.lab.test", check=False)
    assert left.returncode == 4 and "another run" in left.stderr and "renew" in left.stderr, left.stderr
    two = kdc1.start("kpropctl", "renew", "kdc2.lab.test")
    wait_until(lambda: len(kdc1.out("pgrep", "-x", "kpropctl").split()) >= 3)
    agent.let_go()
    for process in (one, two):
        text = process.communicate(timeout=60)[0]
        assert process.returncode == 0, text
    assert there(kdc2) == known(kdc1) == [first, first + 1, first + 2]
    assert works(kdc1)


@pytest.mark.parametrize("kept", [True, False])
def test_somebody_else_changes_the_key_meanwhile(pair, kept):
    """The number is taken when we come to the database: refused. The next renewal heals it by the old
    key, if the database has kept that; else it is a case for an enrolment."""
    kdc1, kdc2 = pair
    agent = HeldAgent(kdc2)
    process = kdc1.start("kpropctl", "renew", "--json", "kdc2.lab.test")
    agent.wait_for_a_key()
    change_key(kdc1, *["-keepold"] * kept)
    before = known(kdc1)
    agent.let_go()
    told = json.loads(process.communicate(timeout=60)[0])
    assert process.returncode == 1 and told["steps"][-1]["level"] == "failed", told
    assert "somebody else just did" in told["steps"][-1]["summary"], told
    assert known(kdc1) == before
    if kept:
        assert "proved by a new connection" in renew(kdc1)["rows"]["renew"]["summary"]
        assert works(kdc1)
    else:
        hint = renew(kdc1, status=4)["steps"][-1]["hint"]
        assert "kpropctl enroll kdc2.lab.test | ssh root@kdc2.lab.test kpropctl-agent enroll" in hint


def make_older(primary, days):
    """The new key and all that is recorded happened some days ago."""
    primary.run("/usr/bin/python3", "-c", f"""
import sqlite3
db = sqlite3.connect('{STATE}')
db.execute('UPDATE outcome SET started = started - ?, finished = finished - ?', [{days} * 86400] * 2)
db.commit()""")


def add_key_days_ago(primary, replica, days):
    library = primary.out("ls /usr/lib/*/faketime/libfaketime.so.1")
    primary.run("kadmin.local", "-q", "cpw -randkey -keepold host/kdc2.lab.test",
                env={"LD_PRELOAD": library, "FAKETIME": f"-{days}d"})
    primary.run("rm -f /root/new.keytab; kadmin.local -q 'ktadd -norandkey -k /root/new.keytab host/kdc2.lab.test'")
    replica.run(f"base64 -d >{KEYTAB}", input=primary.out("base64", "/root/new.keytab"))


def test_finish(pair):
    """Not before all replicas know the new key, not before the tickets for the old one are over;
    then a health check says so, and both sides lose it."""
    kdc1, kdc2 = pair
    renew(kdc1)
    both = known(kdc1)
    row = renew(kdc1, "--finish", status=3)["rows"]["old-keys"]
    assert row["level"] == "refused" and "kdc2.lab.test has not been sent the new key" in row["summary"]
    kdc1.run("sleep 2; kpropctl propagate")  # real time: what is recorded knows whole seconds
    row = renew(kdc1, "--finish", status=3)["rows"]["old-keys"]
    assert re.search(r"kept until 20\d\d-\d\d-\d\d ", row["summary"]) and "--force" in row["hint"], row
    assert known(kdc1) == there(kdc2) == both
    check = kdc1.json("kpropctl check --format json --check old-keys kdc2.lab.test; :")
    assert "kept until" in json.dumps(check) and '"warning"' not in json.dumps(check), check

    add_key_days_ago(kdc1, kdc2, 5)
    kdc1.run("kpropctl propagate")
    make_older(kdc1, 3)
    done = kdc1.run("kpropctl", "check", "--check", "old-keys", "kdc2.lab.test", check=False)
    assert done.returncode == 1 and "kpropctl renew --finish kdc2.lab.test" in done.stdout, done.stdout
    told = renew(kdc1, "--finish")
    assert told["rows"]["old-keys"]["level"] == "fixed" and told["result"] == "renewed", told
    assert known(kdc1) == there(kdc2) == [both[-1] + 1]
    assert works(kdc1)
    assert renew(kdc1, "--finish")["rows"]["old-keys"]["level"] == "ok"
    assert kdc1.ok("kpropctl", "check", "--check", "old-keys", "kdc2.lab.test")


def test_finish_at_once(pair):
    """An old key in wrong hands."""
    kdc1, kdc2 = pair
    renew(kdc1)
    renew(kdc1, "--finish", "--force")
    assert known(kdc1) == there(kdc2) and len(there(kdc2)) == 1
    assert works(kdc1)


def test_finish_killed_between(pair):
    """The keytab has lost it, the database not yet."""
    kdc1, kdc2 = pair
    renew(kdc1)
    newest = known(kdc1)[-1]
    kdc2.run(AGENT, "keytab-drop", "LAB.TEST", HOST, newest)
    assert there(kdc2) == [newest] and works(kdc1)
    renew(kdc1, "--finish", "--force")
    assert known(kdc1) == [newest] and works(kdc1)


# The agent's verbs.

def keys_line(kvno, fill="ab"):
    return f"{kvno} 18:{fill * 32} 17:{fill * 16}"


def test_keys_come_on_standard_input_alone(pair):
    _, kdc2 = pair
    before = kdc2.fingerprint(KEYTAB)
    for env in ({}, {"REMOTE_USER": "host/kdc1.lab.test@LAB.TEST"}):
        done = kdc2.run(AGENT, "keytab-add", "LAB.TEST", HOST, keys_line(7), check=False, env=env)
        assert done.returncode == 2 and "standard input" in done.stderr, done.stderr
        assert "abab" not in done.stdout + done.stderr
        done = kdc2.run(AGENT, "keytab-add", "LAB.TEST", HOST, check=False, env=env)
        assert done.returncode == 2 and "standard input" in done.stderr, done.stderr
    assert kdc2.fingerprint(KEYTAB) == before
    for kvno, env in ((7, {}), (8, {"REMOTE_USER": "host/kdc1.lab.test@LAB.TEST"})):
        told = kdc2.json(AGENT, "keytab-add", "LAB.TEST", HOST, input=keys_line(kvno) + "\n", env=env)
        assert told["changed"] and told["kvno"] == kvno and told["files"] == [KEYTAB], told
        told = kdc2.json(AGENT, "keytab-add", "LAB.TEST", HOST, input=keys_line(kvno) + "\n", env=env)
        assert not told["changed"]
    assert there(kdc2)[-2:] == [7, 8]
    assert "abab" not in kdc2.journal()


@pytest.mark.parametrize("principal", ["host/kdc1.lab.test@LAB.TEST", "HTTP/kdc2.lab.test@LAB.TEST",
                                       "host/kdc2.lab.test@OTHER.TEST", "K/M@LAB.TEST", "", "a b@c"])
def test_no_other_principal(pair, principal):
    _, kdc2 = pair
    before = kdc2.fingerprint(KEYTAB)
    done = kdc2.run(AGENT, "keytab-add", "LAB.TEST", principal, input=keys_line(7), check=False)
    assert done.returncode == 3 and "not this host's own" in done.stderr, done.stderr
    done = kdc2.run(AGENT, "keytab-drop", "LAB.TEST", principal, "2", check=False)
    assert done.returncode == 3
    assert kdc2.fingerprint(KEYTAB) == before


@pytest.mark.parametrize("line", ["x", "7", "7 18:zz", "0 18:" + "ab" * 32, "7 18:abab", "7 99:" + "ab" * 32,
                                  "7 " + "18:" + "ab" * 5000, "7 18:" + "ab" * 32 + " 18:" + "cd" * 32])
def test_bad_keys(pair, line):
    _, kdc2 = pair
    before = kdc2.fingerprint(KEYTAB)
    done = kdc2.run(AGENT, "keytab-add", "LAB.TEST", HOST, input=line, check=False)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert "abab" not in done.stderr + done.stdout
    assert kdc2.fingerprint(KEYTAB) == before and kdc2.out("find /etc -name '.krb5.keytab*'") == ""


def test_needs_the_right_to_change(pair):
    _, kdc2 = pair
    kdc2.write("/etc/kpropctl/read.acl", "bob@LAB.TEST\n")
    kdc2.write("/etc/kpropctl/agent.conf", "[kpropctl-agent]\n    acl_read = /etc/kpropctl/read.acl\n")
    for peer in ("bob@LAB.TEST", "eve@LAB.TEST"):
        for words in (["keytab-add", "LAB.TEST", HOST], ["keytab-drop", "LAB.TEST", HOST, "2"]):
            done = kdc2.run(AGENT, *words, input=keys_line(7), check=False, env={"REMOTE_USER": peer})
            assert done.returncode == 3 and "access denied" in done.stderr, done.stderr
    assert 7 not in there(kdc2)


# setup-slave --renew-keys.

def test_stale_default_keytab_is_healed(pair):
    """kpropd's keytab is stale while the agent has one of its own: the channel is there."""
    kdc1, kdc2 = pair
    kdc2.run(f"mkdir -p /etc/kpropctl; cp {KEYTAB} /root/stale; "
             "printf '[kpropctl-agent]\\n    keytab = /etc/kpropctl/keytab\\n' >/etc/kpropctl/agent.conf")
    kdc1.run("kadmin.local -q 'cpw -randkey host/kdc2.lab.test'; rm -f /root/new.keytab; "
             "kadmin.local -q 'ktadd -norandkey -k /root/new.keytab host/kdc2.lab.test'")
    kdc2.run("base64 -d >/etc/kpropctl/keytab", input=kdc1.out("base64", "/root/new.keytab"))
    kdc2.systemctl("restart", "kpropctl-agent")
    report = set_up(kdc1, kdc2)
    report.stopped("replica-keytab", "failed", 1, hint="setup-slave --renew-keys kdc2.lab.test")
    report = set_up(kdc1, kdc2, options=["--renew-keys", "--dry-run"])
    assert "would put the current key into it" in report.summary("replica-keytab")
    report = set_up(kdc1, kdc2, options=["--renew-keys"]).good()
    assert "replica-keytab" in report.fixed(), report
    assert known(kdc1)[-1] in there(kdc2)
    set_up(kdc1, kdc2).good()


def change_key(primary, *options):
    primary.run("kadmin.local", "-q", " ".join(["cpw -randkey", *options, "host/kdc2.lab.test"]))


@pytest.mark.parametrize("times", [1, 3])
def test_stale_kvno_is_healed_while_the_database_keeps_the_old_key(pair, times):
    """Over the channel that the old key authenticates: the KDC issues no tickets for it any more, the
    primary makes one."""
    kdc1, kdc2 = pair
    old = there(kdc2)[-1]
    for _ in range(times):
        change_key(kdc1, "-keepold")
    assert not works(kdc1)
    set_up(kdc1, kdc2).stopped("agent", "failed", 4, hint="kpropctl enroll kdc2.lab.test")
    report = set_up(kdc1, kdc2, options=["--renew-keys"]).good()
    assert f"let in by kvno {old}" in report.steps["agent"]["detail"], report
    assert report.fixed()[0] == "replica-keytab", report
    assert there(kdc2) == [old, old + times] and works(kdc1)
    set_up(kdc1, kdc2).good()


def test_renewal_with_a_stale_kvno(pair):
    kdc1, kdc2 = pair
    old = there(kdc2)[-1]
    change_key(kdc1, "-keepold")
    told = renew(kdc1)
    assert "proved by a new connection" in told["rows"]["renew"]["summary"], told
    assert there(kdc2) == [old, old + 2] and works(kdc1)


def test_stale_kvno_without_the_old_key_is_a_case_for_an_enrolment(pair):
    """Neither side has what the other one knows: told, and nothing is changed."""
    kdc1, kdc2 = pair
    change_key(kdc1)
    before = known(kdc1), kdc2.fingerprint(KEYTAB)
    report = set_up(kdc1, kdc2, options=["--renew-keys"])
    report.stopped("agent", "failed", 4, hint="kpropctl enroll kdc2.lab.test | ssh root@kdc2.lab.test "
                   "kpropctl-agent enroll")
    assert "kpropctl enroll" in renew(kdc1, status=4)["steps"][-1]["hint"]
    assert (known(kdc1), kdc2.fingerprint(KEYTAB)) == before


def test_restored_keytab_after_a_renewal(pair):
    """A backup of before the renewal is put back."""
    kdc1, kdc2 = pair
    kdc2.run("cp", KEYTAB, "/root/backup")
    renew(kdc1)
    kdc2.run("cp", "/root/backup", KEYTAB)
    assert not works(kdc1)
    set_up(kdc1, kdc2, options=["--renew-keys"]).good()
    assert there(kdc2) == known(kdc1) and works(kdc1)


@pytest.mark.parametrize("missing", [False, True])
def test_stale_keytab_of_the_primary_is_healed(pair, missing):
    kdc1, kdc2 = pair
    kdc1.run(f"rm {KEYTAB}" if missing else "kadmin.local -q 'cpw -randkey host/kdc1.lab.test'")
    set_up(kdc1, kdc2).stopped("keytab", "failed", 1, hint=["on this host", "--renew-keys"])
    report = set_up(kdc1, kdc2, options=["--renew-keys"]).good()
    assert report.fixed()[0] == "keytab", report
    assert kdc1.out("stat", "-c", "%a", KEYTAB) == "600"
