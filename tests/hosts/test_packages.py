"""What apt and dpkg do with our packages: no server of Kerberos is started, stopped, enabled or disabled by them, on
whichever role, and what was enabled of ours outlives a removal."""
import base64
import pathlib
import re
import subprocess

import pytest

from lab import wait_until

KINDS = ["bare"]

SERVERS = ["krb5-kdc", "krb5-admin-server", "krb5-kpropd"]
# What a repository has to offer: with all that is recommended.
OFFERED = [*SERVERS, "krb5-user", "krb5-config", "krb5-locales"]
OURS = ["kpropctl", "kpropctl-agent"]
AGENT, WATCH, TIMER = "kpropctl-agent.service", "kpropctl-watch.service", "kpropctl-propagate.timer"
APT = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet", "--yes", "-o", "Dpkg::Use-Pty=0"]


def field(file, *names):
    """What a package says of itself: all fields, or this one."""
    return subprocess.run(["dpkg-deb", "--field", file, *names], check=True, capture_output=True, text=True).stdout


def index_of(file):
    """The paragraph of a package in an index."""
    fields = field(file)
    digest = subprocess.run(["sha256sum", file], check=True, capture_output=True, text=True).stdout.split()[0]
    return f"{fields.strip()}\nFilename: ./{file.name}\nSize: {file.stat().st_size}\nSHA256: {digest}\n\n"


def offer(host, folder):
    """A repository on the host: the packages of Debian that are ours to suggest, and our own of this folder."""
    files = [next(folder.glob(f"{name}_*.deb")) for name in OURS]
    needed = {name for file in files for name in re.findall(r"(?:^|, )([a-z0-9.+-]+)", field(file, "Depends"))}
    host.lab.must("debs", host.name, *OFFERED, *sorted(needed))
    for file in files:
        host.run(f"base64 -d >/srv/debs/{file.name}", input=base64.b64encode(file.read_bytes()).decode())
    place = files_of(host) / "srv/debs"
    host.write("/srv/debs/Packages", "".join(index_of(file) for file in sorted(place.glob("*.deb"))))
    host.write("/etc/apt/sources.list", "deb [trusted=yes] file:/srv/debs ./\n")
    host.run("rm -rf /etc/apt/sources.list.d/*")
    host.run(*APT, "-o", "APT::Sandbox::User=root", "update")


def files_of(host):
    return pathlib.Path(host.lab.must("path", host.name).strip())


def apt(host, *words, **options):
    """apt-get WORDS…, as a machine has it: with what is recommended."""
    return host.run(*APT, "-o", "APT::Install-Recommends=true", *words, timeout=300, **options)


def servers(host):
    """All that an installation may not change: units, links, processes, packages, as a text."""
    return host.out(r"""
for unit in krb5-kdc krb5-admin-server krb5-kpropd; do
    echo "$unit $(systemctl is-enabled $unit 2>&1) $(systemctl show -p ActiveState,SubState,MainPID,ActiveEnterTimestampMonotonic $unit | paste -sd' ')"
done
pidof krb5kdc kadmind kpropd | tr ' ' '\n' | sort
find /etc/systemd/system /etc/rc?.d -name '*krb5*' | sort
dpkg-query --show --showformat='${Package} ${Status} ${Version}\n' 'krb5-kdc' 'krb5-admin-server' 'krb5-kpropd' 2>/dev/null | grep ' installed' || :
""")


def versions(host):
    return host.out("dpkg-query --show --showformat='${Package} ${Version}\n' kpropctl kpropctl-agent 2>/dev/null || :")


def installed(host):
    return host.out("dpkg-query --show --showformat='${db:Status-Abbrev} ${Package}\n' 'krb5*' kpropctl kpropctl-agent "
                    "2>/dev/null | sed -n 's/^ii *//p'").split()


@pytest.fixture
def any_host(special, packages, request):
    """A function: the host of that kind with a repository, and none of our packages; at the end as it was."""
    touched = []

    def take(kind, without=()):
        host = special.hosts["kdc1"] if kind == "primary" else special.host(kind)
        touched.append((host, installed(host)))
        offer(host, packages)
        host.run("dpkg", "--purge", *OURS, check=False)
        if without:
            host.run("dpkg", "--purge", *without, timeout=120)
        return host
    yield take
    for host, had in touched:
        host.run("dpkg --purge kpropctl kpropctl-agent >/dev/null 2>&1; rm -f /usr/sbin/policy-rc.d; systemctl unmask krb5-kdc "
                 "krb5-admin-server krb5-kpropd", check=False)
        # As the lab had made it: what is back is not started.
        host.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", "755")
        apt(host, "install", *[name for name in had if name not in OURS])
        host.run("rm", "/usr/sbin/policy-rc.d")
        extra = [name for name in SERVERS if name not in had]
        host.run("dpkg", "--purge", *extra, check=False)
        apt(host, "install", *[name for name in had if name in OURS])


@pytest.mark.parametrize("role, package", [
    ("primary", "kpropctl-agent"), ("bare", "kpropctl"),
    pytest.param("primary", "kpropctl", marks=pytest.mark.long), pytest.param("bare", "kpropctl-agent", marks=pytest.mark.long)])
def test_servers_are_left_alone(any_host, role, package):
    """Both packages, on a primary that works and on a replica as Debian leaves it."""
    host = any_host(role)
    assert not versions(host)
    before = servers(host)
    if role == "primary":
        assert host.active("krb5-admin-server") and "krb5-kpropd install ok" not in before
    else:
        assert host.enabled("krb5-kpropd") and "krb5-admin-server install ok" not in before
    said = apt(host, "install", package).stdout
    assert servers(host) == before, said
    assert versions(host).split()[0] == package
    lacks = (role, package) in {("primary", "kpropctl-agent"), ("bare", "kpropctl")}
    assert ("is not on this host" in said) == lacks, said
    assert host.active(AGENT) == (package == "kpropctl-agent")
    apt(host, "remove", package)
    assert servers(host) == before
    apt(host, "install", package)
    apt(host, "purge", package)
    assert servers(host) == before


@pytest.mark.parametrize("package", [pytest.param("kpropctl", marks=pytest.mark.long), "kpropctl-agent"])
def test_nothing_of_kerberos_is_there(any_host, package):
    """No server comes along; what is missing is named, and nothing else fails."""
    host = any_host("bare", without=["krb5-kpropd", "krb5-kdc"])
    said = apt(host, "install", package).stdout
    assert not host.ok("test -e /usr/sbin/krb5kdc -o -e /usr/sbin/kpropd -o -e /usr/sbin/kadmind"), said
    assert "krb5-kdc" in said and "apt install krb5-kdc krb5-" in said
    if package == "kpropctl-agent":
        assert host.active(AGENT)
        facts = host.json("kpropctl-agent", "facts")
        assert facts["krb5"]["kpropd"] is None and facts["krb5"]["kdb5_util"] is None
    else:
        done = host.run("kpropctl", "-r", "LAB.TEST", "setup-slave", "kdc1.lab.test", check=False)
        assert done.returncode == 3 and "no database of realm" in done.stdout, done.stdout + done.stderr


@pytest.mark.long
def test_some_of_kerberos_is_there(any_host):
    """krb5-kdc alone, and masked by the administrator: both packages together change nothing of that."""
    host = any_host("bare", without=["krb5-kpropd"])
    host.run("systemctl", "mask", "--now", "krb5-kdc")
    before = servers(host)
    apt(host, "install", *OURS)
    assert servers(host) == before and "masked" in before
    apt(host, "autoremove")
    assert servers(host) == before


@pytest.mark.long
def test_what_was_suggested_stays(any_host):
    """Servers that came with version 0.1.0, which depended on them, are not for an autoremove."""
    host = any_host("bare")
    host.run("apt-mark", "auto", "krb5-kdc", "krb5-kpropd")
    apt(host, "install", "kpropctl-agent")
    said = apt(host, "autoremove", "--simulate").stdout
    assert not re.search("^Remv krb5-", said, re.M), said


def test_agent_outlives_a_removal(any_host):
    """Enabled and at work again; and one that was disabled stays so."""
    host = any_host("bare")
    apt(host, "install", "kpropctl-agent")
    assert host.enabled(AGENT) and host.active(AGENT)
    apt(host, "remove", "kpropctl-agent")
    assert not host.ok("pidof kpropctl-agent")
    apt(host, "install", "kpropctl-agent")
    assert host.enabled(AGENT) and host.active(AGENT)
    host.run("systemctl", "disable", "--now", AGENT)
    apt(host, "remove", "kpropctl-agent")
    apt(host, "install", "kpropctl-agent")
    assert not host.enabled(AGENT) and not host.active(AGENT)
    host.run("systemctl", "mask", AGENT)
    apt(host, "remove", "kpropctl-agent")
    apt(host, "install", "kpropctl-agent")
    assert host.out("systemctl is-enabled kpropctl-agent || :") == "masked" and not host.active(AGENT)
    host.run("systemctl", "unmask", AGENT)
    apt(host, "purge", "kpropctl-agent")
    assert not host.out("find /etc/systemd /var/lib/kpropctl-agent -name '*kpropctl*' 2>/dev/null || :")
    apt(host, "install", "kpropctl-agent")
    assert host.enabled(AGENT) and host.active(AGENT)


def test_schedule_outlives_a_removal(any_host, special):
    """Watch and timer are enabled and run again, and only what was."""
    host = any_host("primary")
    apt(host, "install", "kpropctl")
    assert not host.enabled(WATCH) and not host.enabled(TIMER)
    host.run("kpropctl", "schedule", "--enable")
    wait_until(lambda: host.active(WATCH) and host.active(TIMER))
    apt(host, "remove", "kpropctl")
    assert not host.ok("pidof kpropctl")
    apt(host, "install", "kpropctl")
    assert host.enabled(WATCH) and host.enabled(TIMER)
    wait_until(lambda: host.active(WATCH) and host.active(TIMER), timeout=30)
    host.run("systemctl", "disable", "--now", WATCH)
    apt(host, "remove", "kpropctl")
    apt(host, "install", "kpropctl")
    assert not host.enabled(WATCH) and not host.active(WATCH) and host.active(TIMER)
    apt(host, "purge", "kpropctl")
    assert not host.out("find /etc/systemd /var/lib/kpropctl -name '*kpropctl*' 2>/dev/null || :")
    apt(host, "install", "kpropctl")
    assert not host.enabled(WATCH) and not host.enabled(TIMER)
