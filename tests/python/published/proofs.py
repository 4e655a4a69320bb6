"""proofs.json: tlog-proofs."""

from formats import note, tree
from published.samples import LOG, SAMPLE, head, hexes


def vectors():
    leaves = [tree.leaf(entry) for entry in SAMPLE]
    good = note.tlog_proof(SAMPLE[3], 3, tree.inclusion(3, leaves), head(SAMPLE))
    single = note.tlog_proof(SAMPLE[0], 0, [], head(SAMPLE[:1]))
    other = note.tlog_proof(SAMPLE[4], 3, tree.inclusion(3, leaves), head(SAMPLE))
    signed = {"verdict": "signed", "meets_policy": True}
    failed = {"verdict": "failed", "meets_policy": False}
    return {
        "about": "C2SP tlog-proofs; see ../proof.md. `chosen` is the report with the key `vkey` chosen, "
        "`none` the report with no key.",
        "vkey": str(LOG.vkey),
        "proofs": [
            proof_vector("an entry among eight", good, signed),
            proof_vector("the only entry", single, signed),
            proof_vector("another entry than the proof is for", other, failed),
        ],
        "refused": [
            {"what": what, "text": text}
            for what, text in (
                ("another version", good.replace("@v1", "@v2")),
                ("an index with a leading zero", good.replace("index 3", "index 03")),
                ("no index", good.replace("index 3\n", "")),
                ("no checkpoint", good.split("\n\n")[0]),
                (
                    "a hash of 31 bytes",
                    good.replace(note.base64(leaves[2]), note.base64(bytes(31))),
                ),
                ("extra data that is not base64", good.replace("extra ", "extra !")),
            )
        ],
    }


# A proof names no key: without a chosen one its signature is not checked.
KEYLESS = {"signed": "self-consistent", "failed": "failed"}


def proof_vector(what, text, chosen):
    extra, index, path, given = note.read_tlog_proof(text)
    return {
        "what": what,
        "text": text,
        "entry": extra.hex(),
        "index": index,
        "path": hexes(path),
        "note": given,
        "reports": {
            "chosen": chosen,
            "none": {"verdict": KEYLESS[chosen["verdict"]], "meets_policy": None},
        },
    }
