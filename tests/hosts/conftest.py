"""Fixtures of the tests on hosts: labs that several files share, reset before each test that wants hosts.

A file says what its hosts have beyond the packages of their kinds, each with a test of its own that cannot do without
(NEEDS = {"strace": "test_killed*"}; MACHINE_NEEDS the same for this machine), and which kinds there are (KINDS,
PRIMARY), if not a primary and two replicas. Files that say the same share a lab.

LAB=name takes that name for the labs (and takes labs of that name down first); KEEP=1 leaves them up at the end, to
look at."""
import fnmatch
import hashlib
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
from lab import BUILD, Host, Lab  # noqa: E402

# So many labs of one worker are up at once: memory, and the kernel's limit of inotify instances.
MOST_LABS = 2


def pytest_addoption(parser):
    group = parser.getgroup("tiers")
    group.addoption("--release", default="bookworm", help="the Debian release of the hosts")
    group.addoption("--tier", default="run", choices=["run", "long", "quick"],
                    help="'run': the tests that are not marked long; 'long': all; "
                         "'quick': those that stand for a package")
    group.addoption("--sample", default=None, metavar="SEED/N", help="only N tests of the long tier, chosen by this seed")
    group.addoption("--shard", default="1/1", metavar="K/N", help="only the K-th of N parts of the tests")
    group.addoption("--passed", default=None, metavar="FILE",
                    help="leave out the tests that this file names, and add to it those that pass")


def number(text):
    return int(hashlib.sha256(text.encode()).hexdigest(), 16)


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes long, or is one of very many: only in the long tier")
    config.addinivalue_line("markers", "quick: also when only a few tests show that no package is missing")
    config.addinivalue_line("markers", "releases(*names): only on hosts of these releases")


def pytest_collection_modifyitems(config, items):
    """Choose by tier, sample and shard; and put files that share a lab next to each other."""
    long = [item for item in items if item.get_closest_marker("long")]
    chosen = set()
    if config.getoption("--sample"):
        seed, count = config.getoption("--sample").split("/")
        chosen = set(sorted(long, key=lambda item: number(seed + item.nodeid))[:int(count)])
    done = set()
    if config.getoption("--passed") and os.path.exists(config.getoption("--passed")):
        with open(config.getoption("--passed"), encoding="utf-8") as file:
            done = set(file.read().splitlines())
    if chosen:
        items[:] = [item for item in items if item in chosen]
        return
    quick = standing_for_packages(items) if config.getoption("--tier") == "quick" else items
    part, parts = map(int, config.getoption("--shard").split("/"))
    release = config.getoption("--release")
    keep, leave = [], []
    for item in items:
        only = item.get_closest_marker("releases")
        left = (item in long and config.getoption("--tier") == "run") or \
            item.nodeid in done or item not in quick or number(item.location[0]) % parts != part - 1 or \
            (only and release not in only.args)
        (leave if left else keep).append(item)
    keep.sort(key=lambda item: lab_of(item.module, release)[1:])
    items[:] = keep
    if leave:
        config.hook.pytest_deselected(items=leave)


def standing_for_packages(items):
    """For each package that a file needs the first test that it names; and all of those marked quick."""
    chosen = [item for item in items if item.get_closest_marker("quick")]
    wanted = {(item.module.__name__, name) for item in items for kind in ("NEEDS", "MACHINE_NEEDS")
              for name in getattr(item.module, kind, {}).values()}
    for module, name in sorted(wanted):
        one = [item for item in items if item.module.__name__ == module and
               (item.originalname == name or fnmatch.fnmatchcase(item.name, name))]
        if not one:
            raise pytest.UsageError(f"{module} needs a package for {name}, which is no test of it")
        chosen.append(one[0])
    return chosen


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A test that fails shows what its hosts logged in the last minute; one that passes is remembered."""
    report = (yield).get_result()
    if report.failed:
        hosts = {value for value in getattr(item, "funcargs", {}).values() if isinstance(value, Host)}
        for host in sorted(hosts, key=lambda one: one.name):
            report.sections.append((f"journal of {host.short} ({host.lab.release}, {host.kind})", host.last_minute()))
    passed = item.config.getoption("--passed")
    if passed and report.when == "call" and report.passed:
        with open(passed, "a", encoding="utf-8") as file:
            file.write(item.nodeid + "\n")


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report):
    """A failure is named when it happens, not only at the end of a long run (in the process that reports)."""
    if report.failed and not os.environ.get("PYTEST_XDIST_WORKER"):
        reason = str(report.longrepr).strip().splitlines()[-1:] or [""]
        print(f"\nFAILED {report.nodeid} ({report.when}): {reason[0][:300]}", flush=True)


def lab_of(module, release):
    """What makes two files' labs the same."""
    kinds = tuple(getattr(module, "KINDS", ()))
    needs = sorted(set(getattr(module, "NEEDS", ())) - set(os.environ.get("STRIKE", "").split()))
    return (release, " ".join(needs), kinds, getattr(module, "PRIMARY", None) or "",
            getattr(module, "REPLICAS", 0 if kinds else 2))


class Labs:
    """The labs of this session (of this worker, with xdist): the latest used are kept up."""

    def __init__(self):
        self.up = {}
        worker = os.environ.get("PYTEST_XDIST_WORKER", "")
        name = os.environ.get("LAB")
        self.name = name + worker if name else f"test-{os.getpid()}"
        self.count = 0

    def get(self, key):
        if key in self.up:
            self.up[key] = self.up.pop(key)
            return self.up[key]
        while len(self.up) >= MOST_LABS:
            self.up.pop(next(iter(self.up))).down()
        release, needs, kinds, primary, replicas = key
        self.count += 1
        one = Lab(self.name + (f"-{self.count}" if self.count > 1 else ""))
        try:
            one.up(replicas=replicas, kinds=kinds, primary=primary or None, release=release, needs=needs)
        except BaseException:
            one.down()
            raise
        one.used = []
        self.up[key] = one
        return one

    def end(self):
        for one in self.up.values():
            if os.environ.get("KEEP"):
                print(f"\nthe lab stays up: LAB={one.name} tests/lab status")
            else:
                one.down()


@pytest.fixture(scope="session")
def labs():
    all_of_them = Labs()
    yield all_of_them
    all_of_them.end()


@pytest.fixture(scope="session")
def release(request):
    """The Debian release that the hosts of this run have."""
    return request.config.getoption("--release")


@pytest.fixture(scope="module")
def lab(labs, request, release):
    """The lab of this file: kdc1, kdc2 and kdc3, or as it says. For tests that change nothing."""
    return labs.get(lab_of(request.module, release))


@pytest.fixture
def hosts(lab, request):
    """The lab's hosts by short name, as they were after `lab up`: kpropd not set up. Of two hosts
    unless the test takes kdc3, which otherwise need not be reset."""
    if lab.used:
        lab.reset(*lab.used)
    lab.used = ["kdc1", "kdc2"] + ["kdc3"] * ("kdc3" in request.fixturenames)
    return {name: lab.hosts[name] for name in lab.used}


@pytest.fixture
def kdc1(hosts):
    """The primary."""
    return hosts["kdc1"]


@pytest.fixture
def kdc2(hosts):
    """The replica, not set up."""
    return hosts["kdc2"]


@pytest.fixture
def kdc3(hosts):
    """A second replica, not set up."""
    return hosts["kdc3"]


@pytest.fixture
def special(lab):
    """The lab of a file with KINDS, as it was after `lab up`."""
    if lab.used:
        lab.reset()
    lab.used = list(lab.hosts)
    return lab


@pytest.fixture
def packages(lab):
    """The folder of our packages, for the release of the hosts."""
    for name in ("kpropctl", "kpropctl-agent"):
        assert list(lab.packages.glob(f"{name}_*.deb")), f"the package {name} is not built: tests/run packages"
    return lab.packages
