"""The PPO trainer of TRL 0.11 and before: its loop is the caller's, who calls ``step()``, and it has no callbacks."""

from __future__ import annotations

import os
from typing import Any

from ._dp_sgd import inner
from .callback import gradient_norm, numbers_of


def audited_steps(trainer_class: type) -> type:
    """A class like this trainer, which takes ``auditor=...`` as well and records in that log."""

    class AuditablePPOTrainer(trainer_class):  # type: ignore[misc]
        """TRL's ``PPOTrainer`` with ``auditor=...``: records each ``step()``, and each ``save_pretrained()``.

        Use it inside ``with auditor.track_training(...)``. With ``scored_by=...``, the name of the program that the
        scores come from, they are logged as its judgements. Those of people are yours to log, with
        ``auditor.log_annotations``.
        """

        def __init__(
            self, *args: Any, auditor: Any, scored_by: str | None = None, **kwargs: Any
        ) -> None:
            super().__init__(*args, **kwargs)
            self.auditor = auditor
            self._scored_by = scored_by
            self._tracking: Any = None
            self._steps = self._optimizer_steps = 0

        def step(self, queries: Any, responses: Any, scores: Any, *args: Any, **kwargs: Any) -> Any:
            self._begin()
            self._tracking.begin_batch()
            if self._scored_by is not None:
                self._log_scores(queries, responses, scores)
            stats = super().step(queries, responses, scores, *args, **kwargs)
            self._steps += 1
            self._tracking.recorder.numbers(self._steps, numbers_of(stats), "scalars")
            return stats

        def _begin(self) -> None:
            tracking = self.auditor._tracked("PPOTrainer.step")
            if tracking is self._tracking:
                return
            self._tracking, self._steps, self._optimizer_steps = tracking, 0, 0
            tracking.started_with(self.config)
            self.auditor.watch(self.model)
            tracking.hook(inner(self.optimizer).register_step_post_hook(self._stepped))

        def _stepped(self, optimizer: Any, *_: Any) -> None:
            self._optimizer_steps += 1
            numbers = {"optimizer_step": self._optimizer_steps} | gradient_norm(optimizer)
            # One step() makes several of them, each of what it was given.
            self._tracking.use_batch()
            self.auditor.track_policy_update(
                self.model, optimizer, metrics=numbers, step=self._steps + 1
            )

        def _log_scores(self, queries: Any, responses: Any, scores: Any) -> None:
            said = [self.tokenizer.batch_decode(tokens) for tokens in (queries, responses)]
            self.auditor.log_judgements(self._scored_by, *said, [float(score) for score in scores])

        def _save_pretrained(self, save_directory: str | os.PathLike[str]) -> None:
            super()._save_pretrained(save_directory)
            recorder = self.auditor._tracked("PPOTrainer.save_pretrained").recorder
            recorder.join()
            recorder.saved(f"step_{self._steps}", save_directory, {})
            # The caller may change the folder as soon as this returns.
            recorder.join()

    return AuditablePPOTrainer
