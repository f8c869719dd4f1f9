"""Who holds port 754: every kind of holder, by every way, on a real host."""
import json

import pytest

from lab import wait_until

NEEDS = {"python3": "test_time_wait", "remctl-client": "test_from_afar", "net-tools": "test_from_afar"}

pytestmark = pytest.mark.usefixtures("packages")

WAYS = ["sock_diag", "pidfd", "proc"]

BOUND = """
import signal, socket, sys
one = socket.socket(socket.AF_INET6 if ':' in {0!r} else socket.AF_INET)
{2}
one.bind(({0!r}, 754))
{1}
print('ready')
signal.pause()
"""


def port(host, *words, check=True):
    return host.json("kpropctl-agent", "port", *words, check=check)


def hold(host, address="0.0.0.0", listen=False, before=""):
    process = host.python(BOUND.format(address, "one.listen()" if listen else "", before))
    assert process.line == "ready"
    return process


def only(report):
    assert len(report["holders"]) == 1, report
    return report["holders"][0]


def one_process(report):
    """The first holder, where a program listens once for each family of addresses."""
    assert len({(h["pid"], h["kind"], h["file"]) for h in report["holders"]}) == 1, report
    return report["holders"][0]


def end(host, report):
    for pid in {holder["pid"] for holder in report["holders"]}:
        host.run("kill", pid)
    wait_until(lambda: port(host)["holders"] == [])


def test_free(kdc2):
    for way in WAYS:
        report = port(kdc2, "--way", way)
        assert report["port"] == 754 and report["service"] == "krb5_prop"
        assert report["usable"] is True and report["holders"] == [] and report["way"] == way
    done = kdc2.run("kpropctl-agent port no-such-service", check=False)
    assert done.returncode == 2 and "no-such-service" in done.stderr
    assert kdc2.run("kpropctl-agent port 65536", check=False).returncode == 2


@pytest.mark.parametrize("version", ["0.0.4-el6", "0.0.5", "0.0.4-11"])
def test_reservation(kdc2, version):
    kdc2.reserve({"kdc-extra": "# kprop\n 754 # here\n", "kerberos-adm": "749/tcp\n"},
                 version=version)
    pid = kdc2.main_pid("portreserve")
    for way in [*WAYS, "portreserve"]:
        report = port(kdc2, "--way", way)
        holder = only(report)
        assert report["usable"] is False and report["ready"] is False and report["way"] == way
        assert report["lasting"] is False
        assert holder["kind"] == "reservation" and holder["state"] == "bound"
        assert holder["address"] == "0.0.0.0" and holder["pid"] == pid
        assert holder["program"].endswith("/portreserve") and holder["user"] == "root"
        assert holder["unit"] == "portreserve.service"
        assert holder["file"] == "/etc/portreserve/kdc-extra"
        assert holder["release"] == "kdc-extra"
        assert "749/tcp" in report["warning"]
    done = kdc2.json("kpropctl-agent", "release")
    assert done["released"] == "kdc-extra" and done["report"]["usable"] is True
    assert done["lost"] == ("749/tcp" if version == "0.0.4-el6" else None)
    assert done["dropin"].endswith("/krb5-kpropd.service.d/kpropctl-port.conf")
    assert "release-at-start 754" in kdc2.read(done["dropin"])
    again = kdc2.json("kpropctl-agent", "release")
    assert again["changed"] is False and again["released"] is None
    assert port(kdc2)["lasting"] is True


FILES = [
    {"krb5_prop": "krb5_prop/tcp\n"},
    {"a b": "754\n"},
    {"one": "krb5_prop/tcp\n", "two": "754/tcp\n", "three": "66290/TCP\n"},
    {"many": "749/tcp\n750/udp\n754/tcp\n"},
    {"long": "x" * 99 + "754/tcp\n"},
]


@pytest.mark.parametrize("version", ["0.0.5", "0.0.4-11"])
def test_release_by_whatever_name(kdc2, version):
    for files in FILES:
        kdc2.reserve(files, version=version)
        assert "tcp 754" in kdc2.reserved()
        assert only(port(kdc2))["release"] in files
        done = kdc2.json("kpropctl-agent", "release")
        assert done["released"] in files and done["report"]["usable"] is True
        assert "tcp 754" not in kdc2.reserved()
        kdc2.run("systemctl stop portreserve; rm -f /etc/portreserve/*")


def test_lasting_over_a_reboot(kdc2):
    kdc2.reserve({"kdc-extra": "754/tcp\n", "kerberos-adm": "749/tcp\n"}, enable=True)
    kdc2.write("/etc/krb5kdc/kpropd.acl", "host/kdc1.lab.test@LAB.TEST\n", mode="600")
    assert kdc2.json("kpropctl-agent", "release")["released"] == "kdc-extra"
    kdc2.systemctl("enable", "--quiet", "krb5-kpropd")
    kdc2.reboot()
    wait_until(lambda: kdc2.listening(754))
    assert only(port(kdc2))["kind"] == "kpropd"
    assert kdc2.reserved() == ["tcp 749"]
    # without portrelease beside it too
    kdc2.systemctl("stop", "krb5-kpropd")
    kdc2.systemctl("restart", "portreserve")
    assert only(port(kdc2))["kind"] == "reservation"
    dropin = "/etc/systemd/system/krb5-kpropd.service.d/kpropctl-port.conf"
    kdc2.run(f"sed -i /portrelease/d {dropin} && systemctl daemon-reload")
    kdc2.systemctl("start", "krb5-kpropd")
    wait_until(lambda: kdc2.listening(754))


def test_release_refuses_what_is_no_socket(kdc2):
    kdc2.reserve()
    socket = "/run/portreserve/socket"
    kdc2.run(f"mv {socket} {socket}.real")
    for make, word in [("mkfifo -m 666", "fifo"), (f"ln -s {socket}.real", "symbolic link"),
                       ("mkdir", "no socket")]:
        kdc2.run(f"{make} {socket}")
        done = kdc2.run("kpropctl-agent release", check=False, timeout=30)
        assert done.returncode == 3 and word in done.stderr
        kdc2.run(f"rm -rf {socket}")
    done = kdc2.run("kpropctl-agent release", check=False, timeout=30)
    assert done.returncode == 1 and "portreserve" in done.stderr
    kdc2.run(f"mv {socket}.real {socket} && chown nobody {socket}")
    done = kdc2.run("kpropctl-agent release", check=False, timeout=30)
    assert done.returncode == 3 and "somebody else" in done.stderr
    # it is stopped: nobody reads
    kdc2.run(f"chown root {socket} && kill -STOP {kdc2.main_pid('portreserve')}")
    done = kdc2.run("kpropctl-agent release", check=False, timeout=60)
    assert done.returncode == 1 and "still holds it" in done.stderr
    assert kdc2.reserved() == ["tcp 754"]


@pytest.mark.parametrize("listen", [False, True], ids=["bound", "listening"])
def test_foreign_program(kdc2, listen):
    own = kdc2.out("ip -4 -o addr show eth0").split()[3].partition("/")[0]
    for address in ("0.0.0.0", "127.0.0.1", "::", "::1", own):
        process = hold(kdc2, address, listen)
        for way in WAYS:
            report = port(kdc2, "--way", way)
            if address == "::1" and report["usable"]:
                continue  # this host has no IPv6 address, so kpropd asks for IPv4 alone
            holder = only(report)
            assert holder["kind"] == "other"
            assert holder["state"] == ("listening" if listen else "bound")
            assert holder["address"] == address
            assert "python3" in holder["program"] and "-c" in holder["command"]
            assert holder["user"] == "root"
            assert holder["file"] is None and holder["release"] is None
        if not report["usable"]:
            done = kdc2.run("kpropctl-agent release", check=False)
            assert done.returncode == 3 and f"pid {holder['pid']}" in done.stderr
        assert process.poll() is None
        end(kdc2, port(kdc2))


def test_service_of_a_user(kdc2):
    kdc2.run("useradd --system holder || true")
    kdc2.run("systemd-run --quiet --unit=foreign --uid=holder "
             "-p AmbientCapabilities=CAP_NET_BIND_SERVICE /usr/bin/python3 -c "
             "\"import signal, socket; s = socket.socket(); s.bind(('', 754)); signal.pause()\"")
    wait_until(lambda: not port(kdc2)["usable"])
    holder = only(port(kdc2))
    assert holder["user"] == "holder" and holder["unit"] == "foreign.service"
    assert "foreign.service" in holder["advice"]
    kdc2.run("systemctl stop foreign")


def test_reuse(kdc2):
    hold(kdc2, before="one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)")
    for way in WAYS:
        assert port(kdc2, "--way", way)["usable"] is True
    end(kdc2, port(kdc2))
    hold(kdc2, listen=True, before="one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)")
    hold(kdc2, listen=True, before="one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)")
    for way in WAYS:
        report = port(kdc2, "--way", way)
        assert report["usable"] is False and len(report["holders"]) == 2
        assert len({holder["pid"] for holder in report["holders"]}) == 2


def test_two_at_once(kdc2):
    kdc2.reserve()
    hold(kdc2, "::1", listen=True)
    for way in WAYS:
        kinds = {holder["kind"] for holder in port(kdc2, "--way", way)["holders"]}
        assert kinds == {"reservation", "other"}
    done = kdc2.run("kpropctl-agent release", check=False)
    assert done.returncode == 3 and "python3" in done.stderr
    assert kdc2.reserved() == ["tcp 754"]


def test_kpropd(kdc2):
    kdc2.write("/etc/krb5kdc/kpropd.acl", "host/kdc1.lab.test@LAB.TEST\n", mode="600")
    kdc2.systemctl("start", "krb5-kpropd")
    wait_until(lambda: kdc2.listening(754))
    for way in WAYS:
        report = port(kdc2, "--way", way)
        holder = only(report)
        assert report["ready"] is True
        assert holder["kind"] == "kpropd" and holder["state"] == "listening"
        assert holder["unit"] == "krb5-kpropd.service"
        assert holder["started_by"] == "service manager"
        assert holder["pid"] == kdc2.main_pid("krb5-kpropd")
    kdc2.systemctl("stop", "krb5-kpropd")
    kdc2.start("/usr/sbin/kpropd -S -d")
    wait_until(lambda: kdc2.listening(754))
    for way in WAYS:
        holder = only(port(kdc2, "--way", way))
        assert holder["kind"] == "kpropd" and holder["started_by"] == "person"
        assert "session" in holder["note"]


CLIENT = """
import signal, socket, struct, sys
server = socket.socket(); server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(('127.0.0.1', 2049)); server.listen()
one = socket.socket()
one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, {0})
one.bind(('127.0.0.1', 754)); one.connect(('127.0.0.1', 2049))
peer = server.accept()[0]
"""

STAY = """
for end in (one, peer): end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
print('ready')
signal.pause()
"""


def test_connection(kdc2):
    kdc2.python(CLIENT.format(0) + STAY)
    for way in WAYS:
        report = port(kdc2, "--way", way)
        holder = only(report)
        assert report["usable"] is False
        assert holder["kind"] == "connection" and holder["state"] == "ESTABLISHED"
        assert holder["peer"] == "127.0.0.1:2049" and holder["pid"]


def test_time_wait(kdc2):
    """In a network of its own, which takes its TIME_WAIT sockets along when it ends."""
    kdc2.write("/tmp/ways", "ip link set lo up\n/usr/bin/python3 /tmp/client\n" +
               "".join(f"kpropctl-agent port --way {way}\n" for way in WAYS))
    for reuse in (1, 0):
        kdc2.write("/tmp/client", CLIENT.format(reuse) + "one.close()\npeer.close()\n")
        reports = kdc2.out("unshare --net sh /tmp/ways").splitlines()
        assert len(reports) == len(WAYS)
        for report in map(json.loads, reports):
            holder = only(report)
            assert report["usable"] is bool(reuse)
            assert holder["kind"] == "connection" and holder["state"] == "TIME_WAIT"
            assert holder["pid"] is None and holder["obstacle"] is not bool(reuse)
            assert ("no obstacle" in holder["note"]) == bool(reuse)


def test_other_namespace(kdc2):
    kdc2.start("unshare --net /usr/bin/python3 -c \"import signal, socket; s = socket.socket(); "
               "s.bind(('', 754)); signal.pause()\"")
    wait_until(lambda: kdc2.ok("pgrep -f 's.bind'"))
    for way in WAYS:
        assert port(kdc2, "--way", way)["usable"] is True
        assert port(kdc2, "--way", way)["holders"] == []


IN_FLIGHT = """
import array, signal, socket
a, b = socket.socketpair()
one = socket.socket(); one.bind(('', 754))
a.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [one.fileno()]))])
one.close()
print('ready')
signal.pause()
"""


def test_in_flight(kdc2):
    kdc2.python(IN_FLIGHT)
    for way in WAYS:
        holder = only(port(kdc2, "--way", way))
        assert holder["kind"] == "other" and holder["state"] == "bound"
        assert holder["pid"] is None and holder["address"] == "0.0.0.0"
    holder = only(port(kdc2))
    assert holder["inode"] and holder["uid"] == 0 and holder["user"] == "root"


def test_unprivileged(kdc1):
    as_nobody = "setpriv --reuid 65534 --regid 65534 --clear-groups kpropctl port"
    assert kdc1.run(as_nobody, check=False).returncode == 0
    hold(kdc1)
    done = kdc1.run(as_nobody, check=False)
    assert done.returncode == 1
    assert "is held" in done.stdout and "root" in done.stdout and "inode" in done.stdout
    holder = only(json.loads(kdc1.run(as_nobody + " --json", check=False).stdout))
    assert holder["pid"] is None and holder["inode"] and holder["uid"] == 0


def test_taken_before_the_start(kdc2):
    """What takes the port between the release and kpropd's bind."""
    kdc2.write("/etc/krb5kdc/kpropd.acl", "host/kdc1.lab.test@LAB.TEST\n", mode="600")
    kdc2.reserve()
    assert kdc2.json("kpropctl-agent", "start-kpropd", "LAB.TEST")["listening"] is True
    kdc2.systemctl("stop", "krb5-kpropd")
    kdc2.start("/usr/bin/python3 -c \"import socket, time; s = socket.socket(); "
               "s.bind(('', 754)); time.sleep(4)\"")  # real time: of the 15 s for which kpropd is tried again
    wait_until(lambda: not port(kdc2)["usable"])
    assert kdc2.json("kpropctl-agent", "start-kpropd", "LAB.TEST")["listening"] is True
    kdc2.systemctl("stop", "krb5-kpropd")
    hold(kdc2)
    pid = only(port(kdc2))["pid"]
    done = kdc2.run("kpropctl-agent start-kpropd LAB.TEST", check=False)
    assert done.returncode == 1 and f"pid {pid}" in done.stderr


# Activators.

def check_activator(host, server, file, program):
    for way in WAYS:
        report = port(host, "--way", way)
        holder = one_process(report)
        assert holder["state"] == "listening" and holder["program"].endswith("/" + program)
        assert holder["file"] == file and server in holder["note"]
        if "kpropd" in server:
            assert holder["kind"] == "activator" and report["ready"] is True
        else:
            assert holder["kind"] == "other" and report["ready"] is False


@pytest.mark.parametrize("server", ["/usr/sbin/kpropd", "/bin/cat"])
def test_systemd_socket(kdc1, kdc2, server):
    kdc2.write("/etc/systemd/system/kprop-test.socket",
               "[Socket]\nListenStream=754\nAccept=yes\n")
    kdc2.write("/etc/systemd/system/kprop-test@.service",
               f"[Service]\nExecStart={server}\nStandardInput=socket\n")
    kdc2.run("systemctl daemon-reload && systemctl start kprop-test.socket")
    wait_until(lambda: kdc2.listening(754))
    check_activator(kdc2, server, "kprop-test.socket", "systemd")
    holder = only(port(kdc2))
    assert holder["pid"] == 1 and holder["address"] == "::"
    far = json.loads(kdc1.run("kpropctl port --json kdc2.lab.test", check=False).stdout)
    assert only(far)["kind"] == holder["kind"] and only(far)["file"] == holder["file"]
    kdc2.run("systemctl stop kprop-test.socket")


# From the primary.

def test_from_afar(kdc1, kdc2):
    done = kdc1.run("kpropctl port kdc2.lab.test", check=False)
    assert done.returncode == 0 and "is free" in done.stdout, done
    kdc2.reserve()
    done = kdc1.run("kpropctl port --why kdc2.lab.test", check=False)
    assert done.returncode == 1
    for word in ("kdc2.lab.test", "portreserve", "/etc/portreserve/krb5_prop", "netstat",
                 "listen()"):
        assert word in done.stdout, done.stdout
    done = kdc1.run("kpropctl port --json kdc2.lab.test", check=False)
    assert done.returncode == 1
    assert only(json.loads(done.stdout))["release"] == "krb5_prop"
    # the daemon sees as much as its console, for all its confinement
    for way in [*WAYS, "portreserve"]:
        done = kdc1.run(f"kpropctl port --json --way {way} kdc2.lab.test", check=False)
        holder = only(json.loads(done.stdout))
        assert holder["pid"] == kdc2.main_pid("portreserve"), way
        assert holder["unit"] == "portreserve.service"
    done = kdc1.run("kpropctl port --port kerberos --json kdc2.lab.test", check=False)
    assert json.loads(done.stdout)["port"] == 88
    assert kdc1.run("kpropctl port --port nonsense kdc2.lab.test", check=False).returncode == 2
    assert kdc1.run("kpropctl port --port 0", check=False).returncode == 2
    done = kdc1.run("kinit -k && remctl kdc2.lab.test kpropctl port", check=False)
    assert done.returncode == 0 and only(json.loads(done.stdout))["kind"] == "reservation"
    kdc2.systemctl("stop", "kpropctl-agent")
    assert kdc1.run("kpropctl port kdc2.lab.test", check=False).returncode == 4
    assert kdc1.run("kpropctl port nowhere.lab.test", check=False).returncode == 4
    # local, without any agent
    done = kdc1.run("kpropctl port --port 749 --json", check=False)
    assert done.returncode == 1
    assert one_process(json.loads(done.stdout))["unit"] == "krb5-admin-server.service"
