"""The model card, for programs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from .errors import BadInput

# For type checkers alone: importing typing would take as long as all the rest.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FORMATS = ("json", "eu_standard", "nist_standard")
_PROVISIONS = {"eu_ai_act": ("eu",), "nist_draft": ("nist",), "both": ("eu", "nist")}
_PROVENANCE = (
    "checkpoint",
    "checkpoints",
    "policy_updates",
    "weights",
    "run",
    "runs",
    "publication",
)


@dataclass(frozen=True)
class ModelCard:
    """A model card. Each claim says what it rests on and points at its evidence."""

    claims: list[dict[str, Any]]
    """``{id, value, kind, eu, nist, evidence}`` each; of the two lists of provisions, those of the compliance mode."""
    as_of: dict[str, Any]
    """The head that the card speaks of: ``origin``, ``size``, ``root`` in hex."""
    content: bytes
    """The whole card as RFC 8785 JSON; its SHA-256 is in the log."""
    entry: int
    """The entry of the log that says so."""

    @property
    def sha256(self) -> str:
        """The digest that is in the log, hex."""
        import hashlib

        return hashlib.sha256(self.content).hexdigest()

    def claim(self, id: str) -> Any:
        """The value of a claim.

        Raises:
            KeyError: there is no such claim.
        """
        for claim in self.claims:
            if claim["id"] == id:
                return claim["value"]
        raise KeyError(id)

    def save(self, path: str | Path) -> None:
        """Writes the whole card, as it was logged."""
        Path(path).write_bytes(self.content)


def read(
    content: bytes, entry: int, mode: str, include_provenance: bool, include_privacy_analysis: bool
) -> ModelCard:
    """The card as it was asked for."""
    card = json.loads(content)
    left_out = set() if include_provenance else set(_PROVENANCE)
    if not include_privacy_analysis:
        left_out.add("privacy")
    kept = _PROVISIONS[mode]
    claims = [
        {key: value for key, value in claim.items() if key not in ("eu", "nist") or key in kept}
        for claim in card["claims"]
        if claim["id"].split(".")[0] not in left_out
    ]
    return ModelCard(claims, card["as_of"], content, entry)


def check_format(format: str) -> None:
    """Refuses formats that there are not."""
    if format not in FORMATS:
        raise BadInput(f"format must be one of {FORMATS}, not {format!r}")


def check_mode(mode: str) -> None:
    """Refuses compliance modes that there are not."""
    if mode not in _PROVISIONS:
        raise BadInput(f"compliance_mode must be one of {tuple(_PROVISIONS)}, not {mode!r}")
