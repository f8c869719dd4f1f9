"""Agents that log in as they should and then answer with what no agent says: never good, named with
host and fault, within the deadline, bounded in memory, and no burden for the other replicas.

The stock remctld speaks for them: its GSS-API and protocol are real, its commands print the rest."""
import json
import re
import time

import pytest

from propagate_kit import RESTART_AGENT, as_remctld, fleet_of

NEEDS = {
    "remctl-server": "test_a_digest_is_no_proof_if_it_is_not_the_right_one",
    "time": "test_facts_that_no_agent_gives*",
}

# What the script answers to `facts`, and what row agent must say of it.
FACTS = "kpropctl-agent facts LAB.TEST"
ANSWERS = {
    "nothing": ("true", "not a JSON object"),
    "no JSON": ("echo 'all is well'", "not a JSON object"),
    "another type": ("echo '[\"ok\"]'", "not a JSON object"),
    "cut": (f"{FACTS} | head -c 900", "not a JSON object"),
    "twice": (f"{FACTS}; {FACTS}", "not a JSON object"),
    "duplicate keys": ("echo '{\"agent\":{},\"agent\":{}}'", "not a JSON object"),
    "not UTF-8": ("printf '{\"agent\":\"\\xff\\xfe\"}'", "not a JSON object"),
    "too deep": ("head -c 900000 /dev/zero | tr '\\0' '['", "not a JSON object"),
    "many small": ("printf '{\"a\":['; yes '[],' | head -n 250000; printf '0]}'", "which version"),
    "oversized": ("head -c 50000000 /dev/zero | tr '\\0' ' '", "too long"),
    "endless": ("yes '{}'", "too long"),
    "silent": ("exec sleep infinity", "kdc2.lab.test"),
    # real time: slow, and never done
    "slow": ("while sleep 0.2; do printf ' '; done", "was not done"),
    # real time: the same
    "progress for ever": ("while sleep 0.2; do echo '{\"progress\":\"soon\"}' >&2; done",
                          "was not done"),
    "dies": ("kill -9 $$", "kdc2.lab.test"),
    "odd status": (f"{FACTS}; exit 77", "status 77"),
    "empty object": ("echo '{}'", "which version"),
    "wrong types": ("""echo '{"agent":{"version":"0.1.0","limits":7},"host":[],"realm":"LAB.TEST","krb5":null,"services":{"port":"754"},\
"keytab":{"entries":{"a":1}},"acl":{"entries":"x"},"kpropd":[1],"kdc":7,"space":{"database":{"free":"all"}},\
"database":true,"last":[],"time":"now"}'""", None),
    "huge numbers": (f"{FACTS} | sed -E 's/:[0-9]+([,}}])/:9223372036854775807\\1/g'", None),
    "control characters": ("""echo '{"error":"\\u001b[31mred\\u0007 | 5=3;\\n<script>","hint":"h"}'; exit 1""",
                           "red"),
}


@pytest.fixture(scope="module")
def fleet(lab):
    return fleet_of(lab, ["kdc2", "kdc3"])


def ask(kdc1, *words):
    """check as JSON, seconds, and the most memory (kB) that a process of it had."""
    began = time.monotonic()  # real time: check has a deadline
    done = kdc1.run("/usr/bin/time", "-f", "peak %M", "kpropctl", "check", "--format=json", *words,
                    check=False, timeout=120)
    return (json.loads(done.stdout), time.monotonic() - began,  # real time: as above
            int(re.search(r"peak (\d+)", done.stderr).group(1)), done)


def held_up(fleet, script):
    """The rows of kdc2 while it answers so; the rest of what must hold is asserted."""
    kdc1, kdc2, _ = fleet
    try:
        kdc2.run(as_remctld(script))
        told, seconds, peak, done = ask(kdc1, "--timeout=6")
    finally:
        kdc2.run(RESTART_AGENT)
    hosts = {one["host"]: one for one in told["hosts"]}
    assert done.returncode == 2 and told["status"] == "CRITICAL", told
    assert seconds < 20 and peak < 64 * 1024, (seconds, peak)
    assert hosts["kdc2.lab.test"]["status"] == "CRITICAL", hosts["kdc2.lab.test"]
    assert hosts["kdc3.lab.test"]["status"] == "OK", hosts["kdc3.lab.test"]
    for text in re.findall(r'"(?:summary|detail|hint)": "((?:[^"\\]|\\.)*)"', done.stdout):
        assert "\\u00" not in text, text
    return {row["id"]: row for row in hosts["kdc2.lab.test"]["checks"]}


@pytest.mark.parametrize("what", ANSWERS)
def test_facts_that_no_agent_gives(fleet, what):
    script, said = ANSWERS[what]
    rows = held_up(fleet, f'if [ "$1" = facts ]; then\n{script}\nelse exec kpropctl-agent "$@"; fi')
    if said is None:
        assert rows["role"]["level"] != "ok" or what == "huge numbers", rows["role"]
    else:
        assert rows["agent"]["level"] == "failed" and rows["agent"]["hint"], rows["agent"]
        assert said in rows["agent"]["summary"], rows["agent"]
        for row in ("content", "kpropd", "kdc", "port", "acl"):
            assert rows[row]["level"] != "ok", rows[row]


@pytest.mark.parametrize("what, row", [("endless", "port"), ("silent", "port"), ("slow", "port"),
                                       ("many small", "port"), ("no JSON", "port")])
def test_another_verb_is_answered_so(fleet, what, row):
    """Only that row, and what needs the lost connection, is told wrong."""
    rows = held_up(fleet, f'if [ "$1" = {row} ]; then\n{ANSWERS[what][0]}\n'
                          'else exec kpropctl-agent "$@"; fi')
    assert rows["agent"]["level"] == "ok" and rows["content"]["level"] == "ok", rows
    assert rows[row]["level"] == "failed", rows[row]


def test_a_digest_is_no_proof_if_it_is_not_the_right_one(fleet):
    kdc1, kdc2, _ = fleet
    for script in ("echo '{}'", "echo '{\"digest\":null}'", "echo '{\"digest\":\"\"}'"):
        try:
            kdc2.run(as_remctld(f'if [ "$1" = digest ]; then {script}; else exec kpropctl-agent "$@"; fi'))
            told, _, _, _ = ask(kdc1, "--digest", "--check=content", "kdc2.lab.test")
        finally:
            kdc2.run(RESTART_AGENT)
        assert told["status"] == "CRITICAL", told


def test_a_digest_that_takes_too_long_is_unknown(fleet):
    kdc1, kdc2, _ = fleet
    try:
        kdc2.run(as_remctld('if [ "$1" = digest ]; then exec sleep infinity; else exec kpropctl-agent "$@"; fi'))
        told, seconds, _, _ = ask(kdc1, "--digest", "--timeout=4", "kdc2.lab.test")
    finally:
        kdc2.run(RESTART_AGENT)
    rows = {row["id"]: row for row in told["hosts"][0]["checks"]}
    assert rows["content"]["level"] == "unknown" and "--timeout" in rows["content"]["hint"], rows
    assert "timeout" not in rows and rows["kdc"]["level"] == rows["ticket"]["level"] == "ok", rows
    assert rows["stash"]["level"] == "unknown", rows
    assert told["status"] == "UNKNOWN" and seconds < 20, (seconds, told)


def test_afterwards_all_is_well(fleet):
    told, _, _, _ = ask(fleet[0], "kdc2.lab.test", "kdc3.lab.test")
    assert told["status"] == "OK", told
