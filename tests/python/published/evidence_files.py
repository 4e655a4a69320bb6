"""evidence.json and evidence/: whole files, and what is reported of them."""

import json
import uuid
from base64 import b64encode

from formats import card, cbor, event, evidence, note, tree
from published.samples import (
    LATER_RUN,
    LOG,
    MINUTE,
    ORIGIN,
    OTHER,
    REWARDS,
    RUN,
    SAMPLE,
    START,
    STRANGER,
    WITNESS,
    blind,
    card_event,
    chosen,
    head,
    moment,
    rating,
    root_of,
    sample,
    with_card,
)


def opening(index, field, content):
    return {
        "r": blind(index, field),
        "field": field,
        "index": index,
        "content": cbor.encode(content),
    }


def whole(entries, made, as_of, key=LOG, **more):
    """Evidence with all entries, the head the card speaks of, and the newest."""
    leaves = [tree.leaf(entry) for entry in entries]
    return {
        "v": 1,
        "card": made,
        "keys": [str(key.vkey)],
        "heads": [
            {"note": head(entries[:as_of], key), "proof": []},
            {"note": head(entries, key), "proof": tree.consistency(as_of, leaves)},
        ],
        "anchors": [],
        "entries": {"all": entries},
        "openings": [opening(2, "reward", REWARDS[0])],
    } | more


def logged(entries):
    """All entries of a log and its head."""
    return {"heads": [{"note": head(entries), "proof": []}], "entries": {"all": entries}}


def proven(entries, indices):
    leaves = [tree.leaf(entry) for entry in entries]
    return {"some": [[i, entries[i], tree.inclusion(i, leaves)] for i in indices]}


PASSING = {
    "heads.form": "pass",
    "heads.signature": "pass",
    "heads.consistency": "pass",
    "entries.complete": "pass",
    "events.form": "pass",
    "events.sequence": "pass",
    "events.time": "pass",
    "card.logged": "pass",
    "card.head": "pass",
    "card.claims": "pass",
    "openings": "pass",
}
UNCHOSEN = {
    "policy.signer": "absent",
    "policy.witnesses": "absent",
    "anchors": "absent",
}
TEXTS = {
    "failed": "Failed: do not rely on this",
    "self-consistent": "Consistent with itself; signer unknown",
    "signed": "Signed by the key you chose; date not independently shown",
}
POLICIES = {
    "chosen": chosen(LOG),
    "all_entries": chosen(LOG, requirements={"v": 1, "complete": True}),
    "same_name": chosen(OTHER),
    "stranger": chosen(STRANGER),
    "witnessed": chosen(LOG, policy=f"log {LOG.vkey}\nwitness W {WITNESS.vkey}\nquorum W\n"),
}


def report(verdict, meets_policy, checks, **more):
    return {
        "verdict": verdict,
        "verdict_text": TEXTS[verdict],
        "meets_policy": meets_policy,
        "checks": checks,
    } | more


def reports(checks, incomplete=False):
    """What good evidence gives: without a policy, and by each of the policies above."""
    checks = checks | UNCHOSEN
    by_key = checks | {"policy.signer": "pass"}
    complete = "fail" if incomplete else "pass"
    return {
        "none": report("self-consistent", None, checks),
        "chosen": report("signed", True, by_key),
        "all_entries": report(
            "failed" if incomplete else "signed",
            not incomplete,
            by_key | {"policy.complete": complete},
        ),
        "same_name": report("failed", False, checks | {"policy.signer": "fail"}),
        "stranger": report("self-consistent", False, checks),
        "witnessed": report("failed", False, by_key | {"policy.witnesses": "fail"}),
    }


def broken(checks, **failing):
    """What evidence gives in which something is wrong, with the right key chosen."""
    failing = {name.replace("__", "."): result for name, result in failing.items()}
    return {
        "chosen": report("failed", False, checks | UNCHOSEN | {"policy.signer": "pass"} | failing)
    }


def vectors():
    cases, binaries = [], {}

    def case(name, what, content, expected):
        path = f"evidence/{name}.evidence"
        binaries[path] = evidence.to_bytes(content)
        cases.append({"file": path, "what": what, "reports": expected})

    good_cases(case)
    bad_cases(case)
    good = binaries["evidence/whole.evidence"]
    return {
        "about": "Evidence files; see ../evidence.md and ../report.md. `reports` names a policy, or "
        "`none`, and gives an excerpt of the report: `checks` are name and result, `claims` id and "
        "status, all else as in the report.",
        "policies": POLICIES,
        "cases": cases,
        "unreadable": unreadable(good),
    }, binaries


def good_cases(case):
    entries, made = with_card(SAMPLE)
    size, full = len(SAMPLE), whole(entries, made, len(SAMPLE))

    expected = reports(PASSING)
    statuses = {
        claim["id"]: "stated" if claim["kind"] == "asserted" else "established"
        for claim in json.loads(made)["claims"]
    }
    expected["chosen"] |= {
        "origin": ORIGIN,
        "size": len(entries),
        "root": root_of(entries).hex(),
        "keys": [
            {
                "name": ORIGIN,
                "key_id": LOG.vkey.key_id.hex(),
                "algorithm": "Ed25519",
                "fingerprint": LOG.vkey.fingerprint,
                "chosen": True,
                "signed": True,
            }
        ],
        "publication": None,
        "claims": statuses,
        "claim_counts": {
            kind: sum(claim["kind"] == kind for claim in json.loads(made)["claims"])
            for kind in ("recomputed", "committed", "asserted")
        },
        "heads": [
            {"size": n, "root": root_of(entries[:n]).hex(), "signed_by": [ORIGIN]}
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
    cosigned = note.note(text, LOG.line(text), WITNESS.line(text, at=1_700_000_100))
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
        reports(without) | {"witnessed": met},
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

    again = [
        *SAMPLE,
        event.encode(START + MINUTE, LATER_RUN, 0, "run.start", {"model": "tiny-chat"}),
    ]
    case("two-runs", "a second run, not ended", bare | logged(again), reports(without))

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
            card__claims="absent",
            openings="fail",
            events__sequence="absent",
        ),
    )
    case(
        "missing-entry",
        "an annotation left out",
        full | {"entries": {"all": entries[:3] + entries[4:]}},
        broken(
            PASSING,
            entries__complete="fail",
            card__logged="fail",
            card__head="fail",
            card__claims="fail",
            events__sequence="absent",
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
        broken(PASSING, heads__signature="fail", policy__signer="fail"),
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
            card__claims="absent",
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

    louder = json.loads(made)
    next(claim for claim in louder["claims"] if claim["id"] == "annotations.ratings")["value"] = 3
    louder = card.to_bytes(louder)
    case(
        "wrong-claim",
        "a card, logged and signed, that counts one rating too many",
        whole([*SAMPLE, card_event(size, louder)], louder, size),
        broken(PASSING, card__claims="fail"),
    )
    case(
        "unlogged-card",
        "a card whose digest is not in the log",
        full | {"card": made.replace(b"tiny-chat", b"huge-chat")},
        broken(PASSING, card__logged="fail", card__claims="fail"),
    )
    case(
        "wrong-opening",
        "an opening with another rating",
        full | {"openings": [opening(2, "reward", 5.0)]},
        broken(PASSING, openings="fail"),
    )
    case(
        "not-an-event",
        "an entry that is no event",
        whole([*entries, b"\x80"], made, size),
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
        broken(exchanged, entries__inclusion="fail", card__logged="fail"),
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
        "keys": [],
        "heads": [],
        "anchors": [],
        "entries": {"all": []},
        "openings": [],
    }
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
