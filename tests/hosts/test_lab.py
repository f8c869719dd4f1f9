"""The lab itself: hosts as an administrator would find them, and a reset that puts everything back."""
import subprocess

from lab import TESTS


def test_exec_passes_status_input_and_output(hosts):
    assert hosts["kdc2"].run("exit 7", check=False).returncode == 7
    done = hosts["kdc2"].run("cat; echo two >&2", input="one\n")
    assert (done.stdout, done.stderr) == ("one\n", "two\n")


def test_primary_has_a_realm_and_replica_only_what_was_copied(kdc1, kdc2):
    assert kdc1.out("hostname", "-f") == "kdc1.lab.test"
    assert len(kdc1.out("kadmin.local", "-q", "list_principals").splitlines()) > 300
    assert kdc1.active("krb5-kdc") and kdc1.active("krb5-admin-server")
    kdc2.run("kinit alice", input="alice-password\n")
    assert "host/kdc2.lab.test@LAB.TEST" in kdc2.out("klist", "-k")
    assert not kdc2.exists("/var/lib/krb5kdc/principal")
    assert not kdc2.exists("/etc/krb5kdc/kpropd.acl")
    for unit in ("krb5-kpropd", "krb5-kdc", "krb5-admin-server"):
        assert not kdc2.active(unit) and not kdc2.enabled(unit)


def test_no_unit_fails(hosts):
    for host in hosts.values():
        assert host.out("systemctl", "list-units", "--failed", "--plain", "--no-legend") == ""


def test_reset_puts_back_what_a_test_changed(lab, kdc1, kdc2):
    keytab = kdc2.out("sha256sum", "/etc/krb5.keytab")
    kdc1.run("kadmin.local", "-q", "addprinc -randkey extra")
    kdc1.fault("forbid", "754")
    kdc2.write("/etc/krb5kdc/kpropd.acl", "host/kdc1.lab.test@LAB.TEST\n")
    kdc2.systemctl("start", "krb5-kpropd")
    stray = kdc2.start("sleep", "infinity")
    kdc2.remove("/etc/krb5.keytab")
    lab.reset()
    assert stray.wait(timeout=60) != 0
    assert "extra@" not in kdc1.out("kadmin.local", "-q", "list_principals")
    assert not kdc2.exists("/etc/krb5kdc/kpropd.acl") and not kdc2.active("krb5-kpropd")
    assert kdc1.active("krb5-kdc")
    assert "unreachable" not in kdc1.out("ip", "rule", "list")
    assert kdc2.out("sha256sum", "/etc/krb5.keytab") == keytab


def test_files_survive_a_reboot_and_a_pulled_plug(kdc2):
    def session():
        return kdc2.out("systemctl", "show", "--property", "UserspaceTimestampMonotonic")

    first = session()
    kdc2.write("/etc/systemd/system/lab-was-here.service", "yes\n")
    kdc2.reboot()
    second = session()
    kdc2.reboot(hard=True)
    assert len({first, second, session()}) == 3
    assert kdc2.read("/etc/systemd/system/lab-was-here.service") == "yes\n"
    assert kdc2.out("systemctl", "is-system-running") == "running"


def test_usage_errors():
    for words in ([], ["nonsense"], ["exec"]):
        done = subprocess.run([TESTS / "lab", *words], capture_output=True, text=True,
                              env={"LAB": "never-up", "PATH": "/usr/sbin:/usr/bin"})
        assert done.returncode == 2, words
