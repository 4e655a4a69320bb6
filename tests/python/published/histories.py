"""histories.json and histories/: pairs of records of one log, and what is reported of each pair."""

from formats import event, evidence, note, tree
from formats.keys import rotation
from published.samples import (
    LOG,
    MINUTE,
    ORIGIN,
    OTHER,
    RUN,
    START,
    STRANGER,
    chosen,
    head,
    root_of,
    sample,
)

SIZES = SMALL, CARD, LARGE = 5, 7, 9
LONG = sample(4.0, 2.5, 1.0, 5.0)
REWRITTEN = sample(4.0, 2.0, 1.0, 5.0)
EMPTY = []
# The log's key hands over, and one entry follows.
HANDED_OVER = LONG + [
    event.encode(START + MINUTE, RUN, len(LONG) + n, kind, data)
    for n, (kind, data) in enumerate(
        (("key.rotate", rotation(ORIGIN, LOG, OTHER)), ("x.example.note", {}))
    )
]
HANDOVER, AFTER = len(LONG) + 1, len(LONG) + 2


def record(entries, sizes, key=LOG, whole=True, **more):
    """Evidence with a head for each of these sizes; of all entries up to the last, or of none."""
    heads, before = [], 0
    for size in sizes:
        leaves = [tree.leaf(entry) for entry in entries[:size]]
        proof = tree.consistency(before, leaves) if before else []
        heads.append({"note": head(entries[:size], key), "proof": proof})
        before = size
    return {
        "v": 1,
        "keys": [str(key.vkey)],
        "heads": heads,
        "anchors": [],
        "entries": {"all": entries[: sizes[-1]]} if whole else {"some": []},
        "openings": [],
    } | more


def broken(content):
    """The last consistency proof exchanged for another."""
    *heads, last = content["heads"]
    return content | {"heads": [*heads, last | {"proof": [bytes(32) for _ in last["proof"]]}]}


def handed_over(*signers):
    """Evidence with a head over the handover, signed by these, and one after it by the new key."""
    text = note.checkpoint(ORIGIN, HANDOVER, root_of(HANDED_OVER[:HANDOVER]))
    both, after = record(HANDED_OVER, [HANDOVER, AFTER], OTHER)["heads"]
    both |= {"note": note.note(text, *(key.line(text) for key in signers))}
    return record(HANDED_OVER, [AFTER], OTHER, heads=[both, after])


def files():
    """What the pairs are made of, by name."""
    made = {
        "small.evidence": record(LONG, [SMALL]),
        "large.evidence": record(LONG, [LARGE]),
        "large-without-entries.evidence": record(LONG, [CARD, LARGE], whole=False),
        "large-since-small.evidence": record(LONG, [SMALL, CARD, LARGE], whole=False),
        "broken-chain.evidence": broken(record(LONG, [SMALL, LARGE], whole=False)),
        "empty.evidence": record(EMPTY, [0]),
        "rewritten.evidence": record(REWRITTEN, [SMALL]),
        "rewritten-large.evidence": record(REWRITTEN, [LARGE]),
        "rewritten-chain.evidence": record(REWRITTEN, [SMALL, LARGE], whole=False),
        "other-key.evidence": record(REWRITTEN, [SMALL], OTHER),
        "other-log.evidence": record(LONG, [SMALL], STRANGER),
        "wrong-entries.evidence": record(LONG, [SMALL]) | {"entries": {"all": REWRITTEN[:SMALL]}},
        "wrong-key.evidence": record(LONG, [SMALL], keys=[str(LOG.vkey), str(OTHER.vkey)]),
        "no-heads.evidence": record(LONG, [SMALL], heads=[]),
        "handed-over.evidence": handed_over(LOG, OTHER),
        "usurped.evidence": handed_over(OTHER),
    }
    binaries = {name: evidence.to_bytes(content) for name, content in made.items()}
    leaves = [tree.leaf(entry) for entry in LONG[:SMALL]]
    proof = note.tlog_proof(LONG[2], 2, tree.inclusion(2, leaves), head(LONG[:SMALL]))
    text = note.checkpoint(ORIGIN, SMALL, root_of(LONG[:SMALL]))
    forged = note.note(text.replace("5\n", "6\n", 1), LOG.line(text))
    return binaries | {
        "small.tlog-proof": proof.encode(),
        "small.checkpoint": head(LONG[:SMALL]).encode(),
        "forged.checkpoint": forged.encode(),
        "other-key.checkpoint": head(REWRITTEN[:SMALL], OTHER).encode(),
    }


def shown(entries, size, key=LOG, known=True):
    signer = f"{key.vkey.name}+{key.vkey.key_id.hex()}"
    return {
        "size": size,
        "root": root_of(entries[:size]).hex(),
        "signed_by": [signer] if known else [],
        "note": head(entries[:size], key),
    }


def expected(result, earlier, later, verdict="signed", **more):
    history = {
        "result": result,
        "contradiction": False,
        "reversed": False,
        "earlier": earlier,
        "later": later,
    } | more
    return {"verdict": "failed" if result == "fail" else verdict, "history": history}


def pairs():
    """File, earlier file, what they show, what is reported by the policy with the log's key."""
    small, large = shown(LONG, SMALL), shown(LONG, LARGE)
    continued = expected("pass", small, large)
    for name in ("small.evidence", "small.tlog-proof", "small.checkpoint"):
        yield "large.evidence", name, "all entries of the later log", continued
        yield "large-since-small.evidence", name, "a head of the earlier size", continued
        unknown = expected("absent", small, large)
        yield "large-without-entries.evidence", name, "nothing leads on", unknown
    both = expected("pass", large, large)
    yield "large-without-entries.evidence", "large.evidence", "the same newest head", both
    turned = continued | {"history": continued["history"] | {"reversed": True}}
    yield "small.evidence", "large.evidence", "the later one was brought", turned
    nothing = expected("pass", shown(LONG, 0), large)
    yield "large-without-entries.evidence", "empty.evidence", "a log without entries", nothing

    def rewritten(earlier, later, **more):
        return expected("fail", earlier, later, contradiction=True, **more)

    other, split = shown(REWRITTEN, SMALL), "one key signed both"
    yield "rewritten.evidence", "small.evidence", split, rewritten(small, other)
    yield "rewritten-chain.evidence", "small.checkpoint", split, rewritten(small, other)
    newer = rewritten(small, shown(REWRITTEN, LARGE))
    yield "rewritten-large.evidence", "small.tlog-proof", split, newer
    # Size 5 is known of both, from a head and from entries; 9 is not known of the smaller.
    yield "rewritten.evidence", "large.evidence", split, rewritten(other, large, reversed=True)

    chain = expected("fail", small, large)
    yield "broken-chain.evidence", "small.evidence", "the proof does not hold", chain
    foreign = expected("fail", shown(REWRITTEN, SMALL, OTHER), large)
    yield "large.evidence", "other-key.evidence", "another key of the same name", foreign
    unknown = expected("absent", shown(REWRITTEN, SMALL, OTHER, known=False), large)
    yield "large.evidence", "other-key.checkpoint", "signed by a key unknown here", unknown
    elsewhere = expected("fail", shown(LONG, SMALL, STRANGER, known=False), large)
    yield "large.evidence", "other-log.evidence", "another log", elsewhere
    bad = expected("absent", small, large)
    yield "large.evidence", "wrong-entries.evidence", "the earlier one has other entries", bad
    yield "large.evidence", "wrong-key.evidence", "the earlier one names a key that is not its", bad
    yield "large.evidence", "forged.checkpoint", "the earlier one's signature is wrong", None
    none = expected("absent", None, large)
    yield "large.evidence", "no-heads.evidence", "the earlier one has no head", none


def handovers():
    """The earlier record is signed by the key that was the log's before."""
    small, after = shown(LONG, SMALL), shown(HANDED_OVER, AFTER, OTHER)
    what = "the log's key handed over in between"
    for name in ("small.evidence", "small.tlog-proof", "small.checkpoint"):
        yield "handed-over.evidence", name, what, expected("pass", small, after)
    turned = expected("pass", small, after, reversed=True)
    yield "small.evidence", "handed-over.evidence", what, turned
    split = expected("fail", shown(REWRITTEN, SMALL), after, contradiction=True)
    yield "handed-over.evidence", "rewritten.evidence", "a key and its successor signed both", split
    # Who names the old key as its predecessor accuses nobody.
    nobody = expected("fail", shown(REWRITTEN, SMALL), after)
    yield "usurped.evidence", "rewritten.evidence", "the old key has not handed over", nobody


def vectors():
    binaries = files()
    text = binaries["forged.checkpoint"].decode()
    unsigned = {
        "size": SMALL + 1,
        "root": root_of(LONG[:SMALL]).hex(),
        "signed_by": [],
        "note": text,
    }
    forged = expected("absent", unsigned, shown(LONG, LARGE))
    return {
        "about": "Pairs of records of one log; see ../report.md, History. `report` is an excerpt, as in "
        "evidence.json, of the report on `file` by the policy, `earlier` being brought; the key "
        "`reason` of `history` is left out. `refused` holds what cannot be brought.",
        "policy": chosen(LOG),
        "pairs": [
            {
                "file": f"histories/{file}",
                "earlier": f"histories/{earlier}",
                "what": what,
                "report": report or forged,
            }
            for file, earlier, what, report in (*pairs(), *handovers())
        ],
        "refused": [
            {"what": what, "text": text}
            for what, text in (
                ("nothing", ""),
                ("a PDF", "%PDF-1.7\n"),
                ("a note that is no head", note.note("hello\n", LOG.line("hello\n"))),
            )
        ],
    }, {f"histories/{name}": content for name, content in binaries.items()}
