"""evidence.json and evidence/: whole files, and what is reported of them."""

import json
import struct
import uuid
from base64 import b64encode

from formats import card, cbor, commitment, event, evidence, note, sketch, tree
from formats.keys import rotation
from formats.weights import Tensor
from published.checkpoints import moved
from published.samples import (
    COSIGNED_AT,
    LATER_RUN,
    LOG,
    MINUTE,
    ORIGIN,
    OTHER,
    OTHER_SECOND,
    PUBLISHERS,
    REWARDS,
    RUN,
    SAMPLE,
    SECOND,
    START,
    STRANGER,
    WITNESS,
    blind,
    card_event,
    chosen,
    head,
    moment,
    rating,
    released,
    root_of,
    run_of,
    sample,
    saved,
    trained,
    update,
    weights,
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
    "either": chosen(LOG, policy=f"log {LOG.vkey}\nlog {OTHER.vkey}\nquorum none\n"),
    "stranger": chosen(STRANGER),
    "witnessed": chosen(LOG, policy=f"log {LOG.vkey}\nwitness W {WITNESS.vkey}\nquorum W\n"),
}
BOTH = f"log {LOG.vkey}\nwitness second {SECOND.vkey}\nwitness W {WITNESS.vkey}\n"
HYBRID = {"v": 1, "hybrid": True}
POLICIES |= {
    "second": chosen(LOG, policy=f"{BOTH}quorum second\n"),
    "hybrid": chosen(LOG, policy=f"{BOTH}quorum second\n", requirements=HYBRID),
    "hybrid_all": chosen(
        LOG,
        policy=f"{BOTH}group all all second W\nquorum all\n",
        requirements=HYBRID | {"witnesses": True},
    ),
    "hybrid_any": chosen(
        LOG, policy=f"{BOTH}group any any second W\nquorum any\n", requirements=HYBRID
    ),
    "hybrid_unasked": chosen(LOG, policy=f"{BOTH}quorum W\n", requirements=HYBRID),
    "hybrid_witnessed": chosen(
        LOG, policy=f"{BOTH}quorum second\n", requirements=HYBRID | {"witnesses": True}
    ),
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
        "either": report("signed", True, by_key),
        "stranger": report("self-consistent", False, checks),
        "witnessed": report("failed", False, by_key | {"policy.witnesses": "fail"}),
        # Where the second signature was stripped from every head, or never made.
        "second": report("failed", False, by_key | NO_SECOND | {"policy.hybrid": "absent"}),
        "hybrid": report("failed", False, by_key | NO_SECOND),
        "hybrid_any": report("failed", False, by_key | NO_SECOND),
    }


NO_SECOND = {"policy.witnesses": "fail", "policy.hybrid": "fail"}


# Nothing follows from entries that are not shown to be in the log.
UNPROVEN = {"card.logged": "absent", "card.claims": "absent", "openings": "fail"}


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
        "status, `eu` and `nist` id and who asks for it, all else as in the report.",
        "policies": POLICIES,
        "cases": cases,
        "unreadable": unreadable(good),
    }, binaries


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


def handing_over(case):
    """Logs whose key LOG hands over to OTHER."""

    def log(data, *more):
        logged = [("key.rotate", data), *more, ("x.example.note", {})]
        later = [
            event.encode(START + MINUTE, RUN, len(SAMPLE) + n, kind, data)
            for n, (kind, data) in enumerate(logged)
        ]
        return [*SAMPLE, *later]

    def file(entries, *signers):
        """Evidence with a head for each of the last sizes; after each, who signed it."""
        sizes = range(len(entries) - len(signers) + 1, len(entries) + 1)
        heads, before = [], 0
        leaves = [tree.leaf(entry) for entry in entries]
        for size, keys_of_head in zip(sizes, signers, strict=True):
            text = note.checkpoint(ORIGIN, size, root_of(entries[:size]))
            proof = tree.consistency(before, leaves[:size]) if before else []
            heads.append(
                {"note": note.note(text, *(k.line(text) for k in keys_of_head)), "proof": proof}
            )
            before = size
        named = [str(OTHER.vkey)]
        return {"v": 1, "keys": named, "heads": heads, "anchors": [], "openings": []} | {
            "entries": {"all": entries}
        }

    plain = {name: r for name, r in PASSING.items() if not name.startswith("card")} | UNCHOSEN
    plain.pop("openings")
    good = log(rotation(ORIGIN, LOG, OTHER))
    by_key = {"keys": "pass", "policy.signer": "pass"}
    successor = {"verdict_text": TEXTS["signed"].replace("by the", "by a successor of the")}
    link = {
        "role": "log",
        "entry": len(SAMPLE),
        "old": f"{ORIGIN}+{LOG.vkey.key_id.hex()}",
        "new": f"{ORIGIN}+{OTHER.vkey.key_id.hex()}",
        "new_fingerprint": OTHER.vkey.fingerprint,
        "head": len(SAMPLE) + 1,
        "public": None,
        "holds": True,
    }

    def expected(first, second, **more):
        return {
            "none": report(
                "failed" if "fail" in first.values() and first is second else "self-consistent",
                None,
                plain | {"keys": first["keys"]} | more,
            ),
            "chosen": report(*verdict_of(first), plain | first | more),
            "same_name": report(*verdict_of(second), plain | second | more),
        }

    def verdict_of(checks):
        return ("failed", False) if "fail" in checks.values() else ("signed", True)

    whole_line = expected(by_key, by_key)
    whole_line["chosen"] |= successor | {"handovers": [link], "compromised": []}
    case(
        "keys-rotated",
        "one key hands over to another, and both signed the head over the entry",
        file(good, [LOG], [LOG, OTHER], [OTHER]),
        whole_line,
    )
    missing = {"keys": "absent", "policy.signer": "fail"}
    led = {"keys": "absent", "policy.signer": "pass"}
    case(
        "keys-stripped",
        "the old key's signature is missing from the head over the entry",
        file(good, [LOG], [OTHER], [OTHER]),
        expected(missing, led),
    )
    lost = expected(missing, led)
    case("keys-no-transition", "the head that both signed is not here", file(good, [OTHER]), lost)
    unproven = rotation(ORIGIN, LOG, OTHER) | {"proof": bytes(64)}
    bad = {"keys": "fail", "policy.signer": "fail"}
    forged = {
        name: report("failed", None if name == "none" else False, plain | checks)
        for name, checks in {
            "none": {"keys": "fail"},
            "chosen": bad,
            "same_name": {"keys": "fail", "policy.signer": "pass"},
        }.items()
    }
    case(
        "keys-unproven",
        "the new key has not signed that it takes over",
        file(log(unproven), [LOG, OTHER], [OTHER]),
        forged,
    )
    stolen = {"role": "log", "key": str(LOG.vkey), "reason": "compromised", "since": START}
    case(
        "keys-compromised",
        "the old key was stolen, and nothing was public before",
        file(
            log(rotation(ORIGIN, LOG, OTHER), ("key.retire", stolen)),
            [LOG, OTHER],
            [OTHER],
            [OTHER],
        ),
        expected(missing, led),
    )


def lines_of_keys(case):
    """Handovers of the keys that sign no heads by themselves form lines as well."""

    def publisher(old, new):
        return rotation(ORIGIN, PUBLISHERS[old], PUBLISHERS[new], "publisher")

    def cosigner(old, new):
        return rotation(ORIGIN, old, new, "cosigner")

    plain = {name: r for name, r in PASSING.items() if not name.startswith("card")} | UNCHOSEN
    plain.pop("openings")
    fails = {"keys": "fail"}
    unproven = {"proof": publisher(0, 2)["proof"]}
    second = [cosigner(SECOND, OTHER_SECOND), cosigner(OTHER_SECOND, SECOND)]
    retired = {"role": "publisher", "key": PUBLISHERS[0].spki, "reason": "lost"}
    first = publisher(0, 1)
    for name, what, rotations, checks in (
        ("publishers", "two handovers of the publishing key", [first, publisher(1, 2)], {}),
        ("publisher-unproven", "the next one has not signed", [first | unproven], fails),
        ("publisher-twice", "one hands over to two", [first, publisher(0, 2)], fails),
        ("publisher-returns", "one that was there before", [first, publisher(1, 0)], fails),
        ("publisher-unknown", "one that was never the log's", [first, publisher(2, 0)], fails),
        ("cosigner-unproven", "of an ML-DSA-44 key", [second[0] | {"proof": bytes(2420)}], fails),
        ("cosigner-returns", "an ML-DSA-44 key that was there before", second, fails),
        ("many", "a hundred changes, and one more", [retired] * 101, fails),
    ):
        events = [("key.retire" if one is retired else "key.rotate", one) for one in rotations]
        entries = SAMPLE + [
            event.encode(START + MINUTE, RUN, len(SAMPLE) + n, kind, data)
            for n, (kind, data) in enumerate(events)
        ]
        content = logged(entries) | {"v": 1, "keys": [str(LOG.vkey)], "anchors": [], "openings": []}
        chosen_checks = plain | checks | {"policy.signer": "pass"}
        verdict = ("failed", False) if checks else ("signed", True)
        case(f"keys-{name}", what, content, {"chosen": report(*verdict, chosen_checks)})


def hybrid(case, full):
    """Heads with an ML-DSA-44 cosignature under the log's own name."""
    first, newest = (SECOND.line(signed_text(h), at=COSIGNED_AT) for h in full["heads"])
    by_key = PASSING | UNCHOSEN | {"policy.signer": "pass"}

    def heads(*lines):
        return full | {
            "heads": [
                h | {"note": h["note"] + more} for h, more in zip(full["heads"], lines, strict=True)
            ]
        }

    def expected(both, **by_policy):
        """Who chose the Ed25519 key alone sees no difference; `both` is what a demand for both gives."""
        plain = {name: r for name, r in reports(PASSING).items() if name in ("none", "chosen")}
        given = {"hybrid": both} | by_policy
        return plain | {
            policy: report(
                "failed" if "fail" in checks.values() else "signed",
                "fail" not in checks.values(),
                by_key | checks,
            )
            for policy, checks in given.items()
        }

    # The log's own cosignature meets a quorum and is no witness.
    good = {"policy.hybrid": "pass", "policy.witnesses": "absent"}
    whole_report = expected(
        good,
        second=good,
        hybrid_any=good,
        hybrid_all=good | {"policy.witnesses": "fail"},
        hybrid_witnessed=good | {"policy.witnesses": "fail"},
        hybrid_unasked=NO_SECOND,
    )
    ids = [f"{ORIGIN}+{key.vkey.key_id.hex()}" for key in (LOG, SECOND)]
    whole_report["hybrid"]["keys"] = [described(LOG, "Ed25519"), described(SECOND, SECOND_KIND)]
    whole_report["hybrid"]["heads"] = [
        {"size": size, "root": root.hex(), "signed_by": ids}
        for _, size, root in (note.read_checkpoint(signed_text(h)) for h in full["heads"])
    ]
    case(
        "hybrid",
        "every head with a second, post-quantum signature",
        heads(first, newest),
        whole_report,
    )

    witness = WITNESS.line(signed_text(full["heads"][1]), at=COSIGNED_AT)
    seen = good | {"policy.witnesses": "pass"}
    case(
        "hybrid-cosigned",
        "the second signatures, and a witness's",
        heads(first, newest + witness),
        expected(good, hybrid_all=seen, hybrid_any=seen),
    )

    old = {"policy.hybrid": "fail", "policy.witnesses": "absent"}
    case(
        "hybrid-stripped-first",
        "the second signature is missing from the first head",
        heads("", newest),
        expected(old, second=old | {"policy.hybrid": "absent"}),
    )
    case(
        "hybrid-stripped-newest",
        "the second signature is missing from the newest head",
        heads(first, ""),
        expected(NO_SECOND, second=NO_SECOND | {"policy.hybrid": "absent"}),
    )
    case(
        "hybrid-swapped",
        "the second signatures of the two heads exchanged",
        heads(newest, first),
        expected(NO_SECOND, second=NO_SECOND),
    )
    case(
        "hybrid-wrong-first",
        "the second signature of the first head is that of the newest",
        heads(newest, newest),
        expected(old, second=old),
    )
    case(
        "hybrid-wrong-time",
        "the second signature of the newest head with another time",
        heads(first, moved(newest)),
        expected(NO_SECOND, second=NO_SECOND),
    )
    others = (OTHER_SECOND.line(signed_text(h), at=COSIGNED_AT) for h in full["heads"])
    case(
        "hybrid-other-key",
        "the second signatures by another key under the same name",
        heads(*others),
        expected(NO_SECOND, second=NO_SECOND | {"policy.hybrid": "absent"}),
    )


SECOND_KIND = "ML-DSA-44 cosignature"


def described(key, algorithm):
    """A chosen key that signed every head, as a report names it."""
    return {
        "name": key.vkey.name,
        "key_id": key.vkey.key_id.hex(),
        "algorithm": algorithm,
        "fingerprint": key.vkey.fingerprint,
        "chosen": True,
        "signed": True,
    }


def signed_text(given):
    return note.split(given["note"])[0]


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


def wrong_keys(case, full):
    """Every key that the file names must be of the log and have signed every head."""
    without = broken(PASSING, heads__signature="fail", **by_check(UNPROVEN))
    without["either"] = without["chosen"]
    named = [str(LOG.vkey)]
    for name, what, keys in (
        ("second-key", "a second key of the log, which signed no head", [str(OTHER.vkey)]),
        ("foreign-key", "a key of another log", [str(STRANGER.vkey)]),
        ("witness-key", "a witness's key", [str(WITNESS.vkey)]),
        ("no-key", "a key that is none", ["rlhf-audit.example/vectors+00000000+AAAA"]),
    ):
        case(name, what, full | {"keys": named + keys}, without)
    older, newest = full["heads"]
    once = [older, newest | {"note": newest["note"] + OTHER.line(signed_text(newest))}]
    case(
        "second-key-once",
        "a second key of the log, which signed the newest head alone",
        full | {"keys": [*named, str(OTHER.vkey)], "heads": once},
        without,
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


def by_check(results):
    return {name.replace(".", "__"): result for name, result in results.items()}


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
