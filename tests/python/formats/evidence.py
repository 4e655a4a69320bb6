"""The evidence file; see transparency/evidence.md."""

from . import cbor
from .event import MAX_ENCODED, MIN_ENCODED, is_bytes, is_unsigned

MAGIC = bytes.fromhex("d9d9f7")
KEYS = ("v", "card", "keys", "heads", "anchors", "entries", "openings")
OPENING = {"r": bytes, "field": str, "index": int, "content": bytes}


def to_bytes(evidence):
    """Writes an evidence file: the self-described tag, then deterministic CBOR."""
    return MAGIC + cbor.encode(evidence)


def parse(data):
    """Reads an evidence file, refusing what gets no report; nothing is verified."""
    if not data.startswith(MAGIC):
        raise cbor.Refused("foreign")
    evidence = cbor.decode(data[len(MAGIC) :])
    if not isinstance(evidence, dict) or set(evidence) | {"card"} != set(KEYS):
        raise cbor.Refused("not the keys of an evidence file")
    if not (is_unsigned(evidence["v"]) and evidence["v"] == 1):
        raise cbor.Refused("not version 1")
    for key, is_right in (
        ("card", lambda card: isinstance(card, bytes)),
        ("keys", lambda keys: is_list(keys, str) and 1 <= len(keys) <= 16),
        (
            "heads",
            lambda heads: is_list(heads, dict) and len(heads) <= 1_000 and all(map(is_head, heads)),
        ),
        (
            "anchors",
            lambda anchors: (
                is_list(anchors, dict) and len(anchors) <= 1_000 and all(map(is_anchor, anchors))
            ),
        ),
        ("entries", are_entries),
        ("openings", lambda openings: is_list(openings, dict) and all(map(is_opening, openings))),
    ):
        if key in evidence and not is_right(evidence[key]):
            raise cbor.Refused(f"`{key}` is not what it must be")
    return evidence


def is_list(value, of):
    return isinstance(value, list) and all(isinstance(item, of) for item in value)


def are_hashes(value):
    return isinstance(value, list) and all(is_bytes(item, 32) for item in value)


def is_head(head):
    return (
        set(head) == {"note", "proof"}
        and isinstance(head["note"], str)
        and are_hashes(head["proof"])
    )


def is_anchor(anchor):
    return set(anchor) | {"stamp"} == {"stamp", "bundle"} and is_list(list(anchor.values()), bytes)


def are_entries(entries):
    match entries:
        case {"all": every, **other} if not other:
            return is_list(every, bytes) and all(map(could_be_an_event, every))
        case {"some": some, **other} if not other:
            return is_list(some, list) and all(map(is_proven, some))
    return False


def is_proven(entry):
    match entry:
        case [index, bytes(entry), path]:
            return is_unsigned(index) and could_be_an_event(entry) and are_hashes(path)
    return False


def could_be_an_event(entry):
    return MIN_ENCODED <= len(entry) <= MAX_ENCODED


def is_opening(opening):
    return set(opening) == set(OPENING) and all(
        isinstance(opening[key], kind) for key, kind in OPENING.items()
    )
