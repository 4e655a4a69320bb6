"""Events about keys; see transparency/keys.md. What they amount to is in chain.py."""

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from . import event, note

DOMAIN = "rlhf-audit-trail/key-rotate/v1"
KINDS = {"log": note.ED25519, "cosigner": note.MLDSA44}
P256_SPKI = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200" + "04")
REASONS = {"superseded", "lost", "compromised"}


def is_key(role, key):
    """Whether this is a key of the role as events spell it."""
    if role == "publisher":
        return event.is_bytes(key, len(P256_SPKI) + 64) and key.startswith(P256_SPKI)
    if role not in KINDS or not isinstance(key, str):
        return False
    try:
        parsed = note.VerifierKey.parse(key)
        lengths = {note.ED25519: 32, note.MLDSA44: 1312}
        return parsed.kind == KINDS[role] and len(parsed.public) == lengths[parsed.kind]
    except (ValueError, IndexError):
        return False


def is_rotation(data):
    role, old, new = data.get("role"), data.get("old"), data.get("new")
    proof = isinstance(data.get("proof"), bytes)
    return is_key(role, old) and is_key(role, new) and old != new and proof


def is_retirement(data):
    reason, since = data.get("reason"), data.get("since")
    dated = event.is_unsigned(since) if reason == "compromised" else "since" not in data
    return is_key(data.get("role"), data.get("key")) and reason in REASONS and dated


def message(origin, role, old, new):
    """What the new key signs."""
    spelled = [key.hex() if isinstance(key, bytes) else key for key in (old, new)]
    return "".join(f"{line}\n" for line in (DOMAIN, origin, role, *spelled)).encode()


def read(role, key):
    """A verifier key, or the SubjectPublicKeyInfo of a publisher."""
    return key if role == "publisher" else note.VerifierKey.parse(key)


class PublishingKey:
    """A P-256 key that signs the same each time (RFC 6979), so that the vectors stay the same."""

    def __init__(self, seed):
        key = ec.derive_private_key(int.from_bytes(seed), ec.SECP256R1())
        public = key.public_key()
        self.spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        how = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
        self.sign = lambda message: key.sign(message, how)


def rotation(origin, old, new, role="log"):
    """The data of a handover from one key of a role to another."""
    spelled = [key.spki if role == "publisher" else str(key.vkey) for key in (old, new)]
    proof = new.sign(message(origin, role, *spelled))
    return {"role": role, "old": spelled[0], "new": spelled[1], "proof": proof}
