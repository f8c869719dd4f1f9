"""For which of its keytab's keys the agent lets anybody in: host/ of this host in a realm that it serves, no other."""
import pytest

pytestmark = pytest.mark.usefixtures("packages")

NEEDS = {"remctl-client": "test_other_keys_open_nothing*"}

AGENT = "kpropctl-agent"
OURS = "host/kdc2.lab.test@LAB.TEST"


@pytest.fixture
def primary(kdc1):
    """kdc1 with a ticket for its host key."""
    kdc1.run("kinit -k -t /etc/krb5.keytab")
    return kdc1


def ask(primary, target, verb="facts"):
    """The primary itself asks, with a good ticket for TARGET: who knows that key could forge one just like it."""
    return primary.run("remctl", "-s", target, "kdc2.lab.test", "kpropctl", verb, check=False)


def give_key(primary, kdc2, principal, *realm):
    """A key of the primary's database into the replica's keytab, beside what is there."""
    primary.run("kadmin.local", *realm, "-q", f"addprinc -randkey {principal}")
    primary.run("kadmin.local", *realm, "-q", f"ktadd -norandkey -k /run/more.keytab {principal}")
    kdc2.run("base64 -d >/run/more.keytab", input=primary.out("base64 /run/more.keytab; rm /run/more.keytab"))
    kdc2.run("printf 'rkt /run/more.keytab\\nwkt /etc/krb5.keytab\\nq\\n' | ktutil; rm /run/more.keytab")


def gets_in(primary, target):
    done = ask(primary, target)
    assert (done.returncode == 0) == ('"agent"' in done.stdout), done
    return done.returncode == 0


@pytest.mark.parametrize("principal", ["HTTP/kdc2.lab.test", "host/kdc9.lab.test", "kadmin/kdc2.lab.test",
                                       "host/kdc2.lab.test.evil.test", "kprop/kdc2.lab.test", "host/localhost"])
def test_other_keys_open_nothing(primary, kdc2, principal):
    give_key(primary, kdc2, principal)
    assert gets_in(primary, OURS)
    done = ask(primary, principal + "@LAB.TEST")
    assert done.returncode != 0 and '"agent"' not in done.stdout, done
    assert "not found in keytab" in kdc2.journal(AGENT)
    assert gets_in(primary, OURS)


def test_another_name_of_this_host(primary, kdc2):
    """The log says which line lets it, and that does."""
    give_key(primary, kdc2, "host/kerberos-1.lab.test")
    kerberos = "host/kerberos-1.lab.test@LAB.TEST"
    assert not gets_in(primary, kerberos)
    assert f"the key of {kerberos} opens nothing" in kdc2.journal(AGENT)
    assert "names = kerberos-1.lab.test in agent.conf" in kdc2.journal(AGENT)
    kdc2.write("/etc/kpropctl/agent.conf", "[kpropctl-agent]\n names = kerberos-1.lab.test\n")
    kdc2.systemctl("reload", AGENT)
    assert gets_in(primary, kerberos) and gets_in(primary, OURS)
    kdc2.remove("/etc/kpropctl/agent.conf")
    kdc2.systemctl("reload", AGENT)
    assert not gets_in(primary, kerberos) and gets_in(primary, OURS)
    # By /etc/hosts, without a restart.
    kdc2.run("sed -i 's/ kdc2$/ kdc2 kerberos-1.lab.test/' /etc/hosts")
    assert gets_in(primary, kerberos)


def test_a_short_host_name(primary, kdc2):
    """What the host calls itself may be less than its whole name."""
    try:
        kdc2.run("hostname kdc2")
        assert gets_in(primary, OURS)
        kdc2.run("hostname elsewhere")
        assert not gets_in(primary, OURS)
        assert "nobody can be served: cannot use the keytab" in kdc2.journal(AGENT)
        assert "names = kdc2.lab.test in agent.conf" in kdc2.journal(AGENT)
    finally:
        kdc2.run("hostname kdc2.lab.test")
    assert gets_in(primary, OURS)


def test_the_same_name_in_another_realm(primary, kdc2):
    """Whose KDCs could forge any ticket for it; it is the default realm even, as on a host that has joined it."""
    evil = "EVIL.TEST"
    foreign = f"host/kdc2.lab.test@{evil}"
    for host in (primary, kdc2):
        conf = host.read("/etc/krb5.conf")
        host.write("/etc/krb5.conf", conf.replace(
            "[realms]\n", f"[realms]\n    {evil} = {{\n        kdc = kdc1.lab.test\n    }}\n", 1))
    primary.append("/etc/krb5kdc/kdc.conf", f"\n[realms]\n {evil} = {{\n  database_name = /var/lib/krb5kdc/evil\n"
                   "  key_stash_file = /etc/krb5kdc/evil.stash\n }\n")
    primary.run("kdb5_util", "-r", evil, "-P", "evil", "create", "-s", timeout=60)
    for realm in ("LAB.TEST", evil):
        primary.run("kadmin.local", "-r", realm, "-q", f"addprinc -pw between krbtgt/{evil}@LAB.TEST")
    primary.write("/etc/default/krb5-kdc", f'DAEMON_ARGS="-r LAB.TEST -r {evil}"\n')
    primary.systemctl("restart", "krb5-kdc")
    give_key(primary, kdc2, foreign, "-r", evil)
    primary.run(f"kinit -k -t /etc/krb5.keytab; kvno {foreign}")
    kdc2.write("/etc/krb5kdc/kpropd.acl", "host/kdc1.lab.test@LAB.TEST\n")
    kdc2.write("/etc/kpropctl/agent.acl", "host/kdc1.lab.test@LAB.TEST\n")
    kdc2.write("/etc/kpropctl/agent.conf", "[kpropctl-agent]\n acl = /etc/kpropctl/agent.acl\n")
    kdc2.systemctl("reload", AGENT)
    assert gets_in(primary, OURS) and not gets_in(primary, foreign)
    assert f"realms = {evil} in agent.conf" in kdc2.journal(AGENT)
    kdc2.run(f"sed -i 's/default_realm = .*/default_realm = {evil}/' /etc/krb5.conf")
    assert not gets_in(primary, foreign) and gets_in(primary, OURS)
    kdc2.append("/etc/kpropctl/agent.conf", f" realms = {evil}\n")
    kdc2.systemctl("reload", AGENT)
    assert gets_in(primary, foreign) and gets_in(primary, OURS)


def test_libkrb5_cannot_loosen_it(primary, kdc2):
    give_key(primary, kdc2, "HTTP/kdc2.lab.test")
    kdc2.run("sed -i 's/^\\[libdefaults\\]/&\\n    ignore_acceptor_hostname = true/' /etc/krb5.conf")
    assert "ignore_acceptor_hostname" in kdc2.read("/etc/krb5.conf")
    assert gets_in(primary, OURS) and not gets_in(primary, "HTTP/kdc2.lab.test@LAB.TEST")
