"""The callback for Hugging Face trainers."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import Any

from transformers import TrainerCallback

from .auditor import AuditableRLHF, plain
from .errors import AuditError

# What else a trainer does, all ranks do alike, and rank 0 records it.
_OF_EVERY_RANK = ("on_log", "on_train_end")


def _recorded(event: Callable[..., None]) -> Callable[..., None]:
    """What cannot be recorded ends the training as the auditor says."""

    @wraps(event)
    def guarded(self: AuditCallback, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        tracking = self.auditor._tracked("trainer.train")
        if tracking.trouble is not None:
            return
        if tracking.ranks.rank > 0 and event.__name__ not in _OF_EVERY_RANK:
            return
        try:
            event(self, args, state, control, **kwargs)
        except AuditError as error:
            self._failed(error, control)

    return guarded


class AuditCallback(TrainerCallback):
    """Records every optimizer step, what is logged and what is saved, by ``global_step``.

    Use it inside ``with auditor.track_training(...)``, of several ranks in each. It changes nothing in the training.
    What other ranks than 0 log is recorded under their own numbers.

    Args:
        auditor: whose log it goes into.
    """

    def __init__(self, auditor: AuditableRLHF) -> None:
        self.auditor = auditor
        self._control: Any = None

    @_recorded
    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Notes the hyperparameters and the weights that training starts from, and hooks into the optimizer."""
        self._control = control
        model, optimizer = kwargs["model"], _inner(kwargs.get("optimizer"))
        tracking = self.auditor._tracked("trainer.train")
        tracking.event("metric", {"step": state.global_step, "hyperparameters": plain(args)})
        self.auditor.watch(model)
        if optimizer is not None and hasattr(optimizer, "register_step_post_hook"):
            tracking.hook(optimizer.register_step_post_hook(self._after_step(model, state)))

    def _after_step(self, model: Any, state: Any) -> Callable[..., None]:
        def stepped(optimizer: Any, *_: Any) -> None:
            tracking = self.auditor._tracked("trainer.train")
            if tracking.trouble is not None:
                return
            try:
                # The trainer counts the step when the optimizer has made it.
                self.auditor.track_policy_update(model, optimizer, step=state.global_step + 1)
            except AuditError as error:
                self._failed(error, self._control)

        return stepped

    @_recorded
    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Notes what the trainer has measured: loss, rewards, KL, entropy, lengths, gradient norm."""
        numbers = {
            name: float(value)
            for name, value in (logs or {}).items()
            if isinstance(value, (int, float))
        }
        if numbers:
            self.auditor._tracked("trainer.train").recorder.numbers(
                state.global_step, numbers, "scalars"
            )

    @_recorded
    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Digests the checkpoint that was just saved, beside the training."""
        path = os.path.join(args.output_dir, f"checkpoint-{state.global_step}")
        recorder = self.auditor._tracked("trainer.train").recorder
        # One at a time: the trainer may remove an old checkpoint when it saves the next, so this waits for that one.
        recorder.saved(f"step_{state.global_step}", path, {})

    @_recorded
    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Waits until all is recorded."""
        self.auditor._tracked("trainer.train").recorder.settle()

    def _failed(self, error: AuditError, control: Any) -> None:
        if self.auditor.on_record_failure == "stop" or control is None:
            raise error
        tracking = self.auditor._tracked("trainer.train")
        tracking.trouble = error
        if tracking.ranks.rank == 0:
            # Another rank that stopped alone would leave all of them waiting. It raises when its block ends.
            control.should_save = True
            control.should_training_stop = True


def _inner(optimizer: Any) -> Any:
    """The optimizer inside Accelerate's: the one that steps only where a step is really made."""
    while hasattr(optimizer, "optimizer"):
        optimizer = optimizer.optimizer
    return optimizer
