"""A real log against implementations that nobody here wrote: `pymerkle` for the tree, `cryptography`
for signatures, `cbor2` and `rfc8785` under the second implementation of our own formats."""

import uuid
from hashlib import sha256
from itertools import combinations

import pytest
from cryptography.exceptions import InvalidSignature
from pymerkle import InmemoryTree
from pymerkle.proof import verify_consistency, verify_inclusion

from formats import card, cbor, commitment, event, note, tiles, tree
from grown import SIZES, grow


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    return grow(tmp_path_factory.mktemp("grown"))


@pytest.fixture(scope="module")
def steps(grown):
    return grown[1]


@pytest.fixture(scope="module")
def entries(steps):
    return steps[max(SIZES)].log.entries()


@pytest.fixture(scope="module")
def oracle(entries):
    oracle = InmemoryTree()
    oracle.append_entries(entries)
    return oracle


@pytest.fixture(scope="module")
def events(entries):
    """Every entry, read by the rules of event.md, or refused."""
    return [event.decode(entry) for entry in entries]


@pytest.mark.parametrize("size", SIZES)
def test_pymerkle_gives_the_root_that_was_signed(steps, oracle, size):
    assert steps[size].log.size == size
    assert steps[size].log.root == oracle.get_root(size)


@pytest.mark.parametrize("size", SIZES)
def test_cryptography_verifies_the_signed_head(grown, size):
    started, steps = grown
    key = note.VerifierKey.parse(started["vkey"])
    assert (key.name, key.fingerprint) == (started["origin"], started["fingerprint"])
    assert steps[size].log.origin == key.name
    key.verify(steps[size].log.note)
    with pytest.raises(InvalidSignature):
        key.verify(steps[size].log.note.replace(f"\n{size}\n", f"\n{size + 1}\n"))


@pytest.mark.parametrize("size", SIZES)
def test_tiles_and_bundles_are_those_of_the_specification(steps, entries, size):
    expected = tiles.tiles_of(entries[:size])
    assert steps[size].files == {path: sha256(data).digest() for path, data in expected.items()}


@pytest.mark.parametrize("size", SIZES[1:])
def test_pymerkle_verifies_and_makes_the_same_inclusion_proofs(steps, oracle, entries, size):
    assert steps[size].proofs
    for index, text in steps[size].proofs.items():
        extra, at, path, head = note.read_tlog_proof(text)
        assert (extra, at, head) == (entries[index], index, steps[size].log.note)
        proof = oracle.prove_inclusion(index + 1, size)
        # pymerkle counts from one and puts the leaf's own hash in front.
        assert proof.path == [tree.leaf(extra), *path]
        proof.path = [tree.leaf(extra), *path]
        verify_inclusion(tree.leaf(extra), steps[size].log.root, proof)


def test_pymerkle_shows_every_signed_root_to_continue_every_earlier_one(steps, oracle):
    # Its consistency proofs have another form than RFC 6962 gives them, so it is the roots that are
    # compared here; paths are compared below, and in tests/node by @transmute/rfc9162.
    for old, new in combinations(SIZES[1:], 2):
        proof = oracle.prove_consistency(old, new)
        verify_consistency(steps[old].log.root, steps[new].log.root, proof)


@pytest.mark.parametrize("size", [256, 65_536, 70_000])
def test_evidence_holds_the_consistency_proof_of_rfc_6962(steps, entries, size):
    older, newest = steps[size].evidence["heads"]
    assert older == {"note": steps[size - 1].log.note, "proof": []}
    assert newest["note"] == steps[size].log.note
    leaves = [tree.leaf(entry) for entry in entries[:size]]
    assert newest["proof"] == tree.consistency(size - 1, leaves)


def test_evidence_holds_the_entries(steps, entries):
    assert steps[70_000].evidence["entries"] == {"all": entries}
    some = steps[65_536].evidence["entries"]["some"]
    leaves = [tree.leaf(entry) for entry in entries[:65_536]]
    assert [index for index, *_ in some] == [0, 255, 65_535]
    for index, entry, path in some:
        assert entry == entries[index]
        assert path == tree.inclusion(index, leaves)


@pytest.mark.parametrize("size", [256, 65_536, 70_000])
def test_the_card_is_the_one_its_specification_gives(steps, entries, size):
    logged = event.decode(entries[size - 1])
    made = steps[size].evidence["card"]
    assert logged["type"] == "card"
    assert logged["data"] == {"sha256": sha256(made).digest(), "size": size - 1}
    before = steps[size - 1].log
    assert made == card.to_bytes(card.card(entries[: size - 1], before.origin, before.root))


def test_openings_open_the_commitments_of_the_log(steps, events):
    opened = {}
    for opening in steps[256].evidence["openings"]:
        opened_event, content = events[opening["index"]], cbor.decode(opening["content"])
        field, r = opening["field"], opening["r"]
        made = commitment.commit(opened_event["run"], opened_event["seq"], field, r, content)
        assert made == opened_event["data"][field]
        opened[field] = content
    assert isinstance(opened["reward"], float) and 1.0 <= opened["reward"] <= 5.0
    assert opened["preference"] in ("a", "b")


def test_events_are_numbered_without_a_gap(events):
    assert [e["seq"] for e in events] == list(range(len(events)))
    assert len({e["run"] for e in events}) == 1
    assert uuid.UUID(bytes=events[0]["run"]).version == 7


def test_annotations_are_as_specified(events):
    hidden = {
        "rating": {"prompt", "response", "reward"},
        "preference": {"prompt", "response_a", "response_b", "preference"},
    }
    annotations = [e for e in events if e["type"] == "annotation"]
    assert len(annotations) == len(events) - 4
    commitments = set()
    for annotation in annotations:
        data = annotation["data"]
        assert set(data) == {"kind", "annotator"} | hidden[data["kind"]]
        assert len(data["annotator"]) == 16
        assert annotation["time"] % 60_000_000 == 0
        commitments |= {data[field] for field in hidden[data["kind"]]}
    assert all(len(digest) == 32 for digest in commitments)
    # A fresh blinding value each: no two fields of the log look alike.
    assert len(commitments) == sum(len(hidden[a["data"]["kind"]]) for a in annotations)
    assert len({a["data"]["annotator"] for a in annotations}) == 37
