"""The kinds of hosts that a lab can have besides the ordinary replica."""
import pytest

KINDS = ["bare+ssh", "bare+agent", "rhel", "sysvinit"]


@pytest.fixture
def bare(special):
    return special.host("bare+ssh")


@pytest.fixture
def rhel(special):
    return special.host("rhel")


@pytest.fixture
def sysvinit(special):
    return special.host("sysvinit")


@pytest.fixture
def primary(special):
    return special.hosts["kdc1"]


def test_a_bare_host_is_as_apt_leaves_it(primary, bare):
    assert not bare.exists("/etc/krb5.keytab") and not bare.exists("/etc/krb5kdc/stash")
    assert not bare.exists("/etc/krb5kdc/kpropd.acl") and not bare.exists("/usr/sbin/kpropctl-agent")
    assert not bare.exists("/usr/sbin/kadmin.local")
    assert bare.out("ls", "-A", "/var/lib/krb5kdc") == ""
    # What noninteractive debconf makes of the host's name: a default realm that nobody says where to find.
    conf = bare.read("/etc/krb5.conf")
    assert "default_realm = LAB.TEST" in conf and "ATHENA.MIT.EDU = {" in conf
    assert "LAB.TEST = {" not in conf
    assert "LAB.TEST = {" in bare.read("/etc/krb5kdc/kdc.conf")
    # Debian enables what it installs; without a realm krb5kdc cannot start.
    assert bare.enabled("krb5-kdc") and bare.enabled("krb5-kpropd")
    assert not bare.active("krb5-kdc")
    assert not primary.ok("kadmin.local getprinc host/kdc2.lab.test | grep -q ^Principal:")
    assert primary.out("getent", "hosts", "kdc2").split()[1] == "kdc2.lab.test"


def test_the_primary_gets_into_a_host_with_ssh(primary, bare):
    for name in ("kdc2", "kdc2.lab.test"):
        assert primary.out("ssh", "-o", "BatchMode=yes", f"root@{name}", "hostname", "-f") == bare.name


def test_our_package_is_installed_later_and_removed_by_a_reset(special, bare):
    bare.install()
    assert bare.active("kpropctl-agent")
    special.reset("kdc2")
    assert not bare.exists("/usr/sbin/kpropctl-agent") and not bare.exists("/etc/kpropctl")
    assert not bare.enabled("kpropctl-agent")


def test_a_bare_host_may_have_our_package(special):
    host = special.host("bare+agent")
    assert host.active("kpropctl-agent") and not host.exists("/etc/krb5.keytab")


def test_rhel_has_its_own_paths_and_units(rhel):
    for folder in ("/etc/krb5kdc", "/var/lib/krb5kdc", "/etc/init.d/krb5-kpropd"):
        assert not rhel.exists(folder)
    for unit in ("krb5kdc", "kadmin", "kprop"):
        assert rhel.exists(f"/usr/lib/systemd/system/{unit}.service")
        assert not rhel.enabled(unit)
    assert "includedir /etc/krb5.conf.d/" in rhel.read("/etc/krb5.conf")
    rhel.run("kinit alice", input="alice-password\n")


def test_a_rhel_host_becomes_a_replica(primary, rhel):
    done = primary.run("kpropctl", "setup-slave", rhel.name, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert rhel.exists("/var/kerberos/krb5kdc/principal")
    assert rhel.read("/var/kerberos/krb5kdc/kpropd.acl") == "host/kdc1.lab.test@LAB.TEST\n"
    assert rhel.active("kprop") and rhel.active("krb5kdc")
    for folder in ("/etc/krb5kdc", "/var/lib/krb5kdc"):
        assert not rhel.exists(folder)
    rhel.reboot()
    assert primary.run("kpropctl", "check", rhel.name, check=False).returncode == 0


def test_sysvinit_boots_again(sysvinit):
    assert sysvinit.out("readlink", "/proc/1/exe").endswith("/init")
    assert sysvinit.out("cat", "/proc/1/comm") == "init"
    sysvinit.run("/etc/init.d/krb5-kpropd start")
    assert sysvinit.ok("/etc/init.d/krb5-kpropd status")
    sysvinit.write("/etc/krb5kdc/was-here", "yes\n")
    sysvinit.reboot()
    assert not sysvinit.ok("/etc/init.d/krb5-kpropd status")
    assert sysvinit.read("/etc/krb5kdc/was-here") == "yes\n"
    sysvinit.reboot(hard=True)
    assert sysvinit.read("/etc/krb5kdc/was-here") == "yes\n"


def test_reset_of_a_sysvinit_host(special, sysvinit):
    stray = sysvinit.start("sleep", "infinity")
    sysvinit.run("/etc/init.d/krb5-kpropd start")
    sysvinit.remove("/etc/krb5.keytab")
    special.reset("kdc5")
    assert stray.wait(timeout=60) != 0
    assert not sysvinit.ok("/etc/init.d/krb5-kpropd status")
    assert sysvinit.exists("/etc/krb5.keytab")
