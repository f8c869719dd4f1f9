"""kpropctl renew --stash: the master key is changed, and no replica is ever left with a stash that
does not open its database."""
import json

import pytest

from lab import wait_until
from propagate_kit import wrap_kprop
from setup_kit import RESTART_KDC, add_user, set_up, ticket

NEEDS = {"strace": "test_agent_killed*"}

AGENT = "/usr/sbin/kpropctl-agent"
STASH = "/etc/krb5kdc/stash"
WAITING = "/var/lib/kpropctl-agent/LAB.TEST.stash"
LIVE = "/var/lib/krb5kdc/principal"


@pytest.fixture(autouse=True)
def wanted(packages):
    pass


@pytest.fixture
def pair(kdc1, kdc2):
    set_up(kdc1, kdc2).good()
    return kdc1, kdc2


def renew(primary, *words, status=0):
    """kpropctl renew --stash --json WORDS... kdc2: its report with the rows by id."""
    done = primary.run("kpropctl", "renew", "--stash", "--json", *words, "kdc2.lab.test",
                       check=False, timeout=120)
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    told = json.loads(done.stdout)
    told["rows"] = {step["id"]: step for step in told["steps"]}
    return told


def keys(host, file=STASH):
    """The versions of the master keys in a stash."""
    lines = host.out("klist", "-k", file).splitlines()
    return sorted({int(line.split()[0]) for line in lines if "K/M" in line})


def add_key(primary):
    primary.run("printf 'other\\nother\\n' | kdb5_util add_mkey && kdb5_util stash")


def use_key(primary):
    primary.run("kdb5_util use_mkey 2 && kdb5_util update_princ_encryption -f")


def purge(primary):
    primary.run("kdb5_util purge_mkeys -f && kdb5_util stash")


def jump(primary):
    """All of it while nobody logs in: a krb5kdc that runs, here too, loses the way to the new key."""
    add_key(primary)
    use_key(primary)
    purge(primary)
    primary.run(RESTART_KDC)


def starts(host):
    """A KDC that is started now opens its database with its stash, and issues tickets."""
    host.run(RESTART_KDC)
    return ticket(host) == ""


def opens(host):
    return host.ok("kdb5_util", "list_mkeys")


def propagate(primary, status=0):
    done = primary.run("kpropctl", "propagate", check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def test_the_usual_order(pair):
    """add_mkey, use_mkey, renew --stash, purge_mkeys, with propagations in between: at each step the
    replica's KDC issues tickets, as it runs and when it is started anew."""
    kdc1, kdc2 = pair
    assert keys(kdc2) == [1]
    for step in (add_key, use_key):
        step(kdc1)
        propagate(kdc1)
        assert ticket(kdc2) == "" and starts(kdc2)
    done = kdc1.run("kpropctl", "check", "--check", "stash", "kdc2.lab.test", check=False)
    assert done.returncode == 1 and "lacks master key 2" in done.stdout, done.stdout
    assert "kpropctl renew --stash kdc2.lab.test" in done.stdout, done.stdout
    told = renew(kdc1)
    assert told["verified"] and told["result"] in ("verified", "unchanged"), told
    assert told["rows"]["new-stash"]["level"] == "fixed", told
    assert told["rows"]["ticket"]["level"] == "ok", "a KDC that follows by itself is not restarted"
    assert keys(kdc2) == [1, 2] and kdc2.out("stat", "-c", "%a %U", STASH) == "600 root"
    assert kdc1.ok("kpropctl", "check", "--check", "stash", "kdc2.lab.test")
    assert ticket(kdc2) == "" and starts(kdc2)
    purge(kdc1)
    propagate(kdc1)
    assert ticket(kdc2) == "" and starts(kdc2)
    # {1,2} opens it all the same; now the old key goes from the replica's stash too.
    told = renew(kdc1)
    assert told["rows"]["new-stash"]["level"] == "ok", told
    assert not kdc2.exists(WAITING)
    again = renew(kdc1)
    assert [step["id"] for step in again["steps"] if step["level"] == "fixed"] == [], again


def test_all_at_once_on_the_primary(pair):
    """The replica has not heard of the new key when the old one is purged: no stash opens both
    databases, so the new one waits for the new database, and krb5kdc is started anew."""
    kdc1, kdc2 = pair
    jump(kdc1)
    add_user(kdc1)
    text = propagate(kdc1, status=1)
    assert "kpropctl renew --stash" in text, text
    assert ticket(kdc2) == "" and opens(kdc2) and keys(kdc2) == [1]
    told = renew(kdc1)
    assert told["verified"] and told["result"] == "verified", told
    assert "waits there" in told["rows"]["new-stash"]["summary"] or "waits on" in \
        told["rows"]["new-stash"]["summary"], told
    assert told["rows"]["ticket"]["level"] == "fixed", told
    assert "restarted krb5kdc" in told["rows"]["ticket"]["summary"], told
    assert keys(kdc2) == [2] and not kdc2.exists(WAITING)
    assert ticket(kdc2, "carol") == "" and starts(kdc2)
    assert "nothing sent" in json.dumps(renew(kdc1))


def test_dry_run(pair):
    kdc1, kdc2 = pair
    add_key(kdc1)
    before = kdc2.fingerprint("/etc/krb5kdc", "/var/lib/kpropctl-agent")
    told = renew(kdc1, "--dry-run")
    assert "lacks master key 2" in told["rows"]["new-stash"]["summary"], told
    assert "would give it to its agent" in told["rows"]["new-stash"]["summary"], told
    assert kdc2.fingerprint("/etc/krb5kdc", "/var/lib/kpropctl-agent") == before


def test_all_replicas(pair):
    kdc1, kdc2 = pair
    add_key(kdc1)
    propagate(kdc1)
    assert "kdc2.lab.test is a verified replica" in kdc1.out("kpropctl", "renew", "--stash")
    assert keys(kdc2) == [1, 2]


def test_stash_of_the_primary_that_lacks_the_key(pair):
    """add_mkey without -s, and no kdb5_util stash: there is nothing to bring yet."""
    kdc1, kdc2 = pair
    kdc1.run("printf 'other\\nother\\n' | kdb5_util add_mkey")
    told = renew(kdc1, status=1)
    assert told["steps"][-1]["id"] == "new-stash" and "lacks master key 2" in told["steps"][-1]["summary"]
    assert "kdb5_util stash" in told["steps"][-1]["hint"], told
    assert keys(kdc2) == [1]


def test_missing_stash(pair):
    kdc1, kdc2 = pair
    kdc2.run("mv", STASH, "/root/stash")
    done = kdc1.run("kpropctl", "check", "--check", "stash", "kdc2.lab.test", check=False)
    assert done.returncode == 2 and "is missing" in done.stdout, done.stdout
    told = renew(kdc1)
    assert told["rows"]["new-stash"]["level"] == "fixed" and keys(kdc2) == [1] and starts(kdc2)


def send_and_die(kdc1):
    """A dump that is announced and sent, and nobody asks about it: its run is killed."""
    wrap_kprop(kdc1, 'trap "" HUP TERM INT; $real "$@"; kill -KILL $PPID')
    assert not kdc1.ok("kpropctl", "propagate", "kdc2.lab.test")
    kdc1.remove("/etc/kpropctl/kpropctl.conf")


def test_killed_between_database_and_stash(pair):
    """The loader has promoted the new database, and nobody asks: the agent's start completes it, and
    so does whoever asks next."""
    kdc1, kdc2 = pair
    jump(kdc1)
    stash = kdc1.out("od -An -v -tx1 /etc/krb5kdc/stash | tr -d ' \\n'")
    told = kdc2.json(AGENT, "stash-put", "LAB.TEST", input=stash)
    assert told["state"] == "waiting" and not told["changed"], told
    assert keys(kdc2) == [1] and keys(kdc2, WAITING) == [2] and ticket(kdc2) == ""
    send_and_die(kdc1)
    assert keys(kdc2) == [1] and not opens(kdc2)
    kdc2.systemctl("restart", "kpropctl-agent")
    wait_until(lambda: keys(kdc2) == [2])
    assert opens(kdc2) and not kdc2.exists(WAITING) and starts(kdc2)


def test_next_question_completes_it(pair):
    kdc1, kdc2 = pair
    jump(kdc1)
    stash = kdc1.out("od -An -v -tx1 /etc/krb5kdc/stash | tr -d ' \\n'")
    kdc2.json(AGENT, "stash-put", "LAB.TEST", input=stash)
    send_and_die(kdc1)
    kdc2.json(AGENT, "outcome", "LAB.TEST", "0")
    assert keys(kdc2) == [2] and opens(kdc2)


@pytest.mark.parametrize("call, times", [("rename", 1), ("rename", 2), ("fsync", 1), ("fsync", 3),
                                         ("unlink", 1)])
def test_agent_killed(pair, call, times):
    """At the writes of the stash: it is the old or the new one, whole, and the KDC starts with it."""
    kdc1, kdc2 = pair
    add_key(kdc1)
    propagate(kdc1)
    kdc2.fault("inject", "kpropctl-agent", f"{call}:signal=KILL:when={times}")
    kdc1.run("kpropctl", "renew", "--stash", "kdc2.lab.test", check=False, timeout=120)
    kdc2.fault("clear")
    assert keys(kdc2) in ([1], [1, 2]) and opens(kdc2)
    kdc2.run("systemctl reset-failed kpropctl-agent; systemctl restart kpropctl-agent")
    assert renew(kdc1)["verified"]
    assert keys(kdc2) == [1, 2] and not kdc2.exists(WAITING) and starts(kdc2)
    assert kdc2.out("find /etc/krb5kdc /var/lib/kpropctl-agent -name '.*stash*'").split() in ([], ["x"]) or \
        call in ("fsync", "rename"), "a file with master keys is left"


@pytest.mark.parametrize("call", ["rename", "renameat,renameat2", "fsync", "fchmod"])
def test_loader_killed_in_the_jump(pair, call):
    """While the database changes that only the new stash opens: the old pair or the new pair, after
    whoever asks next."""
    kdc1, kdc2 = pair
    jump(kdc1)
    failed = 0
    for when in (1, 2, 3, 4):
        kdc2.fault("inject", "krb5-kpropd", f"{call}:signal=KILL:when={when}")
        done = kdc1.run("kpropctl", "renew", "--stash", "kdc2.lab.test", check=False, timeout=120)
        failed += done.returncode != 0
        kdc2.fault("clear")
        kdc2.run("systemctl reset-failed krb5-kpropd; systemctl restart krb5-kpropd")
        kdc2.json(AGENT, "outcome", "LAB.TEST", "30")
        assert opens(kdc2), (call, when)
        if keys(kdc2) == [2]:
            break
    assert failed or call != "rename", "nothing was killed"
    assert renew(kdc1)["verified"]
    assert keys(kdc2) == [2] and starts(kdc2)


def test_two_at_once(pair):
    kdc1, kdc2 = pair
    add_key(kdc1)
    both = [kdc1.start("kpropctl", "renew", "--stash", "kdc2.lab.test") for _ in range(2)]
    for one in both:
        text = one.communicate(timeout=90)[0]
        assert one.returncode == 0, text
    assert keys(kdc2) == [1, 2] and starts(kdc2)


def test_what_is_no_stash_of_the_realm(pair):
    kdc1, kdc2 = pair
    before = kdc2.fingerprint("/etc/krb5kdc")
    keytab = kdc2.out("od -An -v -tx1 /etc/krb5.keytab | tr -d ' \\n'")
    for text, status in (("00" * 40, 3), (keytab, 3), ("zz", 2), ("abc", 2), ("00" * 20000, 2)):
        done = kdc2.run(AGENT, "stash-put", "LAB.TEST", input=text, check=False)
        assert done.returncode == status, (done.returncode, done.stderr)
        assert not kdc2.exists(WAITING)
    # One of another key, that opens nothing here: it waits for a database that never comes.
    kdc1.run("mkdir -p /root/other && cd /root/other && kdb5_util -d /root/other/principal -sf "
             "/root/other/stash -P different create -s")
    other = kdc1.out("od -An -v -tx1 /root/other/stash | tr -d ' \\n'")
    assert kdc2.json(AGENT, "stash-put", "LAB.TEST", input=other)["state"] == "waiting"
    assert kdc2.fingerprint("/etc/krb5kdc") == before
    add_user(kdc1)
    propagate(kdc1)
    assert starts(kdc2) and ticket(kdc2, "carol") == ""
    assert kdc2.fingerprint("/etc/krb5kdc") == before
    # The true one takes its place.
    own = kdc1.out("od -An -v -tx1 /etc/krb5kdc/stash | tr -d ' \\n'")
    assert kdc2.json(AGENT, "stash-put", "LAB.TEST", input=own)["state"] == "same"
    assert not kdc2.exists(WAITING)


@pytest.mark.parametrize("nonce, marks", [
    ("", "1:" + "0" * 64), ("zz" * 32, "1:" + "0" * 64), ("00" * 31, "1:" + "0" * 64),
    ("00" * 32, ""), ("00" * 32, "x"), ("00" * 32, "1"), ("00" * 32, "1:"), ("00" * 32, "1:zz"),
    ("00" * 32, "1:" + "0" * 65), ("00" * 32, ",".join(["1:" + "0" * 64] * 33))])
def test_bad_questions(pair, nonce, marks):
    _, kdc2 = pair
    done = kdc2.run(AGENT, "stash", "LAB.TEST", nonce, marks, check=False)
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)


def test_secrets(pair):
    """Nothing of a stash in an argument, an answer or a log; readers may not change it."""
    kdc1, kdc2 = pair
    stash = kdc1.out("od -An -v -tx1 /etc/krb5kdc/stash | tr -d ' \\n'")
    done = kdc2.run(AGENT, "stash-put", "LAB.TEST", stash, check=False)
    assert done.returncode == 2 and "standard input" in done.stderr
    kdc2.write("/etc/kpropctl/read.acl", "bob@LAB.TEST\n")
    kdc2.write("/etc/kpropctl/agent.conf", "[kpropctl-agent]\n    acl_read = /etc/kpropctl/read.acl\n")
    for words in (["stash-put", "LAB.TEST"], ["restart-kdc", "LAB.TEST"]):
        done = kdc2.run(AGENT, *words, input=stash, check=False, env={"REMOTE_USER": "bob@LAB.TEST"})
        assert done.returncode == 3 and "access denied" in done.stderr, done.stderr
    add_key(kdc1)
    text = json.dumps(renew(kdc1)) + kdc2.journal() + kdc1.journal()
    key = stash[-64:]
    assert key not in text and stash[:80] not in text
