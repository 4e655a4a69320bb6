"""checkpoints.json: keys, notes, tree heads."""

from formats import note
from published.samples import (
    COSIGNED_AT,
    LOG,
    ORIGIN,
    OTHER,
    OTHER_SECOND,
    SAMPLE,
    SECOND,
    SECOND_SEED,
    SEEDS,
    STRANGER,
    WITNESS,
    head,
    root_of,
)

TEXT = note.checkpoint(ORIGIN, len(SAMPLE), root_of(SAMPLE))
EMPTY = note.checkpoint(ORIGIN, 0, root_of([]))


def vectors():
    return {
        "about": "Verifier keys, signed notes, checkpoints; see ../log.md. The secret keys are the "
        "published ones of RFC 8032, section 7.1, and RFC 9881, appendix C: THEY PROTECT NOTHING.",
        "keys": [
            key(seed, signer.vkey)
            for seed, signer in zip(
                [*SEEDS, SECOND_SEED], (LOG, STRANGER, WITNESS, SECOND), strict=True
            )
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
    yield "a cosigner's key of 31 bytes", note.VerifierKey(ORIGIN, note.COSIGNATURE, public[:31])
    yield "an Ed25519 key as ML-DSA-44", note.VerifierKey(ORIGIN, note.MLDSA44, public)
    longer = SECOND.vkey.public + b"\0"
    yield "1311 bytes", note.VerifierKey(ORIGIN, note.MLDSA44, SECOND.vkey.public[:-1])
    yield "1313 bytes", note.VerifierKey(ORIGIN, note.MLDSA44, longer)
    yield "a point of small order", note.VerifierKey("weak", note.ED25519, bytes(32))


def heads():
    """Readable heads, and what each key makes of them."""
    cosignature = WITNESS.line(TEXT, at=COSIGNED_AT)
    second, timeless = SECOND.line(TEXT, at=COSIGNED_AT), SECOND.line(TEXT, at=0)
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
        (
            "with an ML-DSA-44 cosignature under the log's own name",
            TEXT,
            [LOG.line(TEXT), second],
            [(LOG, "signed"), (SECOND, "signed"), (OTHER_SECOND, "absent"), (WITNESS, "absent")],
        ),
        ("an ML-DSA-44 cosignature without a time", TEXT, [timeless], [(SECOND, "signed")]),
        (
            "an ML-DSA-44 cosignature with another time",
            TEXT,
            [moved(second)],
            [(SECOND, "invalid")],
        ),
        (
            "an ML-DSA-44 cosignature of another head",
            TEXT,
            [SECOND.line(EMPTY, at=COSIGNED_AT)],
            [(SECOND, "invalid")],
        ),
        (
            "an ML-DSA-44 cosignature made under another name",
            TEXT,
            [renamed("elsewhere.example")],
            [(SECOND, "invalid")],
        ),
        (
            "an ML-DSA-44 cosignature at 2^63 seconds, later than any",
            TEXT,
            [SECOND.line(TEXT, at=2**63)],
            [(SECOND, "invalid")],
        ),
        (
            "an ML-DSA-44 signature of the note's text, as an Ed25519 key signs it",
            TEXT,
            [plain()],
            [(SECOND, "invalid")],
        ),
    ):
        origin, size, root = note.read_checkpoint(text)
        yield {
            "what": what,
            "note": note.note(text, *lines),
            "origin": origin,
            "size": size,
            "root": root.hex(),
            "keys": [{"vkey": str(signer.vkey), "result": result} for signer, result in keys],
            "cosigned_at": stated_time(lines),
        }


def stated_time(lines):
    """The time in the last line, if that is a cosignature."""
    data = note.b64decode(lines[-1].split()[2])
    return int.from_bytes(data[4:12], "big") if len(data) != 68 else None


def renamed(name):
    """What the key signs under another name, in a line with its own."""
    line = note.SigningKey(name, SECOND_SEED, note.MLDSA44).line(TEXT, at=COSIGNED_AT)
    signature = note.b64decode(line.split()[2])[4:]
    return f"— {ORIGIN} {note.base64(SECOND.vkey.key_id + signature)}\n"


def plain():
    """A signature over the text alone, behind a time."""
    signature = COSIGNED_AT.to_bytes(8, "big") + SECOND.sign(TEXT.encode())
    return f"— {ORIGIN} {note.base64(SECOND.vkey.key_id + signature)}\n"


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
