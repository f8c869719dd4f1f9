"""What the tests of setup-slave share: its report, and what a KDC really serves."""
import json
import re

DUMPS = "/var/lib/kpropctl/dump"
LIVE = "/var/lib/krb5kdc/principal"
ROWS = ["primary", "space", "name", "principals", "keytab", "agent", "clock", "realm", "whole", "services",
        "replica-keytab", "role", "timeline", "replica-space", "port", "acl", "loader", "kpropd", "reach",
        "dump", "propagate", "digest", "stash", "kdc", "ticket", "record"]

# Its port may still be taken by connections of before.
RESTART_KDC = "timeout 60 sh -c 'until systemctl restart krb5-kdc; do systemctl reset-failed krb5-kdc; done'"


class Report:
    """What `kpropctl setup-slave --json` told of one host."""

    def __init__(self, told, status, stderr):
        self.told, self.status, self.stderr = told, status, stderr
        self.steps = {step["id"]: step for step in told["steps"]}
        self.verified = told["verified"]
        self.last = told["steps"][-1]

    def __repr__(self):
        rows = [" | ".join(filter(None, step.values())) for step in self.told["steps"]
                if step["level"] != "ok" or step is self.last]
        return "\n".join([f"exit {self.status} {self.stderr}", *rows])

    def level(self, row):
        return self.steps[row]["level"]

    def summary(self, row):
        return self.steps[row]["summary"]

    def fixed(self):
        return [step["id"] for step in self.told["steps"] if step["level"] == "fixed"]

    def good(self):
        assert self.status == 0 and self.verified, self
        return self

    def stopped(self, row, level, status, summary=(), hint=(), detail=()):
        """The walk ended at this row, so, and each of its texts holds these words."""
        assert (self.last["id"], self.last["level"], self.status) == (row, level, status), self
        assert not self.verified, self
        for key, words in (("summary", summary), ("hint", hint), ("detail", detail)):
            for word in [words] if isinstance(words, str) else words:
                assert word in self.last[key], (key, word, self)
        return self


def set_up(primary, *hosts, options=(), timeout=120, **how):
    """kpropctl setup-slave --json: its Report, or of several hosts a list of them."""
    names = [getattr(host, "name", host) for host in hosts]
    done = primary.run("kpropctl", "setup-slave", "--json", *options, *names, check=False,
                       timeout=timeout, **how)
    try:
        told = json.loads(done.stdout)
    except ValueError:
        raise AssertionError(f"no JSON, exit {done.returncode}\n{done.stdout}{done.stderr}")
    if len(hosts) == 1:
        return Report(told, done.returncode, done.stderr)
    return [Report(one, one["status"], done.stderr) for one in told]


def configure(primary, **keys):
    """kpropctl.conf of the primary."""
    lines = "".join(f"    {key} = {value}\n" for key, value in keys.items())
    primary.write("/etc/kpropctl/kpropctl.conf", f"[kpropctl]\n{lines}")


def add_user(primary, name="carol"):
    """A user with a password as the lab's: now the replica's content is an old one."""
    primary.run("kadmin.local", "-q", f"addprinc -pw {name}-password {name}")


def ticket(host, user="alice"):
    """Ask the KDC of this host alone for a ticket: '' if it gives one, else what kinit says."""
    done = host.run("""printf '[libdefaults]\\ndefault_realm = LAB.TEST\\ndns_lookup_kdc = false\\n
[realms]\\nLAB.TEST = {\\nkdc = %s\\n}\\n' "$(hostname)" >/tmp/lone.conf
KRB5_CONFIG=/tmp/lone.conf kinit -c MEMORY:lone """ + user, input=f"{user}-password\n", check=False)
    return "" if done.returncode == 0 else done.stderr or f"exit {done.returncode}"


def serves_old(host, new="carol"):
    """The KDC of the host issues tickets, from a database that does not know the new user."""
    return ticket(host) == "" and "not found in Kerberos database" in ticket(host, new)


def wrap_kdb5_util(primary, script):
    """Make kpropctl call this shell script for kdb5_util; the true one is $real."""
    primary.write("/root/kdb5_util", f"#!/bin/bash\nreal=/usr/sbin/kdb5_util\n{script}\n", "755")
    configure(primary, kdb5_util="/root/kdb5_util")


def break_load(replica, script):
    """From now on kdb5_util on the replica is this shell script; the true one is $real."""
    replica.run("[ -e /run/true-kdb5_util ] || cp /usr/sbin/kdb5_util /run/true-kdb5_util")
    replica.write("/run/broken-kdb5_util",
                  f"#!/bin/bash\nreal=/run/true-kdb5_util\n{script}\n", "755")
    replica.run("mount", "--bind", "/run/broken-kdb5_util", "/usr/sbin/kdb5_util")


def mend_load(replica):
    replica.run(f"umount --lazy /usr/sbin/kdb5_util 2>/dev/null; rm -f {LIVE}.ballast /run/ballast")


def dumps_left(primary):
    return primary.out(f"find {DUMPS} -mindepth 1 2>/dev/null || :")


def files(host, *folders):
    """Every file of these folders with its owner, times and content, and every folder without its
    times: what is made and removed again in it leaves no trace. Not krb5's own replay cache, which
    every ticket that the agent takes goes into."""
    return [re.sub(r"^(\S+ d \d+ \S+ \S+) .*", r"\1", line)
            for line in host.fingerprint(*folders).splitlines() if "/run/kpropctl-agent/replay" not in line]


def differences(before, after):
    """The lines that only one of the two has."""
    return sorted(["- " + line for line in set(before) - set(after)] +
                  ["+ " + line for line in set(after) - set(before)])
