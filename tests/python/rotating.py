"""Logs whose keys hand over, well and badly, by chance; every head signed and published all the same."""

import math
import time
from hashlib import sha256

from cryptography.hazmat.primitives import serialization

from formats import anchor, event, evidence, keys, note, tree
from public import plainly
from published.samples import (
    COSIGNED_AT,
    LOG,
    MINUTE,
    ORIGIN,
    OTHER,
    OTHER_SECOND,
    PUBLISHERS,
    RUN,
    SAMPLE,
    SECOND,
    START,
    root_of,
)

THIRD = note.SigningKey(ORIGIN, sha256(b"a third key").digest())
LOGS = [LOG, OTHER, THIRD]
KEYS = {"log": LOGS, "cosigner": [SECOND, OTHER_SECOND], "publisher": PUBLISHERS}
MISHAPS = (
    "flipped",
    "another's proof",
    "of another log",
    "by the old key",
    "backwards",
    "by one that has handed over",
)


class Log:
    def __init__(self, random, public):
        self.random, self.public = random, public
        # Half of the logs are well kept, and some hybrid.
        self.mishaps = 0.0 if random.random() < 0.5 else 0.25
        self.roles = list(KEYS) if random.random() < 0.3 else ["log", "publisher"]
        self.entries, self.heads, self.anchors = list(SAMPLE), [], []
        self.current = dict.fromkeys(KEYS, 0)
        self.previous, self.proofs = None, []

    def add(self, kind, data):
        seq = len(self.entries)
        self.entries.append(event.encode(START + MINUTE, RUN, seq, kind, data))

    def stage(self, so_far):
        """Some changes of keys, a head, its publication; `so_far` are moments between the stages."""
        random, before = self.random, dict(self.current)
        self.add("x.example.note", {})
        for role in random.sample(self.roles, len(self.roles)):
            if random.random() < 0.45 and self.current[role] + 1 < len(KEYS[role]):
                self.rotate(role)
        while random.random() < 0.35:
            self.retire(so_far)
        self.sign(before)
        by = before["publisher"]
        # The new one at once, or another than it should be.
        if random.random() < 0.2:
            by = self.current["publisher"]
        if random.random() < self.mishaps / 2:
            by = random.randrange(len(PUBLISHERS))
        self.publish(PUBLISHERS[by])

    def rotate(self, role):
        at, random = self.current[role], self.random
        old, new = KEYS[role][at : at + 2]
        data = keys.rotation(ORIGIN, old, new, role)
        if random.random() < self.mishaps:
            data = self.mishap(random.choice(MISHAPS), data, role, old, new)
        self.proofs.append(data["proof"])
        self.add("key.rotate", data)
        self.current[role] += 1

    def mishap(self, what, data, role, old, new):
        proof, spelled = data["proof"], (data["old"], data["new"])
        match what:
            case "flipped":
                at = self.random.randrange(len(proof))
                flipped = proof[:at] + bytes([proof[at] ^ 1]) + proof[at + 1 :]
                return data | {"proof": flipped}
            case "another's proof" if self.proofs:
                return data | {"proof": self.random.choice(self.proofs)}
            case "of another log":
                return data | {"proof": new.sign(keys.message("other.example", role, *spelled))}
            case "by the old key":
                return data | {"proof": old.sign(keys.message(ORIGIN, role, *spelled))}
            case "by one that has handed over":
                return keys.rotation(ORIGIN, KEYS[role][0], new, role)
        return keys.rotation(ORIGIN, new, old, role)

    def retire(self, so_far):
        random = self.random
        role = random.choice(self.roles)
        key = random.choice(KEYS[role][: self.current[role] + 1])
        spelled = key.spki if role == "publisher" else str(key.vkey)
        data = {"role": role, "key": spelled, "reason": "superseded"}
        if random.random() < 0.7:
            since = 1_000_000 * random.choice([*so_far, 2**32])
            data |= {"reason": "compromised", "since": since}
        self.add("key.retire", data)

    def sign(self, before):
        size = len(self.entries)
        text = note.checkpoint(ORIGIN, size, root_of(self.entries))
        signers = [LOGS[key] for key in dict.fromkeys((before["log"], self.current["log"]))]
        if "cosigner" in self.roles:
            both = dict.fromkeys((before["cosigner"], self.current["cosigner"]))
            signers += [KEYS["cosigner"][key] for key in both]
        if self.random.random() < self.mishaps and len(signers) > 1:
            signers.remove(self.random.choice(signers))
        # One that has nothing to say any more, or not yet, signs as well.
        if self.random.random() < self.mishaps:
            signers += [key for key in [self.random.choice(LOGS)] if key not in signers]
        at = {note.ED25519: None, note.MLDSA44: COSIGNED_AT}
        lines = [key.line(text, at[key.vkey.kind]) for key in signers]
        leaves = [tree.leaf(entry) for entry in self.entries]
        proof = tree.consistency(self.size, leaves) if self.heads else []
        self.heads.append({"note": note.note(text, *lines), "proof": proof})
        self.signer, self.size, self.root = signers[0], size, root_of(self.entries)

    def publish(self, publisher):
        subject = sha256(anchor.plainly(self.heads[-1]["note"])).hexdigest()
        of_head = {"size": self.size, "root": self.root.hex()}
        predicate = of_head | {
            "origin": ORIGIN,
            "logKey": str(self.signer.vkey),
            "sequence": len(self.anchors),
            "previous": self.previous,
        }
        statement = {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": "checkpoint", "digest": {"sha256": subject}}],
            "predicateType": anchor.PREDICATE,
            "predicate": predicate,
        }
        timed = self.random.random() >= self.mishaps / 2
        made, place = self.public.enter(plainly(statement), publisher, timed)
        self.anchors.append(made)
        self.previous = of_head | {"published": [place]}

    def file(self):
        return evidence.to_bytes(
            {
                "v": 1,
                "keys": [str(LOGS[self.current["log"]].vkey)],
                "heads": self.heads,
                "anchors": self.anchors,
                "entries": {"all": self.entries},
                "openings": [],
            }
        )


def grow(logs, stages=3):
    """Grows all logs; gives the moments between the stages, in seconds since 1970. Stamps count seconds."""
    moments = []
    for _ in range(stages):
        for log in logs:
            log.stage([*moments, int(time.time()) - 3600])
        moments.append(math.floor(time.time()) + 1)
        time.sleep(moments[-1] + 0.02 - time.time())
    return moments


def write_policy(folder, log, random, moments):
    """Who chose some keys of each role, and suspects some."""
    folder.mkdir()
    chosen = LOGS[0 if random.random() < 0.8 else log.current["log"]]
    text, quorum = f"log {chosen.vkey}\n", "none"
    hybrid = "cosigner" in log.roles
    if hybrid:
        text += f"witness post-quantum {KEYS['cosigner'][0].vkey}\n"
        quorum = "post-quantum"
    (folder / "policy").write_text(f"{text}quorum {quorum}\n")
    key = serialization.load_der_public_key(PUBLISHERS[0].spki)
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    (folder / "publisher.pub").write_bytes(key.public_bytes(serialization.Encoding.PEM, info))
    (folder / "trusted_root.json").write_bytes(plainly(log.public.trusted_root()))
    suspects = []
    for role in log.roles:
        if random.random() < 0.3:
            key = random.choice(KEYS[role])
            print_of = key.spki if role == "publisher" else key.vkey.spki
            since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(random.choice(moments)))
            suspects.append({"key": sha256(print_of).hexdigest(), "since": since})
    required = {"v": 1, "hybrid": hybrid, "compromised": suspects}
    (folder / "requirements.json").write_bytes(plainly(required))
