"""cards.json: model cards."""

import struct
from hashlib import sha256

from formats import card, event, sketch
from formats.weights import Tensor
from published.samples import (
    ORIGIN,
    RUN,
    SAMPLE,
    START,
    hexes,
    judgement,
    rating,
    released,
    root_of,
    run_of,
    saved,
    trained,
)


def vectors():
    # A text of so many bytes takes three more for its head: the first is small enough to stay.
    large = {"title": "All there is to say", "sha256": sha256(b"said").digest()}
    unusual = [
        event.encode(START, RUN, 0, "run.start", {}),
        event.encode(
            START,
            RUN,
            1,
            "evaluation",
            {
                "document": {
                    "ratio": 3.0,
                    "small": 1e-7,
                    "large": 1e21,
                    "none": None,
                    "nan": float("nan"),
                    "list": [1, True, "€", b"\xab"],
                    "exact": [2**53 - 1, 1 - 2**53],
                    "beyond": [2**53, -(2**53), 2**64 - 1, -(2**64)],
                }
            },
        ),
        event.encode(START, RUN, 2, "evaluation", {"sha256": sha256(b"kept").digest()}),
        event.encode(START, RUN, 3, "guideline", {}),
        event.encode(START, RUN, 4, "erasure", {}),
        event.encode(START, RUN, 5, "x.example.note", {}),
        event.encode(START, RUN, 6, "incident", {"document": "a" * (card.MAX_INLINE - 3)}),
        event.encode(START, RUN, 7, "incident", large | {"document": "a" * (card.MAX_INLINE - 2)}),
        event.encode(START, RUN, 8, "incident", {"title": 2**53, "sha256": b"short"}),
    ]
    whole = card.card(SAMPLE, ORIGIN, root_of(SAMPLE))
    twice = whole | {"claims": [claim for claim in whole["claims"] for _ in range(2)]}
    backwards = whole | {"claims": whole["claims"][::-1]}
    text = card.to_bytes(whole).decode()
    return {
        "about": "Model cards; see ../card.md. `card` is the card's text as of a head over exactly "
        "`entries`, of the log `origin`.",
        "cards": [
            card_vector("no event at all", []),
            card_vector("a whole run", SAMPLE),
            card_vector("unusual values", unusual),
            card_vector("updates and checkpoints", trained()),
            card_vector("updates and checkpoints that lack something", irregular()),
            card_vector("sketches of weights", sketched()),
            card_vector("rounds under a privacy budget", private()),
            card_vector("rounds, and weights that learned", private(learned=True)),
            card_vector("noise on gradients", examples()),
            card_vector("values released one by one, and learned from", released()),
            card_vector("values released, and others learned from", released(values_from=None)),
            card_vector("values released, and unnamed ones learned from", released(values_from="")),
            card_vector("judgements of programs alone", judged([])),
            card_vector("judgements of programs and people", judged([rating(1, 0xA0, 4.0)])),
            card_vector("no promise", run_of([("run.start", {"annotator_privacy": "minimal"})])),
            card_vector("another promise", run_of([("run.start", {"annotator_privacy": "new"})])),
        ],
        "refused": [
            {"what": "a space", "card": text.replace(":", ": ", 1)},
            {"what": "a newline at the end", "card": text + "\n"},
            {
                "what": "keys out of order",
                "card": '{"v":1,' + text.removesuffix(',"v":1}')[1:] + "}",
            },
            {
                "what": "a number in another spelling",
                "card": text.replace("0.75", "7.5e-1"),
            },
            {"what": "version 2", "card": text.replace('"v":1}', '"v":2}')},
            {"what": "a key too many", "card": text.replace('"v":1}', '"v":1,"w":1}')},
            {
                "what": "a kind that is none",
                "card": text.replace('"asserted"', '"promised"', 1),
            },
            {"what": "no card", "card": "{}"},
            {"what": "every claim twice", "card": card.to_bytes(twice).decode()},
            {"what": "claims out of order", "card": card.to_bytes(backwards).decode()},
        ],
    }


def judged(people):
    """A run that learns from what two programs thought, and perhaps from people."""
    judgements = [judgement(len(people) + at, "brevity", 0.5) for at in range(1, 4)]
    judgements.append(judgement(len(people) + 4, "a reward model", -1.0))
    annotations = [("annotation", data) for data in [*people, *judgements]]
    learned_from = {"first": 1, "end": 1 + len(annotations), "annotations": len(annotations)}
    first, second = (sha256(bytes([n])).digest() for n in range(2))
    update = moved(first, second, delta_l2=0.25, learned_from=learned_from)
    return run_of([("run.start", {}), *annotations, ("policy.update", update)])


def private(learned=False):
    """A run that releases noised sums; two of its rounds lack their cost."""
    promise = {"epsilon": 4.0, "delta": 1e-5, "epsilon_per_round": 1.0, "rho": 0.25}
    noised = {"mechanism": "discrete-gaussian", "released": "sum", "first": 0, "end": 3, "rho": 0.1}
    noised |= {"count": 4, "sum": -7, "low": -10, "high": 30, "steps_a_unit": 10}
    noised |= {"cap": 1, "variance": 8000}
    events = [
        ("run.start", {"annotator_privacy": "strong", "privacy": promise}),
        ("privacy.round", noised),
        ("privacy.round", noised | {"rho": 0.2}),
        ("privacy.round", noised | {"rho": float("inf")}),
        ("privacy.round", noised | {"rho": -1.0}),
    ]
    if learned:
        events.append(("checkpoint", saved("final", "second")))
    return run_of(events)


def examples():
    """What trainers say of DP-SGD, as long as a card takes it, and longer, and what is none."""
    phase = {"noise_multiplier": 1.5, "rate": 0.25, "steps": 12}
    said = {
        "mechanism": "sampled-gaussian",
        "unit": "training example",
        "clip": 1.0,
        "secure_noise": False,
        "phases": [phase, {"noise_multiplier": 2.0, "steps": 1}],
    }
    # Its one key and the head of its text take nine bytes.
    longest = {"note": "a" * (card.MAX_INLINE - 9)}
    events = [
        ("run.start", {}),
        ("metric", {"step": 1, "metrics": {"loss": 0.5}}),
        ("metric", {"step": 12, "dp_sgd": said}),
        ("metric", {"dp_sgd": longest}),
        ("metric", {"dp_sgd": {"note": longest["note"] + "a"}}),
        ("metric", {"dp_sgd": "much noise"}),
        ("evaluation", {"dp_sgd": said}),
    ]
    return run_of(events)


def irregular():
    """Updates that do not continue each other, or lack something, and checkpoints that do."""
    first, second, third, fourth = (sha256(bytes([n])).digest() for n in range(4))
    learned_from = {"first": 1, "end": 9, "annotations": 7}
    metrics = {"loss": 0.5, "steps": 10, "broken": float("inf")}
    events = [
        ("run.start", {"model": "tiny-chat"}),
        ("policy.update", moved(first, second, delta_l2=0.25, learned_from=learned_from)),
        ("policy.update", moved(second, third, delta_l2=1.5, learned_from={"first": 1})),
        ("policy.update", moved(second, fourth, delta_l2=float("nan"))),
        ("policy.update", {"root_before": fourth, "delta_l2": 9.0}),
        ("policy.update", moved(first, second, delta_l2=1)),
        ("checkpoint", {"name": "final", "root": fourth, "metrics": metrics}),
        ("checkpoint", {"root": first, "metrics": [0.5]}),
        ("checkpoint", {"name": "without a root"}),
        ("annotation", {"kind": "rating", "prompt": bytes(32), "reward": 5.0, "annotator": "me"}),
    ]
    return run_of(events)


def sketched():
    """Weights that a run started from and those that it ends with, and sketches that are none."""
    first, last = (
        sketch.sketch([Tensor("a.weight", "F32", (3,), struct.pack("<3f", *values))])
        for values in ((0.5, -1.25, float("nan")), (0.75, -1.5, float("inf")))
    )
    roots = [sha256(bytes([n])).digest() for n in range(2)]
    learned_from = {"first": 0, "end": 0, "annotations": 0}
    estimate = sketch.l2(last.buckets - first.buckets)
    update = moved(*roots, delta_l2=0.25, delta_linf=0.125, learned_from=learned_from)
    sketches = {
        "sketch_before": first.to_bytes(),
        "sketch_after": last.digest(),
        "sketch_delta_l2": estimate,
    }
    events = [
        ("run.start", {"model": "tiny-chat"}),
        ("policy.update", update | sketches),
        ("checkpoint", {"name": "final", "root": roots[1], "sketch": last.to_bytes()}),
        ("checkpoint", {"name": "cut short", "root": roots[1], "sketch": last.to_bytes()[:-1]}),
        ("checkpoint", {"name": "named", "root": roots[1], "sketch": last.digest()}),
        ("checkpoint", {"root": b"short", "sketch": first.to_bytes()}),
    ]
    return run_of(events)


def moved(before, after, **more):
    return {"root_before": before, "root_after": after} | more


def card_vector(what, entries):
    made = card.to_bytes(card.card(entries, ORIGIN, root_of(entries)))
    return {
        "what": what,
        "origin": ORIGIN,
        "entries": hexes(entries),
        "card": made.decode(),
        "sha256": sha256(made).hexdigest(),
    }
