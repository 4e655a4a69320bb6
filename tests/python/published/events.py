"""events.json."""

import uuid

from formats import cbor, event, tree
from published.samples import RUN, SAMPLE, START, spell, with_card


def vectors():
    unknown = event.encode(START, RUN, 9, "x.example.note", {"text": "of a later version"})
    empty = event.encode(0, RUN, 0, "run.start", {})
    late = event.encode(2**64 - 1, RUN, 2**64 - 1, "metric", {"loss": float("nan")})
    entries = [*SAMPLE, with_card(SAMPLE)[0][-1], unknown, empty, late]
    good = event.decode(SAMPLE[0])
    refused = [
        ("a seventh field", good | {"note": 1}),
        ("a field missing", {k: good[k] for k in good if k != "seq"}),
        ("version 2", good | {"v": 2}),
        ("version 1.0, a float", good | {"v": 1.0}),
        ("a time before 1970", good | {"time": -1}),
        ("a time that is a float", good | {"time": 0.0}),
        ("a seq that is text", good | {"seq": "0"}),
        ("a run of 15 bytes", good | {"run": RUN[:15]}),
        (
            "a run that is a UUID of version 4",
            good | {"run": uuid.UUID(int=1, version=4).bytes},
        ),
        ("a run of another variant", good | {"run": RUN[:8] + b"\0" + RUN[9:]}),
        ("a type that is bytes", good | {"type": b"run.start"}),
        ("data that is an array", good | {"data": []}),
        ("data with an integer as a key", good | {"data": {1: 2}}),
        ("no map", [1, 2, 3]),
    ]
    largest = event.MAX_ENCODED - len(event.encode(START, RUN, 1, "metric", {"pad": b""})) - 2
    return {
        "about": "Events; see ../event.md. `data` spells the data as README.md says; `view` is the "
        "JSON view at this index without a proof; `leaf` the leaf hash.",
        "valid": [
            event_vector(index, entry, event.decode(entry)) for index, entry in enumerate(entries)
        ],
        "refused": [{"what": what, "hex": cbor.encode(value).hex()} for what, value in refused],
        "largest": {
            "what": "`data` is {pad: so many zero bytes}; one byte more is refused",
            "time": START,
            "run": str(uuid.UUID(bytes=RUN)),
            "seq": 1,
            "type": "metric",
            "pad": largest,
            "length": event.MAX_ENCODED,
            "leaf": tree.leaf(event.encode(START, RUN, 1, "metric", {"pad": bytes(largest)})).hex(),
        },
    }


def event_vector(index, entry, decoded):
    return {
        "time": spell(decoded["time"]),
        "run": str(uuid.UUID(bytes=decoded["run"])),
        "seq": spell(decoded["seq"]),
        "type": decoded["type"],
        "data": spell(decoded["data"]),
        "hex": entry.hex(),
        "leaf": tree.leaf(entry).hex(),
        "view": event.view(index, decoded),
    }
