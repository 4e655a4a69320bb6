"""A log that the program itself writes, grown step by step through sizes at the edges of tiles."""

import json
import os
import subprocess
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from formats import event, evidence, tiles

SIZES = (0, 1, 255, 256, 257, 65_535, 65_536, 69_999, 70_000)


@dataclass
class Step:
    """The log as it was at one size."""

    log: tiles.Log
    # SHA-256 of every tile and bundle that a log of this size consists of, by path.
    files: dict
    # The tlog-proofs of some entries, by index.
    proofs: dict = field(default_factory=dict)
    # The evidence file that the program wrote at this size.
    evidence: dict | None = None


class Program:
    """The command line program, each call answering with one JSON document."""

    def __init__(self):
        path = os.environ.get("RLHF_AUDIT", "")
        assert Path(path).is_file(), (
            "RLHF_AUDIT must name the program: build it with `cargo build -p rlhf-audit` and set "
            "RLHF_AUDIT=target/debug/rlhf-audit, or run `cargo xtask test python`"
        )
        self.path = Path(path).resolve()

    def __call__(self, *arguments, statuses=(0,)):
        command = [self.path, *map(str, arguments), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode in statuses, f"{command}: {done.stderr}"
        return json.loads(done.stdout)


def grow(folder):
    """Grows a log through all sizes; gives the program's answer to `init` and the steps by size."""
    program, log = Program(), folder / "log"
    started = program("init", log, "--model", "tiny-chat")
    steps = {0: look(program, log, folder)}

    def imports(until):
        lines = folder / "annotations.jsonl"
        with lines.open("w") as out:
            for number in range(steps[max(steps)].log.size, until):
                out.write(json.dumps(annotation(number)) + "\n")
        answer = program("log", "annotations", log, lines)
        assert answer["size"] == until
        steps[until] = look(program, log, folder)

    def cards(*options):
        """Evidence takes a card, and that card is the log's next entry."""
        file = folder / "log.evidence"
        program("evidence", log, "-o", file, *options)
        step = look(program, log, folder)
        step.evidence = evidence.parse(file.read_bytes())
        steps[step.log.size] = step

    program("run", "start", log)
    steps[1] = look(program, log, folder)
    imports(255)
    cards(*openings(steps[255].log.entries()))
    imports(257)
    imports(65_535)
    cards("--entries", "claims")
    imports(69_999)
    cards()
    assert tuple(steps) == SIZES
    return started, steps


def openings(entries):
    """One reward and one preference: which entries hold them is only known once they are logged."""
    for private in ("reward", "preference"):
        index = next(i for i, e in enumerate(entries) if private in event.decode(e)["data"])
        yield from ("--open", f"{index}:{private}")


def annotation(number):
    who = {"prompt": f"Question {number}? ü", "annotator_id": f"person {number % 37}"}
    if number % 3:
        return who | {"response": f"Answer {number}", "reward": number % 5 + 1}
    return who | {"chosen": f"Yes {number}", "rejected": f"No {number}"}


def look(program, folder, beside):
    log = tiles.Log(folder)
    files = {path: sha256((folder / path).read_bytes()).digest() for path in log.paths()}
    step = Step(log, files)
    for index in {0, 255, 256, log.size // 2, log.size - 1}:
        if 0 <= index < log.size:
            file = beside / "proof"
            program("prove", folder, index, "-o", file)
            step.proofs[index] = file.read_text()
    return step
