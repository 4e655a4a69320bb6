"""Evidence under several keys: second signatures, and keys that hand over."""

from formats import event, note, tree
from formats.keys import rotation
from published.checkpoints import moved
from published.evidence_cases.expected import (
    NO_SECOND,
    PASSING,
    TEXTS,
    UNCHOSEN,
    UNPROVEN,
    broken,
    by_check,
    logged,
    report,
    reports,
)
from published.samples import (
    COSIGNED_AT,
    LOG,
    MINUTE,
    ORIGIN,
    OTHER,
    OTHER_SECOND,
    PUBLISHERS,
    RUN,
    SAMPLE,
    SECOND,
    START,
    STRANGER,
    WITNESS,
    root_of,
)


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
