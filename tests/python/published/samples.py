"""Keys, entries and heads that several vectors use, and how values are spelled in JSON."""

import struct
import uuid
from hashlib import sha256

from formats import card, commitment, event, keys, note, tree

# RFC 8032, section 7.1, TEST 1 to 3: keys that everyone knows.
SEEDS = [
    bytes.fromhex(seed)
    for seed in (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
    )
]
ORIGIN = "rlhf-audit.example/vectors"
LOG = note.SigningKey(ORIGIN, SEEDS[0])
OTHER = note.SigningKey(ORIGIN, SEEDS[1])
STRANGER = note.SigningKey("elsewhere.example/log", SEEDS[1])
WITNESS = note.SigningKey("witness.example", SEEDS[2], note.COSIGNATURE)
# RFC 9881, appendix C: the seed of its example keys.
SECOND_SEED = bytes(range(32))
SECOND = note.SigningKey(ORIGIN, SECOND_SEED, note.MLDSA44)
PUBLISHERS = [keys.PublishingKey(seed) for seed in SEEDS]
OTHER_SECOND = note.SigningKey(ORIGIN, SECOND_SEED[::-1], note.MLDSA44)
COSIGNED_AT = 1_700_000_100

RUN = uuid.UUID("01932c07-a1b2-7c3d-8e4f-5a6b7c8d9e0f").bytes
LATER_RUN = uuid.UUID("01932c08-0000-7000-8000-000000000001").bytes
MINUTE = 60_000_000
START = 28_333_334 * MINUTE  # 2023-11-14T22:14:00Z


def committed(seq, **fields):
    """Commitments to these fields of the event `seq`, with blinding values anyone can compute."""
    return {
        field: commitment.commit(RUN, seq, field, blind(seq, field), content)
        for field, content in fields.items()
    }


def blind(seq, field):
    """Test vectors need fixed blinding values. A producer draws them at random."""
    return sha256(f"blinding value of {field} in event {seq}".encode()).digest()


def rating(seq, annotator, reward):
    private = committed(seq, prompt="Why is the sky blue?", response="Rayleigh.", reward=reward)
    return {"kind": "rating", "annotator": bytes([annotator]) * 16} | private


def judgement(seq, judge, reward):
    """What a program thought, and no person."""
    private = committed(seq, prompt="Why is the sky blue?", response="", reward=reward)
    return {"kind": "rating", "judge": judge} | private


def preference(seq, annotator):
    private = committed(
        seq,
        prompt="Say hello.",
        response_a="Hello!",
        response_b="Go away.",
        preference="a",
    )
    return {"kind": "preference", "annotator": bytes([annotator]) * 16} | private


def guideline():
    text = b"Prefer the helpful answer.\n"
    return {"title": "Instructions, first edition", "sha256": sha256(text).digest()}


def update(step, before, after, learned_from, **more):
    """A policy.update as the program logs it; `learned_from` is first, end and how many."""
    return {
        "root_before": weights(before),
        "root_after": weights(after),
        "table": weights(f"table of {after}"),
        "delta_l2": 0.25 * step,
        "delta_linf": 0.125,
        "changed": 48,
        "elements": 64,
        "learned_from": dict(zip(("first", "end", "annotations"), learned_from, strict=True)),
        "metrics": {"loss": 0.5 / step},
        "step": step,
    } | more


def saved(name, root):
    """A checkpoint as the program logs it."""
    return {
        "name": name,
        "root": weights(root),
        "table": weights(f"table of {root}"),
        "tensors": 3,
        "bytes": 256,
        "metrics": {"accuracy": 0.75},
    }


def weights(what):
    """Stands for the root of some weights; real ones are in weights.json."""
    return sha256(what.encode()).digest()


def trained(first=(1, 3, 2), second=(1, 5, 3)):
    """A run that learns twice: from the first two judgements, then from all three."""
    events = [
        ("run.start", {"model": "tiny-chat"}),
        ("annotation", rating(1, 0xA0, 4.0)),
        ("annotation", rating(2, 0xA1, 2.5)),
        ("policy.update", update(1, "first", "second", first)),
        ("annotation", rating(4, 0xA0, 1.0)),
        ("policy.update", update(2, "second", "third", second)),
        ("checkpoint", saved("final", "third")),
        ("run.end", {"outcome": "completed"}),
    ]
    return run_of(events)


ITEMS = {
    "mechanism": event.PER_ITEM,
    "released": "items",
    "charge": sha256(b"charge").digest(),
    "first": 2,
    "end": 5,
    "ratings": 2,
    "preferences": 1,
    "most": 2,
    "cap": 3,
    "low": 10,
    "high": 50,
    "steps_a_unit": 10,
    "variance": 800,
    "truth": 3,
    "truth_of": 4,
    "rho_item": 1.0,
    "rho": 2.0,
}


def released(values=(3.5, "a", -7.1), values_from="released", **changed):
    """A run that releases what three judgements say with noise, and learns from that."""
    promise = {"epsilon": 40.0, "delta": 1e-5, "epsilon_per_round": 20.0, "rho": 16.5}
    learned = update(1, "first", "second", (2, 5, 3))
    learned["learned_from"] |= {"values": values_from} if values_from else {}
    given = [rating(2, 0xA0, 4.0), preference(3, 0xA0), rating(4, 0xA1, 2.5)]
    return run_of(
        [
            ("run.start", {"annotator_privacy": "moderate", "privacy": promise}),
            ("privacy.round", ITEMS | changed),
            *(
                ("annotation", judged | ({} if value is None else {"released": value}))
                for judged, value in zip(given, values, strict=True)
            ),
            ("policy.update", learned),
            ("checkpoint", saved("final", "second")),
            ("run.end", {"outcome": "completed"}),
        ]
    )


def run_of(events):
    """The entries of one run, numbered and timed."""
    return [
        event.encode(moment(seq, kind), RUN, seq, kind, data)
        for seq, (kind, data) in enumerate(events)
    ]


def sample(*rewards, **changed):
    """A log of one run: start, guideline, ratings, a preference, evaluation, incident, end.
    What is `changed` is so in the guideline."""
    events = [
        ("run.start", {"model": "tiny-chat", "program": {"name": "vectors"}}),
        ("guideline", guideline() | changed),
    ]
    events += [
        ("annotation", rating(2 + n, 0xA0 + n % 2, reward)) for n, reward in enumerate(rewards)
    ]
    events.append(("annotation", preference(len(events), 0xA7)))
    evaluation = {"name": "harmless", "accuracy": 0.75, "items": 200}
    events += [
        ("evaluation", {"document": evaluation}),
        ("incident", {"document": {"what": "a worker crashed", "severity": "low"}}),
        ("run.end", {"outcome": "completed"}),
    ]
    return run_of(events)


def moment(seq, kind):
    """A batch of annotations carries one time, to the minute; other events their own."""
    return START if kind in ("run.start", "annotation") else START + 1_000_000 * seq


REWARDS = (4.0, 2.5)
SAMPLE = sample(*REWARDS)


def with_card(entries):
    """The entries, then an event that logs the card derived from them; and that card."""
    made = card.to_bytes(card.card(entries, ORIGIN, root_of(entries)))
    return [*entries, card_event(len(entries), made)], made


def card_event(seq, made):
    """A card may follow the end of the run it tells of."""
    return event.encode(START + 3 * MINUTE, RUN, seq, "card", {"sha256": sha256(made).digest()})


# The entries of the test of Certificate Transparency's own log, and any number of plain ones.
CT_ENTRIES = [
    bytes.fromhex(entry)
    for entry in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]


def counted(size):
    """The entries 0, 1, 2, …, each as eight bytes, big-endian."""
    return [index.to_bytes(8, "big") for index in range(size)]


def head(entries, key=LOG, *more):
    """A signed tree head over these entries."""
    text = note.checkpoint(key.vkey.name, len(entries), root_of(entries))
    return note.note(text, key.line(text), *more)


def root_of(entries):
    return tree.root([tree.leaf(entry) for entry in entries])


def chosen(key, **more):
    """A policy that accepts this key, as a page hands it over."""
    return {
        "policy": f"log {key.vkey}\nquorum none\n",
        "source": "The test vectors.",
        "label": "policy.txt",
        "chosen_on": "2026-11-23",
    } | more


def hexes(hashes):
    return [digest.hex() for digest in hashes]


def spell(value):
    """A CBOR value in JSON: what JSON has no word for is an object whose one key begins with $."""
    if isinstance(value, bytes):
        return {"$bytes": value.hex()}
    if isinstance(value, float):
        return {"$float64": struct.pack(">d", value).hex()}
    if isinstance(value, int) and abs(value) >= 2**53:
        return {"$integer": str(value)}
    if isinstance(value, list):
        return [spell(item) for item in value]
    if isinstance(value, dict):
        if all(isinstance(key, str) for key in value):
            return {key: spell(item) for key, item in value.items()}
        return {"$map": [[spell(key), spell(item)] for key, item in value.items()]}
    return value
