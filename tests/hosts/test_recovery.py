"""The rules that stop people, and their ways out (docs/recovery.md): each is taken here."""
import json

import pytest

from lab import wait_until
from propagate_kit import good, propagate
from setup_kit import LIVE, set_up, ticket

NEEDS = {"krb5-admin-server": "test_accept_next", "remctl-client": "test_accept_next_at_the_console_alone"}
CONF = "/etc/kpropctl/agent.conf"
DROPIN = "/etc/systemd/system/krb5-kpropd.service.d/zz-kpropctl.conf"
RELEASE = "kpropctl-agent release-loader LAB.TEST"
JOB = "*/5 * * * * root /usr/sbin/kprop -f /root/dump kdc2.lab.test\n"


@pytest.fixture
def replica(kdc1, kdc2):
    """Verified, with a user that an older dump, /root/old of the primary, does not have."""
    kdc1.run("kdb5_util dump /root/old")
    kdc1.run("kadmin.local -q 'addprinc -pw newer-password newer'")
    set_up(kdc1, kdc2).good()
    return kdc2


def kprop(kdc1, kdc2):
    """A plain kprop of the old dump: whether it succeeded, and what it said."""
    done = kdc1.run(f"kprop -f /root/old {kdc2.name} 2>&1", check=False)
    return done.returncode == 0, done.stdout


def has_newer(host):
    return host.ok("kadmin.local getprinc newer | grep -q ^Principal")


def refused(kdc1, kdc2):
    before = kdc2.out("stat", "-c", "%i", LIVE)
    went, said = kprop(kdc1, kdc2)
    assert not went and has_newer(kdc2), said
    assert kdc2.out("stat", "-c", "%i", LIVE) == before
    return said


def kpropd_log(host):
    return host.out("journalctl", "-t", "kpropd", "-t", "kpropctl-loader", "-o", "cat", "-n", "20")


def logged(host, text):
    """kprop may end before the journal has what kpropd said."""
    wait_until(lambda: text in kpropd_log(host))


def row(primary, replica, name="loader"):
    done = primary.run("kpropctl", "check", "--format", "json", replica.name, check=False)
    report = json.loads(done.stdout)
    return next(one for host in report["hosts"] for one in host["checks"] if one["id"] == name)


def test_the_refused_primary_propagates(kdc1, replica):
    """What nobody announced changes nothing; log, check and explain say so, with all ways out."""
    said = refused(kdc1, replica)
    logged(replica, "what to do")
    log = kpropd_log(replica)
    assert "nobody announced it" in log
    one = row(kdc1, replica)
    for text in (log, one["hint"]):
        for way in ("kpropctl propagate kdc2.lab.test", "kpropctl remove-slave kdc2.lab.test",
                    "kpropctl-agent accept-next LAB.TEST", "unannounced = accept"):
            assert way in text, (way, text)
    assert "nobody announced it" in one["summary"] and one["level"] == "warning", one
    for text in (said, log):
        found = kdc1.json("kpropctl", "explain", "--json", input=text)
        assert "unannounced" in json.dumps(found), found
    assert "nobody announced it" in replica.run("kpropctl-agent", "check", check=False).stdout
    good(propagate(kdc1, "--force"))
    assert row(kdc1, replica)["level"] == "ok" and has_newer(replica)


def test_accept_next(kdc1, replica):
    """Once, at the console, without daemon, and for a dump that has shrunk; marked unverified."""
    replica.systemctl("stop", "kpropctl-agent")
    said = replica.json("kpropctl-agent", "accept-next", "LAB.TEST", "0" * 64)
    assert said["sha256"] == "0" * 64
    refused(kdc1, replica)
    kdc1.run("kdb5_util dump /root/shrunk && grep -vE '^princ.*user[0-9]+@' /root/shrunk >/root/old && touch /root/old.dump_ok")
    digest = kdc1.out("sha256sum /root/old | cut -c1-64")
    replica.run("kpropctl-agent", "accept-next", "LAB.TEST", digest)
    went, said = kprop(kdc1, replica)
    assert went, said
    logged(replica, "the last verified one had")
    assert not replica.ok("kadmin.local getprinc user7 | grep -q ^Principal")
    last = replica.json("kpropctl-agent", "outcome", "LAB.TEST")
    assert (last["loaded"], last["announced"], last["verified"]) == (True, False, False), last
    assert not kprop(kdc1, replica)[0], "once"
    replica.run("kpropctl-agent", "accept-next", "LAB.TEST")
    assert kprop(kdc1, replica)[0] and not kprop(kdc1, replica)[0]
    replica.systemctl("start", "kpropctl-agent")
    good(propagate(kdc1))
    assert replica.ok("kadmin.local getprinc user7 | grep -q ^Principal")


def test_accept_next_at_the_console_alone(kdc1, replica):
    """Not over the network, not behind a remctld, not by others than root."""
    afar = kdc1.run("kinit -c /root/cc -k host/kdc1.lab.test && KRB5CCNAME=/root/cc "
                    f"remctl {replica.name} kpropctl accept-next LAB.TEST", check=False)
    assert afar.returncode != 0 and "nknown command" in afar.stderr, afar.stderr
    for words in ("accept-next LAB.TEST", "-c /dev/null accept-next LAB.TEST", "enroll", "release-at-start 754"):
        for peer in ("host/kdc1.lab.test@LAB.TEST", ""):
            done = replica.run(f"REMOTE_USER='{peer}' kpropctl-agent {words} </dev/null", check=False)
            assert done.returncode == 2 and "unknown verb" in done.stderr, (words, done.stderr)
    done = replica.run("setpriv --reuid 65534 --clear-groups kpropctl-agent accept-next LAB.TEST", check=False)
    assert done.returncode == 3 and "only root" in done.stderr, done.stderr
    assert not replica.exists("/var/lib/kpropctl-agent/LAB.TEST.accept")
    refused(kdc1, replica)


def test_the_setting_accepts(kdc1, replica):
    """For this realm alone; a warning in every check."""
    replica.write(CONF, "[kpropctl-agent]\n    unannounced = refuse\n    LAB.TEST = {\n        unannounced = accept\n    }\n")
    replica.systemctl("restart", "kpropctl-agent")
    assert kprop(kdc1, replica)[0] and not has_newer(replica)
    one = row(kdc1, replica)
    assert one["level"] == "warning" and "unannounced = accept" in one["summary"], one
    done = replica.run("kpropctl-agent", "check", check=False)
    assert done.returncode != 0 and "unannounced = accept" in done.stdout, done.stdout
    good(propagate(kdc1))
    assert row(kdc1, replica)["level"] == "warning", "still"
    replica.write(CONF, "[kpropctl-agent]\n    unannounced = perhaps\n")
    done = replica.run("kpropctl-agent", "-t", check=False)
    assert done.returncode == 2 and "refuse or accept" in done.stderr, done.stderr


def test_remove_slave_releases(kdc1, replica):
    said = kdc1.out("kpropctl", "remove-slave", replica.name)
    assert "loads with kdb5_util itself again" in said and not replica.exists(DROPIN), said
    assert kprop(kdc1, replica)[0] and not has_newer(replica)
    assert set_up(kdc1, replica).good().level("loader") == "fixed"
    assert has_newer(replica)
    refused(kdc1, replica)


def test_remove_slave_where_the_agent_does_not_answer(kdc1, replica):
    replica.systemctl("stop", "kpropctl-agent")
    said = kdc1.out("kpropctl", "remove-slave", replica.name)
    assert f"on kdc2.lab.test, as root: {RELEASE}" in said and "is forgotten" in said, said
    refused(kdc1, replica)
    assert replica.json(*RELEASE.split())["changed"] and not replica.json(*RELEASE.split())["changed"]
    assert kprop(kdc1, replica)[0] and not has_newer(replica)


def test_the_agents_own_kpropd_is_released(kdc1, replica):
    """supervise = yes: kpropd is started again without our loader, also by the next daemon."""
    replica.systemctl("disable", "--now", "--quiet", "krb5-kpropd")
    replica.write(CONF, "[kpropctl-agent]\n    supervise = yes\n")
    replica.systemctl("restart", "kpropctl-agent")
    wait_until(lambda: replica.listening(754))
    set_up(kdc1, replica).good()
    refused(kdc1, replica)
    assert replica.json(*RELEASE.split())["restarted"]
    one = row(kdc1, replica)
    assert one["level"] == "warning" and "kdb5_util alone" in one["summary"], one
    replica.systemctl("restart", "kpropctl-agent")
    wait_until(lambda: replica.listening(754))
    assert kprop(kdc1, replica)[0] and not has_newer(replica)
    assert set_up(kdc1, replica).good().level("loader") == "fixed"
    refused(kdc1, replica)


def iprop(host):
    host.run("sed -i 's/LAB.TEST = {/&\\n        iprop_enable = true\\n        iprop_port = 2121/' /etc/krb5kdc/kdc.conf")


def test_a_plain_dump_on_iprop(kdc1, replica):
    """Not even root's word lets it in; kadmind's own dump comes without one."""
    iprop(replica)
    replica.systemctl("restart", "krb5-kpropd")
    wait_until(lambda: replica.listening(754))
    assert replica.json("kpropctl-agent", "accept-next", "LAB.TEST")["resync_only"]
    refused(kdc1, replica)
    assert replica.json("kpropctl-agent", "outcome", "LAB.TEST")["refusal"] == "unannounced-plain"
    kdc1.run("cp -a /etc/krb5kdc/kdc.conf /root/kdc.conf.iprop; sed -i 's/LAB.TEST = {/&\\n        iprop_enable = true\\n"
             "        iprop_port = 2121/' /root/kdc.conf.iprop")
    kdc1.run("KRB5_KDC_PROFILE=/root/kdc.conf.iprop kdb5_util dump -i1 /root/resync && touch /root/resync.dump_ok")
    kdc1.run(f"kprop -f /root/resync {replica.name}")
    logged(replica, "full resync by kadmind")
    assert has_newer(replica)
    replica.run(RELEASE)
    assert not replica.exists(DROPIN)


def test_a_resync_where_nothing_is_incremental(kdc1, replica):
    """kadmind's format alone opens nothing."""
    kdc1.run("cp -a /etc/krb5kdc/kdc.conf /root/kdc.conf.iprop; sed -i 's/LAB.TEST = {/&\\n        iprop_enable = true\\n"
             "        iprop_port = 2121/' /root/kdc.conf.iprop")
    kdc1.run("KRB5_KDC_PROFILE=/root/kdc.conf.iprop kdb5_util dump -i1 /root/old && touch /root/old.dump_ok")
    refused(kdc1, replica)


def test_denied_is_not_absent(kdc1, replica):
    """An agent that follows another primary: nothing is sent behind its back, and nothing changes."""
    replica.run("cp -a /etc/krb5.conf /root/krb5.conf && sed -i 's/admin_server = .*/admin_server = kdc9.lab.test/' /etc/krb5.conf")
    kdc1.run("kadmin.local -q 'addprinc -pw other-password other'")
    before = replica.out("stat", "-c", "%i", LIVE)
    for command in (["propagate"], ["propagate", "--force"]):
        report = propagate(kdc1, *command[1:], status=3)["kdc2"]
        report.stopped("agent", "refused", 3, summary="does not allow",
                       hint=["admin_server = kdc1.lab.test", RELEASE])
    set_up(kdc1, replica).stopped("agent", "refused", 3, hint=RELEASE)
    done = kdc1.run("kpropctl", "check", replica.name, check=False)
    assert done.returncode == 2 and "does not allow" in done.stdout, done.stdout
    for words in (["rollback", "--yes"], ["remove-slave", "--stop"], ["port"]):
        done = kdc1.run("kpropctl", *words, replica.name, check=False)
        said = done.stdout + done.stderr
        assert done.returncode == 3 and "admin_server = kdc1.lab.test" in said and RELEASE in said, (words, done)
    refused(kdc1, replica)
    assert replica.out("stat", "-c", "%i", LIVE) == before
    replica.run(RELEASE)
    assert kprop(kdc1, replica)[0] and not has_newer(replica)
    replica.run("mv /root/krb5.conf /etc/krb5.conf")
    set_up(kdc1, replica).good()
    assert replica.ok("kadmin.local getprinc other | grep -q ^Principal")


def test_jobs_are_named_before(kdc1, kdc2):
    """A job that sends with kprop will fail from then on: nothing is done before that is known."""
    kdc1.write("/etc/cron.d/old-kprop", "# of old\n" + JOB)
    kdc1.write("/etc/cron.daily/propagate", "#!/bin/sh\nkprop -f /root/dump kdc2.lab.test\n", "755")
    kdc1.write("/etc/systemd/system/send.service", "[Service]\nExecStart=/usr/sbin/kprop -f /root/dump kdc2.lab.test\n")
    kdc1.write("/etc/systemd/system/send.timer", "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n")
    kdc1.run("systemctl daemon-reload; systemctl enable --now --quiet send.timer")
    try:
        done = kdc1.run("kpropctl setup-slave kdc2.lab.test </dev/null", check=False)
        commands = ("sed -i '2s/^/# /' '/etc/cron.d/old-kprop'", "chmod -x '/etc/cron.daily/propagate'",
                    "systemctl disable --now send.timer send.service")
        for command in commands:
            assert f"turn it off: {command}" in done.stderr, done.stderr
        assert done.returncode == 3 and "setup-slave --yes kdc2.lab.test" in done.stderr, done.stderr
        assert not kdc2.exists(DROPIN) and not kdc2.active("krb5-kpropd")
        assert "will fail" not in kdc1.run("kpropctl setup-slave --dry-run kdc2.lab.test </dev/null", check=False).stderr
        done = kdc1.run("script -qec 'kpropctl setup-slave kdc2.lab.test' /dev/null", input="n\n", check=False)
        assert done.returncode == 3 and not kdc2.exists(DROPIN), done.stdout
        set_up(kdc1, kdc2, options=["--yes"]).good()
        set_up(kdc1, kdc2).good()  # it was said before
        kdc1.run("kpropctl", "remove-slave", "kdc2.lab.test")
        for command in commands:
            kdc1.run(command)
        set_up(kdc1, kdc2).good()  # nothing is left of them
    finally:
        kdc1.run("systemctl disable --now --quiet send.timer; rm -f /etc/systemd/system/send.* /etc/cron.d/old-kprop "
                 "/etc/cron.daily/propagate; systemctl daemon-reload")


def test_a_waiting_stash_is_for_an_announced_dump(kdc1, replica):
    """Who can send, but not announce, gets no other keys into use."""
    kdc1.run("mkdir -p /root/other && cp /etc/krb5kdc/kdc.conf /root/other/ && sed -i 's,key_stash_file.*,"
             "key_stash_file = /root/other/stash,; s,database_name.*,database_name = /root/other/principal,' /root/other/kdc.conf && "
             "export KRB5_KDC_PROFILE=/root/other/kdc.conf && kdb5_util -P else create -s && "
             "kdb5_util dump /root/old && touch /root/old.dump_ok")
    stash = kdc1.out("od -An -v -tx1 /root/other/stash | tr -d ' \\n'")
    replica.run("kpropctl-agent", "stash-put", "LAB.TEST", input=stash)
    replica.run("kpropctl-agent", "accept-next", "LAB.TEST")
    refused(kdc1, replica)
    logged(replica, "does not open it")
    assert ticket(replica) == ""
