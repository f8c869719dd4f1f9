"""What the figures of propagation share: realms of a size, a loop of plain kprop, what a command took."""
import os
import pathlib
import subprocess
import sys
import time

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(TESTS / "hosts"))
from lab import Lab  # noqa: E402

DROPIN = "/etc/systemd/system/krb5-kpropd.service.d/zz-kpropctl.conf"


def fill(primary, principals):
    """Load the primary's realm anew with this many principals more."""
    small = primary.run("kdb5_util", "dump").stdout
    root = pathlib.Path(primary.lab.must("path", primary.name).strip())
    subprocess.run([TESTS / "lib/make_dump.py", "-n", str(principals), "-p", "10", "/dev/stdin",
                    root / "root/large"], input=small.encode(), check=True)
    primary.run("kdb5_util", "load", "/root/large", timeout=600)
    primary.remove("/root/large")


def plain(host):
    """Make kpropd of this host, which is set up, load with kdb5_util itself."""
    host.run(f"rm {DROPIN} && systemctl daemon-reload && systemctl restart krb5-kpropd")


def touch(primary, number):
    primary.run("kadmin.local", "-q", f"addprinc -randkey fresh{number}")


def seconds(host, command, timeout=900):
    """How long this shell command takes on the host, without the way there; it must succeed."""
    script = (f"exec 3>&1 >/tmp/bench.log 2>&1; start=$(date +%s%N); {command} || exit; "
              "end=$(date +%s%N); echo $((end - start)) >&3")
    return int(host.out("bash", "-c", script, timeout=timeout)) / 1e9


def slow_links(lab, hosts, rate):
    """What is sent to each of these hosts passes a link of this rate."""
    keeper = pathlib.Path(f"/run/kpropctl-lab/{lab.name}/keeper").read_text().split()[0]
    for host in hosts:
        subprocess.run(["nsenter", "--target", keeper, "--net", "tc", "qdisc", "replace", "dev",
                        host.short, "root", "tbf", "rate", rate, "burst", "64kb", "latency",
                        "400ms"], check=True)


def run(name, measure, **options):
    """The whole of a figure: a lab of its own, measured and ended. Exits."""
    lab = Lab(f"bench-{name}-{os.getpid()}")
    try:
        lab.up(**options)
        met = measure(lab)
    except (AssertionError, OSError, subprocess.SubprocessError) as problem:
        print(f"{name}: could not be measured: {problem}")
        sys.exit(5)
    finally:
        lab.down()
    sys.exit(0 if met else 1)


def verdict(name, text, value, target, unit="s"):
    met = value <= target
    print(f"{name}: {text}: {value:.3g} {unit}, target {target:.3g} {unit}: {'met' if met else 'MISSED'}",
          flush=True)
    return met


def alternate(rounds, primary, first, second):
    """The least of each of two commands, run in turn, the database changed before each."""
    best = [float("inf")] * 2
    for number in range(rounds):
        for which, command in enumerate((first, second)):
            touch(primary, f"-{time.time_ns()}")
            best[which] = min(best[which], seconds(primary, command))
    return best
