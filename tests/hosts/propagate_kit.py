"""What the tests of propagate share: its reports, and a fleet that is made once for a file."""
import json


from setup_kit import Report, set_up
from standins import until

KPROPCTL = "/run/kpropctl/LAB.TEST.lock"


def fleet_of(lab, replicas):
    """Hosts as after `lab up`, with the replicas set up."""
    if lab.used:
        lab.reset(*lab.used)
    lab.used = ["kdc1", *replicas]
    kdc1, *others = [lab.hosts[name] for name in lab.used]
    reports = set_up(kdc1, *others)
    for report in reports if isinstance(reports, list) else [reports]:
        report.good()
    return kdc1, *others


def parse(text, said=""):
    """The reports of a run by the host's short name."""
    try:
        told = json.loads(text)
    except ValueError:
        raise AssertionError(f"no JSON\n{text}{said}")
    return {one["replica"].partition(".")[0]: Report(one, one["status"], said)
            for one in (told if isinstance(told, list) else [told])}


def propagate(primary, *words, status=0, timeout=120):
    """kpropctl propagate --json WORDS…: its reports by the host's short name."""
    done = primary.run("kpropctl", "propagate", "--json", *words, check=False, timeout=timeout)
    reports = parse(done.stdout, done.stderr)
    assert done.returncode == status, (done.returncode, done.stderr, reports)
    return reports


def good(reports):
    for report in reports.values():
        report.good()
    return reports


def sent(report):
    """Whether the replica was sent anything."""
    return report.steps.get("propagate", {}).get("level") == "fixed"


def refused(primary, *words, status, said=(), command="propagate", **how):
    """A command that cannot even begin: what it says."""
    done = primary.run("kpropctl", command, *words, check=False, **how)
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    for word in [said] if isinstance(said, str) else said:
        assert word in done.stdout + done.stderr, (word, done.stdout, done.stderr)
    return done.stdout + done.stderr


def history(primary, host=None):
    """Outcomes, the newest first."""
    return primary.json("kpropctl", "history", "--json", *([host] if host else []))


def last(primary, host="kdc2.lab.test"):
    return history(primary, host)[0]


def dumps(primary):
    """How many dumps were made so far, by the count of a wrapped kdb5_util."""
    return int(primary.out("wc -l </root/dumps 2>/dev/null || echo 0"))


def count_dumps(primary):
    primary.write("/root/kdb5_util", "#!/bin/sh\necho >>/root/dumps\nexec /usr/sbin/kdb5_util \"$@\"\n",
                  "755")
    primary.write("/etc/kpropctl/kpropctl.conf", "[kpropctl]\n    kdb5_util = /root/kdb5_util\n")


def lockout(host, user):
    """(failures, when the last was) of this user in the host's own database."""
    told = host.out("kadmin.local", "-q", f"getprinc {user}")
    told = dict(line.split(": ", 1) for line in told.splitlines() if ": " in line)
    return int(told["Failed password attempts"]), told["Last failed authentication"]


class Serving:
    """Asks the KDC of a host for tickets all the time; at the end every one must have been given."""

    SCRIPT = r"""
printf '[libdefaults]\ndefault_realm = LAB.TEST\n[realms]\nLAB.TEST = {\nkdc = %s\n}\n' "$(hostname)" >/tmp/serving.conf
export KRB5_CONFIG=/tmp/serving.conf
while [ ! -e /tmp/serving.stop ]; do
    if echo alice-password | kinit -c MEMORY:serving alice >/dev/null 2>/tmp/serving.error; then
        echo good
    else
        sed s/^/bad:/ /tmp/serving.error
    fi
    sleep 0.1  # real time: logins as often as this
done
rm /tmp/serving.stop
"""

    def __init__(self, host):
        self.host = host

    def __enter__(self):
        self.process = self.host.start(self.SCRIPT)
        return self

    def __exit__(self, kind, value, trace):
        self.host.run("touch", "/tmp/serving.stop")
        said = self.process.communicate(timeout=120)[0].split("\n")
        if kind is None:
            assert said.count("good") > 1 and not [line for line in said if "bad" in line], said


def configure_more(primary, **keys):
    lines = "".join(f"    {key} = {value}\n" for key, value in keys.items())
    primary.write("/etc/kpropctl/kpropctl.conf", f"[kpropctl]\n{lines}")


def wrap_kprop(primary, script, **keys):
    """Make kpropctl call this shell script for kprop; the true one is $real."""
    primary.write("/root/kprop", f"#!/bin/bash\nreal=/usr/sbin/kprop\n{script}\n", "755")
    configure_more(primary, kprop="/root/kprop", **keys)


def whole(primary):
    """The state database is."""
    script = ("import sqlite3; c = sqlite3.connect('/var/lib/kpropctl/state.db'); "
              "print(c.execute('pragma integrity_check').fetchone()[0])")
    return primary.out("/usr/bin/python3", "-c", script) == "ok"


# The stock remctld, which speaks the real protocol, in the place of the agent.

def as_remctld(script):
    """A shell command that makes remctld answer on the agent's port with this bash script."""
    return f"""systemctl stop kpropctl-agent
cat >/run/double <<'END'
#!/bin/bash
export REMOTE_USER
{script}
END
chmod +x /run/double
echo 'kpropctl ALL /run/double princ:host/kdc1.lab.test@LAB.TEST' >/run/double.conf
systemd-run --quiet --unit=double /usr/sbin/remctld -m -F -f /run/double.conf -p 4373
{until("ss -Hltn sport = :4373 | grep -q .")}
"""


RESTART_AGENT = ("systemctl stop double; systemctl reset-failed kpropctl-agent; rm -f /run/double*; "
                 "systemctl restart kpropctl-agent")
