"""Evidence in which something is wrong."""

import json
from base64 import b64encode

from formats import card, cbor, commitment, event, evidence, note, tree
from published.evidence_cases.expected import (
    PASSING,
    UNPROVEN,
    broken,
    by_check,
    opening,
    proven,
    whole,
)
from published.evidence_cases.keys import wrong_keys
from published.evidence_cases.training import wrong_learning
from published.samples import (
    LOG,
    MINUTE,
    ORIGIN,
    REWARDS,
    RUN,
    SAMPLE,
    START,
    blind,
    card_event,
    head,
    rating,
    root_of,
    sample,
    with_card,
)


def wrong_openings(case, full):
    guided = sample(*REWARDS, sha256=commitment.commit(RUN, 1, "sha256", blind(1, "sha256"), "a"))
    whole_number = cbor.encode(4)
    rated = rating(2, 0xA0, 4.0)
    rated["reward"] = commitment.commit(RUN, 2, "reward", blind(2, "reward"), 4)
    integral = [*SAMPLE]
    integral[2] = event.encode(START, RUN, 2, "annotation", rated)
    entries, made = with_card(guided)
    first = full["openings"][0]
    for name, what, content in (
        ("wrong-opening", "an opening with another rating", [opening(2, "reward", 5.0)]),
        ("opened-twice", "an opening that is there twice", [first, first]),
        ("opened-elsewhere", "an opening of an entry that is not there", [first | {"index": 99}]),
        ("short-blinding", "an opening with 31 random bytes", [first | {"r": first["r"][:31]}]),
        ("opened-annotator", "an opening of a pseudonym", [first | {"field": "annotator"}]),
    ):
        case(name, what, full | {"openings": content}, broken(PASSING, openings="fail"))
    case(
        "opened-guideline",
        "an opening that matches a guideline's digest, which is no private field",
        whole(entries, made, len(guided), openings=[opening(1, "sha256", "a")]),
        broken(PASSING, openings="fail"),
    )
    entries, made = with_card(integral)
    case(
        "opened-integer",
        "an opening that matches, of a rating that is an integer",
        whole(entries, made, len(integral), openings=[first | {"content": whole_number}]),
        broken(PASSING, openings="fail"),
    )


def wrong_cards(case):
    """Cards that are logged and signed, and yet say what they must not."""
    size = len(SAMPLE)

    def carded(name, what, made, expected):
        case(name, what, whole([*SAMPLE, card_event(size, made)], made, size), expected)

    def changed(id, **changes):
        made = json.loads(with_card(SAMPLE)[1])
        next(claim for claim in made["claims"] if claim["id"] == id).update(changes)
        return card.to_bytes(made)

    carded(
        "wrong-claim",
        "a card, logged and signed, that counts one rating too many",
        changed("annotations.ratings", value=3),
        broken(PASSING, card__claims="fail"),
    )
    carded(
        "wrong-kind",
        "a card that says it asserts what it should have counted",
        changed("annotations.ratings", value=3, kind="asserted"),
        broken(PASSING, card__claims="fail"),
    )
    carded(
        "wrong-pointer",
        "a claim with another claim's evidence",
        changed("model.name", evidence=[{"entry": 1}]),
        broken(PASSING, card__claims="fail"),
    )
    made = json.loads(with_card(SAMPLE)[1])
    made["claims"].insert(0, made["claims"][0])
    formless = {k: v for k, v in PASSING.items() if not k.startswith("card.")}
    expected = broken(formless, card__form="fail")
    expected["chosen"]["card"] = None
    carded("claim-twice", "a card with a claim twice", card.to_bytes(made), expected)


def bad_cases(case):
    entries, made = with_card(SAMPLE)
    size, full = len(SAMPLE), whole(entries, made, len(SAMPLE))
    leaves = [tree.leaf(entry) for entry in entries]

    changed = [*entries]
    changed[2] = sample(1.0, 2.5)[2]
    case(
        "changed-entry",
        "one rating changed after signing",
        full | {"entries": {"all": changed}},
        broken(
            PASSING,
            entries__complete="fail",
            card__head="fail",
            events__sequence="absent",
            **by_check(UNPROVEN),
        ),
    )
    case(
        "missing-entry",
        "an annotation left out",
        full | {"entries": {"all": entries[:3] + entries[4:]}},
        broken(
            PASSING,
            entries__complete="fail",
            card__head="fail",
            events__sequence="absent",
            **by_check(UNPROVEN),
        ),
    )
    wrong = [
        full["heads"][0],
        full["heads"][1] | {"proof": tree.consistency(size - 1, leaves)},
    ]
    case(
        "wrong-consistency",
        "a consistency proof for other sizes",
        full | {"heads": wrong},
        broken(PASSING, heads__consistency="fail"),
    )

    text = note.checkpoint(ORIGIN, len(entries), root_of(entries))
    unsigned = note.note(text, LOG.line(note.checkpoint(ORIGIN, len(entries), bytes(32))))
    case(
        "wrong-signature",
        "a signature over another root",
        full | {"heads": [full["heads"][0], full["heads"][1] | {"note": unsigned}]},
        broken(PASSING, heads__signature="fail", policy__signer="fail", **by_check(UNPROVEN)),
    )
    split = whole(entries, made, size)
    split["heads"][0] = {"note": head([*SAMPLE[:-1], SAMPLE[0]]), "proof": []}
    case(
        "split-view",
        "an older head with another root, properly signed",
        split,
        broken(
            PASSING,
            heads__consistency="fail",
            entries__complete="fail",
            events__sequence="absent",
            card__head="fail",
            **by_check(UNPROVEN),
        ),
    )
    gap = [
        *SAMPLE[:-1],
        event.encode(START + MINUTE, RUN, 8, "run.end", {"outcome": "completed"}),
    ]
    case(
        "gap",
        "a number left out of a run",
        whole(*with_card(gap), size),
        broken(PASSING, events__sequence="fail"),
    )

    late = [
        *entries,
        event.encode(START + 3 * MINUTE, RUN, size + 1, "annotation", rating(9, 1, 5.0)),
    ]
    case(
        "after-the-end",
        "a rating after the end of its run",
        whole(late, made, size),
        broken(PASSING, events__sequence="fail"),
    )

    wrong_cards(case)
    wrong_openings(case, full)
    wrong_learning(case)
    wrong_keys(case, full)
    case(
        "unlogged-card",
        "a card whose digest is not in the log",
        full | {"card": made.replace(b"tiny-chat", b"huge-chat")},
        broken(PASSING, card__logged="fail", card__claims="fail"),
    )
    case(
        "not-an-event",
        "an entry that is no event",
        whole([*entries, bytes(event.MIN_ENCODED)], made, size),
        broken(PASSING, events__form="fail"),
    )
    swapped = proven(entries, [0, 1, 5])
    swapped["some"][1][2] = swapped["some"][0][2]
    partial = {
        "entries.inclusion": "pass",
        "entries.complete": "absent",
        "events.sequence": "absent",
        "card.claims": "absent",
    }
    exchanged = {k: v for k, v in (PASSING | partial).items() if k != "openings"}
    case(
        "wrong-inclusion",
        "an entry with another entry's inclusion proof",
        full | {"entries": swapped, "openings": []},
        broken(exchanged, entries__inclusion="fail", card__logged="absent"),
    )


def unreadable(good):
    """Files that are not evidence, with the class of the error."""
    body = good[len(evidence.MAGIC) :]
    value = cbor.decode(body)
    unordered = b"\xa7" + b"".join(
        cbor.encode(key) + cbor.encode(item) for key, item in sorted(value.items(), reverse=True)
    )
    small = {
        "v": 1,
        "keys": [str(LOG.vkey)],
        "heads": [],
        "anchors": [],
        "entries": {"all": []},
        "openings": [],
    }
    unsigned = {"note": "", "proof": []}
    shortest = bytes(event.MIN_ENCODED)
    magic = evidence.MAGIC
    return [
        {"what": what, "error": error, "base64": b64encode(data).decode()}
        for what, error, data in (
            ("nothing", "foreign", b""),
            ("a PDF", "foreign", b"%PDF-1.7\n"),
            ("the CBOR without its tag", "foreign", cbor.encode(small)),
            ("the tag alone", "damaged", magic),
            ("cut short by a byte", "damaged", magic + cbor.encode(small)[:-1]),
            ("a byte after the end", "damaged", magic + cbor.encode(small) + b"\0"),
            (
                "a key missing",
                "damaged",
                magic + cbor.encode({k: small[k] for k in small if k != "heads"}),
            ),
            ("a key too many", "damaged", magic + cbor.encode(small | {"notes": []})),
            (
                "neither all nor some",
                "damaged",
                magic + cbor.encode(small | {"entries": {"few": []}}),
            ),
            ("no key", "damaged", magic + cbor.encode(small | {"keys": []})),
            ("17 keys", "damaged", magic + cbor.encode(small | {"keys": small["keys"] * 17})),
            ("1,001 anchors", "damaged", magic + cbor.encode(small | {"anchors": [b""] * 1_001})),
            ("1,001 heads", "damaged", magic + cbor.encode(small | {"heads": [unsigned] * 1_001})),
            (
                "an entry of 47 bytes",
                "damaged",
                magic + cbor.encode(small | {"entries": {"all": [shortest[1:]]}}),
            ),
            (
                "one of some entries of 47 bytes",
                "damaged",
                magic + cbor.encode(small | {"entries": {"some": [[0, shortest[1:], []]]}}),
            ),
            (
                "a hash of 31 bytes in a consistency proof",
                "damaged",
                magic + cbor.encode(small | {"heads": [unsigned | {"proof": [bytes(31)]}]}),
            ),
            (
                "a hash of 33 bytes in an inclusion proof",
                "damaged",
                magic + cbor.encode(small | {"entries": {"some": [[0, shortest, [bytes(33)]]]}}),
            ),
            ("keys in another order", "not-deterministic", magic + unordered),
            (
                "1 in two bytes",
                "not-deterministic",
                magic + cbor.encode(small).replace(b"av\1", b"av\x18\1"),
            ),
            ("version 2", "version", magic + cbor.encode(small | {"v": 2})),
            (
                "version 2 with a new key",
                "version",
                magic + cbor.encode(small | {"v": 2, "zzzzzzzzzz": 1}),
            ),
        )
    ]
