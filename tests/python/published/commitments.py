"""commitments.json."""

import uuid

from formats import cbor, commitment
from published.samples import RUN, blind, spell


def vectors():
    cases = [
        (5, "reward", 3.0),
        (5, "reward", 2.5),
        (6, "reward", 3.0),
        (0, "prompt", "Why is the sky blue?"),
        (2**64 - 1, "response", "Grüße 😀"),
        (7, "response_a", ""),
        (7, "preference", "a"),
        (7, "preference", "b"),
    ]
    return {
        "about": "Commitments; see ../commitment.md. A real `r` is random and used once.",
        "domain": commitment.DOMAIN.decode(),
        "cases": [
            {
                "run": str(uuid.UUID(bytes=RUN)),
                "seq": spell(seq),
                "field": field,
                "r": blind(seq, field).hex(),
                "content": spell(content),
                "content_hex": cbor.encode(content).hex(),
                "preimage": commitment.preimage(RUN, seq, field, blind(seq, field), content).hex(),
                "commitment": commitment.commit(RUN, seq, field, blind(seq, field), content).hex(),
            }
            for seq, field, content in cases
        ],
    }
