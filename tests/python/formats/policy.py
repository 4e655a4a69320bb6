"""What the verifying person brings; see transparency/policy.md. As much of it as keys and publications need."""

import json
from base64 import b64decode
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from . import note

END = "-----END PUBLIC KEY-----\n"


@dataclass
class Policy:
    logs: list
    # Keys that the quorum rests on.
    quorum: list
    # SubjectPublicKeyInfo.
    publishers: list
    trusted_root: dict
    requirements: dict

    @classmethod
    def read(cls, folder):
        lines = [line.split() for line in (folder / "policy").read_text().splitlines()]
        logs = [note.VerifierKey.parse(rest[0]) for kind, *rest in lines if kind == "log"]
        witnesses = {
            rest[0]: note.VerifierKey.parse(rest[1]) for kind, *rest in lines if kind == "witness"
        }
        groups = {rest[0]: rest[2:] for kind, *rest in lines if kind == "group"}
        [quorum] = (rest[0] for kind, *rest in lines if kind == "quorum")

        def members(name):
            if name in witnesses:
                return [witnesses[name]]
            return [key for member in groups.get(name, []) for key in members(member)]

        pems = (folder / "publisher.pub").read_text().split(END)
        keys = [load_pem_public_key((pem + END).encode()) for pem in pems if pem.strip()]
        spki = [key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) for key in keys]
        root = json.loads((folder / "trusted_root.json").read_text())
        requirements = json.loads((folder / "requirements.json").read_text())
        return cls(logs, members(quorum), spki, root, requirements)

    def compromised(self):
        """Fingerprint and time, microseconds since 1970."""
        for key in self.requirements["compromised"]:
            yield key["key"], microseconds(key["since"])


def microseconds(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


def is_in(valid_for, time):
    start, end = valid_for.get("start"), valid_for.get("end")
    begun = start is None or microseconds(start) <= time
    return begun and (end is None or time <= microseconds(end))


def der(certificate):
    return b64decode(certificate["rawBytes"])
