"""Trainers that record what they do: any Hugging Face ``Trainer``, and TRL's by name."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

from . import _judging
from .errors import AuditError, Unsupported

_TRL = ("DPOTrainer", "GRPOTrainer", "KTOTrainer", "RLOOTrainer", "RewardTrainer", "SFTTrainer")


def auditable(trainer_class: type) -> type:
    """A class like this trainer, which takes ``auditor=...`` as well and records its training in that log.

    Of TRL's trainers with reward functions, what these answer is logged too, as judgements of programs.

    Args:
        trainer_class: any subclass of ``transformers.Trainer``. Where it asks its reward functions another way than TRL's
            GRPO and RLOO, their answers are not logged, and a warning says what to do.
    """
    judges = hasattr(trainer_class, "_calculate_rewards")
    if not judges and "reward_funcs" in inspect.signature(trainer_class.__init__).parameters:
        warnings.warn(
            f"what the reward functions of {trainer_class.__name__} answer is not recorded: have them call "
            "auditor.log_judgements",
            stacklevel=2,
        )

    class Audited(trainer_class):  # type: ignore[misc]
        def __init__(self, *args: Any, auditor: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.auditor = auditor
            self._audit_callback = auditor.callback()
            self.add_callback(self._audit_callback)

        if judges:

            def _calculate_rewards(
                self, inputs: Any, prompts: Any, completions: Any, *args: Any, **kwargs: Any
            ) -> Any:
                # No update learns from what is only evaluated.
                tracking = self.auditor._tracking if self.model.training else None
                if tracking is not None:
                    # Ranks meet while rewards are calculated: what any of them logs after that is of this batch.
                    tracking.begin_batch()
                rewards = super()._calculate_rewards(inputs, prompts, completions, *args, **kwargs)
                if tracking is not None and tracking.trouble is None:
                    try:
                        _judging.log(self, prompts, completions, rewards)
                    except AuditError as error:
                        self._audit_callback._failed(error, self.control)
                return rewards

            def training_step(self, *args: Any, **kwargs: Any) -> Any:
                # Of the loss of completions that were judged now, or for an update before it (`num_iterations`).
                loss = super().training_step(*args, **kwargs)
                if self.auditor._tracking is not None:
                    self.auditor._tracking.use_batch()
                return loss

    Audited.__name__ = Audited.__qualname__ = f"Auditable{trainer_class.__name__}"
    Audited.__doc__ = f"``{trainer_class.__name__}`` with ``auditor=...``: records its training in the auditor's log."
    return Audited


def __getattr__(name: str) -> Any:
    if name == "AuditablePPOTrainer":
        from .ppo import audited_ppo

        made = audited_ppo()
    else:
        made = _of_trl(name)
    globals()[name] = made
    return made


def _of_trl(name: str) -> type:
    wanted = name.removeprefix("Auditable")
    if name == wanted or wanted not in _TRL:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        import trl

        return auditable(getattr(trl, wanted))
    except (ImportError, AttributeError) as error:
        raise Unsupported(
            f"{name} needs a TRL that has {wanted}: pip install --upgrade trl"
        ) from error
