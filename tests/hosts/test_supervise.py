"""A host without systemd: kpropd run and watched by the agent itself (supervise = yes), or by its init script."""
import time

import pytest
from lab import wait_until
from standins import until

NEEDS = {"python3": "test_a_crash_loop_is_told"}

KINDS = ["sysvinit", "replica"]
SUPERVISE = "[kpropctl-agent]\n    supervise = yes\n"
LOADER = "/usr/lib/kpropctl/kpropctl-loader"


@pytest.fixture
def primary(special):
    return special.hosts["kdc1"]


@pytest.fixture
def bare(special):
    """Without systemd, not set up."""
    return special.host("sysvinit")


@pytest.fixture
def watched(bare):
    """The same, with kpropd run by the agent."""
    bare.write("/etc/kpropctl/agent.conf", SUPERVISE)
    bare.run("/etc/init.d/kpropctl-agent reload")
    wait_until(lambda: state(bare) == "up", message="kpropd does not come up")
    return bare


@pytest.fixture
def replica(primary, watched):
    """And a verified replica."""
    set_up(primary, watched)
    watched.run("/etc/init.d/krb5-kdc start && update-rc.d krb5-kdc defaults")
    done = set_up(primary, watched)
    assert done.returncode == 0, done.stdout + done.stderr
    return watched


def set_up(primary, host):
    return primary.run("kpropctl", "setup-slave", host.name, check=False)


def supervised(host):
    return host.json("kpropctl-agent", "facts")["kpropd"]["supervised"]


def state(host):
    return supervised(host)["state"]


def kpropds(host):
    """Pids of kpropd, without children that serve a connection."""
    return host.run("pgrep -x kpropd", check=False).stdout.split()


def row(host, name):
    """What the verb check says of one row."""
    checks = host.json("kpropctl-agent", "check", "--json", check=False)["checks"]
    return next(check for check in checks if check["id"] == name)


def good(primary, host):
    done = primary.run("kpropctl", "check", host.name, check=False)
    return done.returncode == 0, done.stdout


def test_the_init_scripts_commands_are_told(primary, bare):
    done = set_up(primary, bare)
    assert done.returncode != 0
    assert "/etc/init.d/krb5-kpropd start" in done.stdout
    assert "update-rc.d krb5-kpropd defaults" in done.stdout
    assert "supervise = yes" in done.stdout and not kpropds(bare)
    bare.write("/etc/default/kpropd", f'DAEMON_ARGS="-p {LOADER}"\n')
    bare.run("/etc/init.d/krb5-kpropd start && update-rc.d krb5-kpropd defaults")
    done = set_up(primary, bare)
    assert "/etc/init.d/krb5-kdc start" in done.stdout and done.returncode != 0
    bare.run("/etc/init.d/krb5-kdc start && update-rc.d krb5-kdc defaults")
    done = set_up(primary, bare)
    assert done.returncode == 0, done.stdout
    bare.reboot()
    is_good, text = good(primary, bare)
    assert is_good, text
    bare.run("update-rc.d krb5-kpropd disable")
    assert "update-rc.d krb5-kpropd enable" in row(bare, "kpropd")["hint"]


def test_set_up_to_verified_and_after_a_reboot(primary, replica):
    assert LOADER in replica.out("ps", "-o", "args=", "-p", kpropds(replica)[0])
    for hard in (False, True):
        replica.reboot(hard=hard)
        wait_until(lambda: state(replica) == "up", message="kpropd is not up after a reboot")
        is_good, text = good(primary, replica)
        assert is_good, text
    primary.run("kadmin.local", "-q", "addprinc -randkey extra")
    primary.run("kpropctl", "propagate", replica.name)


def test_a_killed_kpropd_is_started_again_with_growing_pauses(watched):
    pauses = []
    for _ in range(3):
        began = time.monotonic()  # real time: the agent's pauses are what is tested
        watched.run("kill", "-KILL", *kpropds(watched))
        wait_until(lambda: state(watched) == "up" and kpropds(watched), timeout=60)
        pauses.append(time.monotonic() - began)  # real time: as above
    assert pauses[0] > 0.9 and pauses[1] > 1.9 and pauses[2] > 3.9
    now = supervised(watched)
    assert now["restarts"] == 3 and "signal 9" in now["last_failure"]["text"]
    assert row(watched, "kpropd")["level"] == "warning"
    assert "after 3 restarts" in row(watched, "kpropd")["summary"]


def test_a_crash_loop_is_told(primary, watched):
    watched.run("kpropctl-agent", "stop-kpropd", "LAB.TEST")
    watched.python("import signal, socket\ns = socket.socket(socket.AF_INET6)\n"
                   "s.bind(('::', 754))\nprint('bound')\nsignal.pause()")
    failed = watched.run("kpropctl-agent", "start-kpropd", "LAB.TEST", check=False)
    assert failed.returncode != 0 and "kpropd" in failed.stderr
    wait_until(lambda: supervised(watched)["failures"] >= 2)
    told = row(watched, "kpropd")
    assert told["level"] == "failed"
    assert "times in a row" in told["summary"] and "port 754 is held by" in told["summary"]
    assert row(watched, "port")["level"] == "failed"
    status, text = good(primary, watched)
    assert not status


def test_never_two_at_once(watched):
    watched.run("kpropctl-agent", "stop-kpropd", "LAB.TEST")
    watched.run("/etc/init.d/krb5-kpropd start")
    wait_until(lambda: watched.listening(754))
    other = kpropds(watched)
    failed = watched.run("kpropctl-agent", "start-kpropd", "LAB.TEST", check=False)
    assert failed.returncode != 0
    assert "another one" in failed.stderr and f"pid {other[0]}" in failed.stderr
    assert kpropds(watched) == other
    assert "another one" in row(watched, "kpropd")["summary"]
    watched.run("/etc/init.d/krb5-kpropd stop")
    wait_until(lambda: state(watched) == "up")
    watched.run("update-rc.d krb5-kpropd defaults")
    told = row(watched, "kpropd")
    assert told["level"] == "warning" and "update-rc.d krb5-kpropd disable" in told["hint"]


def test_stopped_stays_stopped(watched):
    assert watched.json("kpropctl-agent", "stop-kpropd", "LAB.TEST")["changed"]
    assert not watched.json("kpropctl-agent", "stop-kpropd", "LAB.TEST")["changed"]
    assert not kpropds(watched)
    watched.run("/etc/init.d/kpropctl-agent restart")
    wait_until(lambda: state(watched) == "down", timeout=60)
    assert not kpropds(watched)
    assert watched.json("kpropctl-agent", "start-kpropd", "LAB.TEST")["changed"]
    assert not watched.json("kpropctl-agent", "start-kpropd", "LAB.TEST")["changed"]
    assert len(kpropds(watched)) == 1


@pytest.fixture
def slow(replica):
    """Loads there wait for /run/go-on."""
    replica.run("rm -f /run/go-on; [ -e /usr/sbin/kdb5_util.real ] || mv /usr/sbin/kdb5_util /usr/sbin/kdb5_util.real")
    replica.write("/usr/sbin/kdb5_util", "#!/bin/sh\n"
                  f"case \"$*\" in *' load '*) {until('[ -e /run/go-on ]')} ;; esac\n"
                  "exec /usr/sbin/kdb5_util.real \"$@\"\n", "755")
    yield replica
    replica.run("touch /run/go-on; mv /usr/sbin/kdb5_util.real /usr/sbin/kdb5_util")


def test_the_agent_stops_kpropd_after_the_load(primary, slow):
    primary.run("kadmin.local", "-q", "addprinc -randkey extra")
    primary.run("kdb5_util", "dump", "/root/by-hand.dump")
    slow.run("kpropctl-agent accept-next LAB.TEST")
    sending = primary.start("kprop", "-f", "/root/by-hand.dump", slow.name)
    wait_until(lambda: slow.json("kpropctl-agent", "facts")["load"]["running"], timeout=60)
    stop = slow.start("/etc/init.d/kpropctl-agent stop")
    wait_until(lambda: slow.ok("pgrep -f '[i]nit.d/kpropctl-agent stop'"))
    assert kpropds(slow) and stop.poll() is None
    slow.run("touch /run/go-on")
    stop.communicate(timeout=60)
    told = sending.communicate(timeout=60)[0]
    assert sending.returncode == 0, told
    assert not kpropds(slow) and not slow.ok("pgrep -x kpropctl-loader")
    assert "extra@LAB.TEST" in slow.out("kdb5_util dump /root/after; cut -f7 /root/after")
    slow.run("/etc/init.d/kpropctl-agent start")
    wait_until(lambda: state(slow) == "up")
    assert slow.json("kpropctl-agent", "facts")["leftovers"] == []


def test_a_killed_agent_finds_its_kpropd_again(watched):
    pid = kpropds(watched)
    watched.run("kill -KILL $(cat /run/kpropctl-agent/agent.pid)")
    assert kpropds(watched) == pid
    told = row(watched, "kpropd")
    assert told["level"] == "failed" and "no daemon" in told["summary"]
    watched.run("/etc/init.d/kpropctl-agent start")
    wait_until(lambda: state(watched) == "up")
    assert kpropds(watched) == pid and supervised(watched)["pid"] == int(pid[0])
    # It is watched as its own child would be.
    watched.run("kill", "-KILL", *pid)
    wait_until(lambda: state(watched) == "up" and kpropds(watched) != pid)
    watched.run("/etc/init.d/kpropctl-agent stop")
    assert not kpropds(watched)


@pytest.fixture
def deaf(watched):
    """kpropd that runs, and never listens."""
    watched.run("kpropctl-agent stop-kpropd LAB.TEST && mv /usr/sbin/kpropd /usr/sbin/kpropd.real")
    watched.write("/usr/sbin/kpropd", "#!/bin/bash\nexec -a kpropd sleep infinity\n", "755")
    yield watched
    watched.run("mv /usr/sbin/kpropd.real /usr/sbin/kpropd")


def test_ready_is_what_listens(deaf):
    began = time.monotonic()  # real time: it is given 15 s to listen
    failed = deaf.run("kpropctl-agent", "start-kpropd", "LAB.TEST", check=False)
    assert failed.returncode != 0 and "runs, but does not listen" in failed.stderr
    assert time.monotonic() - began > 15  # real time: as above
    assert "does not listen" in row(deaf, "kpropd")["summary"]
    assert deaf.out("pgrep -c -x sleep || true") == "0"


def test_the_package_leaves_nothing(bare):
    """What purging the package leaves on a host without systemd."""
    links = bare.out("ls /etc/rc2.d /etc/rc6.d")
    assert "kpropctl-agent" in links
    bare.write("/etc/kpropctl/agent.conf", SUPERVISE)
    bare.run("/etc/init.d/kpropctl-agent restart")
    wait_until(lambda: kpropds(bare))
    bare.run("dpkg", "--purge", "kpropctl-agent")
    try:
        assert not kpropds(bare) and not bare.ok("pgrep -x kpropctl-agent")
        assert "kpropctl-agent" not in bare.out("ls /etc/rc2.d /etc/rc6.d /etc/init.d")
    finally:
        bare.install()
    assert bare.ok("/etc/init.d/kpropctl-agent status")


def test_a_reservation_is_released_at_every_start(primary, watched):
    watched.run("/etc/init.d/kpropctl-agent stop")
    watched.write("/etc/portreserve/krb5_prop", "krb5_prop/tcp\n")
    watched.write("/etc/default/portreserve", "PORTRESERVE_VERSION=0.0.5\n")
    watched.run("mkdir -p /run/portreserve; ss --kill --tcp --numeric state time-wait >/dev/null; PORTRESERVE_VERSION=0.0.5 portreserve")
    wait_until(lambda: watched.json("kpropctl-agent", "port", check=False)["usable"] is False)
    watched.run("/etc/init.d/kpropctl-agent start")
    wait_until(lambda: state(watched) == "up")
    assert row(watched, "port")["level"] == "ok"
    assert watched.json("kpropctl-agent", "port")["lasting"] is True


def test_turned_off_again(watched):
    watched.write("/etc/kpropctl/agent.conf", "[kpropctl-agent]\n    supervise = no\n")
    watched.run("/etc/init.d/kpropctl-agent reload")
    wait_until(lambda: not kpropds(watched))
    assert supervised(watched) is None


def test_on_a_host_with_systemd_too(special, primary):
    host = special.host("replica")
    host.write("/etc/kpropctl/agent.conf", SUPERVISE)
    host.systemctl("reload", "kpropctl-agent")
    done = set_up(primary, host)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not host.active("krb5-kpropd") and not host.enabled("krb5-kpropd")
    host.systemctl("restart", "kpropctl-agent")
    wait_until(lambda: state(host) == "up")
    assert len(kpropds(host)) == 1
    is_good, text = good(primary, host)
    assert is_good, text
    host.systemctl("stop", "kpropctl-agent")
    assert not kpropds(host)
    host.systemctl("enable", "--quiet", "krb5-kpropd")
    host.systemctl("start", "kpropctl-agent")
    wait_until(lambda: state(host) == "up")
    assert "systemctl disable krb5-kpropd.service" in row(host, "kpropd")["hint"]


def test_a_replica_with_systemd_is_good_after_a_reboot(special, primary):
    host = special.host("replica")
    done = set_up(primary, host)
    assert done.returncode == 0, done.stdout + done.stderr
    for hard in (False, True):
        host.reboot(hard=hard)
        for unit in ("krb5-kpropd", "krb5-kdc", "kpropctl-agent"):
            wait_until(lambda: host.active(unit), message=f"{unit} is not active")
        is_good, text = good(primary, host)
        assert is_good, text
