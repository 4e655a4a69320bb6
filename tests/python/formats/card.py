"""The model card, derived from events; see transparency/card.md."""

import operator
import uuid
from collections import Counter
from functools import reduce

import rfc8785

from . import cbor, sketch
from .event import PRIVATE_FIELDS, decode, is_bytes, is_finite, is_unsigned, rfc3339

IDENTITY = (["Annex IV(1)(a)", "Annex XI(1)(1)"], ["MAP 2.1"])
RECORDS = (["Art. 12(1)", "Art. 18"], ["GOVERN 1.4", "MEASURE 2.8"])
DATA = (
    ["Art. 10(2)(b)", "Art. 10(2)(c)", "Annex IV(2)(d)", "Annex XI(1)(2)(c)"],
    ["MAP 2.3", "MEASURE 2.1"],
)
GUIDELINE = (["Art. 10(2)(c)", "Annex IV(2)(d)"], ["MAP 2.3", "GOVERN 3.2"])
TRAINING = (["Annex IV(2)(b)", "Annex XI(1)(2)(b)"], ["MAP 2.3", "MEASURE 2.9"])
EVALUATION = (
    ["Art. 15(3)", "Annex IV(2)(g)", "Annex XI(2)(1)"],
    ["MEASURE 2.1", "MEASURE 2.3"],
)
INCIDENT = (["Art. 73", "Art. 55(1)(c)"], ["MANAGE 4.3"])
PRIVACY = (["Art. 10(5)"], ["MEASURE 2.10"])
OVERSIGHT = (["Art. 11(1)", "Art. 21"], ["GOVERN 1.4", "MEASURE 2.8"])

COUNTED = {
    "auditors.grants": ("auditor.grant", OVERSIGHT),
    "checkpoints.count": ("checkpoint", TRAINING),
    "erasures.count": ("erasure", PRIVACY),
    "incidents.count": ("incident", INCIDENT),
    "policy_updates.count": ("policy.update", TRAINING),
    "privacy.rounds": ("privacy.round", PRIVACY),
    "publication.heads": ("head.published", RECORDS),
}
PRIVACY_SCOPE = (
    "Privacy covers the released ratings only, not this log's training statistics or the model."
)
RELEASED_ONLY = (
    "By the producer's word, every update learned from released values only; what follows from "
    "those costs no privacy."
)
MODES = {
    "minimal": "Nothing is noised: ratings are committed to, and what is public and follows from "
    "them can give them away.",
    "moderate": "Noised ratings and votes are released one by one, within a budget for each annotator; "
    "what else is public and follows from ratings can give them away.",
    "strong": "Of ratings, noised sums over rounds are released; what else is public and follows "
    "from them can give them away.",
}
# Larger documents, in bytes of CBOR, are in the card by their digest.
MAX_INLINE = 4096


def card(entries, origin, root):
    """The card as of the head over exactly these entries."""
    events = [decode(entry) for entry in entries]
    whole = [{"entries": [0, len(entries)]}]
    judged = [(index, event) for index, event in enumerate(events) if event["type"] == "annotation"]
    annotations = [(index, event) for index, event in judged if "judge" not in event["data"]]
    data = [event["data"] for _, event in annotations]

    types = Counter(event["type"] for event in events)
    claims = [claim(id, types[kind], "recomputed", by, whole) for id, (kind, by) in COUNTED.items()]
    for id, value, by in [
        ("events.count", len(events), RECORDS),
        ("events.types", dict(types), RECORDS),
        ("runs.count", len({event["run"] for event in events}), RECORDS),
        ("annotations.count", len(annotations), DATA),
        (
            "annotations.preferences",
            sum(d.get("kind") == "preference" for d in data),
            DATA,
        ),
        ("annotations.ratings", sum(d.get("kind") == "rating" for d in data), DATA),
        (
            "annotations.annotators",
            len({d["annotator"] for d in data if isinstance(d.get("annotator"), bytes)}),
            DATA,
        ),
    ]:
        claims.append(claim(id, value, "recomputed", by, whole))
    if len(judged) > len(annotations):
        programs = len(judged) - len(annotations)
        claims.append(claim("annotations.by_programs", programs, "recomputed", DATA, whole))
    if annotations:
        among = [{"entries": [annotations[0][0], annotations[-1][0] + 1]}]
        times = [event["time"] for _, event in annotations]
        period = [rfc3339(min(times)), rfc3339(max(times))]
        claims.append(claim("annotations.period", period, "recomputed", DATA, among))
        committed = sum(is_bytes(d.get(field), 32) for d in data for field in PRIVATE_FIELDS)
        commitments = {"commitments": committed}
        claims.append(claim("annotations.content", commitments, "committed", DATA, among))
    if types["policy.update"]:
        for id, value in updates(events):
            claims.append(claim(id, value, "recomputed", TRAINING, whole))
    if types["privacy.round"]:
        costs = [e["data"].get("rho") for e in events if e["type"] == "privacy.round"]
        spent = total(rho for rho in costs if is_finite(rho) and rho >= 0)
        spent = spent if is_finite(spent) else None
        claims.append(claim("privacy.spent", spent, "recomputed", PRIVACY, whole))
        released = Counter(d.get("kind") for d in data if "released" in d)
        released = {"ratings": released["rating"], "preferences": released["preference"]}
        claims.append(claim("privacy.released", released, "recomputed", PRIVACY, whole))
        if types["policy.update"] and all(map(from_released, events)):
            claims.append(claim("privacy.training", RELEASED_ONLY, "asserted", PRIVACY, whole))
        elif types["policy.update"] or types["checkpoint"]:
            claims.append(claim("privacy.scope", PRIVACY_SCOPE, "asserted", PRIVACY, whole))
    seen, states = sketch.drift(events)
    if seen:
        value = {"from": "the producer's sketches", "sketches": seen, "states": states}
        claims.append(claim("weights.drift", value, "recomputed", TRAINING, whole))
    claims += single(events)
    claims.sort(key=lambda claim: claim["id"])
    return {
        "v": 1,
        "as_of": {"origin": origin, "size": len(entries), "root": root.hex()},
        "claims": claims,
    }


def updates(events):
    """What all updates together amount to."""
    left, breaks, learned_from, norms = {}, 0, set(), []
    for event in events:
        data = event["data"]
        if event["type"] != "policy.update":
            continue
        if not is_bytes(data.get("root_after"), 32):
            # What it left is unknown, so the next one has nothing to start from.
            breaks += 1
            left.pop(event["run"], None)
            continue
        if event["run"] in left and left[event["run"]] != data.get("root_before"):
            breaks += 1
        left[event["run"]] = data["root_after"]
        if named := read_learned_from(data):
            first, end, _ = named
            learned_from |= {
                index
                for index in range(first, min(end, len(events)))
                if events[index]["type"] == "annotation"
            }
        if is_finite(data.get("delta_l2")):
            norms.append(data["delta_l2"])
    drift = {"largest": max(0.0, *norms), "mean": total(norms) / len(norms)} if norms else None
    yield "policy_updates.unbroken", breaks == 0
    yield "policy_updates.drift", drift
    yield "policy_updates.learned_from", len(learned_from)


def from_released(event):
    """Whether an update says that it learned from released values only; other events do not count."""
    if event["type"] != "policy.update":
        return True
    data = event["data"]
    named = is_bytes(data.get("root_after"), 32) and read_learned_from(data)
    return bool(named) and data["learned_from"].get("values") == "released"


def read_learned_from(data):
    """The entries [first, end) that an update names, and how many annotations it says they hold."""
    named = data.get("learned_from")
    if not isinstance(named, dict):
        return None
    numbers = tuple(named.get(key) for key in ("first", "end", "annotations"))
    return numbers if all(map(is_unsigned, numbers)) else None


def total(norms):
    """One added to the other in order: Python's own `sum` is more exact since 3.12."""
    return reduce(operator.add, norms, 0.0)


def checkpoint(index, data, here):
    name = data["name"] if isinstance(data.get("name"), str) else None
    value = {"name": name, "root": data["root"].hex()}
    yield claim(f"checkpoint.{index}", value, "committed", TRAINING, here)
    metrics = data.get("metrics")
    metrics = metrics if isinstance(metrics, dict) else {}
    metrics = {key: value for key, value in metrics.items() if is_finite(value)}
    if metrics:
        value = {"checkpoint": name, "metrics": metrics}
        yield claim(f"metrics.{index}", value, "asserted", EVALUATION, here)


def examples(index, data, here):
    """What a trainer said of noise on gradients."""
    said = data.get("dp_sgd")
    if isinstance(said, dict) and len(cbor.encode(said)) <= MAX_INLINE:
        value = cbor.to_json(said)
        yield claim(f"privacy.examples.{index}", value, "asserted", PRIVACY, here)


def document(data):
    """The document of an event, or what names it where it is large or not in the log."""
    if "document" in data and len(cbor.encode(data["document"])) <= MAX_INLINE:
        return cbor.to_json(data["document"])
    return {"title": cbor.to_json(data.get("title")), "sha256": hex_or_none(data)}


def hex_or_none(data):
    return data["sha256"].hex() if is_bytes(data.get("sha256"), 32) else None


def single(events):
    """The claims that come from one entry each, or two."""
    newest = {}
    for index, event in enumerate(events):
        data, here = event["data"], [{"entry": index}]
        match event["type"]:
            case "run.start":
                for id, value, by in about_run(data):
                    newest[id] = claim(id, value, "asserted", by, here)
                yield run(index, event, events)
            case "guideline" if is_bytes(data.get("sha256"), 32):
                digest = {"sha256": hex_or_none(data)}
                value = {"title": cbor.to_json(data.get("title"))} | digest
                yield claim(f"guideline.{index}", value, "committed", GUIDELINE, [*here, digest])
            case "checkpoint" if is_bytes(data.get("root"), 32):
                yield from checkpoint(index, data, here)
            case "metric":
                yield from examples(index, data, here)
            case "evaluation" | "incident" as kind:
                by = EVALUATION if kind == "evaluation" else INCIDENT
                yield claim(f"{kind}.{index}", document(data), "asserted", by, here)
    yield from newest.values()


def about_run(data):
    """What a run says that later runs may say otherwise."""
    mode = data.get("annotator_privacy")
    if "model" in data:
        yield "model.name", cbor.to_json(data["model"]), IDENTITY
    if "privacy" in data:
        yield "privacy.promise", cbor.to_json(data["privacy"]), PRIVACY
    if isinstance(mode, str):
        yield "privacy.mode", MODES.get(mode, mode), PRIVACY


def run(index, start, events):
    ends = [
        (i, e) for i, e in enumerate(events) if e["run"] == start["run"] and e["type"] == "run.end"
    ]
    value = {
        "run": str(uuid.UUID(bytes=start["run"])),
        "started": rfc3339(start["time"]),
        "ended": rfc3339(ends[0][1]["time"]) if ends else None,
        "outcome": cbor.to_json(ends[0][1]["data"].get("outcome")) if ends else None,
    }
    evidence = [{"entry": index}, *({"entry": i} for i, _ in ends)]
    return claim(f"run.{index}", value, "asserted", RECORDS, evidence)


def claim(id, value, kind, asked_by, evidence):
    eu, nist = asked_by
    return {
        "id": id,
        "value": value,
        "kind": kind,
        "eu": eu,
        "nist": nist,
        "evidence": evidence,
    }


def to_bytes(card):
    return rfc8785.dumps(card)
