"""The JSON that programs print is what docs/protocol.md says, key by key, and the pages are there where a user looks."""
import json
import pathlib
import re

import pytest

NEEDS = {"remctl-client": "test_verbs"}

TEXT = (pathlib.Path(__file__).parents[2] / "docs/protocol.md").read_text()
SECTIONS = dict(re.findall(r"^### (.*?)\n(.*?)(?=^##|\Z)", TEXT, re.M | re.S))
NONCE = "ab" * 32
ANNOUNCEMENT = {"generation": 99, "sha256": NONCE, "nonce": NONCE, "digest": NONCE, "size": 9, "principals": 1, "policies": 0}


def section(name):
    """The piece of protocol.md about a verb ("port") or a report ("list --json")."""
    verb = re.compile(rf"`{re.escape(name)}( [^`]*)?` \(")
    found = [text for title, text in SECTIONS.items() if verb.match(title) or (" --" in name and f"`{name}`" in title)]
    assert len(found) == 1, name
    return found[0]


def keys(value):
    """All keys of an object, however deep."""
    if isinstance(value, dict):
        return set(value).union(*(keys(v) for v in value.values()))
    if isinstance(value, list):
        return set().union(*(keys(v) for v in value))
    return set()


def explained(text):
    return set(re.findall(r"`([a-z0-9_]+)`", text)) | in_example(text)


def in_example(text):
    return {key for block in re.findall(r"```(.*?)```", text, re.S) for key in re.findall(r'"([a-z0-9_]+)":', block)}


def agrees(reply, name, *others):
    """Every key of reply is explained in the section of that name, or in one of the others that it refers to; and what
    its example shows is there."""
    told = set().union(*(explained(section(one)) for one in (name, *others)))
    assert keys(reply) <= told, f"{name}: not in protocol.md: {sorted(keys(reply) - told)}"
    shown = in_example(section(name))
    assert shown <= keys(reply), f"{name}: only in protocol.md: {sorted(shown - keys(reply))}"


@pytest.fixture
def replica(kdc1, kdc2):
    kdc1.run("kpropctl", "setup-slave", kdc2.name)
    return kdc2


def test_verbs(kdc1, replica):
    def ask(*words, **options):
        return replica.json("kpropctl-agent", *words, **options)

    verbs = {verb["verb"] for verb in ask("help")["verbs"]}
    agrees(ask("help"), "help")
    agrees(ask("version"), "version")
    agrees(ask("port"), "port")
    afar = kdc1.json("sh", "-c", "kinit -c /root/cc -k host/kdc1.lab.test && KRB5CCNAME=/root/cc "
                     f"remctl {replica.name} kpropctl facts")  # only the daemon knows its limits
    agrees(afar, "facts", "outcome", "announce")
    assert set(ask("facts")) == set(afar)
    agrees(ask("digest", "LAB.TEST", NONCE), "digest")
    inventory = ask("inventory", "LAB.TEST")
    assert set(inventory) == {"principals", "policies"} and "alice@LAB.TEST" in inventory["principals"]
    agrees(ask("outcome", "LAB.TEST"), "outcome", "facts", "announce")
    agrees(ask("logs", "5"), "logs")
    agrees(ask("release"), "release", "port")
    agrees(replica.json("kpropctl-agent", "check", "--json", "LAB.TEST", check=False), "check")  # as ask("check") from afar
    agrees(ask("acl-add", "LAB.TEST", "host/kdc1.lab.test@LAB.TEST"), "acl-add")
    agrees(ask("use-loader", "LAB.TEST"), "use-loader")
    agrees(ask("accept-next", "LAB.TEST"), "accept-next")
    agrees(ask("release-loader", "LAB.TEST"), "release-loader")
    ask("use-loader", "LAB.TEST")
    agrees(ask("start-kpropd", "LAB.TEST"), "start-kpropd")
    agrees(ask("start-kdc", "LAB.TEST"), "start-kdc", "start-kpropd")
    agrees(ask("stash", "LAB.TEST", NONCE, "1:" + NONCE), "stash")
    stash = replica.out("od -An -v -tx1 /etc/krb5kdc/stash | tr -d ' \\n'")
    agrees(ask("stash-put", "LAB.TEST", input=stash), "stash-put")
    agrees(ask("restart-kdc", "LAB.TEST"), "restart-kdc")
    agrees(ask("rollback", "LAB.TEST"), "rollback")
    agrees(ask("announce", "LAB.TEST", json.dumps(ANNOUNCEMENT)), "announce")
    agrees(ask("stop-kpropd", "LAB.TEST"), "stop-kpropd")
    agrees(ask("release-at-start", "754"), "release-at-start")
    own = f"host/{replica.name}@LAB.TEST"
    agrees(ask("keytab-add", "LAB.TEST", own, input=f"9 18:{NONCE}\n"), "keytab-add")
    agrees(ask("keytab-drop", "LAB.TEST", own, "9"), "keytab-drop")
    bundle = kdc1.out(f"kpropctl enroll {replica.name} | base64")
    replica.run("sed -i '/kdc = kdc1/d' /etc/krb5.conf")
    enrolled = replica.json("sh", "-c", "base64 -d | kpropctl-agent enroll --json --replace", input=bundle)  # ask("enroll")
    agrees(enrolled, "enroll")
    tried = {name for name in verbs if f'ask("{name}"' in pathlib.Path(__file__).read_text()}
    assert verbs == tried, "a verb is not tried here"


def test_reports(kdc1, replica):
    def ask(*words, check=True):
        return kdc1.json("kpropctl", *words, check=check)

    agrees(ask("setup-slave", "--json", replica.name), "setup-slave --json")
    agrees(ask("propagate", "--json"), "propagate --json", "setup-slave --json")
    agrees(ask("rollback", "--yes", "--json", replica.name), "rollback --json", "setup-slave --json")
    agrees(ask("renew", "--json", replica.name), "renew --json", "setup-slave --json")
    agrees(ask("renew", "--stash", "--json"), "renew --json", "setup-slave --json")
    agrees(ask("list", "--json"), "list --json", "history --json")
    agrees(ask("history", "--json"), "history --json")
    agrees(ask("schedule", "--json", check=False), "schedule --json")
    agrees(ask("explain", "--json", "Broken pipe"), "explain --json")
    agrees(ask("port", "--json", replica.name, check=False), "port --json", "port")
    agrees(ask("check", "--format", "json", check=False), "check --format json", "setup-slave --json")
    agrees(ask("status", "--json", check=False), "status --json", "setup-slave --json")


def test_pages(kdc1, kdc2):
    for host, file in ((kdc1, "kpropctl/protocol.md"), (kdc1, "kpropctl/symptoms.md"), (kdc2, "kpropctl-agent/protocol.md")):
        assert host.exists(f"/usr/share/doc/{file}")
    for host, pages in ((kdc1, ("man8/kpropctl.8", "man5/kpropctl.conf.5")),
                        (kdc2, ("man8/kpropctl-agent.8", "man5/kpropctl-agent.conf.5"))):
        for page in pages:
            assert host.exists(f"/usr/share/man/{page}") or host.exists(f"/usr/share/man/{page}.gz"), page


def test_examples_as_installed(kdc1, kdc2):
    kdc1.run("mkdir -p /etc/kpropctl && cp /usr/share/doc/kpropctl/examples/kpropctl.conf /etc/kpropctl/")
    kdc1.run("kpropctl", "-t")
    kdc1.run("kpropctl", "setup-slave", kdc2.name)
    kdc2.run("mkdir -p /etc/kpropctl && cp /usr/share/doc/kpropctl-agent/examples/agent.conf /etc/kpropctl/")
    kdc2.run("kpropctl-agent", "-t")
    kdc2.run("systemctl", "reload", "kpropctl-agent")
    kdc1.run("kpropctl", "propagate", "--force")


def same_each_time(text):
    """What differs from run to run made alike: numbers, times and digests."""
    return re.sub(r"\b[0-9a-f]{16}(?:…|\.\.\.)|\d+(\.\d+)?", "N", text)


def test_story(kdc1, kdc2):
    """What README.md shows of the founding case is what happens."""
    readme = (pathlib.Path(__file__).parents[2] / "README.md").read_text()
    kdc2.reserve({"krb5_prop": "krb5_prop/tcp\n", "kerberos-adm": "kerberos-adm\n"})
    for command in (f"kpropctl port {kdc2.name}", f"kpropctl setup-slave {kdc2.name}"):
        shown = readme.split(f"root@kdc1:~# {command}\n")[1].split("```")[0]
        said = same_each_time(kdc1.run(*command.split(), check=False).stdout).splitlines()
        for line in same_each_time(shown).splitlines():
            assert line in said or line == "…", line
