"""A dump that is not what the database holds: caught before anything is sent, nothing left behind.

Each fault is a kdb5_util of the administrator's own that does what the true one was seen to do."""
import pytest

from setup_kit import add_user, configure, dumps_left, serves_old, set_up, wrap_kdb5_util

FAULTS = {
    # Row 4 of the facts: kdb5_util load takes these.
    "cut_at_a_record": ("$real \"$@\" | head -n 200", 3, ["199 principals", "cannot trust"]),
    "policies_gone": ("$real \"$@\" | grep -v ^policy", 3, ["0 policies", "cannot trust"]),
    "one_principal_short": ("$real \"$@\" | grep -v user7@", 3, ["cannot trust"]),
    "header_only": ("$real \"$@\" | head -n 1", 1, ["no principal"]),
    "empty": ("exit 0", 1, ["empty"]),
    # Rows 5 and 6.
    "cut_inside_a_record": ("$real \"$@\" | head -c 50000", 1, ["ends inside line"]),
    "cut_before_the_semicolon": ("$real \"$@\" | grep -v ^policy | head -c -2", 1, ["ends inside line"]),
    "cut_before_the_newline": ("$real \"$@\" | grep -v ^policy | head -c -1", 1, ["ends inside line"]),
    "last_line_cut": ("$real \"$@\" | head -c -1", 1, ["ends inside line"]),
    # Row 2, and a dump that fails and says so.
    "killed": ("$real \"$@\" | head -c 50000; kill -KILL $$", 1, ["signal 9"]),
    "killed_at_the_end": ("$real \"$@\"; kill -KILL $$", 1, ["signal 9"]),
    "failing": ("$real \"$@\"; echo 'kdb5_util: out of luck' >&2; exit 1", 1,
                ["out of luck", "exit status 1"]),
    # Row 15.
    "another_realm": ("$real \"$@\" | sed 's/LAB[.]TEST/BAL.TEST/g'", 3, ["K/M@LAB.TEST"]),
    "garbage": ("head -c 100000 /dev/urandom", 1, ["header"]),
    # A database whose pages make a circle; and one of which kdb5_util complains for ever.
    "endless": ("$real \"$@\" | grep -v ^policy >/tmp/all; cat /tmp/all; "
                "while grep ^princ /tmp/all; do :; done", 1, ["and goes on"]),
    "endless_complaint": ("yes complaint >&2", 1, ["and goes on"]),
    "something_behind": ("$real \"$@\"; echo something", 1, ["line"]),
}


@pytest.fixture(scope="module")
def ready(lab):
    """A replica that is set up, and behind by one user: no test here changes either host."""
    lab.reset(*lab.used)
    lab.used = ["kdc1", "kdc2"]
    kdc1, kdc2 = lab.hosts["kdc1"], lab.hosts["kdc2"]
    set_up(kdc1, kdc2).good()
    add_user(kdc1)
    return kdc1, kdc2


def nothing_sent(ready, report):
    kdc1, kdc2 = ready
    assert not [row for row in ("propagate", "digest") if row in report.steps], report
    assert dumps_left(kdc1) == ""
    assert serves_old(kdc2)


@pytest.mark.parametrize("fault", FAULTS)
def test_dump_fault(ready, fault):
    script, status, words = FAULTS[fault]
    kdc1, kdc2 = ready
    received = kdc2.fingerprint("/var/lib/krb5kdc")
    wrap_kdb5_util(kdc1, script)
    report = set_up(kdc1, kdc2)
    report.stopped("dump", "refused" if status == 3 else "failed", status, summary=words)
    assert report.last["hint"], report
    assert [line for line in received.splitlines() if "from_master" in line] == \
        [line for line in kdc2.fingerprint("/var/lib/krb5kdc").splitlines()
         if "from_master" in line]
    nothing_sent(ready, report)


@pytest.mark.parametrize("size", ["100k", "0"])
def test_full_disk_of_the_primary(ready, size):
    """Row 1. Of 100 kB the row "space" knows beforehand; a disk that fills up meanwhile, it cannot."""
    kdc1, kdc2 = ready
    kdc1.run("mkdir -p /mnt/state && mount -t tmpfs -o size=2600k tmpfs /mnt/state")
    try:
        configure(kdc1, state_dir="/mnt/state")
        if size == "0":
            wrap_kdb5_util(kdc1, "dd if=/dev/zero of=/mnt/state/ballast bs=1k 2>/dev/null; $real \"$@\"")
            kdc1.append("/etc/kpropctl/kpropctl.conf", "    state_dir = /mnt/state\n")
            report = set_up(kdc1, kdc2)
            report.stopped("dump", "failed", 1, summary=["/mnt/state", "No space left on device"],
                           hint="state_dir")
        else:
            kdc1.run("head -c 2400000 /dev/zero >/mnt/state/ballast")
            report = set_up(kdc1, kdc2)
            report.stopped("space", "failed", 1, summary=["/mnt/state"], hint="state_dir")
        assert kdc1.out("find /mnt/state -name 'run.*'") == ""
        nothing_sent(ready, report)
    finally:
        kdc1.run("umount", "/mnt/state")


def test_program_that_is_not_there(ready):
    kdc1, kdc2 = ready
    configure(kdc1, kdb5_util="/root/nothing")
    report = set_up(kdc1, kdc2)
    report.stopped(report.last["id"], "failed", report.status, summary="/root/nothing")
    nothing_sent(ready, report)


def test_policy_with_a_space(kdc1, kdc2):
    """Row 18: the dump is good, and no replica can load it."""
    set_up(kdc1, kdc2).good()
    kdc1.run("kadmin.local", input='addpol -minlength 8 "for guests"\n')
    add_user(kdc1)
    report = set_up(kdc1, kdc2)
    report.stopped("dump", report.last["level"], report.status, summary=["for guests"])
    assert report.status in (1, 3) and report.last["hint"], report
    nothing_sent((kdc1, kdc2), report)
