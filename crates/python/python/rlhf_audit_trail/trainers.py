"""Trainers that record what they do: any Hugging Face ``Trainer``, and TRL's by name."""

from __future__ import annotations

from typing import Any

from .errors import Unsupported

_TRL = ("DPOTrainer", "GRPOTrainer", "KTOTrainer", "RLOOTrainer", "RewardTrainer", "SFTTrainer")


def auditable(trainer_class: type) -> type:
    """A class like this trainer, which takes ``auditor=...`` as well and records its training in that log.

    Args:
        trainer_class: any subclass of ``transformers.Trainer``.
    """

    class Audited(trainer_class):  # type: ignore[misc]
        def __init__(self, *args: Any, auditor: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.auditor = auditor
            self.add_callback(auditor.callback())

    Audited.__name__ = Audited.__qualname__ = f"Auditable{trainer_class.__name__}"
    Audited.__doc__ = f"``{trainer_class.__name__}`` with ``auditor=...``: records its training in the auditor's log."
    return Audited


def __getattr__(name: str) -> Any:
    wanted = name.removeprefix("Auditable")
    if name == wanted or wanted not in _TRL:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        import trl

        made = auditable(getattr(trl, wanted))
    except (ImportError, AttributeError) as error:
        raise Unsupported(
            f"{name} needs a TRL that has {wanted}: pip install --upgrade trl"
        ) from error
    globals()[name] = made
    return made
