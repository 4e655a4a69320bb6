"""events.json."""

import uuid

from formats import cbor, event, tree
from published.samples import (
    ITEMS,
    LOG,
    OTHER,
    RUN,
    SAMPLE,
    START,
    judgement,
    preference,
    rating,
    released,
    saved,
    spell,
    trained,
    update,
    with_card,
)


def vectors():
    unknown = event.encode(START, RUN, 9, "x.example.note", {"text": "of a later version"})
    empty = event.encode(0, RUN, 0, "run.start", {})
    late = event.encode(2**64 - 1, RUN, 2**64 - 1, "metric", {"loss": float("nan")})
    exact = {"largest": 2**53 - 1, "smallest": 1 - 2**53, "text": [2**53, -(2**53), 2**64 - 1]}
    numbers = event.encode(START, RUN, 10, "metric", exact)
    smallest = event.encode(0, RUN, 0, "", {})
    assert len(smallest) == event.MIN_ENCODED
    entries = [*SAMPLE, with_card(SAMPLE)[0][-1], unknown, empty, late, numbers, smallest]
    entries += trained()
    entries += released()
    erased = event.encode(START, RUN, 11, "erasure", {"scope": "annotator"})
    opened = [{"entry": 1, "fields": ["prompt", "reward"]}]
    access = {"auditor": "Market surveillance", "opened": opened}
    entries += [erased, event.encode(START, RUN, 12, "auditor.access", access)]
    entries.append(event.encode(START, RUN, 13, "annotation", judgement(13, "brevity", 0.5)))
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
        ("an integer as a key further in", good | {"data": {"deep": [{"map": {1: 2}}]}}),
        ("no map", [1, 2, 3]),
    ]
    largest = event.MAX_ENCODED - len(event.encode(START, RUN, 1, "metric", {"pad": b""})) - 2
    return {
        "about": "Events; see ../event.md. `data` spells the data as README.md says; `view` is the "
        "JSON view at this index without a proof; `leaf` the leaf hash. What is `malformed` is an event "
        "whose data lacks what its type must hold.",
        "valid": [
            event_vector(index, entry, event.decode(entry)) for index, entry in enumerate(entries)
        ],
        "refused": [{"what": what, "hex": cbor.encode(value).hex()} for what, value in refused],
        "malformed": [
            {"what": what, "hex": event.encode(START, RUN, 1, kind, data).hex()}
            for what, kind, data in malformed()
        ],
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


def malformed():
    rated, preferred = rating(1, 0xA0, 4.0), preference(1, 0xA0)
    learned, kept = update(1, "first", "second", (0, 1, 1)), saved("final", "second")

    def without(data, key):
        return {name: value for name, value in data.items() if name != key}

    key, other = str(LOG.vkey), str(OTHER.vkey)
    rotated = {"role": "log", "old": key, "new": other, "proof": bytes(64)}
    retired = {"role": "log", "key": key, "reason": "lost"}
    yield "a handover from a key to itself", "key.rotate", rotated | {"new": key}
    yield "a handover of another role's keys", "key.rotate", rotated | {"role": "publisher"}
    yield "a handover in a role unknown", "key.rotate", rotated | {"role": "vault"}
    yield "a handover without a proof", "key.rotate", without(rotated, "proof")
    yield "a publisher of 90 bytes", "key.retire", retired | {"role": "publisher", "key": bytes(90)}
    yield "a key retired for no reason", "key.retire", without(retired, "reason")
    yield "a key lost since a time", "key.retire", retired | {"since": 1}
    yield "a key stolen at no time", "key.retire", retired | {"reason": "compromised"}
    yield "a reward in the clear", "annotation", rated | {"reward": 4.0}
    yield "a rating without a reward", "annotation", without(rated, "reward")
    judged = judgement(1, "brevity", 0.5)
    yield "a judge that is no text", "annotation", judged | {"judge": 1}
    yield "a judge and a person", "annotation", rated | {"judge": "brevity"}
    yield "a judgement released", "annotation", judged | {"released": 0.5}
    yield "a rating without a prompt", "annotation", without(rated, "prompt")
    yield "a prompt that is null", "annotation", preferred | {"prompt": None}
    yield "a preference of 31 bytes", "annotation", preferred | {"preference": bytes(31)}
    yield "a preference between one", "annotation", without(preferred, "response_b")
    yield "a rating with a text of a preference", "annotation", rated | {"response_a": "Hello!"}
    yield "an annotator by name", "annotation", rated | {"annotator": "alice"}
    yield "an annotator of 17 bytes", "annotation", rated | {"annotator": bytes(17)}
    yield "an annotation of no kind", "annotation", without(rated, "kind")
    yield "an annotation of a new kind", "annotation", rated | {"kind": "ranking"}
    yield "an update without the root before", "policy.update", without(learned, "root_before")
    yield "an update without the root after", "policy.update", without(learned, "root_after")
    yield (
        "an update that learned from nothing named",
        "policy.update",
        without(learned, "learned_from"),
    )
    yield "a range without its end", "policy.update", learned | {"learned_from": {"first": 1}}
    yield "an update without a norm", "policy.update", without(learned, "delta_linf")
    yield "a norm that is an integer", "policy.update", learned | {"delta_l2": 1}
    yield "a negative norm", "policy.update", learned | {"delta_l2": -0.5}
    yield "a norm that is no number", "policy.update", learned | {"delta_l2": float("nan")}
    yield "an infinite norm", "policy.update", learned | {"delta_linf": float("inf")}
    yield "a sketch of no sums", "checkpoint", kept | {"sketch": b"\xa0"}
    yield "a sketch in hex", "policy.update", learned | {"sketch_before": "00" * 32}
    yield "an estimate that is an integer", "policy.update", learned | {"sketch_delta_l2": 1}
    noised = {"mechanism": "discrete-gaussian", "released": "sum", "first": 0, "end": 9, "rho": 1.0}
    noised |= {"count": 4, "sum": -7, "low": -10, "high": 30, "steps_a_unit": 10}
    noised |= {"cap": 1, "variance": 800}
    yield "a round cheaper than its noise", "privacy.round", noised | {"variance": 799}
    yield "a round of twice the cap", "privacy.round", noised | {"cap": 2}
    yield "a round of a cap beyond 32 bits", "privacy.round", noised | {"cap": 2**32, "rho": 1e300}
    yield "a round of no mechanism", "privacy.round", without(noised, "mechanism")
    yield "a round of no ratings", "privacy.round", noised | {"first": 10}
    yield "a round of an infinite cost", "privacy.round", noised | {"rho": float("inf")}
    yield (
        "a round of another kind at no cost",
        "privacy.round",
        without(noised | {"released": "items"}, "rho"),
    )
    yield "a round whose bounds are none", "privacy.round", noised | {"high": -10}
    yield "a round without its sum", "privacy.round", without(noised, "sum")
    yield "a round without noise", "privacy.round", noised | {"variance": 0, "rho": 1e300}
    yield "a round of items cheaper than its noise", "privacy.round", ITEMS | {"variance": 799}
    yield (
        "a round of items cheaper than told",
        "privacy.round",
        ITEMS | {"truth": 9, "truth_of": 10},
    )
    yield "a round of items cheaper than all of one's", "privacy.round", ITEMS | {"rho": 1.9}
    yield "a round of more than may count", "privacy.round", ITEMS | {"most": 4, "rho": 4.0}
    yield "a round of other items than counted", "privacy.round", ITEMS | {"ratings": 3}
    yield "a round of items at even odds", "privacy.round", ITEMS | {"truth": 2}
    yield "a round of items always told", "privacy.round", ITEMS | {"truth": 4, "rho_item": 99.0}
    yield "a round of items without a charge", "privacy.round", without(ITEMS, "charge")
    yield "a released rating that is an integer", "annotation", rated | {"released": 4}
    yield "a released rating that is no number", "annotation", rated | {"released": float("nan")}
    yield "a released preference for a third", "annotation", preferred | {"released": "c"}
    yield (
        "a released rating of nobody",
        "annotation",
        without(rated, "annotator") | {"released": 4.0},
    )
    yield "a checkpoint without a name", "checkpoint", without(kept, "name")
    yield "a checkpoint without a root", "checkpoint", without(kept, "root")
    yield "a card without a digest", "card", {"size": 1}
    yield "a guideline without a digest", "guideline", {"title": "Be kind"}
    yield "a guideline's digest in hex", "guideline", {"sha256": "00" * 32}


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
