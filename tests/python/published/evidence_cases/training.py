"""Evidence of runs that learn: updates, sketches, released values."""

import json
import struct

from formats import card, event, sketch
from formats.weights import Tensor
from published.evidence_cases.expected import PASSING, broken, proven, reports, whole
from published.samples import (
    MINUTE,
    RUN,
    SAMPLE,
    START,
    card_event,
    rating,
    released,
    run_of,
    saved,
    trained,
    update,
    weights,
    with_card,
)


def own_claims(case):
    """A card may say more than the log gives, and never who asks for what."""
    made = json.loads(with_card(SAMPLE)[1])
    model = next(claim for claim in made["claims"] if claim["id"] == "model.name")
    asked = {"eu": model["eu"], "nist": model["nist"]}
    model["eu"], model["nist"] = ["Art. 999"], []
    more = {"eu": ["Art. 999"], "nist": ["MAP 99"], "evidence": []}
    made["claims"] += [
        {"id": "x.example.licence", "kind": "asserted", "value": "none"} | more,
        {"id": "x.example.sum", "kind": "recomputed", "value": 7} | more,
    ]
    made = card.to_bytes(made)
    entries = [*SAMPLE, card_event(len(SAMPLE), made)]
    expected = reports(PASSING | {"card.claims": "absent"})
    claims = {claim["id"]: claim for claim in json.loads(made)["claims"]}
    by_law = {key: {id: claim[key] for id, claim in claims.items()} for key in ("eu", "nist")}
    for key, provisions in by_law.items():
        by_law[key] = provisions | {
            "model.name": asked[key],
            "x.example.licence": [],
            "x.example.sum": [],
        }
    expected["chosen"] |= by_law | {
        "claims": {
            id: "stated" if claim["kind"] == "asserted" else "established"
            for id, claim in claims.items()
        }
        | {"x.example.sum": "not_established"}
    }
    case(
        "own-claims",
        "a card with claims of the producer's own, and provisions that ask for nothing",
        whole(entries, made, len(SAMPLE)),
        expected,
    )


# What is expected of a run that learns, where `updates` is among the checks.
LEARNING = {name: result for name, result in PASSING.items() if name != "openings"}


LEARNING |= {"updates": "pass"}


def learned(entries):
    entries, made = with_card(entries)
    return whole(entries, made, len(entries) - 1, openings=[])


def learning(case):
    """A run whose updates and checkpoint are listed."""
    second, third = weights("second").hex(), weights("third").hex()
    expected = reports(LEARNING)
    expected["chosen"]["weights"] = [
        {
            "entry": 3,
            "name": None,
            "step": 1,
            "root": second,
            "root_before": weights("first").hex(),
            "delta_l2": 0.25,
            "sketch": None,
            "sketch_before": None,
            "sketch_delta_l2": None,
            "learned_from": {"first": 1, "end": 3, "annotations": 2},
            "metrics": {"loss": 0.5},
        },
        {
            "entry": 5,
            "name": None,
            "step": 2,
            "root": third,
            "root_before": second,
            "delta_l2": 0.5,
            "sketch": None,
            "sketch_before": None,
            "sketch_delta_l2": None,
            "learned_from": {"first": 1, "end": 5, "annotations": 3},
            "metrics": {"loss": 0.25},
        },
        {
            "entry": 6,
            "name": "final",
            "step": None,
            "root": third,
            "root_before": None,
            "delta_l2": None,
            "sketch": None,
            "sketch_before": None,
            "sketch_delta_l2": None,
            "learned_from": None,
            "metrics": {"accuracy": 0.75},
        },
    ]
    case("updates", "updates of the weights, and a checkpoint", learned(trained()), expected)

    entries, _ = with_card(trained())
    partial = LEARNING | {
        "entries.inclusion": "pass",
        "entries.complete": "absent",
        "events.sequence": "absent",
        "updates": "absent",
        "card.claims": "absent",
    }
    case(
        "some-updates",
        "the updates, and not all that they learned from",
        learned(trained()) | {"entries": proven(entries, [0, 3, 5, 7, 8])},
        reports(partial, incomplete=True),
    )


def releasing(case):
    """Values released one by one, accounted for by the round before them."""
    checks = LEARNING | {"events.released": "pass"}
    case(
        "released",
        "values released with noise, and learned from",
        learned(released()),
        reports(checks),
    )
    wrong = broken(checks, events__released="fail")
    for name, what, entries in (
        (
            "released-off-grid",
            "a released value that is not on the grid",
            released((3.55, "a", 1.0)),
        ),
        ("released-more", "a round that says less of one annotator than follows", released(most=1)),
        ("released-elsewhere", "a round about entries further on", released(first=3, end=6)),
    ):
        case(name, what, learned(entries), wrong)
    entries = released((3.5, "a", None), values_from=None)
    case("released-less", "a round with a value too few", learned(entries), wrong)
    entries = released(mechanism="none")
    case(
        "released-unaccounted",
        "released values that no round accounts for",
        learned(entries),
        wrong,
    )
    entries = released((3.5, "a", None), ratings=1, end=4)
    case(
        "learned-unreleased",
        "an update that says it learned from released values, of which one was not",
        learned(entries),
        broken(checks, updates="fail"),
    )
    case(
        "released-cheap",
        "a round that says it cost less than its noise",
        learned(released(rho_item=0.9)),
        broken(checks, events__form="fail", events__released="fail"),
    )


def sketched(case):
    """Sketches of weights: how far they are apart, and what contradicts itself."""
    first, last = (floats_sketch(values) for values in ((0.5, -1.25), (0.75, float("nan"))))
    estimate = sketch.l2(last.buckets - first.buckets)
    sketches = {
        "sketch_before": first.to_bytes(),
        "sketch_after": last.digest(),
        "sketch_delta_l2": estimate,
    }

    def run(sketches, **of_checkpoint):
        return learned(
            run_of(
                [
                    ("run.start", {"model": "tiny-chat"}),
                    ("policy.update", update(1, "first", "second", (0, 0, 0)) | sketches),
                    ("checkpoint", saved("final", "second") | of_checkpoint),
                    ("run.end", {"outcome": "completed"}),
                ]
            )
        )

    checks = LEARNING | {"sketches": "pass"}
    expected = reports(checks)
    expected["chosen"]["drift"] = [
        {
            "entry": entry,
            "name": name,
            "root": weights(root).hex(),
            "sketch": held.digest().hex(),
            "left_out": held.nan,
            "from": moved,
            "rederived": False,
        }
        for entry, name, root, held, moved in (
            (1, None, "first", first, []),
            (2, "final", "second", last, [estimate]),
        )
    ]
    case("sketches", "sketches of weights", run(sketches, sketch=last.to_bytes()), expected)
    for name, what, given, of_checkpoint in (
        (
            "wrong-estimate",
            "an estimate that the two sketches do not give",
            sketches | {"sketch_delta_l2": estimate * (1 + 1e-8)},
            last.to_bytes(),
        ),
        (
            "two-sketches",
            "one root with two sketches",
            sketches | {"sketch_before": first.digest()},
            first.digest(),
        ),
    ):
        made = run(given, sketch=of_checkpoint)
        case(name, what, made, broken(checks, sketches="fail"))


def floats_sketch(values):
    data = struct.pack(f"<{len(values)}f", *values)
    return sketch.sketch([Tensor("a.weight", "F32", (len(values),), data)])


def wrong_learning(case):
    for name, what, entries in (
        ("wrong-learned-from", "an update that learned from a rating too many", (1, 3, 3)),
        ("learned-from-later", "an update that learned from a later rating", (1, 5, 3)),
        ("learned-from-itself", "an update that names its own entry", (1, 4, 2)),
        ("learned-backwards", "an update that names its entries backwards", (3, 1, 0)),
    ):
        case(name, what, learned(trained(entries)), broken(LEARNING, updates="fail"))
    clear = [*trained()]
    clear[4] = event.encode(START, RUN, 4, "annotation", rating(4, 0xA0, 1.0) | {"reward": 1.0})
    case(
        "clear-reward",
        "a rating whose reward is in the clear",
        learned(clear),
        broken(LEARNING, events__form="fail"),
    )
    rootless = [*trained()]
    rootless[6] = event.encode(START + MINUTE, RUN, 6, "checkpoint", {"name": "final"})
    case(
        "no-root",
        "a checkpoint without a root",
        learned(rootless),
        broken(LEARNING, events__form="fail"),
    )
