"""Evidence in which all is as it must be, but for gaps."""

import json
import uuid

from formats import event, note
from published.evidence_cases.expected import (
    PASSING,
    UNCHOSEN,
    logged,
    proven,
    report,
    reports,
    whole,
)
from published.evidence_cases.keys import (
    described,
    handing_over,
    hybrid,
    lines_of_keys,
    signed_text,
)
from published.evidence_cases.training import learning, own_claims, releasing, sketched
from published.samples import (
    COSIGNED_AT,
    LATER_RUN,
    LOG,
    MINUTE,
    ORIGIN,
    OTHER,
    REWARDS,
    RUN,
    SAMPLE,
    START,
    WITNESS,
    moment,
    root_of,
    sample,
    with_card,
)


def good_cases(case):
    entries, made = with_card(SAMPLE)
    size, full = len(SAMPLE), whole(entries, made, len(SAMPLE))
    signer = f"{ORIGIN}+{LOG.vkey.key_id.hex()}"

    expected = reports(PASSING)
    statuses = {
        claim["id"]: "stated" if claim["kind"] == "asserted" else "established"
        for claim in json.loads(made)["claims"]
    }
    expected["chosen"] |= {
        "origin": ORIGIN,
        "size": len(entries),
        "root": root_of(entries).hex(),
        "keys": [described(LOG, "Ed25519")],
        "publication": None,
        "claims": statuses,
        "claim_counts": {
            kind: sum(claim["kind"] == kind for claim in json.loads(made)["claims"])
            for kind in ("recomputed", "committed", "asserted")
        },
        "heads": [
            {"size": n, "root": root_of(entries[:n]).hex(), "signed_by": [signer]}
            for n in (size, len(entries))
        ],
        "runs": [
            {
                "run": str(uuid.UUID(bytes=RUN)),
                "started": event.rfc3339(START),
                "ended": event.rfc3339(moment(size - 1, "run.end")),
                "events": len(entries),
            }
        ],
        "openings": [{"entry": 2, "field": "reward", "value": 4.0, "result": "pass"}],
        "entries": {
            "present": len(entries),
            "of": len(entries),
            "complete": True,
            "types": {
                "annotation": 3,
                "card": 1,
                "evaluation": 1,
                "guideline": 1,
                "incident": 1,
                "run.end": 1,
                "run.start": 1,
            },
        },
        "weights": [],
    }
    case("whole", "a card, two heads, all entries, an opening", full, expected)

    # What the claims of one entry need: start, guideline, evaluation, incident, end, and the card's.
    some = proven(entries, [0, 1, 5, 6, 7, 8])
    partial = PASSING | {
        "entries.inclusion": "pass",
        "entries.complete": "absent",
        "events.sequence": "absent",
        "card.claims": "absent",
    }
    partial.pop("openings")
    expected = reports(partial, incomplete=True)
    single = [f"{name}.{n}" for name, n in (("evaluation", 5), ("incident", 6), ("run", 0))]
    expected["chosen"]["claims"] = {
        id: status if id in [*single, "guideline.1", "model.name"] else "not_established"
        for id, status in statuses.items()
    }
    case(
        "some",
        "some entries with inclusion proofs",
        full | {"entries": some, "openings": []},
        expected,
    )

    bare = {"v": 1, "keys": [str(LOG.vkey)], "anchors": [], "openings": []} | logged(SAMPLE)
    without = {name: result for name, result in PASSING.items() if not name.startswith("card")}
    without.pop("openings")
    case("no-card", "no card, one head", bare, reports(without))

    text = note.checkpoint(ORIGIN, len(SAMPLE), root_of(SAMPLE))
    cosigned = note.note(text, LOG.line(text), WITNESS.line(text, at=COSIGNED_AT))
    witnessed = bare | {"heads": [{"note": cosigned, "proof": []}]}
    met = report(
        "signed",
        True,
        without | UNCHOSEN | {"policy.signer": "pass", "policy.witnesses": "pass"},
    )
    case(
        "cosigned",
        "a witness's cosignature",
        witnessed,
        reports(without)
        | {
            "witnessed": met,
            "hybrid_any": report("failed", False, met["checks"] | {"policy.hybrid": "fail"}),
            "hybrid_unasked": report("failed", False, met["checks"] | {"policy.hybrid": "fail"}),
        },
    )

    case("empty-log", "the head of an empty log", bare | logged([]), reports(without))

    unknown = [
        *SAMPLE[:-1],
        event.encode(START + MINUTE, RUN, 7, "x.example.note", {"text": "hello"}),
    ]
    case(
        "unknown-type",
        "an event of a type unknown to version 1",
        bare | logged(unknown),
        reports(without),
    )

    gaps(case, bare, without)

    again = [
        *SAMPLE,
        event.encode(START + MINUTE, LATER_RUN, 0, "run.start", {"model": "tiny-chat"}),
    ]
    case("two-runs", "a second run, not ended", bare | logged(again), reports(without))

    back = [*SAMPLE, event.encode(START + 7_000_000 - MINUTE, RUN, 8, "x.example.note", {})]
    case(
        "clock-back",
        "an event a minute before the latest time",
        bare | logged(back),
        reports(without | {"events.time": "absent"}),
    )
    back = [*SAMPLE, event.encode(START + 7_000_001 - MINUTE, RUN, 8, "x.example.note", {})]
    case(
        "clock-back-less",
        "an event a microsecond less before the latest time",
        bare | logged(back),
        reports(without),
    )

    both = full | {
        "keys": [str(LOG.vkey), str(OTHER.vkey)],
        "heads": [h | {"note": h["note"] + OTHER.line(signed_text(h))} for h in full["heads"]],
    }
    expected = reports(PASSING)
    expected["same_name"] = expected["chosen"]
    case("two-keys", "two keys of the log, which both signed every head", both, expected)

    own_claims(case)
    learning(case)
    releasing(case)
    sketched(case)
    handing_over(case)
    lines_of_keys(case)
    hybrid(case, full)

    forged, its_card = with_card(sample(1.0, *REWARDS[1:]))
    fresh = whole(forged, its_card, size, key=OTHER, openings=[])
    unopened = {name: result for name, result in PASSING.items() if name != "openings"}
    case(
        "forged",
        "a rating changed and everything signed anew by a fresh key",
        fresh,
        {
            "none": report("self-consistent", None, unopened | UNCHOSEN),
            "chosen": report("failed", False, unopened | UNCHOSEN | {"policy.signer": "fail"}),
        },
    )


def gaps(case, bare, without):
    """The producer's word that for a while nothing could be recorded: every verdict on a key repeats it."""
    expected = reports(without | {"events.gaps": "absent"})
    for one in expected.values():
        if one["verdict"] == "signed":
            one["verdict_text"] += "; with a gap in the record"
    times = {"since": START + 8_000_000, "until": START + MINUTE}
    for name, what, gap in [
        ("incident-gap", "an incident that tells of a gap in the record", times),
        ("incident-gap-of-no-time", "an incident that tells of a gap, and not when", None),
    ]:
        incident = {"title": "Gap in the record", "gap": gap}
        told = [*SAMPLE[:-1], event.encode(START + MINUTE, RUN, 7, "incident", incident)]
        case(name, what, bare | logged(told), expected)
