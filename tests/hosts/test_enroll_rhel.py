"""A primary with RHEL's layout enrols a bare Debian host: each has its files where its own programs look."""
KINDS = ["bare+agent+ssh"]
PRIMARY = "rhel"


def test_paths_are_those_of_the_replica(special):
    primary, host = special.hosts["kdc1"], special.host("bare+agent+ssh")
    done = primary.run("kpropctl", "setup-slave", "--with-stash", "--via", "ssh root@%h", host.name, timeout=120)
    assert f"{host.name} is a verified replica of LAB.TEST" in done.stdout
    assert host.exists("/var/lib/krb5kdc/principal") and host.exists("/etc/krb5kdc/stash")
    assert not host.exists("/var/kerberos")
    assert "/var/kerberos" not in host.read("/etc/krb5.conf") + host.read("/etc/krb5kdc/kdc.conf")
    host.reboot()
    assert primary.run("kpropctl", "check", host.name, check=False).returncode == 0
