"""inetd as the holder of kpropd's port, the genuine one."""
import pytest

from lab import wait_until
from test_ports import check_activator

NEEDS = {"openbsd-inetd": "test_inetd*"}


@pytest.mark.parametrize("server", ["/usr/sbin/kpropd", "/bin/cat"])
def test_inetd(kdc2, server):
    kdc2.write("/etc/inetd.conf", f"krb5_prop stream tcp nowait root {server} {server}\n")
    kdc2.run("systemd-run --quiet --unit=inetd-test /usr/sbin/inetd -i")
    wait_until(lambda: kdc2.listening(754))
    check_activator(kdc2, server, "/etc/inetd.conf", "inetd")
    kdc2.run("systemctl stop inetd-test")
