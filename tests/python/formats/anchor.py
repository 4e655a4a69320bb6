"""Published heads; see transparency/anchor.md. Time stamps are verified by openssl."""

import json
import subprocess
import tempfile
from base64 import b64decode, b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from . import note, policy, tree

TYPE = "application/vnd.in-toto+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PREDICATE = "https://rlhf-audit-trail.dev/published-head/v1"
MINUTE = 60_000_000


@dataclass
class Published:
    """A head that a publishing key signed and a public log holds."""

    publisher: bytes
    size: int
    root: str
    sequence: int
    previous: dict | None
    # The log's id and the index in it.
    place: tuple
    # Microseconds since 1970, where a stamp over the public log's checkpoint says so.
    public: int | None


def verify(anchor, publishers, trusted_root, heads, signers):
    """What the anchor shows by one of these keys; `heads` are the signed notes in the file, `signers` gives
    the keys that may sign a head of some size.

    Raises ValueError where it does not hold.
    """
    bundle = json.loads(anchor["bundle"])
    material = bundle["verificationMaterial"]
    [entry] = material["tlogEntries"]
    kind = tuple(entry["kindVersion"][key] for key in ("kind", "version"))
    demand(bundle["mediaType"] == BUNDLE and kind == ("hashedrekord", "0.0.2"), "another kind")
    envelope = bundle["dsseEnvelope"]
    payload = b64decode(envelope["payload"])
    [signature] = (b64decode(one["sig"]) for one in envelope["signatures"])
    demand(envelope["payloadType"] == TYPE, "another type of payload")
    signed = pae(payload)

    body = b64decode(entry["canonicalizedBody"])
    publisher = entered(json.loads(body), signature, sha256(signed).digest())
    demand(publisher in publishers, "not by a publishing key that counts")
    demand(verifies(publisher, signature, signed), "the signature does not verify")
    log = log_of(entry, trusted_root)
    proof = entry["inclusionProof"]
    checkpoint = proof["checkpoint"]["envelope"]
    included(body, proof, checkpoint, log)

    signed_at = [
        stamped(b64decode(stamp["signedTimestamp"]), signature, trusted_root)
        for stamp in material["timestampVerificationData"]["rfc3161Timestamps"]
    ]
    public = None
    if "stamp" in anchor:
        public = stamped(anchor["stamp"], checkpoint.encode(), trusted_root)
        in_force = policy.is_in(log["publicKey"]["validFor"], public)
        demand(in_force, "the public log's key was not in force")
        demand(public + MINUTE >= max(signed_at, default=0), "public before it was signed")

    predicate = stated(payload, heads, signers)
    place = (b64decode(entry["logId"]["keyId"]).hex(), int(proof["logIndex"]))
    named = (predicate[key] for key in ("size", "root", "sequence", "previous"))
    return Published(publisher, *named, place, public)


def demand(holds, otherwise):
    if not holds:
        raise ValueError(otherwise)


def pae(payload):
    """What is signed of an envelope (DSSE v1.0.2)."""
    return b"DSSEv1 %d %s %d %s" % (len(TYPE), TYPE.encode(), len(payload), payload)


def entered(body, signature, digest):
    """The key that the entry in the public log names for this signature."""
    demand((body["kind"], body["apiVersion"]) == ("hashedrekord", "0.0.2"), "another entry")
    record = body["spec"]["hashedRekordV002"]
    demand(record["data"]["algorithm"] == "SHA2_256", "another hash")
    demand(b64decode(record["data"]["digest"]) == digest, "the entry is about something else")
    demand(b64decode(record["signature"]["content"]) == signature, "another signature is entered")
    return b64decode(record["signature"]["verifier"]["publicKey"]["rawBytes"])


def verifies(spki, signature, message):
    try:
        load_der_public_key(spki).verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def log_of(entry, trusted_root):
    [log] = (log for log in trusted_root["tlogs"] if log["logId"] == entry["logId"])
    return log


def included(body, proof, checkpoint, log):
    origin = log["baseUrl"].removeprefix("https://")
    demand(log["publicKey"]["keyDetails"] == "PKIX_ED25519", "a key of another kind")
    public = b64decode(log["publicKey"]["rawBytes"])[-32:]
    try:
        note.VerifierKey(origin, note.ED25519, public).verify(checkpoint)
    except InvalidSignature:
        raise ValueError("the public log's signature does not verify") from None
    named, size, root = note.read_checkpoint(note.split(checkpoint)[0])
    demand(named == origin and size == int(proof["treeSize"]), "another tree")
    path = [b64decode(node) for node in proof["hashes"]]
    leaf = tree.leaf(body)
    is_there = tree.is_included(int(proof["logIndex"]), size, leaf, path, root)
    demand(is_there and b64decode(proof["rootHash"]) == root, "the entry is not in the tree")


def stated(payload, heads, signers):
    """What the statement says of a head that is here, once it is found to be true."""
    statement = json.loads(payload)
    # RFC 8785 for what it holds: ASCII names, integers, no exotic strings.
    plain = json.dumps(statement, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    demand(plain.encode() == payload, "not in the one form")
    demand(set(statement) == {"_type", "subject", "predicateType", "predicate"}, "other members")
    demand(statement["predicateType"] == PREDICATE, "another predicate")
    predicate = statement["predicate"]
    [subject] = statement["subject"]
    for head in heads:
        if subject == {
            "name": "checkpoint",
            "digest": {"sha256": sha256(plainly(head)).hexdigest()},
        }:
            origin, size, root = note.read_checkpoint(note.split(head)[0])
            said = (predicate["origin"], predicate["size"], predicate["root"])
            demand(said == (origin, size, root.hex()), "the statement and its subject differ")
            key = note.VerifierKey.parse(predicate["logKey"])
            demand(key in signers(size), "the named key is nobody's")
            key.verify(head)
            return predicate
    raise ValueError("the published head is not among those here")


def plainly(head):
    """A head with the log's own Ed25519 signatures alone, ordered."""
    text, lines = note.split(head)
    origin = note.read_checkpoint(text)[0]
    own = sorted((key_id, sig) for name, key_id, sig in lines if name == origin and len(sig) == 64)
    return note.note(
        text, *(f"— {origin} {note.base64(key_id + sig)}\n" for key_id, sig in own)
    ).encode()


def stamped(response, data, trusted_root):
    """When, in microseconds since 1970, by an authority of the trusted root (RFC 3161)."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: str(Path(folder) / name) for name in ("stamp", "data", "root", "chain")}
        Path(paths["stamp"]).write_bytes(response)
        Path(paths["data"]).write_bytes(data)
        read = ["openssl", "ts", "-reply", "-in", paths["stamp"], "-text"]
        shown = subprocess.run(read, capture_output=True, text=True, check=False).stdout
        lines = [line for line in shown.splitlines() if line.startswith("Time stamp: ")]
        demand(len(lines) == 1, "not a time stamp")
        when = datetime.strptime(lines[0], "Time stamp: %b %d %H:%M:%S %Y GMT")
        at = int(when.replace(tzinfo=UTC).timestamp())
        for authority in trusted_root["timestampAuthorities"]:
            *chain, root = map(policy.der, authority["certChain"]["certificates"])
            Path(paths["root"]).write_text(pem(root))
            Path(paths["chain"]).write_text("".join(map(pem, chain)))
            files = ["-in", paths["stamp"], "-data", paths["data"], "-CAfile", paths["root"]]
            more = ["-untrusted", paths["chain"], "-attime", str(at)]
            command = ["openssl", "ts", "-verify", *files, *more]
            holds = subprocess.run(command, capture_output=True, check=False).returncode == 0
            if holds and policy.is_in(authority["validFor"], at * 1_000_000):
                return at * 1_000_000
    raise ValueError("no authority of the trusted root made this stamp over these bytes")


def pem(certificate):
    body = b64encode(certificate).decode()
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])


def are_in_sequence(published):
    """Whether they are numbered from 0 and each names the one before it."""
    ordered = sorted(published, key=lambda one: one.sequence)
    if [one.sequence for one in ordered] != list(range(len(ordered))):
        return False
    if ordered[0].previous is not None:
        return False
    return all(
        new.previous
        == {
            "size": old.size,
            "root": old.root,
            "published": [{"logId": old.place[0], "index": old.place[1]}],
        }
        for old, new in pairwise(ordered)
    )
