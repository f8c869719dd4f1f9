"""Bundles of a primary that somebody has taken over: they must not run code here, nor choose which files are written."""
import base64
import struct
import subprocess

import pytest

from enroll_kit import Untouched, bundle, changed, enroll, feed, make, others
from setup_kit import set_up

KINDS = ["bare+agent"]
MACHINE_NEEDS = {"gcc": "test_plugins*"}


@pytest.fixture
def kdc1(special):
    return special.hosts["kdc1"]


@pytest.fixture
def bare(special):
    host = special.host(KINDS[0])
    host.remove(*others(host))
    return host


def with_lines(data, section, *lines):
    """The bundle with these lines in a section of its kdc.conf's realm."""
    kdc = bundle.read(data)["kdc.conf"].decode()
    more = "".join(f"        {line}\n" for line in lines)
    if section == "realms":
        assert "LAB.TEST = {\n" in kdc
        names = [line.split(" = ")[0] + " = " for line in lines]
        kept = "".join(line for line in kdc.splitlines(True) if not line.strip().startswith(tuple(names)))
        return changed(data, kdc_conf=kept.replace("LAB.TEST = {\n", "LAB.TEST = {\n" + more, 1))
    return changed(data, kdc_conf=f"{kdc}[{section}]\n    LAB.TEST = {{\n{more}    }}\n")


def refused(host, data, *words):
    with Untouched(host):
        for options in ((), ("--replace",), ("--dry-run",)):
            done = feed(host, data, *options)
            assert done.returncode == 3 and done.stdout == "", done
            for word in words:
                assert word in done.stderr, (word, done)


def evil_library(folder):
    """A library that leaves a file when it is loaded: its bytes. Made here, for a host may have no compiler."""
    source = """
        #include <fcntl.h>
        __attribute__((constructor)) static void f(void) { open("/run/loaded", O_CREAT | O_WRONLY, 0600); }
        """
    subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-o", folder / "evil.so", "-"], input=source.encode(), check=True)
    return (folder / "evil.so").read_bytes()


@pytest.mark.parametrize("there", [False, True], ids=["no krb5.conf", "krb5.conf"])
def test_plugins(kdc1, bare, tmp_path, there):
    """Neither while it is planned, nor later."""
    bare.run("base64 -d >/run/evil.so", input=base64.b64encode(evil_library(tmp_path)).decode())
    data = make(kdc1, bare, "--with-stash")
    evil = "[plugins]\n" + "".join(f" {kind} = {{\n  module = evil:/run/evil.so\n }}\n" for kind in (
        "hostrealm", "localauth", "ccselect", "clpreauth", "kdcpreauth", "kdcpolicy", "certauth", "audit"))
    kdc = bundle.read(data)["kdc.conf"].decode()
    krb5 = bundle.read(data)["krb5.conf"].decode()
    data = changed(data, krb5_conf=evil + krb5, kdc_conf=evil + kdc)
    if not there:
        bare.run("rm -rf /etc/krb5.conf /etc/krb5kdc/kdc.conf")
    try:
        enroll(bare, data, "--dry-run").good()
        assert not bare.exists("/run/loaded")
        enroll(bare, data).good()
        set_up(kdc1, bare)
        assert not bare.exists("/run/loaded")
        assert "evil" not in bare.read("/etc/krb5.conf") + bare.run("cat /etc/krb5kdc/kdc.conf", check=False).stdout
    finally:
        bare.remove("/run/evil.so", "/run/loaded")


def test_a_library(kdc1, bare):
    """krb5kdc would load what kprop has brought."""
    data = make(kdc1, bare)
    refused(bare, with_lines(data, "dbmodules", "db_library = ../../../../../../../var/lib/krb5kdc/from_master"),
            "it is neither db2 nor klmdb", "The line")
    refused(bare, with_lines(data, "dbmodules", "db_library = kldap"), "it is neither db2 nor klmdb")
    bare.run("rm /etc/krb5kdc/kdc.conf")
    refused(bare, with_lines(data, "dbmodules", "db_library = /tmp/evil"), "it is neither db2 nor klmdb")
    data = changed(data, kdc_conf=bundle.read(data)["kdc.conf"].decode() + "[dbmodules]\n    db_module_dir = /tmp\n")
    enroll(bare, data).good()
    assert "db_module_dir" not in bare.read("/etc/krb5kdc/kdc.conf")


@pytest.mark.parametrize("has_own", [True, False], ids=["its own kdc.conf", "no kdc.conf"])
def test_where_the_stash_goes(kdc1, bare, has_own):
    """Where this host's own files say, and nowhere else."""
    data = make(kdc1, bare, "--with-stash")
    place = "/etc/systemd/system/krb5-kdc.service.d/x.conf"
    data = with_lines(data, "realms", f"key_stash_file = {place}")
    if not has_own:
        bare.run("rm -f /etc/krb5kdc/kdc.conf")
    done = enroll(bare, data).good()
    where = "/etc/krb5kdc/stash" if has_own else "/etc/krb5kdc/.k5.LAB.TEST"
    assert done.files["stash"]["path"] == where and bare.exists(where)
    assert not bare.exists(place) and place not in bare.read("/etc/krb5kdc/kdc.conf")


def test_a_stash_of_any_bytes(kdc1, bare):
    """The old format has no more to tell it by than an enctype and the length of its keys."""
    data = make(kdc1, bare, "--with-stash")
    text = b"\n[Service]\nExecStartPre=/tmp/evil\n"
    for enctype in (0, 18, 20, 2573, 35):
        refused(bare, changed(data, stash=struct.pack("=HI", enctype, len(text)) + text), "no stash file of K/M@LAB.TEST")


@pytest.mark.parametrize("line", [
    "database_name = /etc/cron.d/principal", "database_name = /var/lib/krb5kdc/../../../etc/cron.d/principal",
    "database_name = principal", "database_name = /etc/krb5kdc/kpropd.acl", "database_name = /var/lib/krb5kdc/from_master",
    "database_name = /var/lib/krb5kdc/link/principal", "acl_file = /root/.ssh/authorized_keys", "dict_file = /etc/shadow",
    "dict_file = /var/lib/krb5kdc/%{uid}"])
def test_paths(kdc1, bare, line):
    data = make(kdc1, bare)
    bare.run("mkdir -p /var/lib/krb5kdc; ln -s /etc/cron.d /var/lib/krb5kdc/link; rm -f /etc/krb5kdc/kdc.conf; "
             "touch /etc/krb5kdc/kpropd.acl")
    refused(bare, with_lines(data, "realms", line), f"cannot take the bundle's `{line}` of [realms] LAB.TEST",
            f"in /etc/krb5kdc/kdc.conf: {line}")


def test_a_path_of_the_primary_s_own(kdc1, bare):
    """A primary may have its database anywhere: the refusal says what to write here, and with it all is well."""
    data = with_lines(make(kdc1, bare, "--with-stash"), "realms", "database_name = /srv/krb5/principal")
    bare.run("sed -i '/database_name/d' /etc/krb5kdc/kdc.conf")
    refused(bare, data, "it is outside of this host's folders",
            "The line, for [realms] LAB.TEST in /etc/krb5kdc/kdc.conf: database_name = /srv/krb5/principal")
    bare.run(r"sed -i 's#^\( *\)LAB.TEST = {#&\n\1database_name = /srv/krb5/principal#' /etc/krb5kdc/kdc.conf")
    assert "/srv/krb5/principal" in bare.read("/etc/krb5kdc/kdc.conf")
    try:
        enroll(bare, data).good()
        assert bare.exists("/srv/krb5")
    finally:
        bare.run("rm -rf /srv/krb5")


@pytest.mark.parametrize("there", [False, True], ids=["no files", "files"])
def test_logs_and_other_sections(kdc1, bare, there):
    """Files that daemons would write as root, and code that they would run: nothing of it comes."""
    data = make(kdc1, bare)
    evil = ("[logging]\n kdc = FILE:/etc/cron.d/evil\n default = FILE:/etc/cron.d/evil\n"
            "[otp]\n DEFAULT = {\n  server = /run/evil\n  secret = /etc/shadow\n }\n"
            "[appdefaults]\n pam = {\n  banner = evil\n }\n"
            "[libdefaults]\n default_keytab_name = /etc/evil\n plugin_base_dir = /run/evil\n")
    mine = bundle.read(data)
    realm = "LAB.TEST = {\n  auth_to_local = RULE:[1:$1](.*)s/.*/evil/\n  pkinit_identity = PKCS11:/run/evil.so\n" \
        "  auth_to_local_names = {\n   evil = root\n  }\n"
    data = changed(data, krb5_conf=mine["krb5.conf"].decode().replace("LAB.TEST = {\n", realm, 1) + evil,
                   kdc_conf=mine["kdc.conf"].decode().replace("LAB.TEST = {\n", realm, 1) + evil)
    if not there:
        bare.run("rm -f /etc/krb5.conf /etc/krb5kdc/kdc.conf")
    enroll(bare, data).good()
    assert "evil" not in bare.read("/etc/krb5.conf") + bare.read("/etc/krb5kdc/kdc.conf")
    for line in ("include /run/evil", "includedir /run", "module /run/evil.so:x"):
        refused(bare, changed(data, kdc_conf=line + "\n" + mine["kdc.conf"].decode()), "includes another file")
        refused(bare, changed(data, krb5_conf=line + "\n" + mine["krb5.conf"].decode()), "includes another file")


@pytest.mark.parametrize("line", ["file:/etc/passwd", "include /etc", "mallory@LAB.TEST", "host/kdc1.lab.test@EVIL.TEST",
                                  "princ:host/kdc1.lab.test@LAB.TEST", "host/kdc1.lab.test", "host/@LAB.TEST"])
def test_who_is_let_in(kdc1, bare, line):
    """Hosts of the realm, by their names alone."""
    data = make(kdc1, bare)
    for part in ("agent_acl", "kpropd_acl"):
        refused(bare, changed(data, **{part: f"host/kdc1.lab.test@LAB.TEST\n{line}\n"}), "lets in", "by hand")
