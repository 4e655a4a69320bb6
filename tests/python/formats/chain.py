"""What the changes of a log's keys amount to; see transparency/keys.md."""

from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature

from . import anchor, event, evidence, keys, note, tree

MAX_CHANGES = 100


@dataclass
class Link:
    role: str
    index: int
    # Verifier keys, or the SubjectPublicKeyInfo of publishers.
    old: object
    new: object
    # The size of the head that both signed.
    head: int | None = None
    holds: bool = False


class Chain:
    """The handovers of each role. Raises ValueError where they are no line."""

    def __init__(self, origin, entries, heads):
        self.origin = origin
        self.heads = [(note.read_checkpoint(note.split(head)[0])[1], head) for head in heads]
        self.lines = {"log": [], "cosigner": [], "publisher": []}
        self.retired = []
        changes = [
            (index, one["type"], one["data"])
            for index, one in enumerate(map(event.decode, entries))
            if one["type"] in ("key.rotate", "key.retire")
        ]
        if len(changes) > MAX_CHANGES:
            raise ValueError("too many changes")
        for index, kind, data in changes:
            if kind == "key.rotate":
                self.add(index, data)
            else:
                self.retired.append(data)
        for role in ("log", "cosigner"):
            self.find_heads(self.lines[role])

    def add(self, index, data):
        role, line = data["role"], self.lines[data["role"]]
        message = keys.message(self.origin, role, data["old"], data["new"])
        old, new = (keys.read(role, data[key]) for key in ("old", "new"))
        if role == "publisher":
            proven = anchor.verifies(new, data["proof"], message)
        else:
            proven = {old.name, new.name} == {self.origin} and has_signed(
                new, data["proof"], message
            )
        if not proven:
            raise ValueError("the new key has not signed")
        if line and line[-1].new != old or any(new in (link.old, link.new) for link in line):
            raise ValueError("the handovers are no line")
        line.append(Link(role, index, old, new))

    def find_heads(self, line):
        ends = [link.index for link in line[1:]] + [2**53]
        for link, end in zip(line, ends, strict=False):
            between = (one for one in self.heads if link.index < one[0] <= end)
            both = (
                size for size, head in between if signed(link.old, head) and signed(link.new, head)
            )
            link.head = next(both, None)
            link.holds = link.head is not None

    def at(self, role, size):
        """The key of this role when the log had this size; none where it never changed."""
        line = self.lines[role]
        before = [link.new for link in line if link.index < size]
        return before[-1] if before else line[0].old if line else None

    def signed_well(self, named):
        """Whether every head is signed by the key of its time, and by those that the file names."""
        try:
            self.check_heads()
        except ValueError:
            return False
        return all(
            self.led("log", key) is not None or all(signed(key, head) for _, head in self.heads)
            for key in named
        )

    def check_heads(self):
        for size, head in self.heads:
            if self.lines["log"] and not signed(self.at("log", size), head):
                raise ValueError("a head is not signed by the key of its time")

    def led(self, role, key):
        """The handovers from this key to the newest."""
        line = self.lines[role]
        names = [link.old for link in line] + [link.new for link in line[-1:]]
        return line[names.index(key) :] if key in names else None

    def counts(self, role, key):
        """Whether the key is, or leads to, the one that signs now."""
        led = self.led(role, key)
        if led is None:
            return all(signed(key, head) for _, head in self.heads)
        return all(link.holds for link in led)

    def newest(self, role, key):
        led = self.led(role, key)
        return led[-1].new if led else key


def shown(entries, notes):
    """The entries, where they give the root of every head; of others nothing follows."""
    leaves = [tree.leaf(entry) for entry in entries]
    heads = [note.read_checkpoint(note.split(head)[0])[1:] for head in notes]
    holds = heads[-1][0] == len(leaves) and all(tree.root(leaves[:n]) == r for n, r in heads)
    return entries if holds else []


def has_signed(key, signature, message):
    try:
        key.key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def signed(key, head):
    try:
        key.verify(head)
    except (InvalidSignature, ValueError):
        return False
    return True


def leads(chosen, origin, entries, heads):
    """Whether the chosen key is, or leads to, the one that signs the newest of these heads of this log.

    Raises ValueError where the handovers are no line, or a head is not signed by the key of its time.
    """
    chain = Chain(origin, entries, heads)
    chain.check_heads()
    return chain.counts("log", chosen)


def fingerprint(key):
    return sha256(key).hexdigest() if isinstance(key, bytes) else key.fingerprint


class Judged:
    """What is reported of keys and publications of evidence with all entries, by a policy."""

    def __init__(self, data, policy):
        file = evidence.parse(data)
        self.policy = policy
        self.notes = [head["note"] for head in file["heads"]]
        origin = note.read_checkpoint(note.split(self.notes[-1])[0])[0]
        self.entries = shown(file["entries"]["all"], self.notes)
        self.checks = {}
        try:
            self.chain = Chain(origin, self.entries, self.notes)
        except ValueError:
            self.checks["keys"] = "fail"
            return
        self.named = list(map(note.VerifierKey.parse, file["keys"]))
        if not self.chain.signed_well(self.named):
            self.checks["heads.signature"] = "fail"
            return
        self.checks["heads.signature"] = "pass"
        self.suspects = self.suspicions()
        self.published = self.publications(file["anchors"])
        self.public = self.newest_public()
        self.judge_anchors(file["anchors"])
        self.judge_keys()

    def suspicions(self):
        """Of each key that may have been in strangers' hands, since when."""
        said = list(self.policy.compromised())
        for data in self.chain.retired:
            if data["reason"] == "compromised":
                key = keys.read(data["role"], data["key"])
                said.append((fingerprint(key), data["since"]))
        return {key: min(at for of, at in said if of == key) for key, _ in said}

    def is_in_time(self, key, public):
        since = self.suspects.get(fingerprint(key))
        return since is None or (public is not None and public < since)

    def publications(self, anchors):
        """The anchors under the chosen publishing keys and those that they hand over to."""
        known = list(self.policy.publishers)
        while True:
            published = []
            for one in anchors:
                try:
                    root = self.policy.trusted_root
                    found = anchor.verify(one, known, root, self.notes, self.signers_at)
                except (ValueError, KeyError, TypeError):
                    continue
                published.append(found)
            link = self.next_publisher(known, published)
            if link is None:
                break
            link.holds = True
            known.append(link.new)
        for one in published:
            if not self.is_in_time(one.publisher, one.public):
                one.public = None
        return published

    def signers_at(self, size):
        """The keys by which a head of this size is known to be the log's."""
        before = [link for link in self.chain.lines["log"] if link.index < size]
        of_line = [before[-1].old] if before else []
        return [*self.policy.logs, *self.named, *of_line, self.chain.at("log", size)]

    def next_publisher(self, known, published):
        for link in self.chain.lines["publisher"]:
            if link.old in known and link.new not in known:
                shows = (
                    one
                    for one in published
                    if one.publisher == link.old
                    and one.size > link.index
                    and self.is_in_time(link.old, one.public)
                )
                if any(shows):
                    return link
        return None

    def newest_public(self):
        """Since when the newest head is public, or one that only notices of publication follow."""
        if not self.entries:
            return None
        size = len(self.entries)
        while size and event.decode(self.entries[size - 1])["type"] == "head.published":
            size -= 1
        times = [one.public for one in self.published if one.size >= size]
        return min((time for time in times if time is not None), default=None)

    def judge_anchors(self, anchors):
        if len(self.published) != len(anchors):
            self.checks["anchors"] = "fail"
            self.published, self.public = [], None
            for link in self.chain.lines["publisher"]:
                link.holds = False
            return
        self.checks["anchors"] = "pass" if anchors else "absent"
        if anchors:
            in_sequence = anchor.are_in_sequence(self.published)
            self.checks["anchors.sequence"] = "pass" if in_sequence else "fail"
            self.checks["anchors.time"] = "absent" if self.public is None else "pass"

    def judge_keys(self):
        chain = self.chain
        links = chain.lines["log"] + chain.lines["cosigner"]
        for link in links:
            times = [one.public for one in self.published if one.size == link.head]
            public = min((time for time in times if time is not None), default=None)
            link.holds &= self.is_in_time(link.old, public)
        cosigners = [key for key in self.policy.quorum if key.kind == note.MLDSA44]
        signers = [key for key in self.policy.logs + self.named if chain.counts("log", key)]
        asked = [("log", key) for key in signers]
        asked += [("cosigner", key) for key in cosigners]
        asked += [
            (role, chain.lines[role][-1].new) for role in ("log", "cosigner") if chain.lines[role]
        ]
        late = {chain.newest(*one) for one in asked}
        late = {key for key in late if not self.is_in_time(key, self.public)}

        def counts(role, key):
            return chain.counts(role, key) and chain.newest(role, key) not in late

        if links or late:
            sound = not late and all(link.holds for link in links)
            self.checks["keys"] = "pass" if sound else "absent"
        signer = any(counts("log", key) for key in self.policy.logs)
        self.checks["policy.signer"] = "pass" if signer else "fail"
        hybrid = any(self.cosigned(key) and counts("cosigner", key) for key in cosigners)
        asked = self.policy.requirements.get("hybrid", False)
        if asked or cosigners:
            lacking = "fail" if asked else "absent"
            self.checks["policy.hybrid"] = "pass" if hybrid else lacking

    def cosigned(self, key):
        """Whether the key, or the one that took its place, cosigned every head."""
        followed = self.chain.led("cosigner", key) is not None
        return all(
            signed(self.chain.at("cosigner", size) if followed else key, head)
            for size, head in self.chain.heads
        )

    @property
    def verdict(self):
        if "fail" in self.checks.values():
            return "failed"
        return "signed" if self.public is None else "public"

    @property
    def handovers(self):
        """Of publishing keys only those that hold are told."""
        lines = self.chain.lines
        told = lines["log"] + lines["cosigner"] + [one for one in lines["publisher"] if one.holds]
        return [{"role": link.role, "holds": link.holds} for link in told]
