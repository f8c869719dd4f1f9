"""A replica of Debian 13 that keeps the realm in lmdb: a kdb5_util load that fails there destroys the live database, so
none is run there, whoever sends; and what goes on all the same."""
import re

import pytest

from lab import wait_until
from propagate_kit import propagate, refused
from setup_kit import add_user, set_up, ticket
from test_check import check

KINDS = ["trixie:replica"]
CONF = "/etc/krb5kdc/kdc.conf"
LIVE = "/var/lib/krb5kdc/principal"
HOST = "kdc2.lab.test"
SAYS = "keeps the realm in lmdb"
# As an administrator writes it: with the realm's section named, or (2) a section of the realm's own name.
LMDB = [
    "sed -i '/^ *LAB.TEST = {{/a\\        database_module = fast' {0}; "
    "printf '[dbmodules]\\n    fast = {{\\n        db_library = klmdb\\n        mapsize = 12\\n    }}\\n' >>{0}",
    "printf '[dbmodules]\\n    LAB.TEST = {{\\n        db_library=klmdb\\n    }}\\n' >>{0}",
]


def ways(text):
    """The command that brings db2, as the refusal printed it, and the one for the primary."""
    found = re.search(r"on kdc2(?:\.lab\.test)?, as root: (systemctl stop .*?); then, on the primary: (\S+ setup-slave \S+)", text)
    assert found, text
    return found.groups()


def names(host):
    return host.out("kdb5_util dump /root/look >/dev/null && grep ^princ /root/look | cut -f7 | sort").splitlines()


def content(host):
    """What an lmdb database holds that nobody writes: its principals, and the files' identity."""
    return (names(host), host.out(f"stat -c '%i %s' {LIVE}.mdb"))


@pytest.fixture(params=[0, 1])
def empty(special, request):
    """The primary, and a replica with lmdb and no database."""
    kdc1, kdc2 = special.hosts["kdc1"], special.hosts["kdc2"]
    return begin(kdc1, kdc2, LMDB[request.param])


def begin(kdc1, kdc2, conf=LMDB[0]):
    kdc2.run(conf.format(CONF))
    kdc2.run(f"rm -f {LIVE}*")
    return kdc1, kdc2


@pytest.fixture
def replica(special):
    """The same, with its first database in it, verified."""
    kdc1, kdc2 = begin(special.hosts["kdc1"], special.hosts["kdc2"])
    set_up(kdc1, kdc2).good()
    assert kdc2.exists(f"{LIVE}.mdb") and not kdc2.exists(LIVE)
    return kdc1, kdc2


@pytest.fixture
def alone(special):
    """The same, but made without kpropctl's primary: kdb5_util has loaded it there by hand."""
    kdc1, kdc2 = begin(special.hosts["kdc1"], special.hosts["kdc2"])
    kdc1.run("kdb5_util dump /root/first")
    kdc2.write("/root/first", kdc1.read("/root/first"), "600")
    kdc2.run("kdb5_util load /root/first; systemctl start krb5-kdc")
    return kdc1, kdc2


def test_the_first_database_goes_into_lmdb(empty):
    """Nothing could be lost; that no other will be taken after it, is said before it is sent."""
    kdc1, kdc2 = empty
    report = set_up(kdc1, kdc2).good()
    assert report.level("whole") == "warning" and "the first one can be loaded, and no other after it" in report.summary("whole")
    ways(report.steps["whole"]["hint"])
    assert ticket(kdc2) == "" and not kdc2.exists(LIVE)
    # Again, and propagate: nothing is to be sent, so nothing is refused.
    assert "propagate" not in set_up(kdc1, kdc2).good().fixed()
    propagate(kdc1)["kdc2"].good()
    told = check(kdc1)
    assert told.bad[("kdc2", "realm")] == "WARNING", told


def test_what_is_left_of_a_database_that_is_gone(special):
    """Its lock files, zeros, an empty file: no content, so the first load is a first load; and what it makes can be read."""
    kdc1, kdc2 = begin(special.hosts["kdc1"], special.hosts["kdc2"])
    kdc2.run("cp -p /etc/krb5kdc/stash /root/stash; kdb5_util create -P other -r LAB.TEST; cp -p /root/stash /etc/krb5kdc/stash")
    kdc2.run(f"head -c 65536 /dev/zero >{LIVE}.mdb; ls {LIVE}.mdb-lock")
    set_up(kdc1, kdc2).good()
    assert ticket(kdc2) == "" and "alice@LAB.TEST" in names(kdc2)


def test_a_change_is_refused_before_anything_is_sent(replica):
    kdc1, kdc2 = replica
    before = content(kdc2)
    add_user(kdc1)
    log = kdc2.out("journalctl -u krb5-kpropd -o cat | wc -l")
    for words in ([], ["--force"]):
        report = propagate(kdc1, *words, status=3)["kdc2"]
        assert report.last["level"] == "refused" and SAYS in report.last["summary"], report
        ways(report.last["hint"])
    assert kdc2.out("journalctl -u krb5-kpropd -o cat | wc -l") == log
    set_up(kdc1, kdc2).stopped("propagate", "refused", 3, SAYS)
    assert content(kdc2) == before and ticket(kdc2) == ""


def test_rollback_is_refused(replica):
    kdc1, kdc2 = replica
    before = content(kdc2)
    said = refused(kdc1, "--yes", HOST, status=3, said=["cannot roll back kdc2.lab.test", SAYS], command="rollback")
    ways(said)
    done = kdc2.run("kpropctl-agent", "rollback", "LAB.TEST", check=False)
    assert done.returncode != 0 and content(kdc2) == before, done


def test_a_database_that_somebody_made_is_refused_at_once(alone):
    """Before setup-slave has changed anything there."""
    kdc1, kdc2 = alone
    before, files = content(kdc2), kdc2.fingerprint("/etc/systemd/system", "/etc/krb5kdc")
    report = set_up(kdc1, kdc2)
    report.stopped("whole", "refused", 3, ["cannot propagate to kdc2.lab.test", SAYS])
    assert content(kdc2) == before and kdc2.fingerprint("/etc/systemd/system", "/etc/krb5kdc") == files


def test_the_agent_refuses_an_older_primary(replica):
    """One that knows nothing of lmdb: its announcement is refused, so it sends nothing."""
    kdc1, kdc2 = replica
    announced = ('{"generation":99,"sha256":"%s","nonce":"%s","digest":"%s","size":10,"principals":1,"policies":0,'
                 '"from":"host/kdc1.lab.test@LAB.TEST","announced_at":1,"expires_at":9999999999}' % (("0" * 64,) * 3))
    done = kdc2.run("kpropctl-agent", "announce", "LAB.TEST", announced, check=False)
    assert done.returncode == 3 and SAYS in done.stdout + done.stderr, done


def kprop(kdc1, kdc2):
    kdc1.run("kdb5_util dump /root/dump")
    return kdc1.run(f"kprop -f /root/dump {kdc2.name} 2>&1", check=False)


def test_the_loader_refuses_whoever_sends(replica):
    """Plain kprop, let in by `unannounced = accept`, with a dump that could not be loaded either: the map is too small. The
    database is not only said to be as it was."""
    kdc1, kdc2 = replica
    kdc2.write("/etc/kpropctl/agent.conf", "[kpropctl-agent]\n    unannounced = accept\n")
    add_user(kdc1)
    before = content(kdc2)
    assert kprop(kdc1, kdc2).returncode != 0
    outcome = kdc2.json("kpropctl-agent", "outcome", "LAB.TEST")
    assert outcome["refusal"] == "lmdb" and outcome["left"] in ("untouched", "written"), outcome
    assert "Looked at afterwards" in outcome["hint"]
    wait_until(lambda: SAYS in kdc2.journal())
    assert content(kdc2) == before and ticket(kdc2) == ""


def test_db2_is_the_way_out(replica):
    """The refusal's own lines, taken literally."""
    kdc1, kdc2 = replica
    add_user(kdc1)
    there, here = ways(propagate(kdc1, status=3)["kdc2"].last["hint"])
    kdc2.run(there)
    done = kdc1.run(here, check=False, timeout=120)
    assert done.returncode == 0 and "is a verified replica" in done.stdout, done.stdout + done.stderr
    assert kdc2.exists(LIVE) and ticket(kdc2, "carol") == ""
    add_user(kdc1, "dave")
    propagate(kdc1)["kdc2"].good()
    assert ticket(kdc2, "dave") == "" and ("kdc2", "realm") not in check(kdc1).bad


def test_the_stock_loader_is_the_other(replica):
    """As without kpropctl: kpropd loads what comes."""
    kdc1, kdc2 = replica
    add_user(kdc1)
    text = propagate(kdc1, status=3)["kdc2"].last["hint"]
    command = re.search(r"kpropctl-agent release-loader \S+", text).group(0)
    kdc2.run(command)
    assert kprop(kdc1, kdc2).returncode == 0
    wait_until(lambda: ticket(kdc2, "carol") == "")
