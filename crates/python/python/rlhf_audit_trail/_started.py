"""What a run says of how it was started: hyperparameters and the versions of libraries."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from .errors import BadInput

# For type checkers alone: importing typing would take as long as all the rest.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LIBRARIES = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "accelerate",
    "datasets",
    "opacus",
    "rlhf_audit_trail",
)


def libraries() -> dict[str, str]:
    """The installed versions of what trains, by name."""
    # It takes as long to import as all the rest.
    from importlib import metadata

    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def plain(hyperparameters: Any) -> dict[str, Any]:
    """Hyperparameters as JSON has them; what has no such form, by its text."""
    if hasattr(hyperparameters, "to_dict"):
        hyperparameters = hyperparameters.to_dict()
    if not isinstance(hyperparameters, Mapping):
        raise BadInput("hyperparameters must be a mapping, or training arguments with to_dict()")
    return json.loads(json.dumps(_finite(dict(hyperparameters)), default=str))


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
