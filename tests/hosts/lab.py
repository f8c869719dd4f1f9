"""The lab (tests/lab) from Python: a Lab of Hosts, for the tests on hosts and the benchmark."""
import json
import os
import pathlib
import shlex
import subprocess
import time

TESTS = pathlib.Path(__file__).resolve().parent.parent
BUILD = TESTS.parent / "build"


class Failed(AssertionError):
    """A command on a host that should have succeeded did not."""


class Lab:
    """All hosts of one lab; `name` is its LAB=."""

    def __init__(self, name):
        self.name = name
        self.hosts = {}

    def call(self, *words, **options):
        """tests/lab WORDS…: its CompletedProcess."""
        return subprocess.run([TESTS / "lab", *map(str, words)],
                              env={**os.environ, "LAB": self.name, "LC_ALL": "C.UTF-8"}, **options)

    def must(self, *words):
        """tests/lab WORDS…, which has to succeed: what it prints."""
        done = self.call(*words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise Failed(f"tests/lab {shlex.join(map(str, words))}: exit {done.returncode}\n"
                         f"{done.stdout}")
        return done.stdout

    def up(self, replicas=1, principals=300, packages=BUILD / "packages", kinds=(), primary=None,
           release="bookworm", needs=""):
        """`kinds`: of further hosts behind the replicas, such as "bare+ssh" (see `tests/lab help`); `needs`:
        packages on all hosts, beyond those of their kinds."""
        words = [word for kind in kinds for word in ("--host", kind)]
        words += ["--primary", primary] if primary else []
        print(self.must("up", "--release", release, "--replicas", replicas, "--principals", principals,
                        "--packages", packages, "--with", needs, *words))
        own = primary.partition(":")[2] if primary and ":" in primary else primary
        kinds = [f"primary+{own}" if own else "primary", *["replica"] * replicas, *kinds]
        self.release = release
        self.packages = pathlib.Path(packages) / release
        self.hosts = {f"kdc{n}": Host(self, f"kdc{n}.lab.test", kind)
                      for n, kind in enumerate(kinds, 1)}

    def host(self, kind):
        """The first host of that kind."""
        return next(host for host in self.hosts.values() if host.kind == kind)

    def down(self):
        self.must("down")

    def reset(self, *hosts):
        self.must("reset", *hosts)


class Host:
    """One host; `name` is the full one, `kind` as in Lab.up."""

    def __init__(self, lab, name, kind="replica"):
        self.lab, self.name, self.kind = lab, name, kind
        self.short = name.partition(".")[0]

    def __repr__(self):
        return self.short

    def run(self, *command, check=True, timeout=60, input=None, env=None):
        """Run a command (words, or one string for the shell): its CompletedProcess, with text.
        With check, a failure shows what it said."""
        words = ["sh", "-c", command[0]] if len(command) == 1 else list(map(str, command))
        if env:
            words = ["env", *(f"{key}={value}" for key, value in env.items()), *words]
        done = self.lab.call("exec", self.name, *words, capture_output=True, text=True,
                             errors="replace", timeout=timeout, input="" if input is None else input)
        if check and done.returncode != 0:
            raise Failed(f"{self.short}: {shlex.join(words)}: exit {done.returncode}\n"
                         f"{done.stdout}{done.stderr}")
        return done

    def out(self, *command, **options):
        """What a command that must succeed prints, without the white space around it."""
        return self.run(*command, **options).stdout.strip()

    def ok(self, *command, **options):
        """Whether a command succeeds."""
        return self.run(*command, check=False, **options).returncode == 0

    def json(self, *command, check=True, **options):
        return json.loads(self.run(*command, check=check, **options).stdout)

    def start(self, *command, **options):
        """Start a command that goes on beside the test: its Popen. A reset ends it at the latest."""
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
                   "stderr": subprocess.STDOUT, "text": True, **options}
        words = ["sh", "-c", command[0]] if len(command) == 1 else list(map(str, command))
        return subprocess.Popen([TESTS / "lab", "exec", self.name, *words],
                                env={**os.environ, "LAB": self.lab.name, "LC_ALL": "C.UTF-8"}, **options)

    def python(self, script, **options):
        """Start Debian's python3 with this script, and wait for the first line that it prints:
        a process that holds something while the test looks. Its Popen; the line is in `.line`."""
        process = self.start("/usr/bin/python3", "-u", "-c", script, **options)
        process.line = process.stdout.readline().strip()
        return process

    def install(self):
        """Install our package, on a host that goes without."""
        self.lab.must("install", self.name)

    def net(self, *command, **options):
        """Run a command of this machine in the host's network: its CompletedProcess."""
        return self.lab.call("net", self.name, *command, **options)

    # Files, by their path on the host.

    def read(self, path):
        return self.run("cat", path).stdout

    def write(self, path, text, mode="644"):
        self.run(f"mkdir -p $(dirname {shlex.quote(path)}); rm -f {shlex.quote(path)}; "
                 f"install -m {mode} /dev/stdin {shlex.quote(path)}", input=text)

    def append(self, path, text):
        self.run(f"cat >>{shlex.quote(path)}", input=text)

    def exists(self, path):
        return self.ok("test", "-e", path)

    def remove(self, *paths):
        self.run("rm", "-rf", "--", *paths)

    def fingerprint(self, *folders):
        """Every file of these folders with its kind, mode, owner, inode, times and content, as a
        text: two that are equal say that nothing was touched between them."""
        return self.out("find " + shlex.join(folders) +
                        r" -printf '%p %y %m %u %g %i %s %T@ %l\n' 2>/dev/null | sort; find " +
                        shlex.join(folders) + " -type f -print0 2>/dev/null | sort -z | "
                        "xargs -0 --no-run-if-empty sha256sum")

    # Services.

    def systemctl(self, *words, check=True):
        return self.run("systemctl", *words, check=check)

    def active(self, unit):
        return self.ok("systemctl", "is-active", "--quiet", unit)

    def enabled(self, unit):
        return self.ok("systemctl", "is-enabled", "--quiet", unit)

    def main_pid(self, unit):
        return int(self.out("systemctl", "show", "--property", "MainPID", "--value", unit))

    def journal(self, unit=None, lines=200):
        """What the host (or one of its units) logged since it was booted."""
        self.run("journalctl", "--sync", check=False)
        words = ["--unit", unit] if unit else []
        return self.run("journalctl", "--boot", "--no-pager", "--output", "cat", "--lines", lines,
                        *words).stdout

    def last_minute(self):
        """What was logged in the last minute, for a test that failed: a text whatever happens."""
        try:
            if "sysvinit" in self.kind:
                return self.run("tail", "-n", "60", "/var/log/syslog", check=False).stdout
            return self.run("journalctl", "--since", "-1min", "--no-pager", "--lines", "100", "--output", "short-precise",
                            check=False).stdout
        except (OSError, subprocess.SubprocessError) as error:
            return str(error)

    def listening(self, port):
        """The lines of ss for listening TCP sockets of this port."""
        return self.out("ss", "-Hltnp", f"sport = :{port}").splitlines()

    def reboot(self, hard=False):
        self.lab.must("reboot", *(["--hard"] if hard else []), self.name)

    def fault(self, *words):
        """Break something: see `tests/lab fault HOST help`. A reset mends it."""
        self.lab.must("fault", self.name, *words)

    # portreserve.

    def reserve(self, files=None, version="0.0.5", enable=False):
        """Start the double of portreserve with these files of /etc/portreserve (by default what
        EL6's Kerberos package puts there for 754); with enable, at each boot too."""
        for name, text in (files or {"krb5_prop": "krb5_prop/tcp\n"}).items():
            self.write(f"/etc/portreserve/{name}", text)
        self.write("/etc/default/portreserve", f"PORTRESERVE_VERSION={version}\n")
        self.systemctl("enable" if enable else "disable", "--quiet", "portreserve")
        # It sets no SO_REUSEADDR: what is left of a finished transfer would keep it out for a minute.
        self.run("ss --kill --tcp --numeric state time-wait >/dev/null")
        self.systemctl("start", "portreserve")

    def reserved(self):
        """The local addresses that portreserve holds, as 'tcp PORT' or 'udp PORT', sorted."""
        script = """
import os, socket
try: pid = int(open('/run/portreserve.pid').read())
except FileNotFoundError: raise SystemExit
me = os.pidfd_open(pid)
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
for fd in os.listdir(f'/proc/{pid}/fd'):
    if os.readlink(f'/proc/{pid}/fd/{fd}').startswith('socket:'):
        one = socket.socket(fileno=libc.syscall(438, me, int(fd), 0))
        if one.family == socket.AF_INET:
            print('tcp' if one.type == socket.SOCK_STREAM else 'udp', one.getsockname()[1])
"""
        return sorted(self.out("/usr/bin/python3", "-c", script).splitlines())


def wait_until(what, timeout=60, message="it did not come true"):
    """Call `what` until it returns something true, and return that."""
    end = time.monotonic() + timeout
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < end, f"{message} in {timeout} s"
        time.sleep(0.05)
