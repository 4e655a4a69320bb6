"""Whether one checkpoint came from another by the updates that are logged."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from . import _engine
from .errors import BadInput

# For type checkers alone: importing typing would take as long as all the rest.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@dataclass(frozen=True)
class ChainVerification:
    """The logged weights between two checkpoints.

    A run that says which checkpoint it resumed from goes on from there: updates that the run before it made after that
    checkpoint are not on the way.
    """

    unbroken: bool | None
    """Whether every update starts from the weights that were logged before it; None where none was digested."""
    updates: int
    """How many updates with digested weights lie between the two."""
    breaks: list[int]
    """The entries that start from other weights than those logged before them."""
    reason: str
    """The same in a sentence."""


@dataclass(frozen=True)
class ProvenanceReport:
    """What the log shows of how one checkpoint came from another.

    It is verified with the key that lies beside the log, so it shows that the log agrees with itself. Who gives it to
    others gives them an evidence file, which they verify with a key that they chose.
    """

    is_valid: bool
    """No check of the log fails, and the chain of weights is not broken."""
    merkle_root: str
    """The root of the log that was verified, hex."""
    chain_verification: ChainVerification
    """The weights between the two checkpoints."""
    size: int
    """The number of entries that were verified."""
    report: dict[str, Any]
    """The whole report, as ``rlhf-audit verify --json`` gives it."""


def verify(dir: Path, start: str, end: str) -> ProvenanceReport:
    """Verifies the log in a folder, and the weights from one checkpoint to the other."""
    report = json.loads(_engine.verify_log(dir))
    kinds = ["checkpoint", "policy.update", "run.start"]
    events = json.loads(_engine.read_events(dir, kinds))
    first, last = (_find(events, name) for name in (start, end))
    if first > last:
        raise BadInput(f"the checkpoint {end!r} was logged before {start!r}; swap the two")
    since = first if first == last else _since(events, first)
    chain = _chain([events[first], *events[since:first], *events[first + 1 : last + 1]])
    is_valid = report["verdict"] != "failed" and chain.unbroken is not False
    return ProvenanceReport(is_valid, report["root"], chain, report["size"], report)


def _find(events: list[dict[str, Any]], name: str) -> int:
    """Where the newest checkpoint of this name is."""
    named = [at for at, event in enumerate(events) if event["event_data"].get("name") == name]
    if not named:
        known = [event["event_data"]["name"] for event in events if "name" in event["event_data"]]
        raise BadInput(
            f"no checkpoint {name!r} is in this log; there are: {', '.join(known[-20:]) or 'none'}"
        )
    return named[-1]


def _since(events: list[dict[str, Any]], first: int) -> int:
    """From where on the weights of a checkpoint may have moved: it is logged when all of it is saved, and training may
    have gone on meanwhile."""
    root = events[first]["event_data"]["root"]
    for at in range(first - 1, -1, -1):
        if events[at]["event_type"] == "run.start":
            break
        if events[at]["event_data"].get("root_after") == root:
            return at + 1
    return first


def _chain(events: list[dict[str, Any]]) -> ChainVerification:
    root, updates, breaks = events[0]["event_data"]["root"], 0, []
    # Where a later run may take up from: what it leaves behind is not on the way.
    saved = {events[0]["event_data"]["name"]: (root, updates, breaks)}
    seen = {root}
    for event in events[1:]:
        data = event["event_data"]
        if event["event_type"] == "run.start":
            root, updates, breaks = saved.get(data.get("resumed_from"), (root, updates, breaks))
            continue
        if "root_before" in data:
            updates += 1
            before, after = data["root_before"], data["root_after"]
        elif updates == 0:
            # Nothing says how the weights came from one checkpoint to the next.
            before, after = root, data["root"]
        elif data["root"] in seen:
            # Weights that were there before: it was saved beside the training, and logged when it was all there.
            saved[data["name"]] = (data["root"], updates, breaks)
            continue
        else:
            before = after = data["root"]
        if before != root:
            breaks = [*breaks, event["index"]]
        root = after
        if "name" in data:
            saved[data["name"]] = (root, updates, breaks)
        seen.add(root)
    if updates == 0:
        return ChainVerification(
            None,
            0,
            [],
            "no update with digested weights lies between them, so nothing says how one became the other",
        )
    if breaks:
        return ChainVerification(
            False, updates, breaks, f"the weights changed unlogged before entries {breaks}"
        )
    return ChainVerification(
        True, updates, [], f"{updates} updates lead from one to the other without a break"
    )
