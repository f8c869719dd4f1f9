"""setup-slave ended in the middle, killed, and started twice: nothing stays but what helps, and the
next run goes on from what it finds."""
import json

import pytest

from lab import wait_until
from setup_kit import (Report, add_user, configure, dumps_left, serves_old, set_up, ticket,
                       wrap_kdb5_util)
from standins import until

NEEDS = {"python3": "test_interrupted*"}

HERE = "touch /tmp/arrived; exec sleep infinity"
PROGRAMS = "kpropctl|kprop|kdb5_util|sleep"


def arrive_in_dump(kdc1, kdc2):
    wrap_kdb5_util(kdc1, "$real \"$@\" | head -c 50000; " + HERE)
    return lambda: kdc1.exists("/tmp/arrived")


def arrive_before_kprop(kdc1, kdc2):
    kdc1.write("/root/kprop", "#!/bin/sh\n" + HERE + "\n", "755")
    configure(kdc1, kprop="/root/kprop")
    return lambda: kdc1.exists("/tmp/arrived")


def arrive_in_kprop(kdc1, kdc2):
    """kpropd accepts, and says nothing."""
    kdc2.run("kill -STOP $(systemctl show --property MainPID --value krb5-kpropd)")
    return lambda: kdc1.ok("pgrep", "-x", "kprop")


def arrive_in_load(kdc1, kdc2):
    """kprop has sent it all, and waits for the replica's answer: its database is locked."""
    holder = kdc2.python("""
import fcntl, os, signal
f = open('/var/lib/krb5kdc/principal.kpropctl/loading', 'r+')
fcntl.flock(f, fcntl.LOCK_EX)
print('locked', flush=True)
signal.pause()""")
    assert holder.line == "locked"
    return lambda: kdc2.ok("pgrep", "-f", "kpropctl-loader")


MOMENTS = {"dump": arrive_in_dump, "start of kprop": arrive_before_kprop, "kprop": arrive_in_kprop,
           "load": arrive_in_load}


def mend(kdc1, kdc2):
    configure(kdc1)
    kdc1.run("rm -f /tmp/arrived")
    kdc2.run("kill -CONT $(systemctl show --property MainPID --value krb5-kpropd); "
             "pkill -KILL -f '[i]mport fcntl' || :")


def start(primary, *words):
    """As a shell with job control starts it: in a process group of its own, where Ctrl-C goes."""
    return primary.start("setsid", "--wait", "kpropctl", "setup-slave", *words)


def signal(primary, name, group):
    """To the first process of kpropctl, or to all that a terminal's Ctrl-C reaches."""
    pid = primary.out("pgrep", "-o", "-x", "kpropctl")
    primary.run(f"/bin/kill -{name} -- {'-' if group else ''}{pid}")


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("name, group", [("INT", True), ("TERM", False)])
def test_interrupted(kdc1, kdc2, moment, name, group):
    set_up(kdc1, kdc2).good()
    add_user(kdc1)
    arrived = MOMENTS[moment](kdc1, kdc2)
    process = start(kdc1, "--json", kdc2.name)
    wait_until(arrived)
    signal(kdc1, name, group)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 1, told
    report = Report(json.loads(told), process.returncode, "")
    report.stopped("interrupted", "failed", 1, summary="interrupted by", hint="run the same command")
    assert kdc1.out(f"pgrep -a -x '{PROGRAMS}' || :") == ""
    assert dumps_left(kdc1) == ""
    assert serves_old(kdc2)
    mend(kdc1, kdc2)
    report = set_up(kdc1, kdc2).good()
    assert "removed what" not in report.stderr
    assert ticket(kdc2, "carol") == ""


@pytest.mark.parametrize("moment", ["dump", "kprop"])
def test_killed(kdc1, kdc2, moment):
    set_up(kdc1, kdc2).good()
    add_user(kdc1)
    arrived = MOMENTS[moment](kdc1, kdc2)
    process = start(kdc1, kdc2.name)
    wait_until(arrived)
    kdc1.run("kill -KILL $(pgrep -o -x kpropctl)")
    process.communicate(timeout=60)
    wait_until(lambda: kdc1.out(f"pgrep -a -x '{PROGRAMS}' || :") == "",
               message="its children live on")
    assert "/dump\n" in dumps_left(kdc1) + "\n", "nothing to clean up: what is tested?"
    mend(kdc1, kdc2)
    report = set_up(kdc1, kdc2).good()
    assert "removed what 1 killed run had left" in report.stderr
    assert dumps_left(kdc1) == "" and ticket(kdc2, "carol") == ""


def test_child_killed(kdc1, kdc2):
    """As by the kernel's OOM killer: the parent tells it."""
    set_up(kdc1, kdc2).good()
    arrived = arrive_in_dump(kdc1, kdc2)
    process = start(kdc1, "--json", kdc2.name)
    wait_until(arrived)
    kdc1.run("kill -KILL $(pgrep -x -P $(pgrep -o -x kpropctl) kpropctl)")
    told, _ = process.communicate(timeout=60)
    last = json.loads(told)["steps"][-1]
    assert process.returncode == 5 and "killed by signal 9" in last["summary"], told
    assert kdc1.out(f"pgrep -a -x '{PROGRAMS}' || :") == "" and dumps_left(kdc1) == ""


def test_two_at_once(kdc1, kdc2):
    """The second waits for the first, says so, and finds all done. Or does not wait."""
    wrap_kdb5_util(kdc1, f"touch /tmp/arrived; {until('[ -e /tmp/go-on ]')}\n"
                   "exec $real \"$@\"")
    first = start(kdc1, kdc2.name)
    wait_until(lambda: kdc1.exists("/tmp/arrived"))
    pid = kdc1.out("pgrep", "-o", "-x", "kpropctl")
    third = kdc1.run("kpropctl", "setup-slave", "--no-wait", kdc2.name, check=False)
    assert third.returncode == 4
    assert f"pid {pid}" in third.stderr and "LAB.TEST" in third.stderr, third.stderr
    second = start(kdc1, kdc2.name)
    waits = second.stdout.readline()
    assert "waiting for it" in waits, waits
    kdc1.run("touch", "/tmp/go-on")
    told = first.communicate(timeout=60)[0]
    assert first.returncode == 0 and "fixed    propagate" in told, told
    told = second.communicate(timeout=60)[0]
    assert second.returncode == 0, told
    assert "nothing had to be changed, nothing was sent" in told
    assert ticket(kdc2) == ""


def test_agent_restarted_in_the_middle(kdc1, kdc2):
    """The connection is lost between two rows: told, and the next run is good."""
    wrap_kdb5_util(kdc1, f"touch /tmp/arrived; {until('[ -e /tmp/go-on ]')}\n"
                   "exec $real \"$@\"")
    process = start(kdc1, "--json", kdc2.name)
    wait_until(lambda: kdc1.exists("/tmp/arrived"))
    kdc2.systemctl("restart", "kpropctl-agent")
    kdc1.run("touch", "/tmp/go-on")
    told = json.loads(process.communicate(timeout=60)[0])
    assert not told["verified"] and process.returncode == 4, told
    last = told["steps"][-1]
    assert "agent on kdc2.lab.test" in last["summary"], last
    assert "journalctl -u kpropctl-agent" in last["hint"], last
    set_up(kdc1, kdc2).good()
