"""xinetd as the holder of kpropd's port, the genuine one."""
import pytest

from lab import wait_until
from test_ports import check_activator

NEEDS = {"xinetd": "test_xinetd*"}

XINETD = """
service kprop
{{
    type = UNLISTED
    port = 754
    socket_type = stream
    protocol = tcp
    wait = no
    user = root
    server = {0}
    disable = no
}}
"""


@pytest.mark.parametrize("server", ["/usr/sbin/kpropd", "/bin/cat"])
def test_xinetd(kdc2, server):
    kdc2.write("/etc/xinetd.conf", "defaults\n{\n}\nincludedir /etc/xinetd.d\n")
    kdc2.write("/etc/xinetd.d/kprop", XINETD.format(server))
    kdc2.run("systemd-run --quiet --unit=xinetd-test /usr/sbin/xinetd -dontfork")
    wait_until(lambda: kdc2.listening(754))
    check_activator(kdc2, server, "/etc/xinetd.d/kprop", "xinetd")
    kdc2.run("systemctl stop xinetd-test")
