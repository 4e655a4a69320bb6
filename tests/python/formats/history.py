"""Whether an earlier record of a log goes with this one; see "History" in transparency/report.md."""

from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature

from . import chain, event, evidence, note, tree


@dataclass
class Head:
    origin: str
    size: int
    root: bytes
    note: str


@dataclass
class Record:
    heads: list = field(default_factory=list)
    proofs: list = field(default_factory=list)
    keys: list = field(default_factory=list)
    entries: list | None = None
    leaves: list | None = None

    @classmethod
    def read(cls, data):
        """An evidence file, a tlog-proof or a signed head."""
        if data.startswith(evidence.MAGIC):
            file = evidence.parse(data)
            every = file["entries"].get("all")
            return cls(
                heads=[head_of(one["note"]) for one in file["heads"]],
                proofs=[one["proof"] for one in file["heads"]],
                keys=[note.VerifierKey.parse(key) for key in file["keys"]],
                entries=every,
                leaves=None if every is None else [tree.leaf(entry) for entry in every],
            )
        text = data.decode()
        if text.startswith("c2sp.org/tlog-proof@v1\n"):
            text = note.read_tlog_proof(text)[-1]
        return cls(heads=[head_of(text)], proofs=[[]])

    @property
    def newest(self):
        return self.heads[-1]

    def is_well_formed(self):
        steps = list(zip(self.heads, self.heads[1:], strict=False))
        return bool(self.heads) and all(
            old.origin == new.origin and old.size <= new.size for old, new in steps
        )

    def is_consistent(self):
        steps = zip(self.heads, self.heads[1:], self.proofs[1:], strict=False)
        return self.proofs[0] == [] and all(
            tree.is_consistent(old.size, old.root, new.size, new.root, proof)
            for old, new, proof in steps
        )

    def is_complete(self):
        return (
            self.leaves is not None
            and len(self.leaves) == self.newest.size
            and all(tree.root(self.leaves[: head.size]) == head.root for head in self.heads)
        )

    @property
    def line(self):
        """The keys of the log, where its entries show that they changed hands."""
        events = [event.decode(entry) for entry in self.entries or []]
        rotations = [one["data"] for one in events if one["type"] == "key.rotate"]
        of_log = [data for data in rotations if data["role"] == "log"]
        return [
            note.VerifierKey.parse(key) for data in of_log for key in (data["old"], data["new"])
        ]

    def signed_by(self, key):
        """Whether the key, or those it leads to, signed every head; a wrong signature raises."""
        if key in self.line:
            notes = [head.note for head in self.heads]
            return chain.leads(key, self.newest.origin, self.entries, notes)
        by_head = [signed(head, key) for head in self.heads]
        return key.name == self.newest.origin and all(by_head)

    def holds_up(self, others, chosen):
        try:
            if self.keys:
                for key in chosen:
                    self.signed_by(key)
                line = self.line
                signed_well = all(self.signed_by(key) or key in line for key in self.keys)
            else:
                for key in others:
                    self.signed_by(key)
                signed_well = True
        except (InvalidSignature, ValueError):
            return False
        entries = self.leaves is None or self.is_complete()
        return signed_well and entries and self.is_consistent()

    def at(self, size):
        """The root the log had at this size, and the head that commits it to that; or nothing."""
        for head in self.heads:
            if head.size == size:
                return head.root, head
        if size == 0:
            return tree.root([]), self.newest
        if self.is_complete() and size < self.newest.size:
            return tree.root(self.leaves[:size]), self.newest
        return None


def head_of(text):
    return Head(*note.read_checkpoint(note.split(text)[0]), text)


def signed(head, key):
    _, lines = note.split(head.note)
    if not any((name, key_id) == (key.name, key.key_id) for name, key_id, _ in lines):
        return False
    key.verify(head.note)
    return True


def compare(data, earlier, chosen=()):
    """The key `history` of the report on `data`, but for the reason. `chosen` are verifier keys."""
    now, then = Record.read(data), Record.read(earlier)
    chosen = [note.VerifierKey.parse(key) for key in chosen]
    of_now = [key for key in chosen if now.signed_by(key)] or now.keys
    if any(key in now.line for key in of_now):
        of_now = of_now + now.line
    if not then.is_well_formed():
        return answer("absent", None, now.newest)
    if then.newest.origin != now.newest.origin:
        return answer("fail", then.newest, now.newest)
    if not then.holds_up(of_now, chosen):
        return answer("absent", then.newest, now.newest)
    common = [key for key in of_now or then.keys if then.signed_by(key) and now.signed_by(key)]
    if not common:
        return answer("fail" if then.keys else "absent", then.newest, now.newest)
    splits = [
        (then.at(head.size), now.at(head.size), head.size)
        for head in then.heads + now.heads
        if then.at(head.size) and now.at(head.size)
    ]
    splits = [(a, b, size) for (x, a), (y, b), size in splits if x != y]
    if splits:
        a, b, _ = max(splits, key=lambda split: (split[0].size == split[1].size, split[2]))
        return answer("fail", a, b, contradiction=True)
    small, large = sorted((then, now), key=lambda record: record.newest.size)
    size = small.newest.size
    stands_there = any(head.size == size for head in large.heads)
    if size in (0, large.newest.size) or large.is_complete():
        return answer("pass", then.newest, now.newest)
    if stands_there:
        return answer("pass" if large.is_consistent() else "fail", then.newest, now.newest)
    return answer("absent", then.newest, now.newest)


def answer(result, then=None, now=None, contradiction=False):
    swapped = then is not None and then.size > now.size
    earlier, later = (now, then) if swapped else (then, now)
    return {
        "result": result,
        "contradiction": contradiction,
        "reversed": swapped,
        "earlier": earlier and shown(earlier),
        "later": later and shown(later),
    }


def shown(head):
    return {"size": head.size, "root": head.root.hex(), "note": head.note}
