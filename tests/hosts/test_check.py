"""kpropctl check: for every check a fault that turns it red, it alone, with level and hint.

The fleet is set up once for this file; each fault is injected, seen and mended."""
import contextlib
import json
import re
import time

import pytest

from lab import wait_until
from propagate_kit import RESTART_AGENT, as_remctld, fleet_of, good, propagate
from setup_kit import RESTART_KDC
from standins import until

NEEDS = {
    "python3": "test_thresholds_of_the_age",
    "krb5-admin-server": "test_a_replica_checks_itself*role*",
    "remctl-client": "test_any_remctl_client_may_ask",
    "remctl-server": "test_*version*",
    "faketime": "test_*clock*",
}
MACHINE_NEEDS = {"python3-jsonschema": "test_json_has_the_shape_that_is_documented"}

CONF = "/etc/kpropctl/kpropctl.conf"
STATE = "/var/lib/kpropctl/state.db"
EXIT = {"OK": 0, "WARNING": 1, "CRITICAL": 2, "UNKNOWN": 3}
LEVELS = {"ok": "OK", "warning": "WARNING", "failed": "CRITICAL", "refused": "CRITICAL",
          "unknown": "UNKNOWN", "skipped": "skipped"}

SILENT = """
import signal, socket
s = socket.create_connection(("kdc3.lab.test", 754))
print("connected", flush=True)
signal.pause()
"""


@pytest.fixture(scope="module")
def made(lab):
    hosts = fleet_of(lab, ["kdc2", "kdc3"])
    hosts[0].run("useradd --create-home monitor")
    return hosts


@pytest.fixture(scope="module")
def silent(made):
    """A connection to kpropd of kdc3 that says nothing, from the beginning of this file on."""
    process = made[0].python(SILENT)
    assert process.line == "connected"
    yield process
    process.kill()


@pytest.fixture
def fleet(made, silent):
    made[0].remove(CONF)
    yield made
    made[0].remove(CONF)


class Result:
    """What check told: the rows that are not good as (host, check), without 'schedule', which is
    off here, and what kdc3 is made to suffer."""

    def __init__(self, told, status, stderr=""):
        self.told, self.status, self.stderr = told, status, stderr
        self.rows = {(host["host"].partition(".")[0], row["id"]): row
                     for host in told["hosts"] for row in host["checks"] or []}
        self.bad = {key: LEVELS[row["level"]] for key, row in self.rows.items()
                    if LEVELS[row["level"]] not in ("OK", "skipped")
                    and key not in (("kdc1", "schedule"), ("kdc3", "stalled"))}

    def __repr__(self):
        return f"exit {self.status}\n" + "\n".join(
            f"{host} {check} {row['level']}: {row['summary']} | {row['hint']}"
            for (host, check), row in self.rows.items() if LEVELS[row["level"]] != "OK")


def check(primary, *words, user=None, **how):
    """kpropctl check --format=json WORDS…, as root or another user: its Result."""
    command = ["kpropctl", "check", "--format=json", *words]
    if user:
        command = ["setpriv", "--reuid", user, "--regid", user, "--init-groups", *command]
    done = primary.run(*command, check=False, **how)
    try:
        return Result(json.loads(done.stdout), done.returncode, done.stderr)
    except ValueError:
        raise AssertionError((done.returncode, done.stdout, done.stderr))


def plain(primary, *words):
    """kpropctl check WORDS… with whatever format: exit status and output."""
    done = primary.run("kpropctl", "check", *words, check=False)
    return done.returncode, done.stdout, done.stderr


class Fault:
    def __init__(self, where, check, level, inject, mend, summary=(), hint=(), also=(), words=(),
                 after=None):
        self.where, self.check, self.level = where, check, level
        self.inject, self.mend = inject, mend
        self.summary = [summary] if isinstance(summary, str) else summary
        self.hint = [hint] if isinstance(hint, str) else hint
        self.also, self.words, self.after = set(also), words, after

    def __str__(self):
        return f"{self.check}-{self.level}"


RESEND = "propagate"
RESTART = "systemctl reset-failed kpropctl-agent; systemctl restart kpropctl-agent"
# Six callers who say nothing, of whom two are turned away.
CROWD = """
import select, socket
left = [socket.create_connection(("127.0.0.1", 4373)) for _ in range(6)]
while len(left) > 4:
    for one in select.select(left, [], [])[0]:
        left.remove(one)
"""

FAULTS = [
    # The primary's own.
    Fault("kdc1", "primary", "CRITICAL", "mv /usr/sbin/kprop /root", "mv /root/kprop /usr/sbin",
          "kprop", "krb5-admin-server"),
    Fault("kdc1", "kadmind", "CRITICAL", "systemctl stop krb5-admin-server",
          "systemctl start krb5-admin-server", "kadmind does not run", "systemctl start"),
    Fault("kdc1", "space", "CRITICAL", "disk /var/lib/kpropctl 600k", "clear",
          ["no room for a dump", "/var/lib/kpropctl"], "free space"),
    Fault("kdc1", "state", "CRITICAL",
          f"mount --bind {STATE} {STATE}; mount -o remount,bind,ro {STATE}", f"umount {STATE}",
          ["cannot be written", "Read-only"], "findmnt"),
    Fault("kdc1", "debris", "WARNING",
          "mkdir -m 700 /var/lib/kpropctl/dump/run.abcdef; "
          "touch /var/lib/kpropctl/dump/run.abcdef/owner",
          "rm -rf /var/lib/kpropctl/dump/run.abcdef", ["killed run", "keys"], "kpropctl propagate"),
    Fault("kdc1", "competitors", "WARNING",
          "echo '*/5 * * * * root /usr/sbin/kprop -f /root/dump kdc2.lab.test' "
          ">/etc/cron.d/old-kprop", "rm /etc/cron.d/old-kprop",
          ["/etc/cron.d/old-kprop", "kprop"], "remove it: a replica that was verified refuses"),
    Fault("kdc1", "keytab", "CRITICAL", "kadmin.local -q 'cpw -randkey host/kdc1.lab.test'",
          "kadmin.local -q 'ktadd -norandkey host/kdc1.lab.test'", "host/kdc1.lab.test@LAB.TEST",
          "ktadd -norandkey", after=RESEND),
    # Between primary and replica.
    Fault("kdc1", "found", "WARNING", "sed -i.bak '/kdc = kdc2/d' /etc/krb5.conf",
          "mv /etc/krb5.conf.bak /etc/krb5.conf", "kdc2.lab.test", "kdc = kdc2.lab.test"),
    Fault("kdc1", "name", "CRITICAL", "cp /etc/hosts /root/hosts; sed '/kdc2/d' /root/hosts >/etc/hosts",
          "cat /root/hosts >/etc/hosts", "kdc2.lab.test", "/etc/hosts"),
    Fault("kdc1", "principals", "CRITICAL",
          "kadmin.local -q 'renprinc -force host/kdc2.lab.test host/away.lab.test'",
          "kadmin.local -q 'renprinc -force host/away.lab.test host/kdc2.lab.test'",
          "host/kdc2.lab.test@LAB.TEST", "setup-slave", also=["agent"]),
    # The replica's.
    Fault("kdc2", "agent", "CRITICAL", "systemctl stop kpropctl-agent",
          "systemctl start kpropctl-agent", "kdc2.lab.test", "systemctl enable --now kpropctl-agent"),
    Fault("kdc2", "version", "WARNING", as_remctld(
        'if [ "$1" = facts ]; then kpropctl-agent "$@" | sed "s/\\"announced-only\\",//"; '
        'else exec kpropctl-agent "$@"; fi'), RESTART_AGENT,
          ["kdc2.lab.test", "older than this kpropctl: loads a dump that nobody announced"],
          "upgrade the package kpropctl-agent on kdc2.lab.test"),
    Fault("kdc2", "version", "WARNING", as_remctld(
        'if [ "$1" = facts ]; then kpropctl-agent "$@" | sed "s/\\"rollback\\",//"; '
        'else exec kpropctl-agent "$@"; fi'), RESTART_AGENT,
          ["kdc2.lab.test", "no verb 'rollback'"], "upgrade the package"),
    Fault("kdc2", "limits", "WARNING",
          "mkdir -p /run/systemd/system/kpropctl-agent.service.d; "
          "printf '[Service]\\nLimitNOFILE=100\\n' "
          ">/run/systemd/system/kpropctl-agent.service.d/few.conf; systemctl daemon-reload; " + RESTART,
          "rm -r /run/systemd/system/kpropctl-agent.service.d; systemctl daemon-reload; " + RESTART,
          ["100 files open", "needs"], "LimitNOFILE"),
    Fault("kdc2", "limits", "WARNING",
          f"/usr/bin/python3 -c '{CROWD}'", RESTART,
          ["too many callers", "2 were turned away", "0 min ago"], "ss -tn"),
    Fault("kdc2", "clock", "WARNING", "clock kpropctl-agent +100s", "clear+agent",
          ["clock of kdc2.lab.test", "ahead"], "chrony"),
    Fault("kdc2", "agent", "CRITICAL", "clock kpropctl-agent -400s", "clear+agent",
          "Ticket not yet valid", "clock"),
    # The agent is told under which name it is asked for; kpropd cannot be.
    Fault("kdc2", "realm", "CRITICAL", "mkdir -p /etc/kpropctl; printf '[kpropctl-agent]\n    names = kdc2.lab.test\n' "
          ">/etc/kpropctl/agent.conf; hostname other.lab.test; systemctl restart kpropctl-agent",
          "hostname kdc2.lab.test; rm /etc/kpropctl/agent.conf; systemctl restart kpropctl-agent",
          ["kdc2.lab.test", "other.lab.test"], "The ticket isn't for us"),
    Fault("kdc2", "services", "CRITICAL",
          "cp /etc/services /root/services; sed '/krb5_prop/s/754/755/' /root/services >/etc/services",
          "cat /root/services >/etc/services", ["754", "755"], "/etc/services", also=["kpropd"]),
    Fault("kdc2", "replica-keytab", "CRITICAL",
          "mkdir -p /etc/kpropctl; cp /etc/krb5.keytab /etc/kpropctl/keytab; "
          "mv /etc/krb5.keytab /root/krb5.keytab; printf '[kpropctl-agent]\\n    keytab = /etc/kpropctl/keytab\\n' "
          ">/etc/kpropctl/agent.conf; " + RESTART,
          "mv /root/krb5.keytab /etc/krb5.keytab; rm /etc/kpropctl/agent.conf; " + RESTART,
          ["kdc2.lab.test", "/etc/krb5.keytab"], "kpropctl enroll kdc2.lab.test"),
    Fault("kdc2", "stash", "CRITICAL", "mv /etc/krb5kdc/stash /root/", "mv /root/stash /etc/krb5kdc/",
          ["stash /etc/krb5kdc/stash is missing on kdc2.lab.test"], "kpropctl renew --stash kdc2.lab.test"),
    Fault("kdc2", "role", "CRITICAL", "systemctl enable --quiet krb5-admin-server",
          "systemctl disable --quiet krb5-admin-server", "kadmind is enabled on kdc2.lab.test",
          "systemctl disable --now"),
    Fault("kdc2", "replica-space", "CRITICAL", "disk /var/lib/krb5kdc 900k", "clear+all",
          ["no room on kdc2.lab.test", "/var/lib/krb5kdc"], "free space"),
    Fault("kdc2", "port", "WARNING",
          "mkdir -p /etc/portreserve; echo krb5_prop/tcp >/etc/portreserve/krb5_prop; "
          "systemctl enable --quiet portreserve",
          "rm /etc/portreserve/krb5_prop; systemctl disable --quiet portreserve",
          ["portreserve", "next boot"], "setup-slave"),
    Fault("kdc2", "port", "CRITICAL",
          "systemctl stop krb5-kpropd; ss --kill --tcp state time-wait >/dev/null; "
          "echo krb5_prop/tcp >/etc/portreserve/krb5_prop; systemctl start portreserve",
          "systemctl stop portreserve; rm /etc/portreserve/krb5_prop; systemctl start krb5-kpropd",
          ["754", "portreserve", "bound"], "setup-slave", also=["kpropd"]),
    Fault("kdc2", "acl", "CRITICAL", "mv /etc/krb5kdc/kpropd.acl /root",
          "mv /root/kpropd.acl /etc/krb5kdc", ["kpropd.acl", "host/kdc1.lab.test@LAB.TEST"],
          "setup-slave"),
    Fault("kdc2", "loader", "WARNING",
          "mv /etc/systemd/system/krb5-kpropd.service.d/zz-kpropctl.conf /root",
          "mv /root/zz-kpropctl.conf /etc/systemd/system/krb5-kpropd.service.d",
          ["drop-in", "krb5-kpropd.service"], "setup-slave"),
    Fault("kdc2", "kpropd", "CRITICAL", "systemctl stop krb5-kpropd",
          "systemctl start krb5-kpropd", "kpropd does not run on kdc2.lab.test", "setup-slave"),
    Fault("kdc2", "kpropd", "CRITICAL", "systemctl disable --quiet krb5-kpropd",
          "systemctl enable --quiet krb5-kpropd", "not enabled", "setup-slave"),
    Fault("kdc2", "kpropd", "WARNING",
          "systemctl stop krb5-kpropd; kpropd -D -p /usr/lib/kpropctl/kpropctl-loader "
          ">/dev/null 2>&1 & " + until("ss -Hltn sport = :754 | grep -q ."),
          "kill $(pidof kpropd); systemctl start krb5-kpropd", "by hand", ()),
    Fault("kdc2", "reach", "CRITICAL", "drop 754", "clear", ["754", "10.75.4.12"], "firewall"),
    Fault("kdc2", "leftovers", "WARNING", "touch -d '-1 minute' '/var/lib/krb5kdc/principal~'",
          "rm '/var/lib/krb5kdc/principal~'", "/var/lib/krb5kdc/principal~",
          "kpropctl propagate --force kdc2.lab.test"),
    Fault("kdc2", "timeline", "CRITICAL",
          "cp -a /var/lib/kpropctl-agent/LAB.TEST.generation /root/known; "
          "echo '{\"greatest\": 999}' >/var/lib/kpropctl-agent/LAB.TEST.generation",
          "mv /root/known /var/lib/kpropctl-agent/LAB.TEST.generation", "knows generation 999",
          "kpropctl propagate kdc2.lab.test"),
    Fault("kdc2", "content", "CRITICAL", "kadmin.local -q 'delprinc -force user7'", "true",
          "NOT what was sent", "kpropctl propagate kdc2.lab.test", words=["--digest"],
          after=RESEND),
    Fault("kdc2", "kdc", "CRITICAL", "systemctl disable --quiet krb5-kdc",
          "systemctl enable --quiet krb5-kdc", "not enabled", "setup-slave"),
    Fault("kdc2", "kdc", "CRITICAL", "systemctl stop krb5-kdc", "systemctl start krb5-kdc",
          "krb5kdc does not run on kdc2.lab.test", "setup-slave", also=["ticket"]),
    Fault("kdc2", "kdc", "WARNING",
          "cp /etc/krb5kdc/kdc.conf /root; sed -i '/^\\[kdcdefaults\\]/a kdc_tcp_listen = \"\"' "
          "/etc/krb5kdc/kdc.conf; " + RESTART_KDC,
          "cp /root/kdc.conf /etc/krb5kdc; " + RESTART_KDC,
          ["UDP", "not on TCP"], "kdc_tcp_listen"),
    Fault("kdc2", "ticket", "CRITICAL", "kadmin.local -q 'cpw -randkey host/kdc1.lab.test'", "true",
          "cannot get a ticket from the KDC at 10.75.4.12", (), after=RESEND),
]


@contextlib.contextmanager
def injected(fleet, fault):
    host = {one.short: one for one in fleet}[fault.where]
    try:
        if fault.inject.split()[0] in ("disk", "clock", "drop"):
            host.fault(*fault.inject.split())
        else:
            host.run(fault.inject, timeout=120)
        yield host
    finally:
        if fault.mend.startswith("clear"):
            host.fault("clear")
            units = {"clear+agent": "kpropctl-agent",
                     "clear+all": "kpropctl-agent krb5-kpropd krb5-kdc"}.get(fault.mend)
            if units:
                host.run(f"systemctl reset-failed; systemctl restart {units}")
        else:
            host.run(fault.mend, check=False)
        if fault.after == RESEND:
            good(propagate(fleet[0], "--force", "kdc2.lab.test"))


def test_all_is_well_at_first(fleet):
    result = check(fleet[0])
    assert result.bad == {} and result.status == EXIT["WARNING"], result
    assert [key for key, row in result.rows.items() if row["level"] == "skipped"] in (
        [], [("kdc3", "reach")]), result
    assert result.rows["kdc1", "schedule"]["level"] == "warning"
    assert "kpropctl schedule --enable" in result.rows["kdc1", "schedule"]["hint"]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_fault_is_seen_where_it_is(fleet, fault):
    hosts = ("kdc1.lab.test", "kdc2.lab.test")
    with injected(fleet, fault):
        result = check(fleet[0], *fault.words, *hosts)
    who = "kdc1" if fault.check in ("primary", "kadmind", "space", "state", "debris", "schedule",
                                    "competitors", "keytab") else "kdc2"
    assert set(result.bad) - {(who, one) for one in fault.also} == {(who, fault.check)}, result
    assert result.bad[who, fault.check] == fault.level, result
    row = result.rows[who, fault.check]
    for word in fault.summary:
        assert word in row["summary"], result
    for word in fault.hint:
        assert word in row["hint"], result
    assert result.status == EXIT[fault.level] or fault.also, result


# After the faults above, since it takes half a minute for the silence to be heard.

def test_a_silent_connection_holds_kpropd_up(fleet, silent):
    kdc1 = fleet[0]
    result = wait_until(lambda: (lambda r: r if r.rows["kdc3", "stalled"]["level"] == "failed"
                                 else None)(check(kdc1, "kdc3.lab.test")), 40)
    row = result.rows["kdc3", "stalled"]
    assert result.status == 2, result
    assert "10.75.4.11:" in row["summary"] and "silent" in row["summary"], result
    assert "systemctl restart krb5-kpropd" in row["hint"], result
    fleet[2].systemctl("restart", "krb5-kpropd")
    silent.kill()
    assert check(kdc1, "kdc3.lab.test").rows["kdc3", "stalled"]["level"] == "ok"
    good(propagate(kdc1, "--force"))


def test_every_check_has_a_fault(fleet):
    """Those with tests of their own, below or in test_renew, aside."""
    ids = {check for _, check in check_ids(fleet[0])}
    assert ids - {fault.check for fault in FAULTS} == {"age", "schedule", "stalled", "old-keys"}


def check_ids(primary):
    return set(check(primary).rows)


# Age.

@pytest.mark.parametrize("warning, critical, level",
                         [("1d", "2d", "OK"), ("1s", "2d", "WARNING"), ("1s", "2s", "CRITICAL")])
def test_thresholds_of_the_age(fleet, warning, critical, level):
    kdc1 = fleet[0]
    kdc1.write(CONF, f"[kpropctl]\n    age_warning = {warning}\n    age_critical = {critical}\n")
    kdc1.run("/usr/bin/python3", "-c", "import sqlite3; d = sqlite3.connect('" + STATE + "'); "
             "d.execute('UPDATE outcome SET finished = finished - 10'); d.commit()")
    result = check(kdc1, "--check=age", "kdc2.lab.test")
    assert result.bad == ({} if level == "OK" else {("kdc2", "age"): level}), result
    assert result.status == EXIT[level] and set(result.rows) == {("kdc2", "age")}, result


# Whom it asks, and how it ends.

def test_one_check_of_one_host(fleet):
    result = check(fleet[0], "--check=keytab", "--check=acl", "kdc1.lab.test", "kdc2.lab.test")
    assert set(result.rows) == {("kdc1", "keytab"), ("kdc2", "acl")} and result.status == 0, result


def test_an_unknown_host(fleet):
    result = check(fleet[0], "nosuch.lab.test")
    assert result.status == 2 and result.bad["nosuch", "name"] == "CRITICAL", result


@pytest.mark.parametrize("words", [["--format=xml"], ["--check=nosuch"], ["--timeout=0"],
                                   ["--nosuch"], ["-bad.host"]])
@pytest.mark.parametrize("format", ["text", "nagios", "json", "prometheus"])
def test_usage_errors_are_unknown(fleet, format, words):
    status, out, _ = plain(fleet[0], f"--format={format}", *words)
    assert status == 3 and "OK" not in out


@pytest.mark.parametrize("format", ["text", "nagios", "json", "prometheus"])
def test_configuration_errors_are_unknown(fleet, format):
    fleet[0].write(CONF, "[kpropctl]\n    age_warning = soon\n")
    assert plain(fleet[0], f"--format={format}")[0] == 3


def test_it_writes_nothing(fleet):
    kdc1 = fleet[0]
    before = kdc1.fingerprint("/var/lib/kpropctl", "/etc", "/var/lib/krb5kdc/principal.kadm5")
    check(kdc1)
    assert kdc1.fingerprint("/var/lib/kpropctl", "/etc",
                            "/var/lib/krb5kdc/principal.kadm5") == before


# Formats.

def test_nagios_is_one_line_with_figures(fleet):
    status, out, err = plain(fleet[0], "--format=nagios", "kdc1.lab.test", "kdc2.lab.test")
    first, *long = out.splitlines()
    assert status == 1 and err == ""
    text, perfdata = first.split(" | ")
    assert text.startswith("KPROPCTL WARNING - 1 of 2 hosts not good: kdc1.lab.test: nothing")
    label = r"'kdc2\.lab\.test_%s'=%s"
    assert re.fullmatch(" ".join([label % ("age", r"\d+s;\d+;\d+;0"),
                                  label % ("behind", r"\d+;;;0"),
                                  label % ("principals", r"\d+;;;0"),
                                  label % ("transfer", r"[0-9.]+s;;;0")]), perfdata), perfdata
    assert long and not any("|" in line for line in long)


def test_prometheus_takes_it(fleet):
    import subprocess
    status, out, _ = plain(fleet[0], "--format=prometheus", "kdc1.lab.test", "kdc2.lab.test")
    assert status == 1
    assert 'kpropctl_check_status{realm="LAB.TEST",host="kdc2.lab.test",check="kdc"} 0' in out
    assert 'kpropctl_host_status{realm="LAB.TEST",host="kdc1.lab.test"} 1' in out
    assert re.search(r'^kpropctl_last_verified_timestamp_seconds\{[^}]*\} \d{10}$', out, re.M)
    done = subprocess.run(["promtool", "check", "metrics"], input=out, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr + done.stdout


def test_a_file_is_replaced_at_once(fleet):
    kdc1 = fleet[0]
    kdc1.run("mkdir -p /root/out; echo old >/root/out/kpropctl.prom")
    before = kdc1.out("stat -c %i /root/out/kpropctl.prom")
    status, out, _ = plain(kdc1, "--format=prometheus", "--output=/root/out/kpropctl.prom",
                           "kdc2.lab.test")
    assert status == 0 and out == ""
    assert kdc1.out("stat -c %i /root/out/kpropctl.prom") != before
    assert kdc1.out("ls /root/out") == "kpropctl.prom"
    assert kdc1.out("stat -c %a /root/out/kpropctl.prom") == "644"
    assert plain(kdc1, "--output=/nosuch/folder/file", "kdc2.lab.test")[0] == 3


def test_json_has_the_shape_that_is_documented(fleet):
    import jsonschema
    import pathlib
    schema = pathlib.Path(__file__).parent / "../../docs/check.schema.json"
    for words in ([], ["nosuch.lab.test"], ["--check=age", "kdc2.lab.test"]):
        jsonschema.validate(check(fleet[0], *words).told, json.loads(schema.read_text()))


def test_status_is_one_screen(fleet):
    out = fleet[0].run("kpropctl", "status", check=False).stdout
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == ["HOST", "kdc1.lab.test", "kdc2.lab.test",
                                                   "kdc3.lab.test"]
    assert "+ good" in lines[2] and " up " in lines[2]
    assert fleet[0].json("kpropctl", "status", "--json", check=False)["realm"] == "LAB.TEST"


# Agents that are none.

FAKE = """
import socket, sys, time
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("0.0.0.0", 4373)); s.listen(16)
print("fake", flush=True)
kept = []
while True:
    c = s.accept()[0]
    kept.append(c)
    {what}
"""


@pytest.mark.parametrize("what", ["pass", "c.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\n' * 50)", "c.close()",
                                  "c.sendall(b'\\x42\\xff\\xff\\xff\\xff' + bytes(4000000))"],
                         ids=["silent", "garbage", "closes", "oversized"])
def test_what_is_no_agent_costs_its_timeout_once(fleet, what):
    kdc1, kdc2, _ = fleet
    kdc2.systemctl("stop", "kpropctl-agent")
    fake = kdc2.python(FAKE.format(what=f"\n    try: {what}\n    except OSError: pass"))
    try:
        assert fake.line == "fake"
        result = check(kdc1, "--timeout=8", timeout=60)
    finally:
        fake.kill()
        kdc2.run("pkill -f '[b]ind..\"0.0.0.0\", 4373' || :")
        kdc2.run(RESTART)
    assert result.bad == {("kdc2", "agent"): "CRITICAL"}, result
    assert "agent" in result.rows["kdc2", "agent"]["summary"], result


def test_a_dead_host_is_no_burden_for_the_others(fleet):
    kdc1, kdc2, _ = fleet
    kdc2.fault("cut")
    try:
        result = check(kdc1, "--timeout=8", timeout=60)
    finally:
        kdc2.fault("clear")
    assert {host for host, _ in result.bad} == {"kdc2"} and result.status == 2, result
    assert ("kdc2", "agent") in result.bad and ("kdc2", "timeout") not in result.bad, result
    assert result.rows["kdc2", "age"]["level"] == "ok", result
    wait_until(lambda: check(kdc1, "kdc2.lab.test").bad == {}, timeout=60)


@pytest.fixture
def dark(fleet):
    """More hosts that do not answer than are looked at at once."""
    kdc1 = fleet[0]
    names = [f"dark{n}.lab.test" for n in range(40)]
    network = kdc1.out("getent", "ahostsv4", "kdc1.lab.test").split()[0].rpartition(".")[0]
    hosts = kdc1.read("/etc/hosts")
    kdc1.write("/etc/hosts", hosts + "".join(f"{network}.{100 + n} {name}\n"
                                             for n, name in enumerate(names)))
    kdc1.write(CONF, "[kpropctl]\n    parallel = 2\n")
    yield names
    kdc1.write("/etc/hosts", hosts)


def test_many_dark_hosts_cost_one_timeout_in_all(fleet, dark):
    kdc1 = fleet[0]
    began = time.monotonic()  # real time: one by one they would take 160 s
    result = check(kdc1, "--timeout=8", *dark, "kdc2.lab.test", timeout=300)
    assert time.monotonic() - began < 40, result  # real time: as above
    assert {host for host, _ in result.bad} == {name.partition(".")[0] for name in dark}, result
    assert result.rows["kdc2", "content"]["level"] == "ok", result
    for name in dark:
        assert any((name.partition(".")[0], row) in result.bad for row in ("agent", "timeout")), name


def test_what_the_deadline_leaves_out_is_said_and_never_good(fleet, dark):
    kdc1 = fleet[0]
    began = time.monotonic()  # real time: one by one they would take 20 s
    result = check(kdc1, "--timeout=1", *dark, "kdc2.lab.test", timeout=60)
    assert time.monotonic() - began < 15, result  # real time: as above
    row = result.rows["kdc2", "timeout"]
    assert row["level"] == "unknown" and "before its turn came" in row["summary"], result
    assert "--timeout" in row["hint"] and "parallel" in row["hint"], result
    status = {host["host"]: host["status"] for host in result.told["hosts"]}
    assert status["kdc2.lab.test"] == "UNKNOWN" and "OK" not in status.values(), result


# As a user of its own.

@pytest.fixture
def monitor(fleet):
    kdc1, kdc2, kdc3 = fleet
    kdc1.write(CONF, "[kpropctl]\n    state_group = monitor\n")
    if not kdc1.exists("/home/monitor/keytab"):
        kdc1.run("kadmin.local -q 'addprinc -randkey monitor'; "
                 "kadmin.local -q 'ktadd -k /home/monitor/keytab monitor'; "
                 "chown monitor: /home/monitor/keytab")
    for host in (kdc2,):
        host.write("/etc/kpropctl/agent.conf",
                   "[kpropctl-agent]\n    acl_read = /etc/kpropctl/readers\n")
        host.write("/etc/kpropctl/readers", "monitor@LAB.TEST\n")
        host.run(RESTART)
    good(propagate(kdc1))
    yield kdc1
    kdc2.remove("/etc/kpropctl/agent.conf", "/etc/kpropctl/readers")
    kdc2.run(RESTART)


def test_without_root_with_a_keytab(monitor):
    before = monitor.fingerprint("/var/lib/kpropctl", "/home/monitor", "/tmp", "/etc")
    result = check(monitor, "--keytab=/home/monitor/keytab", "kdc2.lab.test", user="monitor")
    assert result.bad == {} and result.status == 0, result
    skipped = {key[1] for key, row in result.rows.items() if row["level"] == "skipped"}
    assert skipped == {"principals", "replica-keytab", "old-keys", "stash"}, result
    assert "only root" in result.rows["kdc2", "principals"]["summary"]
    assert monitor.fingerprint("/var/lib/kpropctl", "/home/monitor", "/tmp", "/etc") == before
    for command in ("list", "history", "status --keytab /home/monitor/keytab"):
        assert "kdc2.lab.test" in monitor.run(
            f"setpriv --reuid monitor --regid monitor --init-groups kpropctl {command}",
            check=False).stdout


def test_without_root_with_a_cache(monitor):
    monitor.run("setpriv --reuid monitor --regid monitor --init-groups "
                "kinit -c /home/monitor/cc -kt /home/monitor/keytab monitor")
    before = monitor.out("sha256sum /home/monitor/cc")
    result = check(monitor, "--ccache=/home/monitor/cc", "kdc2.lab.test", user="monitor")
    assert result.bad == {} and result.status == 0, result
    assert monitor.out("sha256sum /home/monitor/cc") == before
    result = check(monitor, "--ccache=/home/monitor/none", "kdc2.lab.test", user="monitor")
    assert result.bad == {("kdc2", "agent"): "UNKNOWN"} and result.status == 3, result
    assert "kinit" in result.rows["kdc2", "agent"]["hint"], result


def test_without_root_and_credentials_nothing_is_good(monitor):
    result = check(monitor, "kdc2.lab.test", user="monitor")
    assert result.bad == {("kdc2", "agent"): "UNKNOWN"} and result.status == 3, result
    assert "--keytab" in result.rows["kdc2", "agent"]["hint"], result


def test_without_root_where_the_state_cannot_be_read(monitor):
    monitor.run(f"chgrp root {STATE} /var/lib/kpropctl")
    result = check(monitor, "--keytab=/home/monitor/keytab", "kdc1.lab.test", "kdc2.lab.test",
                   user="monitor")
    assert result.bad == {("kdc1", "state"): "UNKNOWN", ("kdc2", "age"): "UNKNOWN",
                          ("kdc2", "content"): "UNKNOWN"} and result.status == 3, result
    assert "state_group" in result.rows["kdc2", "age"]["hint"]
    status = monitor.run("setpriv", "--reuid", "monitor", "--regid", "monitor", "--init-groups",
                         "kpropctl", "check", "--format=nagios", check=False)
    assert status.returncode == 3 and "state_group" in status.stdout + status.stderr


def test_without_root_and_the_agents_permission(monitor):
    result = check(monitor, "--keytab=/home/monitor/keytab", "kdc3.lab.test", user="monitor")
    assert result.bad == {("kdc3", "agent"): "UNKNOWN"} and result.status == 3, result


# A replica of itself.

SELF = ["limits", "replica-keytab", "role", "replica-space", "port", "acl", "loader", "kpropd",
        "stalled", "leftovers", "content", "stash", "kdc"]


@pytest.mark.parametrize("fault", [None, *(fault for fault in FAULTS if fault.check in
                                           ("role", "port", "loader", "kpropd", "leftovers"))],
                         ids=str)
def test_a_replica_checks_itself(fleet, fault):
    kdc2 = fleet[1]
    with injected(fleet, fault) if fault else contextlib.nullcontext():
        plugin = kdc2.run("kpropctl-agent", "check", check=False)
        told = kdc2.run("kpropctl-agent", "check", "--json", "LAB.TEST", check=False)
    level = fault.level if fault else "OK"
    assert plugin.returncode == told.returncode == EXIT[level], (plugin.stdout, plugin.stderr)
    assert plugin.stdout.startswith(f"KPROPCTL-AGENT {level} - kdc2.lab.test: "), plugin.stdout
    rows = {row["id"]: row for row in json.loads(told.stdout)["checks"]}
    assert list(rows) == SELF and json.loads(told.stdout)["status"] == level
    bad = {one for one in rows if LEVELS[rows[one]["level"]] not in ("OK", "skipped")}
    assert bad - (fault.also if fault else set()) == ({fault.check} if fault else set()), rows


def test_a_replica_without_stash_or_acl(fleet):
    kdc2 = fleet[1]
    kdc2.run("mv /etc/krb5kdc/stash /etc/krb5kdc/kpropd.acl /root")
    try:
        plugin = kdc2.run("kpropctl-agent", "check", check=False)
    finally:
        kdc2.run("mv /root/stash /root/kpropd.acl /etc/krb5kdc")
    assert plugin.returncode == 2 and "CRITICAL: stash: " in plugin.stdout
    assert "CRITICAL: acl: " in plugin.stdout and "acl-add" in plugin.stdout
    for words in (["--nosuch"], ["NO.SUCH.REALM", "more"]):
        assert kdc2.run("kpropctl-agent", "check", *words, check=False).returncode == 3


def test_any_remctl_client_may_ask(fleet):
    told = fleet[0].json("sh", "-c", "kinit -c /root/cc -k host/kdc1.lab.test && KRB5CCNAME=/root/cc "
                         "remctl kdc2.lab.test kpropctl check")
    assert told["status"] == "OK" and told["realm"] == "LAB.TEST"
