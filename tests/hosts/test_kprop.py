"""Plain kprop, set up by hand: that it works here, and how the founding case looks without us."""
import pytest

from lab import wait_until

NEEDS = {
    "python3": "test_reserved_port_is_invisible",
    "lsof": "test_reserved_port_is_invisible",
    "net-tools": "test_reserved_port_is_invisible",
    "psmisc": "test_reserved_port_is_invisible",
}

DUMP = "/var/lib/krb5kdc/replica_datatrans"


def set_up_by_hand(kdc2):
    kdc2.write("/etc/krb5kdc/kpropd.acl", "host/kdc1.lab.test@LAB.TEST\n", mode="600")
    kdc2.systemctl("start", "krb5-kpropd")


def test_plain_kprop(kdc1, kdc2):
    set_up_by_hand(kdc2)
    wait_until(lambda: kdc2.listening(754))
    kdc1.run("kdb5_util", "dump", DUMP)
    assert "SUCCEEDED" in kdc1.out("kprop", "-f", DUMP, kdc2.name)
    kdc2.systemctl("start", "krb5-kdc")
    kdc2.write("/tmp/krb5.conf", kdc2.read("/etc/krb5.conf").replace("kdc = kdc1.lab.test\n", ""))
    kdc2.run("kinit alice && klist", input="alice-password\n", env={"KRB5_CONFIG": "/tmp/krb5.conf"})


@pytest.mark.parametrize("version", ["0.0.4-el6", "0.0.5", "0.0.4-11"])
def test_reserved_port_is_invisible(kdc2, version):
    kdc2.reserve(version=version)
    set_up_by_hand(kdc2)
    wait_until(lambda: "Address already in use while binding listener socket"
               in kdc2.journal("krb5-kpropd"))
    wait_until(lambda: not kdc2.active("krb5-kpropd"))
    for blind in ("ss -lntp", "ss -antup", "netstat -antup", "lsof -nP -i :754", "fuser 754/tcp"):
        said = kdc2.run(blind, check=False).stdout
        assert "754" not in said and "portreserve" not in said, blind
    assert kdc2.reserved() == ["tcp 754"]
    kdc2.run("portrelease", "krb5_prop")
    wait_until(lambda: not kdc2.active("portreserve"))
    kdc2.systemctl("start", "krb5-kpropd")
    wait_until(lambda: kdc2.listening(754))


TWO_FILES = {"krb5_prop": "krb5_prop/tcp\n", "kerberos-adm": "kerberos-adm/tcp\n"}


@pytest.mark.parametrize("version, left", [("0.0.4-el6", []), ("0.0.5", ["tcp 749"]),
                                           ("0.0.4-11", ["tcp 749"])])
def test_release_of_one_name(kdc2, version, left):
    kdc2.reserve(TWO_FILES, version=version)
    assert kdc2.reserved() == ["tcp 749", "tcp 754"]
    kdc2.run("portrelease", "krb5_prop")
    wait_until(lambda: kdc2.reserved() == left)
    assert kdc2.active("portreserve") == bool(left)
    assert kdc2.exists("/run/portreserve/socket")


def test_overlap_is_freed_by_either_name(kdc2):
    kdc2.reserve({"krb5_prop": "krb5_prop/tcp\n", "kdc-extra": "754/tcp\n"}, version="0.0.4-11")
    kdc2.run("portrelease", "nonsense", "krb5_prop")
    wait_until(lambda: kdc2.reserved() == [])
