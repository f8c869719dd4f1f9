"""What setup-slave prints, and with which status it ends: for people, for programs, for typing
errors."""
import json
import re

import pytest

from setup_kit import ROWS, add_user, set_up

STEP = {"id", "level", "summary", "detail", "hint"}


@pytest.fixture(scope="module")
def ready(lab):
    """A replica that is set up: nothing here changes it."""
    lab.reset(*lab.used)
    lab.used = ["kdc1", "kdc2"]
    set_up(lab.hosts["kdc1"], lab.hosts["kdc2"]).good()
    return lab.hosts["kdc1"], lab.hosts["kdc2"]


def on_a_terminal(primary, command, env=None):
    """What it prints on a pseudo terminal."""
    return primary.out("script", "--quiet", "--return", "--command", command, "/dev/null", env=env)


def test_plain_lines_without_a_terminal(ready):
    kdc1, kdc2 = ready
    text = kdc1.out("kpropctl", "setup-slave", kdc2.name)
    assert "\x1b" not in text and "\r" not in text
    lines = text.splitlines()
    assert re.match(r"ok       primary         kdc1\.lab\.test ", lines[0])
    assert sum(line.startswith("ok  ") for line in lines) == len(ROWS)
    assert "kdc2.lab.test is a verified replica of LAB.TEST: 310 principals, 5 policies, " in text


@pytest.mark.parametrize("env, mark, colour", [
    ({"TERM": "xterm"}, "✔", True), ({"TERM": "xterm", "NO_COLOR": "1"}, "✔", False),
    ({"TERM": "xterm", "LANG": "C"}, "+", True)])
def test_marks_on_a_terminal(ready, env, mark, colour):
    kdc1, kdc2 = ready
    text = on_a_terminal(kdc1, "kpropctl setup-slave kdc2.lab.test", env)
    assert len(re.findall(re.escape(mark), text)) == len(ROWS)
    assert ("\x1b[32m" in text) == colour
    if not colour:
        assert "\x1b[3" not in text
    if mark == "+":
        assert text.isascii()


def test_a_dumb_terminal_gets_plain_lines(ready):
    kdc1, _ = ready
    text = on_a_terminal(kdc1, "kpropctl setup-slave kdc2.lab.test", {"TERM": "dumb"})
    assert "\x1b" not in text and len(re.findall("^ok  ", text, re.M)) == len(ROWS)


def test_progress_bar(kdc1, kdc2):
    set_up(kdc1, kdc2).good()
    add_user(kdc1)
    kdc1.fault("slow", "1mbit")
    text = on_a_terminal(kdc1, "kpropctl setup-slave kdc2.lab.test", {"TERM": "xterm"})
    bars = re.findall(r"[\r\n]\x1b\[K   propagate +([█░]+) +(\d+) %  (\d+) kB of (\d+) kB", text)
    assert bars and bars[0][3] == "143", text
    assert all(len(bar) == 24 for bar, *_ in bars)
    assert [int(bar[1]) for bar in bars] == sorted(int(bar[1]) for bar in bars)
    assert "✚" in text and "is a verified replica" in text


def test_json(ready):
    kdc1, kdc2 = ready
    done = kdc1.run("kpropctl", "setup-slave", "--json", kdc2.name)
    told = json.loads(done.stdout)
    assert {"replica", "realm", "verified", "steps"} <= set(told)
    assert (told["replica"], told["realm"], told["verified"]) == ("kdc2.lab.test", "LAB.TEST", True)
    for step in told["steps"]:
        assert set(step) == STEP and all(isinstance(text, str) for text in step.values())
        assert step["level"] in ("ok", "fixed", "warning", "skipped", "failed", "refused")
    assert done.stderr == ""


def test_old_and_new_word(ready):
    kdc1, kdc2 = ready
    assert json.loads(kdc1.out("kpropctl", "setup-replica", "--json", kdc2.name))["verified"]


@pytest.mark.parametrize("words, said", [
    (["setup-slave"], "which host"),
    (["setup-replica"], "kpropctl: which host"),
    (["setup-slave", "--nonsense", "kdc2.lab.test"], "kpropctl: unrecognized option '--nonsense'"),
    (["setup-slave", "--", "-kdc2"], "'-kdc2' is no valid host name"),
    (["setup-slave", "kdc2 lab"], "no valid host name"),
    (["setup-slave", ""], "no valid host name"),
    (["setup-slave", "kdc2.lab.test", "KDC2.lab.test"], "named twice"),
    (["setup-salve", "kdc2.lab.test"], "unknown command 'setup-salve'"),
    (["--nonsense"], "--help"), ([], "usage"),
    (["-r", "NO.SUCH", "setup-slave", "kdc2.lab.test"], "NO.SUCH"),
])
def test_bad_usage(ready, words, said):
    kdc1, _ = ready
    done = kdc1.run("kpropctl", *words, check=False)
    if "NO.SUCH" in words:
        assert done.returncode in (1, 2, 3), done
    else:
        assert done.returncode == 2, done
    assert said in done.stdout + done.stderr


@pytest.mark.parametrize("text, words", [
    ("[kpropctl]\n    nonsense = 1\n", ["nonsense"]),
    ("[kpropctl]\n    agent_port = 99999\n", ["agent_port", "99999"]),
    ("[kpropctl]\n    timeout = soon\n", ["timeout", "soon"]),
    ("[kpropctl]\n    state_dir = relative\n", ["state_dir", "relative"]),
    ("[kpropctl\n", []),
])
@pytest.mark.parametrize("command", [["setup-slave", "kdc2.lab.test"], ["-t"]])
def test_bad_configuration(kdc1_alone, text, words, command):
    kdc1_alone.write("/etc/kpropctl/kpropctl.conf", text)
    done = kdc1_alone.run("kpropctl", *command, check=False)
    assert done.returncode == 2 and done.stdout == "", done
    for word in ["/etc/kpropctl/kpropctl.conf", *words]:
        assert word in done.stderr, done


@pytest.fixture
def kdc1_alone(ready):
    yield ready[0]
    ready[0].remove("/etc/kpropctl/kpropctl.conf")


def test_help(ready):
    kdc1, _ = ready
    for words in (["setup-slave", "--help"], ["help", "setup-slave"], ["help", "setup-replica"]):
        text = kdc1.out("kpropctl", *words)
        assert "kpropctl setup-slave" in text and "--dry-run" in text and "setup-replica" in text
    text = kdc1.out("kpropctl", "--help")
    assert "setup-slave" in text and "3 refused" in text


def test_before_the_first_replica(ready):
    kdc1, _ = ready
    kdc1.write("/etc/kpropctl/kpropctl.conf", "[kpropctl]\n    state_dir = /var/lib/nowhere\n")
    try:
        assert kdc1.out("kpropctl", "list") == \
            "no replicas yet: make one with 'kpropctl setup-slave HOST'"
        assert kdc1.json("kpropctl", "list", "--json") == []
        assert kdc1.out("kpropctl", "history") == "nothing has happened yet"
        kdc1.write("/var/lib/nowhere/LAB.TEST.replicas", '["kdc2.lab.test"]')
        done = kdc1.run("kpropctl", "list", check=False)
        assert done.returncode == 5 and "no state database" in done.stderr, done
    finally:
        kdc1.remove("/etc/kpropctl/kpropctl.conf", "/var/lib/nowhere")


def test_needs_root(ready):
    kdc1, kdc2 = ready
    done = kdc1.run("setpriv", "--reuid=65534", "--clear-groups", "kpropctl", "setup-slave", kdc2.name,
                    check=False)
    assert done.returncode == 3 and "needs root" in done.stderr
