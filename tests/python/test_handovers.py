"""Logs whose keys handed over in public, read by the second implementation, and side by side with the program."""

import json

import pytest

from formats import chain, evidence, policy
from grown import Program
from vectors import FOLDER

ANCHORED = FOLDER / "anchored"
CASES = json.loads((ANCHORED / "handed-over.json").read_text())["cases"]
GOOD = (ANCHORED / "handed-over.evidence").read_bytes()


def judged(data, folder):
    return chain.Judged(data, policy.Policy.read(ANCHORED / folder))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["policy"] + case["file"])
def test_the_published_set_is_judged_as_it_says(case):
    found = judged((ANCHORED / case["file"]).read_bytes(), case["policy"])
    named = {name: found.checks.get(name) for name in case["checks"]}
    assert (named, found.handovers) == (case["checks"], case["handovers"])
    assert found.verdict == case["verdict"]


def changed():
    """The good file with a part left out or exchanged."""
    good = evidence.parse(GOOD)
    anchors, heads = good["anchors"], good["heads"]
    for at, one in enumerate(anchors):
        yield f"without anchor {at}", {"anchors": anchors[:at] + anchors[at + 1 :]}
        untimed = {"bundle": one["bundle"]}
        yield f"no time {at}", {"anchors": [*anchors[:at], untimed, *anchors[at + 1 :]]}
        foreign = one | {"stamp": anchors[at - 1]["stamp"]}
        yield f"another's time {at}", {"anchors": [*anchors[:at], foreign, *anchors[at + 1 :]]}
    for at, head in enumerate(heads):
        text, lines = head["note"].split("\n\n")
        lines = lines.splitlines(keepends=True)
        for line in range(len(lines)):
            fewer = text + "\n\n" + "".join(lines[:line] + lines[line + 1 :])
            if len(lines) > 1:
                stripped = head | {"note": fewer}
                yield (
                    f"head {at} without {line}",
                    {"heads": [*heads[:at], stripped, *heads[at + 1 :]]},
                )
    yield "no anchors", {"anchors": []}


@pytest.mark.parametrize("folder", ["policy-first-keys", "policy-log-key-stolen-later"])
def test_both_implementations_judge_what_was_changed_alike(tmp_path, folder):
    program = Program()
    good, verdicts = evidence.parse(GOOD), set()
    for what, change in changed():
        data = evidence.to_bytes(good | change)
        path = tmp_path / "changed.evidence"
        path.write_bytes(data)
        report = program("verify", path, "--policy", ANCHORED / folder, statuses=(0, 1))
        given = {check["name"]: check["result"] for check in report["checks"]}
        found = judged(data, folder)
        for name, result in found.checks.items():
            assert given[name] == result, (what, name)
        if given["heads.signature"] == "fail":
            continue
        told = [{key: one[key] for key in ("role", "holds")} for one in report["handovers"]]
        assert told == found.handovers, what
        verdicts.add(report["verdict"])
    assert verdicts == {"public", "signed", "failed"}
