"""The published vectors are what the second implementation makes, and it refuses what they refuse."""

from base64 import b64decode

from cryptography.exceptions import InvalidSignature
from pymerkle import InmemoryTree

from formats import cbor, chain, event, evidence, history, note, tree
from vectors import FOLDER, files


def test_the_published_vectors_are_those_the_generator_makes():
    made = files()
    published = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file()}
    # Stamped by other people's clocks: nobody can make these bytes again.
    published = {name for name in published if not name.startswith("anchored/")}
    assert published == set(made)
    for name, content in made.items():
        advice = f"{name} differs; run `python tests/python/vectors.py` and look at what changed"
        assert (FOLDER / name).read_bytes() == content, advice


def test_what_the_vectors_refuse_is_refused_here_too(read_vectors):
    for case in read_vectors("cbor.json")["refused"]:
        assert refuses(cbor.decode, bytes.fromhex(case["hex"])), case["what"]
    for case in read_vectors("events.json")["refused"]:
        assert refuses(event.decode, bytes.fromhex(case["hex"])), case["what"]
    for case in read_vectors("evidence.json")["unreadable"]:
        assert refuses(evidence.parse, b64decode(case["base64"])), case["what"]


def refuses(decode, data):
    try:
        decode(data)
    except cbor.Refused:
        return True
    return False


def test_every_event_and_file_of_the_vectors_reads_back(read_vectors):
    for case in read_vectors("events.json")["valid"]:
        entry = bytes.fromhex(case["hex"])
        assert cbor.encode(event.decode(entry)) == entry
        assert event.is_well_formed(event.decode(entry)), case
    for case in read_vectors("evidence.json")["cases"]:
        file = (FOLDER / case["file"]).read_bytes()
        assert evidence.to_bytes(evidence.parse(file)) == file


def test_pairs_of_records_compare_as_the_vectors_say(read_vectors):
    vectors = read_vectors("histories.json")
    chosen = [vectors["policy"]["policy"].split()[1]]
    for pair in vectors["pairs"]:
        file, earlier = ((FOLDER / pair[key]).read_bytes() for key in ("file", "earlier"))
        expected = pair["report"]["history"]
        for head in filter(None, (expected["earlier"], expected["later"])):
            head.pop("signed_by")
        assert history.compare(file, earlier, chosen) == expected, pair["what"]


def test_keys_lead_on_as_the_vectors_say(read_vectors):
    vectors = read_vectors("evidence.json")
    chosen = {
        name: note.VerifierKey.parse(vectors["policies"][name]["policy"].split()[1])
        for name in ("chosen", "same_name", "stranger")
    }
    cases = [case for case in vectors["cases"] if "/keys-" in case["file"]]
    assert len(cases) == 13
    for case in cases:
        read = evidence.parse((FOLDER / case["file"]).read_bytes())
        heads = [head["note"] for head in read["heads"]]
        origin = note.read_checkpoint(note.split(heads[0])[0])[0]
        for name in {"stranger", *case["reports"]} - {"none"}:
            key = chosen[name]
            try:
                leads = chain.leads(key, origin, read["entries"]["all"], heads)
            except ValueError:
                leads = None
            # Without an independent date a stolen key leads nowhere, which is not this function's matter.
            if "compromised" in case["file"] and name == "chosen":
                assert leads
            elif name == "stranger":
                assert not leads
            else:
                meets = case["reports"][name]["meets_policy"]
                assert (leads or False) == meets, (case["file"], name)


def test_events_that_lack_what_their_type_must_hold_are_told(read_vectors):
    for case in read_vectors("events.json")["malformed"]:
        assert not event.is_well_formed(event.decode(bytes.fromhex(case["hex"]))), case["what"]


def plain_trees(vectors):
    trees = {"ct": InmemoryTree(), "counted": InmemoryTree()}
    trees["ct"].append_entries(bytes.fromhex(entry) for entry in vectors["entries"])
    trees["counted"].append_entries(index.to_bytes(8, "big") for index in range(70_000))
    return trees


def test_roots_of_the_vectors_are_those_of_pymerkle(read_vectors):
    trees = plain_trees(read_vectors("merkle.json"))
    assert trees["ct"].get_leaf(1) == tree.leaf(b"")
    for case in read_vectors("merkle.json")["roots"]:
        assert trees[case["of"]].get_root(case["size"]).hex() == case["root"], case


def test_inclusion_proofs_of_the_vectors_are_those_of_pymerkle(read_vectors):
    trees = plain_trees(read_vectors("merkle.json"))
    for case in read_vectors("merkle.json")["inclusion"]:
        proof = trees[case["of"]].prove_inclusion(case["index"] + 1, case["size"])
        # pymerkle counts from one and puts the leaf's own hash in front.
        assert [digest.hex() for digest in proof.path[1:]] == case["path"], case


def test_cryptography_gives_the_fingerprints_and_verifies_the_signatures_of_the_vectors(
    read_vectors,
):
    vectors = read_vectors("checkpoints.json")
    for case in vectors["keys"]:
        assert note.VerifierKey.parse(case["vkey"]).fingerprint == case["fingerprint"]
    for head in vectors["heads"]:
        for key in head["keys"]:
            verifies = verified(note.VerifierKey.parse(key["vkey"]), head["note"])
            assert verifies == (key["result"] == "signed"), head["what"]


def verified(key, signed):
    try:
        key.verify(signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def test_the_checkpoint_signed_by_torchwood_verifies_here_too():
    folder = FOLDER.parents[1] / "crates/trail/tests/torchwood"
    key = note.VerifierKey.parse((folder / "vkey").read_text().strip())
    signed = (folder / "checkpoint").read_text()
    assert key.kind == note.MLDSA44
    assert verified(key, signed)
    assert not verified(key, signed.replace("\n1\n", "\n2\n"))
