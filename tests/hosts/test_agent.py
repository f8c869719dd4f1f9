"""The agent as a service on a replica: stock clients, access, hostile clients, frugality, its unit."""
import json
import shlex
import shutil
import signal
import time

import pytest

from lab import wait_until
from standins import Held

NEEDS = {
    "python3": "test_silent_connections_lock_nobody_out",
    "remctl-client": "test_stock_client_calls_reading_verbs*",
    "python3-pyremctl": "test_python_binding",
    "remctl-server": "test_behind_an_existing_remctld",
    "krb5-admin-server": "test_start_kpropd_never_stops_kadmind*",
    "netcat-openbsd": "test_listens_on_both_families",
}

pytestmark = pytest.mark.usefixtures("packages")

AGENT = "kpropctl-agent"
LOCK = "/run/kpropctl-agent/change.lock"
PRIMARY_PRINCIPAL = "host/kdc1.lab.test@LAB.TEST"
READING = [("port",), ("port", "krb5_prop"), ("port", "4373"), ("facts",), ("facts", "LAB.TEST"),
           ("logs",), ("logs", "3"), ("outcome", "LAB.TEST", "0"), ("version",), ("help",)]


@pytest.fixture
def primary(kdc1):
    """kdc1 with a ticket for its host key."""
    kdc1.run("kinit -k -t /etc/krb5.keytab")
    return kdc1


@pytest.fixture
def reader(lab):
    """The same for a test that changes nothing: whoever follows need not reset the hosts."""
    if lab.used:
        lab.reset(*lab.used)
        lab.used = []
    kdc1 = lab.hosts["kdc1"]
    kdc1.run("kinit -k -t /etc/krb5.keytab")
    yield kdc1
    kdc1.run("kdestroy")


def remctl(host, *words, check=True, **options):
    return host.run("remctl", "kdc2.lab.test", "kpropctl", *words, check=check, **options)


def ask(host, *words):
    return json.loads(remctl(host, *words).stdout)


def as_user(host, name, *words):
    """The same with the ticket of a user."""
    return host.run(f"export KRB5CCNAME=FILE:/tmp/cc-{name}; kinit {name} >/dev/null && "
                    f"remctl kdc2.lab.test kpropctl {shlex.join(words)}",
                    input=f"{name}-password\n", check=False)


def proc(host, pid, name):
    """A figure of /proc/PID/status: kB, or a number."""
    return int(host.out(f"sed -n 's/^{name}:[ \\t]*\\([0-9]*\\).*/\\1/p' /proc/{pid}/status"))


def descriptors(host, pid):
    return int(host.out(f"ls /proc/{pid}/fd | wc -l"))


# Stock clients.

@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_stock_client_calls_reading_verbs(reader, words):
    done = remctl(reader, *words)
    assert isinstance(json.loads(done.stdout), dict) and done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_stock_client_sees_failures(reader):
    done = remctl(reader, "logs", "many", check=False)
    assert done.returncode == 2
    assert "many" in json.loads(done.stdout)["error"] and "many" in done.stderr
    done = remctl(reader, "nonsense", check=False)
    assert (done.returncode, done.stdout) == (255, "") and "Unknown command" in done.stderr
    assert reader.run("remctl kdc2.lab.test help", check=True).stdout.startswith('{"verbs"')


def test_python_binding(reader):
    script = ("import remctl, json\n"
              "one = remctl.remctl('kdc2.lab.test', command=['kpropctl', 'port'])\n"
              "print(json.loads(one.stdout)['port'], one.status)\n"
              "many = remctl.Remctl('kdc2.lab.test')\n"
              "for i in range(3):\n"
              "    many.command(['kpropctl', 'version'])\n"
              "    print(*[many.output()[0] for _ in range(2)])\n")
    assert reader.out("/usr/bin/python3", "-c", script).splitlines() == \
        ["754 0"] + ["output status"] * 3


def test_facts_tell_what_is_there(primary, kdc2):
    began = int(time.time())  # real time: the host's clock is this machine's
    facts = ask(primary, "facts")
    assert facts["host"]["krb5_name"] == "kdc2.lab.test"
    assert facts["realm"]["name"] == "LAB.TEST" and facts["services"]["port"] == 754
    assert {entry["principal"] for entry in facts["keytab"]["entries"]} == \
        {"host/kdc2.lab.test@LAB.TEST"}
    assert facts["krb5"]["version"].startswith("1.") and facts["krb5"]["dump_version"] == 7
    assert not facts["acl"]["exists"] and not facts["kpropd"]["listening"]
    assert facts["last"] is None and facts["announced"] is None and not facts["load"]["running"]
    assert began <= facts["time"] <= time.time() + 1  # real time: as above
    kdc2.remove("/etc/krb5.keytab")
    assert "/etc/krb5.keytab" in kdc2.json(AGENT, "facts")["keytab"]["error"]


# Who may do what.

def test_only_the_primary_may(primary, kdc2):
    done = as_user(primary, "alice", "port")
    assert (done.returncode, done.stdout) == (255, "") and "Access denied" in done.stderr
    wait_until(lambda: "port denied to alice@LAB.TEST" in kdc2.journal(AGENT))
    before = kdc2.fingerprint("/etc/krb5kdc")
    assert as_user(primary, "alice", "acl-add", "LAB.TEST", "alice@LAB.TEST").returncode == 255
    assert kdc2.fingerprint("/etc/krb5kdc") == before


def configure(host, text):
    host.write("/etc/kpropctl/agent.conf", f"[kpropctl-agent]\n{text}\n")
    host.systemctl("reload", AGENT)
    wait_until(lambda: "configuration read again" in host.journal(AGENT, 3))


def test_reading_and_changing_apart(primary, kdc2):
    kdc2.write("/etc/kpropctl/acl", f"princ:{PRIMARY_PRINCIPAL}\n")
    kdc2.write("/etc/kpropctl/read.d/one", "# monitoring\nalice@LAB.TEST\n")
    configure(kdc2, "acl = /etc/kpropctl/acl\nacl_read = /etc/kpropctl/read.d")
    assert remctl(primary, "port").returncode == 0
    assert as_user(primary, "alice", "port").returncode == 0
    assert as_user(primary, "alice", "start-kpropd", "LAB.TEST").returncode == 255
    assert as_user(primary, "bob", "port").returncode == 255
    kdc2.write("/etc/kpropctl/read.d/two", "deny:alice@LAB.TEST\n")
    assert as_user(primary, "alice", "port").returncode == 255


@pytest.mark.parametrize("fault", ["missing", "malformed", "unreadable"])
def test_broken_acl_denies_everybody_and_says_so(primary, kdc2, fault):
    if fault == "malformed":
        kdc2.write("/etc/kpropctl/acl", f"{PRIMARY_PRINCIPAL}\nwhat is this\n")
    elif fault == "unreadable":
        kdc2.run("mkdir -p /etc/kpropctl; rm -f /etc/kpropctl/acl; mkfifo /etc/kpropctl/acl")
    configure(kdc2, "acl = /etc/kpropctl/acl")
    assert remctl(primary, "port", check=False).returncode == 255
    wait_until(lambda: "everybody is denied by acl: " in kdc2.journal(AGENT))
    kdc2.run("rm -f /etc/kpropctl/acl")


@pytest.mark.parametrize("servers", [[], ["10.75.4.11"], ["kdc1.lab.test", "kdc2.lab.test"]])
def test_without_one_admin_server_everybody_is_denied(primary, kdc2, servers):
    lines = kdc2.read("/etc/krb5.conf").splitlines()
    at = next(i for i, line in enumerate(lines) if "admin_server" in line)
    lines[at:at + 1] = [f"        admin_server = {server}" for server in servers]
    kdc2.write("/etc/krb5.conf", "\n".join(lines) + "\n")
    assert remctl(primary, "port", check=False).returncode == 255
    wait_until(lambda: "Set admin_server" in kdc2.journal(AGENT))


def test_behind_an_existing_remctld(kdc2):
    def call(*words, user=PRIMARY_PRINCIPAL):
        return kdc2.run(AGENT, *words, check=False, env={"REMOTE_USER": user})

    assert json.loads(call("version").stdout)["program"] == AGENT
    for words in (("-t",), ("-c", "/dev/null", "version"), ("--help",), ("-f",), (), ("",)):
        assert call(*words).returncode == 2, words
    assert call("release-at-start", "754").returncode == 2
    for user in ("alice@LAB.TEST", "host/kdc1.lab.test", ""):
        assert call("version", user=user).returncode == 3


# Changes.

def test_acl_add_keeps_what_is_there(primary, kdc2):
    kdc2.write("/etc/krb5kdc/kpropd.acl", "# mine\nhost/old.lab.test@LAB.TEST", mode="640")
    assert ask(primary, "acl-add", "LAB.TEST", PRIMARY_PRINCIPAL)["changed"]
    wanted = f"# mine\nhost/old.lab.test@LAB.TEST\n{PRIMARY_PRINCIPAL}\n"
    assert kdc2.read("/etc/krb5kdc/kpropd.acl") == wanted
    before = kdc2.fingerprint("/etc/krb5kdc")
    assert not ask(primary, "acl-add", "LAB.TEST", PRIMARY_PRINCIPAL)["changed"]
    assert kdc2.fingerprint("/etc/krb5kdc") == before
    assert kdc2.out("stat -c %a /etc/krb5kdc/kpropd.acl") == "640"
    for bad in ("nobody", "two words@LAB.TEST", "line\nbreak@LAB.TEST", "#c@LAB.TEST", ""):
        assert remctl(primary, "acl-add", "LAB.TEST", bad, check=False).returncode == 2, bad
    assert kdc2.fingerprint("/etc/krb5kdc") == before
    wait_until(lambda: f"acl-add for {PRIMARY_PRINCIPAL}: done" in kdc2.journal(AGENT))


def test_start_kpropd_is_seen_listening(primary, kdc2):
    answer = ask(primary, "start-kpropd", "LAB.TEST")
    assert answer["started"] and answer["pid"] == kdc2.main_pid("krb5-kpropd")
    assert kdc2.enabled("krb5-kpropd") and f"pid={answer['pid']}," in kdc2.listening(754)[0]
    again = ask(primary, "start-kpropd", "LAB.TEST")
    assert not again["changed"] and again["pid"] == answer["pid"]


def test_start_kpropd_tells_the_log_when_the_port_is_taken(primary, kdc2):
    holder = kdc2.python("import signal, socket\ns = socket.socket(socket.AF_INET6)\n"
                         "s.bind(('::', 754))\nprint('held')\nsignal.pause()")
    assert holder.line == "held"
    done = remctl(primary, "start-kpropd", "LAB.TEST", check=False)
    answer = json.loads(done.stdout)
    assert done.returncode in (1, 3) and "python3" in answer["error"] + answer["hint"]
    assert any("Address already in use" in line["text"] for line in answer["log"])
    assert not kdc2.enabled("krb5-kpropd") and holder.poll() is None
    holder.kill()


@pytest.mark.parametrize("how", ["start", "enable"])
def test_start_kpropd_never_stops_kadmind(primary, kdc2, how):
    kdc2.systemctl("unmask", "krb5-admin-server", check=False)
    if how == "enable":
        kdc2.systemctl("enable", "krb5-admin-server")
    else:
        kdc2.run("mkdir -p /run/systemd/system; cp /lib/systemd/system/krb5-admin-server.service "
                 "/run/systemd/system/; sed -i 's|^ExecStart=.*|ExecStart=/bin/sleep infinity|' "
                 "/run/systemd/system/krb5-admin-server.service; systemctl daemon-reload; "
                 "systemctl start krb5-admin-server")
    done = remctl(primary, "start-kpropd", "LAB.TEST", check=False)
    if how == "start":
        assert kdc2.active("krb5-admin-server")
        kdc2.run("systemctl stop krb5-admin-server; "
                 "rm /run/systemd/system/krb5-admin-server.service; systemctl daemon-reload")
    else:
        kdc2.systemctl("disable", "krb5-admin-server")
    assert done.returncode == 3 and "kadmind" in json.loads(done.stdout)["error"]
    assert not kdc2.active("krb5-kpropd")


def test_use_loader_keeps_the_unit_s_arguments(primary, kdc2):
    kdc2.write("/etc/systemd/system/krb5-kpropd.service.d/override.conf",
               "[Service]\nExecStart=\nExecStart=/usr/sbin/kpropd -D \\\n  -S $DAEMON_ARGS\n")
    kdc2.write("/etc/default/krb5-kpropd", 'DAEMON_ARGS="-d"\n')
    kdc2.systemctl("daemon-reload")
    pid = ask(primary, "start-kpropd", "LAB.TEST")["pid"]
    answer = ask(primary, "use-loader", "LAB.TEST")
    assert answer["changed"] and answer["restarted"]
    facts = ask(primary, "facts")["kpropd"]
    assert facts["loader"] and facts["dropin"] and facts["listening"] and facts["pid"] != pid
    assert facts["command"].split() == ["/usr/sbin/kpropd", "-D", "-S", "-d", "-p",
                                        "/usr/lib/kpropctl/kpropctl-loader"]
    before = kdc2.fingerprint("/etc/systemd/system")
    again = ask(primary, "use-loader", "LAB.TEST")
    assert not again["changed"] and not again["restarted"]
    assert kdc2.fingerprint("/etc/systemd/system") == before
    assert ask(primary, "facts")["kpropd"]["pid"] == facts["pid"]


def test_use_loader_refuses_another_program(primary, kdc2):
    kdc2.write("/etc/systemd/system/krb5-kpropd.service.d/site.conf",
               "[Service]\nExecStart=\nExecStart=/usr/sbin/kpropd -D -p /usr/local/sbin/mine\n")
    kdc2.systemctl("daemon-reload")
    assert remctl(primary, "use-loader", "LAB.TEST", check=False).returncode == 3
    assert not kdc2.exists("/etc/systemd/system/krb5-kpropd.service.d/zz-kpropctl.conf")


def test_start_kdc_tells_the_log(primary):
    done = remctl(primary, "start-kdc", "LAB.TEST", check=False)
    assert done.returncode == 1 and "principal" in json.loads(done.stdout)["hint"]


def asked_for_a_change(primary, kdc2):
    """A call that waits with its change for the lock, which the test holds: its Popen."""
    agent = kdc2.main_pid(AGENT)
    change = primary.start("remctl", "kdc2.lab.test", "kpropctl", "acl-add", "LAB.TEST", PRIMARY_PRINCIPAL)
    wait_until(lambda: kdc2.ok(f"pgrep -P {agent}"), timeout=60)
    return change


def test_console_takes_the_same_lock(primary, kdc2):
    lock = Held(kdc2, LOCK)
    change = asked_for_a_change(primary, kdc2)
    assert remctl(primary, "port").returncode == 0
    assert change.poll() is None and not kdc2.exists("/etc/krb5kdc/kpropd.acl")
    lock.let_go()
    assert json.loads(change.communicate(timeout=60)[0])["changed"]
    assert not kdc2.json(AGENT, "acl-add", "LAB.TEST", PRIMARY_PRINCIPAL)["changed"]


# Clients that are silent, slow, stalled or hostile.

CONNECT = ("import socket, time, sys\n"
           "def connect():\n"
           "    return socket.create_connection(('kdc2.lab.test', 4373), 5)\n")


def answers_quickly(host):
    """Before any of those who are silent is given up."""
    began = time.monotonic()  # real time: they are given 10 s
    assert remctl(host, "version").returncode == 0
    assert time.monotonic() - began < 8  # real time: as above


def test_silent_connections_lock_nobody_out(primary, kdc2):
    pid = kdc2.main_pid(AGENT)
    before = descriptors(kdc2, pid)
    silent = primary.python(CONNECT + "all = [connect() for _ in range(200)]\n"
                                      "print('open')\nimport signal; signal.pause()")
    assert silent.line == "open"
    answers_quickly(primary)
    # Of one source no more than four are kept.
    assert descriptors(kdc2, pid) <= before + 4
    wait_until(lambda: descriptors(kdc2, pid) == before, timeout=60)
    silent.kill()


def test_handshake_has_ten_seconds_in_all(primary, kdc2):
    # real time: a byte each half second, of more than 50, and what the agent measures
    drip = primary.python(CONNECT + "s = connect(); began = time.time()\nprint('open')\n"
                          "try:\n"
                          "    for byte in b'\\x51\\0\\0\\0\\0' + b'\\x42\\0\\0\\x40\\0' + bytes(50):\n"
                          "        s.send(bytes([byte])); time.sleep(0.5)\n"  # real time: as above
                          "except OSError: pass\n"
                          "print(time.time() - began)")  # real time: as above
    answers_quickly(primary)
    assert 9 < float(drip.stdout.readline()) < 25


def test_stopped_client_delays_nobody(primary, kdc2):
    pid = kdc2.main_pid(AGENT)
    stopped = primary.python(
        "import os, remctl, signal\n"
        "all = [remctl.Remctl('kdc2.lab.test') for _ in range(6)]\n"
        "for one in all: one.command(['kpropctl', 'facts'])\n"
        "print('sent')\n"
        "os.kill(os.getpid(), signal.SIGSTOP)")
    assert stopped.line == "sent"
    for _ in range(5):
        answers_quickly(primary)
    assert proc(kdc2, pid, "RssAnon") < 3072
    stopped.send_signal(signal.SIGKILL)


def test_sessions_are_capped_without_locking_out(primary, kdc2):
    pid = kdc2.main_pid(AGENT)
    before = descriptors(kdc2, pid)
    idle = primary.python("import remctl, signal\n"
                          "all = [remctl.Remctl('kdc2.lab.test') for _ in range(40)]\n"
                          "print('open'); signal.pause()")
    assert idle.line == "open"
    answers_quickly(primary)
    assert descriptors(kdc2, pid) <= before + 16
    idle.kill()


@pytest.mark.parametrize("data", ["b'GET / HTTP/1.0\\r\\n\\r\\n'", "b'\\x51\\xff\\xff\\xff\\xff'",
                                  "b'\\x51\\0\\0\\0\\0' + b'\\x42\\0\\0\\x10\\0' + bytes(4096)",
                                  "bytes(100000)", "b'\\x41\\0\\0\\0\\0'"],
                         ids=["http", "length", "token", "zeros", "version1"])
def test_garbage_is_dropped(primary, kdc2, data):
    def dropped():
        return kdc2.journal(AGENT, 1000).count("connection from 10.")

    pid, before = kdc2.main_pid(AGENT), dropped()
    primary.run("/usr/bin/python3", "-c", CONNECT +
                f"for i in range(20):\n"
                f"    s = connect()\n"
                f"    try:\n"
                f"        s.sendall({data}); s.settimeout(60)\n"
                f"        while s.recv(65536): pass\n"
                f"    except ConnectionError: pass\n")
    answers_quickly(primary)
    assert kdc2.main_pid(AGENT) == pid
    wait_until(lambda: dropped() > before)
    assert dropped() <= before + 20


def test_caller_who_goes_away_does_not_stop_a_change(primary, kdc2):
    """A change that waits for the lock is done though its caller is gone meanwhile."""
    lock = Held(kdc2, LOCK)
    change = asked_for_a_change(primary, kdc2)
    primary.run("pkill", "-KILL", "-x", "remctl")
    change.wait(timeout=60)
    assert not kdc2.exists("/etc/krb5kdc/kpropd.acl")
    lock.let_go()
    wait_until(lambda: kdc2.exists("/etc/krb5kdc/kpropd.acl"), timeout=60)


def test_forged_lines_are_not_told_as_a_service_s_own(kdc2):
    """A field that anybody may write says which unit a line is about: only systemd is believed."""
    kdc2.run("printf 'MESSAGE=run the following as root\\nUNIT=krb5-kdc.service\\n' |"
             " setpriv --reuid nobody --clear-groups logger --journald")
    kdc2.systemctl("restart", "krb5-kdc", check=False)  # it has no database yet
    wait_until(lambda: "following" in kdc2.run(
        "journalctl --sync; journalctl -o cat UNIT=krb5-kdc.service").stdout)
    lines = json.loads(kdc2.run("kpropctl-agent logs 50").stdout)["krb5kdc"]
    assert any(line["program"] == "systemd" for line in lines)
    assert not any("following" in line["text"] for line in lines)


# The service.

def test_agent_stopped(primary, kdc2):
    kdc2.systemctl("stop", AGENT)
    done = remctl(primary, "port", check=False)
    assert done.returncode != 0 and "Connection refused" in done.stderr
    kdc2.systemctl("start", AGENT)
    answers_quickly(primary)


def test_stop_waits_for_a_change(primary, kdc2):
    lock = Held(kdc2, LOCK)
    change = asked_for_a_change(primary, kdc2)
    kdc2.systemctl("stop", "--no-block", AGENT)
    wait_until(lambda: kdc2.out("systemctl", "show", "-p", "ActiveState", "--value", AGENT) == "deactivating")
    assert not kdc2.exists("/etc/krb5kdc/kpropd.acl")
    lock.let_go()
    told = change.communicate(timeout=60)[0]
    assert change.returncode == 0 and json.loads(told)["changed"]
    wait_until(lambda: not kdc2.active(AGENT) and not kdc2.ok("pgrep", "-x", AGENT), timeout=60)


def test_port_in_use_is_said(kdc2):
    kdc2.systemctl("stop", AGENT)
    taken = kdc2.python("import socket\ns = socket.create_server(('', 4373))\nprint('held')\n"
                        "s.accept()")
    assert taken.line == "held"
    assert kdc2.run("systemctl", "start", AGENT, check=False).returncode != 0
    wait_until(lambda: "cannot listen on port 4373: Address already in use" in kdc2.journal(AGENT))
    taken.kill()


def test_configuration_is_checked(kdc2):
    def check(text, status, *said):
        kdc2.write("/tmp/agent.conf", text)
        done = kdc2.run(AGENT, "-t", "-c", "/tmp/agent.conf", check=False)
        assert done.returncode == status, done
        assert all(word in done.stderr for word in said), done

    check("[kpropctl-agent]\nport = 4374\n", 0)
    check("[kpropctl-agent]\nport = 70000\n", 2, "/tmp/agent.conf", "port")
    check("[kpropctl-agent]\npotr = 4374\n", 2, "/tmp/agent.conf", "potr")
    check("[kpropctl-agent]\nacl = relative\n", 2, "/tmp/agent.conf", "acl")
    assert kdc2.run(AGENT, "-t", "-c", "/tmp/no/such", check=False).returncode == 2
    assert kdc2.run(AGENT, "-t", "-c", "/usr/share/doc/kpropctl-agent/examples/agent.conf").stdout


def test_reload_keeps_what_is_good(primary, kdc2):
    kdc2.write("/etc/kpropctl/agent.conf", "[kpropctl-agent]\nport = nonsense\n")
    kdc2.systemctl("reload", AGENT)
    wait_until(lambda: "the configuration stays as it was" in kdc2.journal(AGENT))
    answers_quickly(primary)
    configure(kdc2, "port = 4999")
    assert primary.ok("remctl", "-p", "4999", "kdc2.lab.test", "kpropctl", "version")
    assert not primary.ok("remctl", "-p", "4373", "kdc2.lab.test", "kpropctl", "version")


def test_keytab_that_comes_later(primary, kdc2):
    kdc2.run("mv /etc/krb5.keytab /etc/krb5.keytab.away; systemctl restart " + AGENT)
    assert remctl(primary, "version", check=False).returncode != 0
    wait_until(lambda: "nobody can be served" in kdc2.journal(AGENT))
    kdc2.run("mv /etc/krb5.keytab.away /etc/krb5.keytab")
    answers_quickly(primary)


def test_listens_on_both_families(primary, kdc2):
    assert len(kdc2.listening(4373)) == 2
    assert primary.ok("nc", "-z", kdc2.out("hostname -I").split()[0], "4373")
    assert kdc2.ok("nc", "-z", "::1", "4373")


# Frugality.

ASK_MANY = ("import remctl, sys\n"
            "def ask(one):\n"
            "    one.command(['kpropctl', 'version'])\n"
            "    while one.output()[0] != 'status': pass\n"
            "for connection in range(int(sys.argv[1])):\n"
            "    one = remctl.Remctl('kdc2.lab.test')\n"
            "    for request in range(int(sys.argv[2])): ask(one)\n"
            "    one.close()\n")


def test_memory_and_descriptors_do_not_grow(primary, kdc2):
    pid = kdc2.main_pid(AGENT)
    before = descriptors(kdc2, pid)
    primary.run("/usr/bin/python3", "-c", ASK_MANY, "100", "10", timeout=120)
    first = proc(kdc2, pid, "RssAnon")
    assert first <= 3072
    primary.run("/usr/bin/python3", "-c", ASK_MANY, "900", "10", timeout=300)
    assert proc(kdc2, pid, "RssAnon") <= first + 64
    wait_until(lambda: descriptors(kdc2, pid) == before)
    assert kdc2.out(f"pgrep -c -P {pid} || true") == "0"


def test_no_wake_ups_when_idle(primary, kdc2):
    answers_quickly(primary)
    pid = kdc2.main_pid(AGENT)

    def switches():
        return (proc(kdc2, pid, "voluntary_ctxt_switches"),
                proc(kdc2, pid, "nonvoluntary_ctxt_switches"))

    def rests():
        before = switches()
        time.sleep(5)  # real time: in which nothing happens
        return switches() == before

    wait_until(rests, timeout=60)
    # It sleeps in epoll_wait, whose timeout is weeks (or none).
    timeout = int(kdc2.out(f"cut -d' ' -f5 /proc/{pid}/syscall"), 16) & 0xffffffff
    assert timeout > 1000 * 86400


# The package.

def test_removing_the_package_leaves_a_kpropd_that_works(primary, kdc2):
    ask(primary, "use-loader", "LAB.TEST")
    ask(primary, "start-kpropd", "LAB.TEST")
    assert ask(primary, "facts")["kpropd"]["loader"]
    try:
        kdc2.run("dpkg -r kpropctl-agent")
        assert not kdc2.exists("/etc/systemd/system/krb5-kpropd.service.d")
        assert kdc2.active("krb5-kpropd") and kdc2.listening(754)
        command = kdc2.out(f"tr '\\0' ' ' </proc/{kdc2.main_pid('krb5-kpropd')}/cmdline")
        assert "loader" not in command
        assert kdc2.exists("/var/lib/kpropctl-agent") and not kdc2.listening(4373)
        kdc2.run("dpkg -P kpropctl-agent")
        assert not kdc2.exists("/var/lib/kpropctl-agent")
    finally:
        deb, = kdc2.lab.packages.glob("kpropctl-agent_*.deb")
        shutil.copy(deb, kdc2.lab.must("path", kdc2.name).strip() + "/root/agent.deb")
        kdc2.run("dpkg -i /root/agent.deb")
    assert kdc2.active(AGENT) and kdc2.enabled(AGENT)
    answers_quickly(primary)
