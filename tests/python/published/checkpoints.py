"""checkpoints.json: keys, notes, tree heads."""

from formats import note
from published.samples import LOG, ORIGIN, OTHER, SAMPLE, SEEDS, STRANGER, WITNESS, head, root_of

TEXT = note.checkpoint(ORIGIN, len(SAMPLE), root_of(SAMPLE))
EMPTY = note.checkpoint(ORIGIN, 0, root_of([]))
COSIGNED_AT = 1_700_000_100


def vectors():
    return {
        "about": "Verifier keys, signed notes, checkpoints; see ../log.md. The secret keys are the "
        "published ones of RFC 8032, section 7.1: THEY PROTECT NOTHING.",
        "keys": [
            key(seed, signer.vkey)
            for seed, signer in zip(SEEDS, (LOG, STRANGER, WITNESS), strict=True)
        ],
        "keys_refused": [{"what": what, "vkey": str(vkey)} for what, vkey in wrong_keys()],
        "heads": list(heads()),
        "heads_refused": [{"what": what, "note": given} for what, given in wrong_heads()],
    }


def key(seed, vkey):
    return {
        "warning": "a published test key",
        "seed": seed.hex(),
        "public": vkey.public.hex(),
        "vkey": str(vkey),
        "key_id": vkey.key_id.hex(),
        "spki": vkey.spki.hex(),
        "fingerprint": vkey.fingerprint,
    }


def wrong_keys():
    good, key_id, public = str(LOG.vkey), LOG.vkey.key_id.hex(), LOG.vkey.public
    yield "another id", good.replace(key_id, "00000000")
    yield "an id in capitals", good.replace(key_id, key_id.upper())
    yield "no id", good.replace(key_id + "+", "")
    yield "an unknown type", note.VerifierKey(ORIGIN, 0x02, public)
    yield "31 bytes", note.VerifierKey(ORIGIN, note.ED25519, public[:31])
    yield "a space in the name", note.VerifierKey("a b", note.ED25519, public)
    yield "no name", note.VerifierKey("", note.ED25519, public)
    yield "a point of small order", note.VerifierKey("weak", note.ED25519, bytes(32))


def heads():
    """Readable heads, and what each key makes of them."""
    cosignature = WITNESS.line(TEXT, at=COSIGNED_AT)
    for what, text, lines, keys in (
        ("a tree head", TEXT, [LOG.line(TEXT)], [(LOG, "signed"), (OTHER, "absent")]),
        ("the head of an empty log", EMPTY, [LOG.line(EMPTY)], [(LOG, "signed")]),
        (
            "with a cosignature",
            TEXT,
            [LOG.line(TEXT), cosignature],
            [(LOG, "signed"), (WITNESS, "signed")],
        ),
        (
            "signed under another name",
            TEXT,
            [STRANGER.line(TEXT)],
            [(LOG, "absent"), (STRANGER, "signed")],
        ),
        ("a signature over another text", TEXT, [LOG.line(EMPTY)], [(LOG, "invalid")]),
        (
            "two signatures by one key, the second wrong",
            TEXT,
            [LOG.line(TEXT), LOG.line(EMPTY)],
            [(LOG, "invalid")],
        ),
        ("a cosignature with another time", TEXT, [moved(cosignature)], [(WITNESS, "invalid")]),
    ):
        origin, size, root = note.read_checkpoint(text)
        yield {
            "what": what,
            "note": note.note(text, *lines),
            "origin": origin,
            "size": size,
            "root": root.hex(),
            "keys": [{"vkey": str(signer.vkey), "result": result} for signer, result in keys],
            "cosigned_at": COSIGNED_AT if cosignature in lines else None,
        }


def moved(line):
    """The cosignature line with its time set back by a second."""
    dash, name, encoded = line.split()
    data = bytearray(note.b64decode(encoded))
    data[11] -= 1
    return f"{dash} {name} {note.base64(data)}\n"


def wrong_heads():
    root = note.base64(bytes(32))
    for what, text in (
        ("an extension line", TEXT + "extension\n"),
        ("a size with a leading zero", f"{ORIGIN}\n07\n{root}\n"),
        ("a size with a sign", f"{ORIGIN}\n+7\n{root}\n"),
        ("a size of 2^53", f"{ORIGIN}\n{2**53}\n{root}\n"),
        ("a root of 31 bytes", f"{ORIGIN}\n7\n{note.base64(bytes(31))}\n"),
        ("a root without padding", f"{ORIGIN}\n7\n{root.rstrip('=')}\n"),
        ("a size of 0 with another root than that of nothing", f"{ORIGIN}\n0\n{root}\n"),
        ("no origin", f"\n7\n{root}\n"),
        ("no root", f"{ORIGIN}\n7\n"),
    ):
        yield what, note.note(text, LOG.line(text))
    good = head(SAMPLE)
    yield "no signature", TEXT
    yield "no signature line after the blank line", TEXT + "\n"
    yield "no newline at the end", good[:-1]
    yield "a hyphen for the dash", good.replace("—", "-")
    yield "carriage returns", good.replace("\n", "\r\n")
    yield "a signature that is not base64", good[:-2] + "!\n"
    key_id = note.base64(LOG.vkey.key_id)
    yield "a key id without a signature", f"{TEXT}\n— {ORIGIN} {key_id}\n"
