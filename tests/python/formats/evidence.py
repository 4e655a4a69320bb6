"""The evidence file; see transparency/evidence.md."""

from . import cbor

MAGIC = bytes.fromhex("d9d9f7")


def to_bytes(evidence):
    """Writes an evidence file: the self-described tag, then deterministic CBOR."""
    return MAGIC + cbor.encode(evidence)


def parse(data):
    if not data.startswith(MAGIC):
        raise cbor.Refused("foreign")
    return cbor.decode(data[len(MAGIC) :])
