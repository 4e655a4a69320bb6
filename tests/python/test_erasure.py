"""After an erasure, by the second implementation: what was given before holds, and nothing in the log changed."""

import json

from formats import cbor, commitment, event, evidence, note, tree
from grown import Program


def test_what_was_given_before_an_erasure_holds_after_it(tmp_path):
    program, log = Program(), tmp_path / "log"
    key = note.VerifierKey.parse(program("init", log, "--model", "tiny-chat")["vkey"])
    lines = tmp_path / "ratings.jsonl"
    ratings = [
        {"prompt": f"p{n}", "response": "r", "annotator_id": f"person {n % 3}", "reward": n % 5 + 1}
        for n in range(30)
    ]
    lines.write_text("".join(json.dumps(rating) + "\n" for rating in ratings))
    program("log", "annotations", log, lines)
    chosen = [argument for n in range(1, 31) for argument in ("--open", f"{n}:reward")]
    program("evidence", log, "-o", tmp_path / "before", *chosen)
    before = evidence.parse((tmp_path / "before").read_bytes())

    erased = program("erase", log, "--annotator", "person 1")
    assert (erased["records"], erased["erasures"]) == (10, 1)
    program("evidence", log, "-o", tmp_path / "after", "--since", tmp_path / "before")
    after = evidence.parse((tmp_path / "after").read_bytes())

    old, new = before["entries"]["all"], after["entries"]["all"]
    assert new[: len(old)] == old
    assert event.decode(new[erased["first_index"]])["type"] == "erasure"
    assert event.decode(new[erased["first_index"]])["data"] == {"scope": "annotator"}
    leaves = [tree.leaf(entry) for entry in new]
    for head in (*before["heads"], *after["heads"]):
        key.verify(head["note"])
        _, size, root = note.read_checkpoint(note.split(head["note"])[0])
        assert tree.root(leaves[:size]) == root

    assert len(before["openings"]) == 30
    for opening in before["openings"]:
        committed = event.decode(new[opening["index"]])
        place = (committed["run"], committed["seq"], opening["field"])
        content = cbor.decode(opening["content"])
        assert commitment.commit(*place, opening["r"], content) == committed["data"]["reward"]

    # A third can no longer be opened, and they are all of one pseudonym.
    refused, opened = set(), set()
    for index in range(1, 31):
        arguments = ("disclose", log, "--event", index, "--field", "reward", "--to", "Ann")
        gone = not answers(program, *arguments, "-o", tmp_path / "some")
        (refused if gone else opened).add(event.decode(new[index])["data"]["annotator"])
    assert (len(refused), len(opened)) == (1, 2)
    assert not refused & opened


def answers(program, *arguments):
    try:
        return program(*arguments)
    except AssertionError as refusal:
        assert "erased" in str(refusal)
        return None
