"""cards.json: model cards."""

from hashlib import sha256

from formats import card, event
from published.samples import ORIGIN, RUN, SAMPLE, START, hexes, root_of


def vectors():
    unusual = [
        event.encode(START, RUN, 0, "run.start", {}),
        event.encode(
            START,
            RUN,
            1,
            "evaluation",
            {
                "document": {
                    "ratio": 3.0,
                    "small": 1e-7,
                    "large": 1e21,
                    "none": None,
                    "nan": float("nan"),
                    "list": [1, True, "€", b"\xab"],
                }
            },
        ),
        event.encode(START, RUN, 2, "evaluation", {"sha256": sha256(b"kept").digest()}),
        event.encode(START, RUN, 3, "guideline", {}),
        event.encode(START, RUN, 4, "erasure", {}),
        event.encode(START, RUN, 5, "x.example.note", {}),
    ]
    text = card.to_bytes(card.card(SAMPLE, ORIGIN, root_of(SAMPLE))).decode()
    return {
        "about": "Model cards; see ../card.md. `card` is the card's text as of a head over exactly "
        "`entries`, of the log `origin`.",
        "cards": [
            card_vector("no event at all", []),
            card_vector("a whole run", SAMPLE),
            card_vector("unusual values", unusual),
        ],
        "refused": [
            {"what": "a space", "card": text.replace(":", ": ", 1)},
            {"what": "a newline at the end", "card": text + "\n"},
            {
                "what": "keys out of order",
                "card": '{"v":1,' + text.removesuffix(',"v":1}')[1:] + "}",
            },
            {
                "what": "a number in another spelling",
                "card": text.replace("0.75", "7.5e-1"),
            },
            {"what": "version 2", "card": text.replace('"v":1}', '"v":2}')},
            {"what": "a key too many", "card": text.replace('"v":1}', '"v":1,"w":1}')},
            {
                "what": "a kind that is none",
                "card": text.replace('"asserted"', '"promised"', 1),
            },
            {"what": "no card", "card": "{}"},
        ],
    }


def card_vector(what, entries):
    made = card.to_bytes(card.card(entries, ORIGIN, root_of(entries)))
    return {
        "what": what,
        "origin": ORIGIN,
        "entries": hexes(entries),
        "card": made.decode(),
        "sha256": sha256(made).hexdigest(),
    }
