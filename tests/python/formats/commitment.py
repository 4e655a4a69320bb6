"""Commitments to private fields; see transparency/commitment.md."""

from hashlib import sha256

from . import cbor

DOMAIN = b"rlhf-audit-trail/commitment/v1"


def preimage(run, seq, field, r, content):
    """What is hashed: the domain, 0x00, and each part after its length. `content` is a CBOR value."""
    parts = [run, seq.to_bytes(8, "big"), field.encode(), r, cbor.encode(content)]
    return DOMAIN + b"\0" + b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def commit(run, seq, field, r, content):
    return sha256(preimage(run, seq, field, r, content)).digest()
