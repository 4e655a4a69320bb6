"""Deterministic CBOR (RFC 8949, section 4.2.1); see transparency/event.md."""

import math

import cbor2

MAX_DEPTH = 32


class Refused(ValueError):
    """The bytes are not deterministic CBOR of the kinds the formats use."""


def encode(value):
    """Encodes None, booleans, integers, floats, text, bytes, lists and dicts."""
    if isinstance(value, dict):
        # cbor2's canonical mode orders keys by the rule of the older RFC 7049, so maps are made here.
        pairs = sorted((encode(key), encode(item)) for key, item in value.items())
        return head(5, len(pairs)) + b"".join(key + item for key, item in pairs)
    if isinstance(value, (list, tuple)):
        return head(4, len(value)) + b"".join(encode(item) for item in value)
    if isinstance(value, int) and not -(2**64) <= value < 2**64:
        raise Refused(f"{value} takes more than 64 bits")
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return cbor2.dumps(value, canonical=True)
    raise Refused(f"{type(value).__name__} has no place in the formats")


def head(major, length):
    """The head of a data item: major type and length, in the shortest form."""
    if length < 24:
        return bytes([major << 5 | length])
    size = next(n for n in range(4) if length < 1 << (8 << n))
    return bytes([major << 5 | 24 + size]) + length.to_bytes(1 << size, "big")


def decode(data):
    """Reads exactly one value and refuses every other way to write it."""
    try:
        value = cbor2.loads(data)
    except (cbor2.CBORError, ValueError, RecursionError) as error:
        raise Refused(str(error)) from error
    if depth(value) > MAX_DEPTH:
        raise Refused("nested too deeply")
    if encode(value) != data:
        raise Refused("not deterministic")
    return value


def depth(value):
    if isinstance(value, dict):
        return 1 + max((depth(part) for pair in value.items() for part in pair), default=0)
    if isinstance(value, (list, tuple)):
        return 1 + max(map(depth, value), default=0)
    return 0


def to_json(value, of_bytes=bytes.hex):
    """The value as JSON, for people."""
    if isinstance(value, bytes):
        return of_bytes(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    # JSON readers change integers that a double cannot hold.
    if isinstance(value, int) and abs(value) >= 2**53:
        return str(value)
    if isinstance(value, (list, tuple)):
        return [to_json(item, of_bytes) for item in value]
    if isinstance(value, dict):
        return {key: to_json(item, of_bytes) for key, item in value.items()}
    return value
