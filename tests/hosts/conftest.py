"""Fixtures of the tests on hosts: one lab for the session, reset before each test that wants hosts.

LAB=name takes that name for the lab (and takes a lab of that name down first); KEEP=1 leaves it up
at the end, to look at."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
from lab import BUILD, Lab  # noqa: E402


@pytest.fixture(scope="session")
def lab():
    """Three hosts, kdc1 to kdc3. For tests that change nothing."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    name = os.environ.get("LAB")
    one = Lab(name + worker if name else f"test-{os.getpid()}")
    try:
        one.up(replicas=2)
        one.used = []
        yield one
    finally:
        if os.environ.get("KEEP"):
            print(f"\nthe lab stays up: LAB={one.name} tests/lab status")
        else:
            one.down()


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


@pytest.fixture(scope="module")
def special_lab(request):
    """The primary (of kind PRIMARY, if the module says so) and a host for each of the module's KINDS."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    name = os.environ.get("LAB")
    one = Lab((name + worker if name else f"test-{os.getpid()}") + "-kinds")
    try:
        one.up(replicas=0, kinds=request.module.KINDS, primary=getattr(request.module, "PRIMARY", None))
        one.used = []
        yield one
    finally:
        if os.environ.get("KEEP"):
            print(f"\nthe lab stays up: LAB={one.name} tests/lab status")
        else:
            one.down()


@pytest.fixture
def special(special_lab):
    """That lab, as it was after `lab up`."""
    if special_lab.used:
        special_lab.reset()
    special_lab.used = list(special_lab.hosts)
    return special_lab


@pytest.fixture
def packages():
    """Skips the test where our packages are not built."""
    for name in ("kpropctl", "kpropctl-agent"):
        if not list((BUILD / "packages").glob(f"{name}_*.deb")):
            pytest.skip(f"the package {name} is not built")
