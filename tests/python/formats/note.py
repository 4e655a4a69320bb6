"""Verifier keys, signed notes, checkpoints, tlog-proofs; see transparency/log.md and proof.md."""

from base64 import b64decode, b64encode
from dataclasses import dataclass
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from dilithium_py.ml_dsa import ML_DSA_44

ED25519, COSIGNATURE, MLDSA44 = 0x01, 0x04, 0x06


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
    def key(self):
        kind = MLDSA44PublicKey if self.kind == MLDSA44 else Ed25519PublicKey
        return kind.from_public_bytes(self.public)

    @property
    def spki(self):
        return self.key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

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
            at = None if self.kind == ED25519 else int.from_bytes(signature[:8], "big")
            if at is not None and at >= 2**63:
                raise ValueError("a time that the specification forbids")
            self.key.verify(signature[0 if at is None else 8 :], self.message(text, at))

    def message(self, text, at=None):
        """What the key signs for a note of this text."""
        if self.kind == ED25519:
            return text.encode()
        if self.kind == COSIGNATURE:
            return f"cosignature/v1\ntime {at}\n{text}".encode()
        origin, size, root = read_checkpoint(text)
        return b"".join(
            [
                b"subtree/v1\n\0",
                short(self.name),
                at.to_bytes(8, "big"),
                short(origin),
                (0).to_bytes(8, "big"),
                size.to_bytes(8, "big"),
                root,
            ]
        )


def short(name):
    """A name of 1 to 255 bytes after its length."""
    encoded = name.encode()
    if not encoded:
        raise ValueError("no name")
    return bytes([len(encoded)]) + encoded


class SigningKey:
    """A key that signs notes. The seeds in the vectors are published: they protect nothing."""

    def __init__(self, name, seed, kind=ED25519):
        if kind == MLDSA44:
            public, private = ML_DSA_44.key_derive(seed)
            # Without the random bytes that a real signature takes in, so that the vectors stay the same.
            self.sign = lambda message: ML_DSA_44.sign(private, message, deterministic=True)
        else:
            private = Ed25519PrivateKey.from_private_bytes(seed)
            public, self.sign = private.public_key().public_bytes_raw(), private.sign
        self.vkey = VerifierKey(name, kind, public)

    def line(self, text, at=None):
        """The signature line under `text`; a cosignature takes the time in seconds."""
        signature = self.sign(self.vkey.message(text, at))
        if at is not None:
            signature = at.to_bytes(8, "big") + signature
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
