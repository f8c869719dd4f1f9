"""What kprop and kpropd say when they fail for real is explained by what was broken."""
import json

import pytest

from lab import wait_until
from setup_kit import set_up

pytestmark = pytest.mark.usefixtures("packages")

DUMP = "/var/lib/krb5kdc/replica_datatrans"
ACL = "/etc/krb5kdc/kpropd.acl"


def by_hand(kdc1, kdc2):
    """kprop and kpropd as the handbook has them, without kpropctl."""
    kdc2.write(ACL, "host/kdc1.lab.test@LAB.TEST\n", mode="600")
    kdc2.systemctl("start", "krb5-kpropd")
    wait_until(lambda: kdc2.listening(754))
    kdc1.run("kdb5_util", "dump", DUMP)


def kprop(kdc1, kdc2):
    """What kprop says when it fails, both streams, as a terminal shows them."""
    done = kdc1.run(f"kprop -f {DUMP} {kdc2.name} 2>&1", check=False)
    assert done.returncode != 0, done.stdout
    return done.stdout


@pytest.fixture
def log(kdc2):
    """kpropd's journal as a user pastes it, from the beginning of the test on, once it says this."""
    began = kdc2.out("date", "+%s.%N")

    def read(word):
        def look():
            kdc2.run("journalctl", "--sync", check=False)
            # Not by the unit alone: the last words of a process that is gone may have none.
            text = kdc2.out("journalctl", "--no-pager", "--lines", 20, "--since", f"@{began}", "UNIT=krb5-kpropd.service",
                            "+", "_SYSTEMD_UNIT=krb5-kpropd.service", "+", "SYSLOG_IDENTIFIER=kpropd")
            return text if word in text else None
        return wait_until(look, timeout=60, message=f"kpropd does not say '{word}'")
    return read


def explain(host, text, status=0):
    done = host.run("kpropctl", "explain", "--json", input=text, check=False)
    assert done.returncode == status, (text, done.stdout, done.stderr)
    return json.loads(done.stdout)["matches"]


def first(host, text, id, certainty=None):
    matches = explain(host, text)
    assert matches[0]["id"] == id, (text, [(m["id"], m["certainty"]) for m in matches])
    if certainty:
        assert matches[0]["certainty"] == certainty, text
    return matches


def test_no_acl(kdc1, kdc2, log):
    by_hand(kdc1, kdc2)
    kdc2.remove(ACL)
    said = kprop(kdc1, kdc2)
    assert len(first(kdc1, said, "kpropd-acl", "possible")) > 1
    matches = first(kdc1, said + log("Rejected connection"), "kpropd-acl", "sure")
    assert len(matches) == 1 and "host/kdc1.lab.test" in matches[0]["text"]


def test_stale_keytab_of_the_replica(kdc1, kdc2):
    by_hand(kdc1, kdc2)
    kdc1.run("kadmin.local ktadd -k /root/new host/kdc2.lab.test")
    first(kdc1, kprop(kdc1, kdc2), "replica-keytab-stale", "sure")


def test_no_keytab_on_the_replica(kdc1, kdc2):
    by_hand(kdc1, kdc2)
    kdc2.run("mv /etc/krb5.keytab /etc/krb5.keytab.away")
    try:
        first(kdc1, kprop(kdc1, kdc2), "replica-keytab-missing", "sure")
    finally:
        kdc2.run("mv /etc/krb5.keytab.away /etc/krb5.keytab")


def test_other_key_of_the_replica(kdc1, kdc2):
    """Deleted and made anew: the same kvno, another key."""
    by_hand(kdc1, kdc2)
    kvno = kdc1.out("kadmin.local getprinc host/kdc2.lab.test | sed -n 's/Key: vno \\([0-9]*\\).*/\\1/p'"
                    " | head -n 1")
    kdc1.run("kadmin.local delprinc -force host/kdc2.lab.test;"
             "kadmin.local addprinc -randkey host/kdc2.lab.test;"
             f"kadmin.local modprinc -kvno {kvno} host/kdc2.lab.test")
    first(kdc1, kprop(kdc1, kdc2), "replica-keytab-other", "sure")


def test_kpropd_down(kdc1, kdc2):
    by_hand(kdc1, kdc2)
    kdc2.systemctl("stop", "krb5-kpropd")
    said = kprop(kdc1, kdc2)
    first(kdc1, said, "kpropd-down", "possible")
    status = kdc2.run("systemctl", "--no-pager", "status", "krb5-kpropd", check=False).stdout
    first(kdc1, said + status, "kpropd-down", "sure")


def test_reserved_port(kdc1, kdc2, log):
    kdc2.reserve()
    kdc2.write(ACL, "host/kdc1.lab.test@LAB.TEST\n", mode="600")
    kdc2.systemctl("start", "krb5-kpropd")
    wait_until(lambda: "Address already in use" in kdc2.journal("krb5-kpropd"))
    kdc1.run("kdb5_util", "dump", DUMP)
    said = kprop(kdc1, kdc2)
    assert "port-reserved" in [m["id"] for m in explain(kdc1, said)]
    first(kdc1, log("Address already in use"), "port-reserved", "likely")
    first(kdc1, said + log("Address already in use"), "port-reserved", "likely")


def test_missing_principals(kdc1, kdc2):
    by_hand(kdc1, kdc2)
    kdc1.run("kadmin.local delprinc -force host/kdc2.lab.test")
    first(kdc1, kprop(kdc1, kdc2), "replica-principal-missing", "likely")
    kdc1.run("kadmin.local delprinc -force host/kdc1.lab.test")
    first(kdc1, kprop(kdc1, kdc2), "primary-principal-missing", "sure")


def test_stale_keytab_of_the_primary(kdc1, kdc2):
    by_hand(kdc1, kdc2)
    kdc1.run("kadmin.local cpw -randkey host/kdc1.lab.test")
    first(kdc1, kprop(kdc1, kdc2), "primary-keytab-stale", "sure")


def test_kdc_down_on_the_primary(kdc1, kdc2):
    by_hand(kdc1, kdc2)
    kdc1.systemctl("stop", "krb5-kdc")
    first(kdc1, kprop(kdc1, kdc2), "primary-kdc-down", "sure")


def test_dumps(kdc1, kdc2, log):
    by_hand(kdc1, kdc2)
    kdc1.remove(DUMP + ".dump_ok")
    first(kdc1, kprop(kdc1, kdc2), "dump-unfinished", "sure")
    kdc1.write(DUMP, "this is no dump\n", mode="600")
    kdc1.write(DUMP + ".dump_ok", "", mode="600")
    said = kprop(kdc1, kdc2)
    assert "dump-bad" in [m["id"] for m in explain(kdc1, said)]
    first(kdc1, said + log("kdb5_util"), "dump-bad")


def test_hint_of_a_propagation(kdc1, kdc2):
    """Where kprop says only 'Broken pipe', kpropctl says what it means, with the names."""
    set_up(kdc1, kdc2).good()
    kdc1.run("kadmin.local -q 'addprinc -pw carol-password carol'")
    kdc2.remove(ACL)
    done = kdc1.run("kpropctl", "propagate", "--json", check=False, timeout=120)
    assert done.returncode == 1
    last = json.loads(done.stdout)["steps"][-1]
    assert "Broken pipe" in last["summary"], last
    assert last["hint"].startswith("kpropd.acl of kdc2.lab.test lacks host/kdc1.lab.test@LAB.TEST"), last


def test_the_last_words_of_a_process_that_is_gone(kdc1, kdc2):
    """journald, which is late on a busy host, cannot tell any more which unit they are of."""
    by_hand(kdc1, kdc2)
    kdc2.remove(ACL)
    kdc2.run("kill -STOP $(pidof systemd-journald)")
    try:
        kprop(kdc1, kdc2)
        wait_until(lambda: kdc2.out("pgrep", "-c", "-x", "kpropd") == "1")
    finally:
        kdc2.run("kill -CONT $(pidof systemd-journald)")

    def told():
        return [line["text"] for line in kdc2.json("kpropctl-agent", "logs", "20")["kpropd"]]

    wait_until(lambda: any("Rejected connection" in text for text in told()), timeout=60)
    kdc2.run("setpriv --reuid nobody --clear-groups logger --tag kpropd not from root")
    kdc2.run("systemd-cat --identifier=kpropd echo not from a unit of kpropd; journalctl --sync")
    assert not [text for text in told() if text.startswith("not from")], told()


def test_unknown_text(kdc1):
    assert explain(kdc1, "all is well", status=1) == []
    done = kdc1.run("kpropctl", "explain", "what", "is", "this", check=False)
    assert done.returncode == 1 and "kpropctl setup-slave --dry-run HOST" in done.stdout
    assert "kpropd.acl" in kdc1.out("kpropctl", "explain", "acl")
    assert kdc1.run("kpropctl", "explain", "--nonsense", check=False).returncode == 2
