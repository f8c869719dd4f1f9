"""What the tests of enrolments share: bundles, whole and otherwise, and what they leave on a host."""
import base64
import json
import sys

from lab import TESTS

sys.path.insert(0, str(TESTS / "lib"))
import bundle  # noqa: E402

# Whatever an enrolment may touch, wherever the host has it.
PLACES = ("/etc", "/var/lib/krb5kdc", "/var/kerberos", "/var/lib/kpropctl-agent", "/root", "/tmp", "/dev/shm")
AGENT = "kpropctl-agent"


class Enrolled:
    """What `kpropctl-agent enroll --json` told."""

    def __init__(self, done):
        self.status, self.stderr, self.stdout = done.returncode, done.stderr, done.stdout
        self.told = json.loads(done.stdout)
        self.files = {file["what"]: file for file in self.told["files"]}

    def __repr__(self):
        return f"exit {self.status} {self.stderr}\n{self.stdout}"

    def actions(self):
        return {what: file["action"] for what, file in self.files.items()}

    def good(self):
        assert self.status == 0 and self.told["error"] is None, self
        return self

    def failed(self, status, *words):
        assert self.status == status and not self.told["changed"], self
        for word in words:
            assert word in self.stderr, (word, self)
        return self


def make(primary, host, *options):
    """The bundle that `kpropctl enroll` writes for a host: bytes."""
    name = getattr(host, "name", host)
    text = primary.run("bash", "-o", "pipefail", "-c", 'kpropctl enroll "$@" | base64', "bash", *options, name).stdout
    return base64.b64decode(text)


def changed(data, **parts):
    """A bundle with other contents of these parts (krb5_conf is krb5.conf); None leaves one out."""
    mine = bundle.read(data)
    for name, content in parts.items():
        name = {"data_dir": "data-dir", "conf_dir": "conf-dir"}.get(name, name.replace("_", "."))
        if content is None:
            del mine[name]
        else:
            mine[name] = content.encode() if isinstance(content, str) else content
    return bundle.write(mine)


def feed(host, data, *words, before="", agent=AGENT, check=False, **options):
    """Run `kpropctl-agent enroll WORDS` with this bundle on standard input: its CompletedProcess."""
    host.run("base64 -d | install -m 600 /dev/stdin /run/bundle", input=base64.b64encode(data).decode())
    try:
        return host.run("sh", "-c", f'{before} {agent} enroll "$@" </run/bundle', "sh", *words, check=check, **options)
    finally:
        host.remove("/run/bundle")


def start(host, data, before=""):
    """Start an enrolment beside the test; its Popen. The bundle stays on the host until it is reset."""
    host.run("base64 -d | install -m 600 /dev/stdin /run/bundle", input=base64.b64encode(data).decode())
    return host.start(f"{before} {AGENT} enroll </run/bundle")


def enroll(host, data, *words, **options):
    return Enrolled(feed(host, data, "--json", *words, **options))


def keys(host, path="/etc/krb5.keytab"):
    """A keytab's entries, with their keys, sorted."""
    lines = host.out("klist", "-keK", path).splitlines()[3:]
    return sorted(" ".join(line.split()) for line in lines)


def mode(host, path):
    return host.out("stat", "-c", "%a %U:%G", path)


def others(host, *folders):
    """The files of enrolments beside their targets: backups, and what is staged."""
    return host.run("find", *(folders or PLACES[:4]), "-name", "*.kpropctl-*", check=False).stdout.splitlines()


class Untouched:
    """That a host is, at the end of a with block, as it was at its beginning. The loader's folder may have held a
    snapshot meanwhile."""

    def __init__(self, host):
        self.host = host

    def look(self):
        lines = self.host.fingerprint(*PLACES).splitlines()
        return {line for line in lines if not line.startswith("/var/lib/krb5kdc/principal.kpropctl d ")}

    def __enter__(self):
        self.before = self.look()

    def __exit__(self, kind, *_):
        if kind is None:
            assert self.look() == self.before, sorted(self.look() ^ self.before)
