"""A primary with RHEL's layout, and replicas of both layouts."""
import pytest

PRIMARY = "rhel"
KINDS = ["replica", "rhel"]


def paths(host):
    return "/var/kerberos/krb5kdc" if "rhel" in host.kind else "/var/lib/krb5kdc"


@pytest.mark.parametrize("kind", KINDS)
def test_replicas_of_both_layouts(special, kind):
    primary, replica = special.hosts["kdc1"], special.host(kind)
    for program in ("kadmin.local", "kdb5_util"):
        assert not primary.exists("/etc/krb5kdc") and primary.exists(f"/usr/sbin/{program}")
    done = primary.run("kpropctl", "setup-slave", replica.name, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert replica.exists(f"{paths(replica)}/principal")
    assert replica.active("kprop" if kind == "rhel" else "krb5-kpropd")
    primary.run("kadmin.local", "-q", "addprinc -randkey extra")
    primary.run("kpropctl", "propagate", replica.name)
    assert primary.run("kpropctl", "check", replica.name, check=False).returncode == 0
