"""kpropctl setup-slave where nothing is broken: fresh, again, dry, of several hosts; the founding
case; and what it leaves behind."""
import re

import pytest

from lab import wait_until
from setup_kit import (ROWS, add_user, configure, differences, dumps_left, files, serves_old, set_up,
                       ticket)

NEEDS = {
    "python3": "test_founding_case*",
    "krb5-admin-server": "test_a_deleted_principal_and_a_changed_policy_are_sent",
}

# Not all of /etc: it is the machine's own but for these.
FOLDERS = [*("/etc/" + name for name in ("krb5kdc", "krb5.conf", "krb5.keytab", "kpropctl", "services",
                                         "hosts", "default", "systemd/system", "portreserve")),
           "/var/lib/krb5kdc", "/var/lib/kpropctl-agent", "/var/lib/kpropctl",
           "/run/kpropctl-agent", "/run/kpropctl"]

# A ticket is recorded with the principal that got it.
OF_A_LOGIN = re.compile(r"/var/lib/krb5kdc/principal(\.ok)?( |$)")


def content(primary):
    """The primary's database but for its own host principal, which a ticket for us moves."""
    return [line for line in primary.out("kdb5_util", "dump").splitlines()
            if "host/kdc1.lab.test" not in line]


def units(host):
    return host.out("systemctl list-units --all --plain --no-legend 'krb5*' 'kprop*' 'portreserve*'; "
                    "systemctl list-unit-files --no-legend; pgrep -a '^(k|portres)'").splitlines()


def test_fresh_replica_holds_the_database_and_serves_it(kdc1, kdc2):
    report = set_up(kdc1, kdc2).good()
    assert list(report.steps) == ROWS
    assert report.fixed() == ["acl", "loader", "kpropd", "propagate", "kdc", "record"]
    assert content(kdc2) == content(kdc1)
    assert ticket(kdc2) == ""
    assert kdc2.read("/etc/krb5kdc/kpropd.acl") == "host/kdc1.lab.test@LAB.TEST\n"
    for unit in ("krb5-kpropd", "krb5-kdc"):
        assert kdc2.active(unit) and kdc2.enabled(unit)
    assert "kpropd" in kdc2.listening(754)[0]
    assert dumps_left(kdc1) == ""


def test_second_run_changes_and_sends_nothing(kdc1, kdc2):
    first = set_up(kdc1, kdc2).good()
    before, at_work = files(kdc2, *FOLDERS), units(kdc2)
    second = set_up(kdc1, kdc2).good()
    assert second.fixed() == [] and "nothing sent" in second.summary("propagate")
    assert second.told["principals"] == first.told["principals"]
    assert [line for line in differences(before, files(kdc2, *FOLDERS))
            if not OF_A_LOGIN.search(line)] == []
    assert differences(at_work, units(kdc2)) == []
    text = kdc1.out("kpropctl", "setup-slave", kdc2.name)
    assert "nothing had to be changed, nothing was sent\n" in text + "\n"


def test_a_change_is_sent_by_the_second_run(kdc1, kdc2):
    first = set_up(kdc1, kdc2).good()
    add_user(kdc1)
    assert serves_old(kdc2)
    second = set_up(kdc1, kdc2).good()
    assert second.fixed() == ["propagate"]
    assert second.told["generation"] > first.told["generation"]
    assert second.told["principals"] == first.told["principals"] + 1
    assert ticket(kdc2, "carol") == ""


def test_a_deleted_principal_and_a_changed_policy_are_sent(kdc1, kdc2):
    set_up(kdc1, kdc2).good()
    kdc1.run("kadmin.local -q 'delprinc -force bob'; kadmin.local -q 'modpol -minlength 9 policy2'")
    assert set_up(kdc1, kdc2).good().fixed() == ["propagate"]
    assert "not found" in ticket(kdc2, "bob")
    assert "Minimum password length: 9" in kdc2.out("kadmin.local", "-q", "getpol policy2")


@pytest.mark.parametrize("ready", [False, True])
def test_dry_run_leaves_no_trace(kdc1, kdc2, ready):
    if ready:
        set_up(kdc1, kdc2).good()
        add_user(kdc1)
        kdc2.systemctl("stop", "krb5-kpropd")
    kdc2.reserve()
    hosts = [kdc1, kdc2]

    before = [files(host, *FOLDERS) for host in hosts]
    at_work, data = [units(host) for host in hosts], content(kdc1)
    report = set_up(kdc1, kdc2, options=["--dry-run"])
    assert report.status == 0 and not report.verified and report.told["dry_run"], report
    assert report.fixed() == []
    would = {step["id"] for step in report.told["steps"] if ": would " in step["summary"]}
    assert would == {"port", "kpropd"} | (set() if ready else {"acl", "loader", "kdc", "record"})
    assert differences(before[1], files(kdc2, *FOLDERS)) == []
    assert [line for line in differences(before[0], files(kdc1, *FOLDERS))
            if not re.search(r" /run/kpropctl( |/LAB.TEST.ccache)", line)
            and not OF_A_LOGIN.search(line)] == []
    for host, units_before in zip(hosts, at_work):
        assert differences(units_before, units(host)) == []
    assert content(kdc1) == data


def test_dry_run_of_an_unknown_host_principal(kdc1, kdc2):
    kdc1.run("kadmin.local", "-q", "delprinc -force host/kdc2.lab.test")
    report = set_up(kdc1, kdc2, options=["-n"])
    assert report.level("principals") == "skipped" and "would create" in report.summary("principals")
    assert report.status == 0, report
    assert "host/kdc2" not in kdc1.out("kadmin.local", "-q", "listprincs")


def test_several_hosts_side_by_side(kdc1, kdc2, kdc3):
    one, two = set_up(kdc1, kdc2, kdc3)
    assert [one.told["replica"], two.told["replica"]] == [kdc2.name, kdc3.name]
    for report, host in ((one, kdc2), (two, kdc3)):
        report.good()
        assert ticket(host) == ""
    assert one.told["generation"] == two.told["generation"]


def test_one_of_several_is_unreachable(kdc1, kdc2, kdc3):
    kdc3.fault("drop", "4373")
    kdc1.write("/etc/kpropctl/kpropctl.conf", "[kpropctl]\n    connect_timeout = 2\n")
    done = kdc1.run("kpropctl", "setup-slave", kdc3.name, kdc2.name, check=False)
    assert done.returncode == 4
    assert "kdc2.lab.test is a verified replica of LAB.TEST" in done.stdout
    assert "kdc3.lab.test is NOT a verified replica of LAB.TEST" in done.stdout
    assert ticket(kdc2) == ""


@pytest.mark.parametrize("version", ["0.0.4-el6", "0.0.5", "0.0.4-11"])
def test_founding_case(kdc1, kdc2, version):
    kdc2.reserve({"krb5_prop": "krb5_prop/tcp\n", "kerberos-adm": "kerberos-adm/tcp\n"},
                 version=version, enable=True)
    report = set_up(kdc1, kdc2).good()
    assert "port" in report.fixed()
    for word in ("portreserve", "file /etc/portreserve/krb5_prop", "bound, not listening", "released"):
        assert word in report.summary("port"), report
    assert kdc2.reserved() == ([] if version == "0.0.4-el6" else ["tcp 749"])
    assert set_up(kdc1, kdc2).good().fixed() == []


def test_founding_case_lasts_over_a_reboot(kdc1, kdc2):
    kdc2.reserve(enable=True)
    set_up(kdc1, kdc2).good()
    kdc2.reboot()
    wait_until(lambda: kdc2.listening(754) and kdc2.active("krb5-kdc"))
    assert "kpropd" in kdc2.listening(754)[0]
    add_user(kdc1)
    assert set_up(kdc1, kdc2).good().fixed() == ["propagate"]
    assert ticket(kdc2, "carol") == ""


def test_release_by_the_files_name(kdc1, kdc2):
    kdc2.reserve({"kdc-extra": "# ours\n754/tcp\n"})
    assert "kdc-extra" in set_up(kdc1, kdc2).good().summary("port")
    assert kdc2.reserved() == []


def test_files_are_private(kdc1, kdc2):
    set_up(kdc1, kdc2).good()
    assert kdc1.out("stat -c %a /var/lib/kpropctl /var/lib/kpropctl/dump /var/lib/kpropctl/state.db "
                    "/run/kpropctl").split() == ["750", "700", "640", "700"]
    assert kdc2.out("find /var/lib/kpropctl-agent /var/lib/krb5kdc /run/kpropctl-agent "
                    "-type f -perm /077") == ""
    assert kdc2.out("stat", "-c", "%a %U", "/etc/krb5kdc/kpropd.acl") in ("600 root", "644 root")
    assert kdc2.out("stat", "-c", "%a", "/var/lib/kpropctl-agent") == "700"


LOOK = """#!/bin/bash
find /var/lib/kpropctl/dump -mindepth 1 -printf '%y %m %f\\n' >>/tmp/seen
cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' >>/tmp/seen
"""


def test_dumps_are_private_and_no_secret_is_told(kdc1, kdc2):
    """Seen while the dump is made and while it is sent."""
    for name in ("kdb5_util", "kprop"):
        kdc1.write(f"/root/{name}", f"{LOOK}exec /usr/sbin/{name} \"$@\"\n", "755")
    configure(kdc1, kdb5_util="/root/kdb5_util", kprop="/root/kprop")
    set_up(kdc1, kdc2).good()
    told = kdc1.read("/tmp/seen")
    modes = re.findall(r"^([df]) (\d+) (\S+)$", told, re.M)
    assert ("f", "600", "dump") in modes and ("f", "600", "dump.dump_ok") in modes, modes
    assert {mode for kind, mode, _ in modes} == {"700", "600"}, modes
    assert "kprop -r LAB.TEST" in told
    dump = kdc1.out("kdb5_util", "dump")
    keys = re.findall(r"\b[0-9a-f]{60,}\b", dump)
    assert len(keys) > 300
    logs = told + kdc1.journal(lines=2000) + kdc2.journal(lines=2000)
    assert not [key for key in keys if key in logs]
    assert "alice-password" not in logs and "-P master" not in logs
