"""``AuditablePPOTrainer``, for whichever PPO trainer the installed TRL has."""

from __future__ import annotations

import importlib
from typing import Any

from .errors import Unsupported

# Up to TRL 1.12, and up to 0.28. Where both are there, the second only points to the first.
_PLACES = ("trl.experimental.ppo", "trl")


def audited_ppo() -> type:
    """The class: of a trainer with ``train()``, of the classic one with ``step()``, or one that says what to do."""
    found = _installed()
    if found is None:
        return _without_ppo()
    if not hasattr(found, "train"):
        from .classic_ppo import audited_steps

        return audited_steps(found)
    from .trainers import auditable

    return auditable(found)


def _installed() -> Any:
    for place in _PLACES:
        try:
            return importlib.import_module(place).PPOTrainer
        except (ImportError, AttributeError):
            continue
    return None


def _without_ppo() -> type:
    class AuditablePPOTrainer:
        """The installed TRL has no PPO trainer: it can be imported, and says so when it is used."""

        def __init__(self, *_: Any, **__: Any) -> None:
            raise Unsupported(
                f"{_found()}: use AuditableGRPOTrainer or AuditableRLOOTrainer, or pip install 'trl<=1.12'"
            )

    return AuditablePPOTrainer


def _found() -> str:
    try:
        import trl
    except ImportError:
        return "AuditablePPOTrainer needs TRL, which is not installed"
    return f"TRL {trl.__version__} has no PPOTrainer, which left it in 1.13"
