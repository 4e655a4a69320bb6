"""The callback for Hugging Face trainers."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from transformers import TrainerCallback

from . import _saves
from ._dp_sgd import inner
from .auditor import AuditableRLHF
from .errors import AuditError

# What else a trainer does, all ranks do alike, and rank 0 records it.
_OF_EVERY_RANK = ("on_log", "on_train_end")
# A save that is written beside the training and has not grown for so many seconds at the end will not.
_PATIENCE = 60.0


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
        self._optimizer_steps = 0
        self._ended = False
        self._saved_since_trouble = False
        # Saves that are not all there yet, by name.
        self._unfinished: list[tuple[str, str]] = []

    @_recorded
    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Notes the hyperparameters and the weights that training starts from, and hooks into the optimizer."""
        self._control = control
        self._optimizer_steps, self._ended, self._saved_since_trouble = 0, False, False
        model, optimizer = kwargs["model"], inner(kwargs.get("optimizer"))
        tracking = self.auditor._tracked("trainer.train")
        tracking.started_with(args, state.global_step)
        self.auditor.watch(model)
        tracking.meet_optimizer(kwargs.get("optimizer"), loader=kwargs.get("train_dataloader"))
        if optimizer is not None and hasattr(optimizer, "register_step_post_hook"):
            tracking.hook(optimizer.register_step_post_hook(self._after_step(model, state)))

    def _after_step(self, model: Any, state: Any) -> Callable[..., None]:
        # The trainer of PPO measures no norm of the gradient, so it is done here.
        norm = gradient_norm if type(model).__name__ == "PolicyAndValueWrapper" else _nothing

        def stepped(optimizer: Any, *_: Any) -> None:
            if _was_skipped(optimizer):
                return
            tracking = self.auditor._tracked("trainer.train")
            self._optimizer_steps += 1
            if tracking.trouble is not None:
                self._stop_who_goes_on(tracking.trouble)
                return
            try:
                numbers = {"optimizer_step": self._optimizer_steps} | norm(optimizer)
                # The trainer counts its step when the optimizer has made it, or, for PPO, has made several.
                self.auditor.track_policy_update(
                    model, optimizer, metrics=numbers, step=state.global_step + 1
                )
            except AuditError as error:
                self._failed(error, self._control)

        return stepped

    @_recorded
    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Notes what the trainer has measured: loss, rewards, KL, entropy, lengths, gradient norm."""
        numbers = numbers_of(logs or {})
        if numbers:
            self.auditor._tracked("trainer.train").recorder.numbers(
                state.global_step, numbers, "scalars"
            )

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Digests the checkpoint that was just saved, beside the training."""
        tracking = self.auditor._tracked("trainer.train")
        self._saved_since_trouble |= tracking.trouble is not None
        self._on_save(args, state, control, **kwargs)

    @_recorded
    def _on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        path = os.path.join(args.output_dir, f"checkpoint-{state.global_step}")
        self._unfinished.append((f"step_{state.global_step}", path))
        self._log_saves()

    @_recorded
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Digests what a trainer that saves beside the training has finished meanwhile."""
        if self._unfinished:
            self._log_saves()

    @_recorded
    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Waits until all is recorded."""
        self._ended = True
        self._log_saves()
        self.auditor._tracked("trainer.train").recorder.settle()

    def _log_saves(self) -> None:
        recorder = self.auditor._tracked("trainer.train").recorder
        if self._unfinished:
            self.auditor._tracked("trainer.train").note_dp_sgd()
        unfinished, self._unfinished = self._unfinished, []
        for name, path in unfinished:
            if self._ended:
                _saves.wait(path, _PATIENCE)
            elif not _saves.is_whole(path):
                self._unfinished.append((name, path))
                continue
            # One at a time: the trainer may remove an old checkpoint when it saves the next.
            recorder.join()
            recorder.saved(name, path, {})

    def _failed(self, error: AuditError, control: Any) -> None:
        if self.auditor.on_record_failure == "stop" or control is None:
            raise error
        tracking = self.auditor._tracked("trainer.train")
        tracking.trouble = error
        if tracking.ranks.rank == 0:
            # Another rank that stopped alone would leave all of them waiting. It raises when its block ends.
            control.should_save = True
            control.should_training_stop = True

    def _stop_who_goes_on(self, trouble: AuditError) -> None:
        # The trainer of PPO saves when it is told to, and does not stop.
        if self._saved_since_trouble:
            raise trouble


def _was_skipped(optimizer: Any) -> bool:
    """Whether a step left the weights as they were: a fused optimizer is called by ``torch.amp.GradScaler`` even where a
    gradient is infinite, and is told so."""
    found = getattr(optimizer, "found_inf", None)
    return found is not None and bool(found.item())


def numbers_of(logs: Mapping[str, Any]) -> dict[str, float]:
    """The numbers among what a trainer has measured."""
    return {
        name: float(value)
        for name, value in logs.items()
        if isinstance(value, (int, float)) or getattr(value, "shape", None) == ()
    }


def gradient_norm(optimizer: Any) -> dict[str, float]:
    """The norm of the gradient that the optimizer's step was made with, of all it trains."""
    import torch

    gradients = [
        parameter.grad
        for group in optimizer.param_groups
        for parameter in group["params"]
        if parameter.grad is not None
    ]
    if not gradients:
        return {}
    norms = [norm.to(gradients[0].device) for norm in torch._foreach_norm(gradients)]
    return {"gradient_norm": torch.linalg.vector_norm(torch.stack(norms)).item()}


def _nothing(_: Any) -> dict[str, float]:
    return {}
