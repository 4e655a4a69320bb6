"""Logs whose keys hand over by chance, well and badly, judged by both implementations: the same of each check."""

from collections import defaultdict
from random import Random

import pytest

import rotating
from formats import chain, event, evidence, policy
from grown import Program
from public import Authority, PublicLog

LOGS, POLICIES = 60, 3


@pytest.fixture(scope="module")
def judgements(tmp_path_factory):
    """What each implementation says of every log by every policy."""
    folder, random, program = tmp_path_factory.mktemp("rotations"), Random(4), Program()
    authority = Authority(tmp_path_factory.mktemp("authority"))
    logs = [rotating.Log(random, PublicLog(bytes([n]) * 32, authority)) for n in range(LOGS)]
    moments = rotating.grow(logs)
    made = []
    for number, log in enumerate(logs):
        files = {"as it is": log.file()} | dict(unsigned(log, random))
        for at in range(POLICIES):
            trust = folder / f"policy-{number}-{at}"
            rotating.write_policy(trust, log, random, moments)
            for what, data in files.items():
                path = folder / f"{number}.evidence"
                path.write_bytes(data)
                report = program("verify", path, "--policy", trust, statuses=(0, 1))
                made.append((f"log {number}, policy {at}, {what}", data, trust, report))
    return made


def unsigned(log, random):
    """A byte of a handover is another, which nobody has signed."""
    handovers = [
        at for at, one in enumerate(log.entries) if event.decode(one)["type"] == "key.rotate"
    ]
    if handovers:
        at = random.choice(handovers)
        changed = bytearray(log.entries[at])
        changed[random.randrange(len(changed))] ^= 1
        file = evidence.parse(log.file())
        file["entries"] = {"all": [*log.entries[:at], bytes(changed), *log.entries[at + 1 :]]}
        yield f"a byte of entry {at} changed", evidence.to_bytes(file)


def test_both_implementations_judge_alike(judgements):
    seen = defaultdict(set)
    for what, data, trust, report in judgements:
        given = {check["name"]: check["result"] for check in report["checks"]}
        found = chain.Judged(data, policy.Policy.read(trust))
        told = {name: given.get(name) for name in found.checks}
        assert told == found.checks, (what, trust)
        if given["heads.signature"] != "fail" and given.get("keys") != "fail":
            told = [{key: one[key] for key in ("role", "holds")} for one in report["handovers"]]
            assert told == found.handovers, what
        for name, result in found.checks.items():
            seen[name].add(result)
    # Chance has tried everything.
    every = {"pass", "fail", "absent"}
    assert seen["keys"] == every
    assert seen["anchors.time"] == {"pass", "absent"}
    for name in ("policy.signer", "policy.hybrid", "anchors", "heads.signature"):
        assert seen[name] >= {"pass", "fail"}, name
