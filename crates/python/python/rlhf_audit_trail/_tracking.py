"""A run that is being recorded: what it has seen of the model, and what it waits for."""

from __future__ import annotations

import json
import sys
import warnings
import weakref

from . import _device, _dp_sgd, _inputs, _ranks, _started, _weights
from .errors import AuditError, BadInput

# For type checkers alone: importing typing would take as long as all the rest.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Tracking:
    """A run that is being recorded."""

    def __init__(self, recorder: Any, ranks: _ranks.Ranks, from_released: bool = False) -> None:
        self.recorder = recorder
        self.ranks = ranks
        self.from_released = from_released
        self.owner: Any = None
        """What lets the other ranks log, in rank 0."""
        self.trouble: AuditError | None = None
        self._steps = 0
        self._model: Any = None
        self._trained: tuple[Any, _weights.Trained] | None = None
        # Of the weights that are digested, whether some are copied from a device, and whether some are read in place.
        self._is_copied, self._is_in_place = False, True
        self._beside = _device.Beside()
        self._waiting: weakref.WeakSet[Any] = weakref.WeakSet()
        self._hooks: list[Any] = []
        # Opacus's optimizers, and what was said of them last.
        self._private: list[_dp_sgd.DpSgd] = []
        self._said_of_private: dict[str, Any] | None = None

    def last_model(self) -> Any:
        """The model last seen, if it is still there."""
        return self._model() if self._model is not None else None

    def watch(self, policy: str, model: Any) -> None:
        self._meet(model)
        if policy != "scalars":
            self.recorder.weights(self._described(policy, model), self._steps, {}, policy)
            # No optimizer is known yet whose next step could wait.
            self.recorder.join()

    def update(
        self,
        policy: str,
        every_n: int | None,
        model: Any,
        optimizer: Any,
        numbers: dict[str, float],
        step: int | None,
    ) -> None:
        # A model in other processes is never seen, and of its updates only the numbers.
        if model is not None or policy != "scalars":
            self._meet(model)
        if _dp_sgd.was_put_off(optimizer):
            # The weights are what they were.
            return
        self.meet_optimizer(optimizer, made=1)
        self._steps = self._steps + 1 if step is None else step
        if optimizer is not None:
            numbers = _learning_rate(optimizer) | numbers
        if policy == "scalars" or (policy == "every_n" and self._steps % (every_n or 1)):
            self.recorder.numbers(self._steps, numbers, policy)
            return
        self._wait_before_next(optimizer)
        described = self._described(policy, model)
        self.recorder.weights(described, self._steps, numbers, policy, self.from_released)
        if optimizer is None:
            # Nothing says when the weights change next.
            self.recorder.join()
        elif policy != "lora" and _weights.saves_frozen(model):
            # What is frozen in a PEFT model changes before the optimizer's next step: TRL merges the adapter into it, and
            # out of it again, when it gives vLLM the weights.
            self._before_step()

    def begin_batch(self) -> None:
        """A trainer begins with a batch: what is judged from here on. It may go over it in several updates."""
        if self.ranks.rank == 0:
            self.recorder.begin_batch()

    def use_batch(self) -> None:
        """A trainer has worked on its batch: the next update learns from it."""
        if self.ranks.rank == 0:
            self.recorder.use_batch()

    def meet_optimizer(self, optimizer: Any, made: int = 0, loader: Any = None) -> None:
        """Looks whether it is one of Opacus's, which has made so many steps, of batches from this data loader."""
        found = _dp_sgd.private(optimizer)
        known = found is None or any(one.is_of(found) for one in self._private)
        if known or self.ranks.rank > 0:
            return
        met = _dp_sgd.DpSgd(found, made, _dp_sgd.sampling(loader))
        self._private.append(met)
        if met.hook is not None:
            self.hook(met.hook)

    def note_dp_sgd(self) -> None:
        """Has logged what Opacus's optimizers did, where that is more than was logged last."""
        said = _dp_sgd.told(self._private)
        if said is not None and said != self._said_of_private:
            self.event("metric", {"step": self._steps, "dp_sgd": said})
            self._said_of_private = said

    def measured(self, numbers: dict[str, float]) -> None:
        """Has numbers logged that were measured beside the steps."""
        if numbers:
            self.recorder.numbers(self._steps, numbers, "scalars")

    def event(self, kind: str, data: dict[str, Any]) -> None:
        """Has a public event logged."""
        self.recorder.event(kind, json.dumps(data))

    def started_with(self, hyperparameters: Any, step: int = 0) -> None:
        """Has a trainer's hyperparameters logged."""
        self.event("metric", {"step": step, "hyperparameters": _started.plain(hyperparameters)})

    def hook(self, hook: Any) -> None:
        """Keeps what removes a hook when the run ends."""
        self._hooks.append(hook)

    def end(self, outcome: str) -> None:
        """Ends the run. What goes wrong here must not hide what went wrong before."""
        for hook in self._hooks:
            hook.remove()
        trouble: BaseException | None = self.trouble
        for step in (
            lambda: self.owner is not None and self.owner.finish(outcome == "completed"),
            self.note_dp_sgd,
            lambda: self.recorder.end_run(outcome),
            self.recorder.close,
        ):
            try:
                step()
            except (AuditError, KeyboardInterrupt) as error:
                trouble = trouble or error
        if trouble is None:
            return
        if sys.exc_info()[1] is not None:
            warnings.warn(f"the end of the run could not be recorded: {trouble}", stacklevel=4)
        else:
            raise trouble

    def _meet(self, model: Any) -> None:
        known = self.last_model()
        if known is not None and known is model:
            return
        if not hasattr(model, "parameters"):
            raise BadInput(f"model must be a torch.nn.Module, not {type(model).__name__}")
        parameters = list(_weights.unwrapped(model).parameters())
        if not parameters:
            raise BadInput("the model has no parameters, so there is nothing to train or record")
        if any(parameter.device.type == "meta" for parameter in parameters):
            raise BadInput(
                "the model's parameters are on the meta device and have no content; load its weights first"
            )
        self._model = weakref.ref(model)
        self._trained = None

    def _described(self, policy: str, model: Any) -> _weights.Held:
        model = _weights.whole(model)
        if self._is_copied:
            # What was copied last is in the memory that is written to now.
            self.recorder.join()
        if policy != "lora":
            described = _weights.described(_weights.saved(model), self._beside)
        else:
            if self._trained is None or self._trained[0]() is not model:
                self._trained = (weakref.ref(model), _weights.Trained(model))
            described = self._trained[1].described(self._beside)
        self._is_copied, self._is_in_place = described.ready is not None, described.in_place
        return described

    def _before_step(self, *_: Any) -> None:
        """The optimizer is about to change the weights."""
        if self._is_copied:
            self._beside.hold_back()
        if self._is_in_place:
            self.recorder.join()

    def _wait_before_next(self, optimizer: Any) -> None:
        optimizer = _dp_sgd.inner(optimizer)
        if optimizer is None or optimizer in self._waiting:
            return
        if hasattr(optimizer, "register_step_pre_hook"):
            self._waiting.add(optimizer)
            self.hook(optimizer.register_step_pre_hook(self._before_step))
        else:
            raise BadInput(
                f"optimizer must be a torch.optim.Optimizer, not {type(optimizer).__name__}: its next step has to wait"
            )


def _learning_rate(optimizer: Any) -> dict[str, float]:
    groups = getattr(optimizer, "param_groups", None)
    return _inputs.metrics({"learning_rate": groups[0]["lr"]}) if groups else {}
