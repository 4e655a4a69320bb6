"""Verifier keys, signed notes, checkpoints, tlog-proofs; see transparency/log.md and proof.md."""

from base64 import b64decode, b64encode
from dataclasses import dataclass
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ED25519, COSIGNATURE = 0x01, 0x04


@dataclass(frozen=True)
class VerifierKey:
    name: str
    kind: int
    public: bytes

    @classmethod
    def parse(cls, vkey):
        name, key_id, key = vkey.split("+", 2)
        typed = b64decode(key, validate=True)
        parsed = cls(name, typed[0], typed[1:])
        if parsed.key_id.hex() != key_id:
            raise ValueError("the id does not belong to the key")
        return parsed

    @property
    def key_id(self):
        return sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:4]

    @property
    def spki(self):
        key = Ed25519PublicKey.from_public_bytes(self.public)
        return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @property
    def fingerprint(self):
        return sha256(self.spki).hexdigest()

    def __str__(self):
        return f"{self.name}+{self.key_id.hex()}+{base64(bytes([self.kind]) + self.public)}"

    def verify(self, note):
        """Raises when no line of the note is by this key, or one is and does not verify."""
        text, lines = split(note)
        mine = [
            signature
            for name, key_id, signature in lines
            if (name, key_id) == (self.name, self.key_id)
        ]
        if not mine:
            raise ValueError(f"not signed by {self.name}")
        for signature in mine:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())


class SigningKey:
    """A key that signs notes. The seeds in the vectors are published: they protect nothing."""

    def __init__(self, name, seed, kind=ED25519):
        self.private = Ed25519PrivateKey.from_private_bytes(seed)
        self.vkey = VerifierKey(name, kind, self.private.public_key().public_bytes_raw())

    def line(self, text, at=None):
        """The signature line under `text`; a cosignature takes the time in seconds."""
        if at is None:
            signature = self.private.sign(text.encode())
        else:
            signature = at.to_bytes(8, "big") + self.private.sign(
                f"cosignature/v1\ntime {at}\n{text}".encode()
            )
        return f"— {self.vkey.name} {base64(self.vkey.key_id + signature)}\n"


def base64(data):
    return b64encode(data).decode()


def checkpoint(origin, size, root):
    """The text of a tree head."""
    return f"{origin}\n{size}\n{base64(root)}\n"


def read_checkpoint(text):
    origin, size, root, end = text.split("\n")
    if end or str(int(size)) != size or int(size) >= 2**53:
        raise ValueError("not a checkpoint")
    root = b64decode(root, validate=True)
    if size == "0" and root != sha256(b"").digest():
        raise ValueError("the root of an empty tree is SHA-256 of nothing")
    return origin, int(size), root


def note(text, *lines):
    return text + "\n" + "".join(lines)


def split(note):
    """A note's text, and of each signature line the name, the key id and the signature."""
    text, signatures = note.rsplit("\n\n", 1)
    lines = []
    for line in signatures.removesuffix("\n").split("\n"):
        dash, name, encoded = line.split(" ")
        if dash != "—":
            raise ValueError("not a signature line")
        data = b64decode(encoded, validate=True)
        lines.append((name, data[:4], data[4:]))
    return text + "\n", lines


def tlog_proof(entry, index, path, note):
    extra = [f"extra {base64(entry)}"] if entry is not None else []
    return "\n".join(
        [
            "c2sp.org/tlog-proof@v1",
            *extra,
            f"index {index}",
            *map(base64, path),
            "",
            note,
        ]
    )


def read_tlog_proof(text):
    head, note = text.split("\n\n", 1)
    first, *lines = head.split("\n")
    if first != "c2sp.org/tlog-proof@v1":
        raise ValueError("not a tlog-proof")
    extra = (
        b64decode(lines.pop(0).removeprefix("extra "), validate=True)
        if lines[0].startswith("extra ")
        else None
    )
    index = int(lines.pop(0).removeprefix("index "))
    return extra, index, [b64decode(line, validate=True) for line in lines], note
