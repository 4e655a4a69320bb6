"""DP-SGD as Opacus does it: what its optimizer did to the gradients, for the record.

It protects a training example, whoever rated it, so it counts against nobody's budget in the log.
"""

from __future__ import annotations

import math
import weakref

# For type checkers alone: importing typing would take as long as all the rest.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# So many kinds of steps are told one by one (`transparency/event.md`).
_MOST = 64

# So many samplers are looked for one inside the other.
_DEEPEST = 8

# Noise, rate where it is known, and how many steps in a row there were of these.
Phase = tuple[float, "float | None", int]


def inner(optimizer: Any) -> Any:
    """The optimizer inside Accelerate's and Opacus's: the one that steps only where a step is really made."""
    while True:
        if hasattr(optimizer, "original_optimizer"):
            optimizer = optimizer.original_optimizer
        elif hasattr(optimizer, "optimizer"):
            optimizer = optimizer.optimizer
        else:
            return optimizer


def private(optimizer: Any) -> Any:
    """Opacus's among the optimizers one inside the other, or None."""
    while optimizer is not None:
        if any(base.__name__ == "DPOptimizer" for base in type(optimizer).__mro__):
            return optimizer
        optimizer = getattr(optimizer, "optimizer", None)
    return None


def was_put_off(optimizer: Any) -> bool:
    """Whether a step was only a part of one: ``BatchMemoryManager`` gathers gradients over several calls."""
    found = private(optimizer)
    return found is not None and bool(getattr(found, "_is_last_step_skipped", False))


def sampling(loader: Any) -> str | None:
    """How a data loader draws its batches: ``"poisson"``, as Opacus's does, or ``"other"``."""
    if loader is None:
        return None
    sampler = loader
    for _ in range(_DEEPEST):
        # Of several processes, and of one.
        if type(sampler).__name__.endswith("UniformWithReplacementSampler"):
            return "poisson"
        # Opacus's may be split into smaller batches (`sampler`), or shared out by Accelerate.
        inside = getattr(sampler, "batch_sampler", None)
        sampler = getattr(sampler, "sampler", None) if inside is None else inside
    return "other"


class DpSgd:
    """The steps of one of Opacus's optimizers.

    Args:
        optimizer: it.
        made: how many steps it has made, where nobody else has counted them.
        drawn: how batches are drawn, where that can be seen.
    """

    def __init__(self, optimizer: Any, made: int, drawn: str | None) -> None:
        self._optimizer = weakref.ref(optimizer)
        self.drawn = drawn
        self.accountant = _accountant(optimizer)
        self._clip, self._is_secure = 0.0, False
        self._counted: list[Phase] = []
        self._look(optimizer)
        for _ in range(made):
            self._count(optimizer)
        self.hook: Any = None
        if self.accountant is None:
            self.hook = inner(optimizer).register_step_post_hook(self._stepped)

    def is_of(self, optimizer: Any) -> bool:
        """Whether it is this optimizer's."""
        return self._optimizer() is optimizer

    def phases(self) -> list[Phase]:
        """All steps there were, by the accountant that is attached to the optimizer, else by our count."""
        if self.accountant is None:
            return list(self._counted)
        return [
            (_noise(noise), float(rate), int(steps))
            for noise, rate, steps in self.accountant.history
        ]

    def clip(self) -> float:
        """The norm that the gradient of an example is cut to, the last that was seen."""
        optimizer = self._optimizer()
        if optimizer is not None:
            self._look(optimizer)
        return self._clip

    @property
    def is_secure(self) -> bool:
        """Whether the noise comes from a cryptographic generator."""
        return self._is_secure

    def _look(self, optimizer: Any) -> None:
        self._clip = float(optimizer.max_grad_norm)
        self._is_secure = bool(getattr(optimizer, "secure_mode", False))

    def _stepped(self, *_: Any) -> None:
        optimizer = self._optimizer()
        if optimizer is not None:
            self._count(optimizer)

    def _count(self, optimizer: Any) -> None:
        noise = _noise(optimizer.noise_multiplier)
        if self._counted and self._counted[-1][0] == noise:
            self._counted[-1] = (noise, None, self._counted[-1][2] + 1)
        else:
            self._counted.append((noise, None, 1))


def told(found: list[DpSgd]) -> dict[str, Any] | None:
    """What the log says of these optimizers together; None where they have made no step."""
    one_each = {
        id(one if one.accountant is None else one.accountant): one for one in found
    }.values()
    phases = [phase for one in one_each for phase in one.phases()]
    if not phases:
        return None
    clip = max(one.clip() for one in found)
    drawn = {one.drawn for one in found}
    drawn = "other" if "other" in drawn else drawn.pop() if len(drawn) == 1 else None
    return {
        "mechanism": "sampled-gaussian",
        "unit": "training example",
        **({"clip": clip} if math.isfinite(clip) else {}),
        "secure_noise": all(one.is_secure for one in found),
        **({} if drawn is None else {"sampling": drawn}),
        "phases": [
            {"noise_multiplier": noise, "steps": steps} | ({} if rate is None else {"rate": rate})
            for noise, rate, steps in _fewer(phases)
        ],
    }


def _fewer(phases: list[Phase]) -> list[Phase]:
    """Neighbours as one, with the least noise and the largest rate of them, until they are few: it costs no less."""
    while len(phases) > _MOST:
        pairs = [phases[at : at + 2] for at in range(0, len(phases), 2)]
        phases = [_joined(pair) for pair in pairs]
    return phases


def _joined(phases: list[Phase]) -> Phase:
    rates = [rate for _, rate, _ in phases if rate is not None]
    return (
        min(noise for noise, _, _ in phases),
        max(rates) if len(rates) == len(phases) else None,
        sum(steps for _, _, steps in phases),
    )


def _noise(value: Any) -> float:
    """A noise multiplier; what is none protects nothing."""
    noise = float(value)
    return noise if math.isfinite(noise) and noise > 0 else 0.0


def _accountant(optimizer: Any) -> Any:
    """What Opacus's ``PrivacyEngine`` has attached to the optimizer to count its steps: its hook refers to it."""
    hook = getattr(optimizer, "step_hook", None)
    for cell in getattr(hook, "__closure__", None) or ():
        try:
            held = cell.cell_contents
        except ValueError:
            # The cell is empty.
            continue
        if hasattr(held, "get_epsilon") and isinstance(getattr(held, "history", None), list):
            return held
    return None
