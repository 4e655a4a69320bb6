"""The promise to annotators, and what was spent of it."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, field

from . import _engine
from .errors import BadInput

# For type checkers alone: importing typing would take as long as all the rest.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MODES = ("minimal", "moderate", "strong")


@dataclass(frozen=True)
class PrivacyConfig:
    """What is promised to annotators.

    Modes:

    ``"minimal"``
        Ratings are committed to and sealed; nothing is noised. The default where no budget is given.
    ``"moderate"``
        Each rating is released with noise when it is logged, and each vote by randomised response: told truly with a
        known probability, else turned round. ``auditor.log_annotations()`` returns what was released, to train on; each
        call is a round, called a batch. Everybody has one pseudonym a run. It is for few values a person, or for large
        budgets: with a hundred ratings a person from 1 to 5, the noise of each has a standard deviation of about 160 at
        ε = 1 and 21 at ε = 10.
    ``"strong"``
        Of ratings nothing is released but noised means over rounds (``auditor.release_round()``), within a budget for
        each annotator. The default where a budget is given.

    Which number wins, in ``"moderate"`` and in ``"strong"``:

    * The budget of everything ever released about one annotator is ``total_epsilon`` or, under its other name,
      ``epsilon``. Both may be given if they are equal.
    * The most that one round may cost is ``epsilon_per_round``, or what a round with ``noise_multiplier`` comes to. Both
      may be given if the latter is not the larger; then the noise multiplier says what a round costs. With neither, one
      round may spend the whole budget.
    * In ``"strong"`` a round costs that, whoever gives how much. In ``"moderate"`` it is what a batch costs the one who
      gave ``ratings_per_annotator`` values in it; who gave fewer is charged for as many as they gave. So a small
      ``ratings_per_annotator`` means little noise.
    * Rewards are clipped to ``reward_range``, or to ``(-clip_norm, clip_norm)``. One of the two is needed, not both.

    Args:
        epsilon: ε of the whole budget, above 0, at most 10,000.
        delta: the probability with which ε may fail, at least 1e-10 and below 1; by default 1e-5.
        clip_norm: the largest absolute reward that counts as it is; above 0, in units of reward.
        epsilon_per_round: ε of one round at most.
        total_epsilon: the same as ``epsilon``.
        noise_multiplier: the noise's standard deviation over how far one annotator can move what a round releases; above
            0. That is, in ``"strong"``, the width of the range times ``ratings_per_annotator``; in ``"moderate"``, where
            the noise is on each value, the width times the square root of ``ratings_per_annotator``.
        annotator_privacy_mode: ``"minimal"``, ``"moderate"`` or ``"strong"``.
        reward_range: lowest and highest reward, for example ``(1, 5)``.
        ratings_per_annotator: how many ratings of one annotator count in a round, the others being left out; in
            ``"moderate"`` how many ratings and votes of one annotator there may be in a batch, one with more being
            refused. By default 10.

    Raises:
        BadInput: the numbers contradict each other.
    """

    epsilon: float | None = None
    delta: float | None = None
    clip_norm: float | None = None
    epsilon_per_round: float | None = None
    total_epsilon: float | None = None
    noise_multiplier: float | None = None
    annotator_privacy_mode: str | None = None
    reward_range: tuple[float, float] | None = None
    ratings_per_annotator: int | None = None

    def __post_init__(self) -> None:
        if self.annotator_privacy_mode not in (None, *_MODES):
            raise BadInput(
                f"annotator_privacy_mode must be one of {_MODES}, not {self.annotator_privacy_mode!r}"
            )
        if self.mode != "minimal":
            self._budget()
        elif self._given():
            names = ", ".join(self._given())
            raise BadInput(
                f"annotator_privacy_mode='minimal' noises nothing, so {names} would promise what is not kept; "
                "leave them out, or choose 'moderate' or 'strong'"
            )

    @property
    def mode(self) -> str:
        """``"minimal"``, ``"moderate"`` or ``"strong"``."""
        if self.annotator_privacy_mode is not None:
            return self.annotator_privacy_mode
        return "strong" if self._given() else "minimal"

    def _given(self) -> list[str]:
        return [
            name
            for name, value in vars(self).items()
            if value is not None and name != "annotator_privacy_mode"
        ]

    def _budget(self) -> tuple[str, float, float, float, float, float, int, int] | None:
        """As the engine takes it: mode, ε, ε per round, δ, lowest and highest reward, grid steps a unit, cap."""
        if self.mode == "minimal":
            return None
        total = self._total()
        delta = self._delta()
        low, high = self._range()
        cap = 10 if self.ratings_per_annotator is None else self.ratings_per_annotator
        if not isinstance(cap, int) or isinstance(cap, bool) or not 1 <= cap < 1 << 32:
            raise BadInput(f"ratings_per_annotator must be a whole number above 0, not {cap!r}")
        return self.mode, total, self._round(total, delta), delta, low, high, 100, cap

    def _total(self) -> float:
        if None not in (self.epsilon, self.total_epsilon) and self.epsilon != self.total_epsilon:
            raise BadInput(
                f"epsilon={self.epsilon} and total_epsilon={self.total_epsilon} are two names of one budget; give one"
            )
        total = self.epsilon if self.total_epsilon is None else self.total_epsilon
        if total is None:
            raise BadInput(
                f"annotator_privacy_mode={self.mode!r} needs a budget: total_epsilon (or epsilon)"
            )
        if not (_is_number(total) and 0 < total <= 1e4):
            raise BadInput(f"total_epsilon must be above 0 and at most 10,000, not {total!r}")
        return float(total)

    def _delta(self) -> float:
        delta = 1e-5 if self.delta is None else self.delta
        if not (_is_number(delta) and 1e-10 <= delta < 1):
            raise BadInput(f"delta must be at least 1e-10 and below 1, not {delta!r}")
        return float(delta)

    def _range(self) -> tuple[float, float]:
        if self.clip_norm is not None and self.reward_range is not None:
            raise BadInput(
                "clip_norm and reward_range both say where rewards are clipped; give one"
            )
        if self.reward_range is not None:
            bounds = tuple(self.reward_range)
        elif self.clip_norm is not None:
            bounds = (-self.clip_norm, self.clip_norm)
        else:
            raise BadInput(
                f"annotator_privacy_mode={self.mode!r} needs bounds for rewards: reward_range=(1, 5), or clip_norm"
            )
        finite = all(_is_number(bound) and math.isfinite(bound) for bound in bounds)
        if not finite or len(bounds) != 2 or bounds[0] >= bounds[1]:
            raise BadInput(
                "rewards must be clipped between two finite numbers, the lower one first"
            )
        return float(bounds[0]), float(bounds[1])

    def _round(self, total: float, delta: float) -> float:
        most = self.epsilon_per_round
        if not (most is None or _is_number(most)):
            raise BadInput(f"epsilon_per_round must be a number, not {most!r}")
        if self.noise_multiplier is not None:
            if not (_is_number(self.noise_multiplier) and self.noise_multiplier > 0):
                raise BadInput(
                    f"noise_multiplier must be a number above 0, not {self.noise_multiplier!r}"
                )
            comes_to = _engine.round_epsilon(float(self.noise_multiplier), delta)
            if most is not None and not comes_to <= most:
                raise BadInput(
                    f"a round with noise_multiplier={self.noise_multiplier} costs epsilon {comes_to:.4g}, more than "
                    f"epsilon_per_round={most}; give one of the two, or more noise"
                )
            most = comes_to
        if most is None:
            return total
        if not 0 < most <= total:
            raise BadInput(
                f"a round of epsilon {most:.4g} must cost more than 0 and not more than the budget of all, {total:.4g}"
            )
        return float(most)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@dataclass(frozen=True)
class TrainingPrivacy:
    """What training with Opacus (DP-SGD) cost, as a run last said: the producer's word.

    It protects one training example, not all that one annotator gave: it is in no annotator's budget and is not to be
    added to it.
    """

    entry: int
    """The entry of the log that says so."""
    unit: str | None
    """What is protected: ``"training example"``."""
    mechanism: str | None
    """``"sampled-gaussian"``: noise on the sum of the clipped gradients of a sample of the examples."""
    clip: float | None
    """The norm that the gradient of an example is cut to, the last there was; None where nothing is cut."""
    noise_multiplier: float | None
    """The noise's standard deviation in clipping norms; None where it changed meanwhile: see ``phases``."""
    rate: float | None
    """The probability with which an example takes part in a step; None where it changed or is not known."""
    drawn: str | None
    """How batches were drawn, where that could be seen: ``"poisson"``, as ``epsilon`` needs it, or ``"other"``: then it
    is stated as if every example was in every step. In a loop of your own it cannot be seen: None."""
    steps: int | None
    """How many steps there were that changed the weights."""
    epsilon: float | None
    """ε by the tighter accountant; None where none has a bound, for example without noise."""
    delta: float
    """The δ that it is stated at: the one promised to annotators, else 1e-5."""
    by_accountant: dict[str, float | None]
    """ε by ``"rdp"`` and by ``"pld"``, where that covers such steps: of one kind."""
    phases: list[dict[str, Any]]
    """Steps in a row of the same ``noise_multiplier`` and ``rate``, ``steps`` of each."""

    @classmethod
    def _of(cls, told: dict[str, Any]) -> TrainingPrivacy:
        phases = told["phases"] or []
        noises = {phase.get("noise_multiplier") for phase in phases}
        rates = {phase.get("rate") for phase in phases}
        return cls(
            noise_multiplier=noises.pop() if len(noises) == 1 else None,
            rate=rates.pop() if len(rates) == 1 else None,
            phases=phases,
            **{
                name: told[name]
                for name in (
                    *("entry", "unit", "mechanism", "clip", "drawn", "steps"),
                    *("epsilon", "delta", "by_accountant"),
                )
            },
        )


@dataclass(frozen=True)
class PrivacyReport:
    """What was spent of the privacy budget."""

    mode: str
    """The log's: ``"minimal"``, ``"moderate"`` or ``"strong"``."""
    total_epsilon: float | None
    """ε spent in all on the annotator on whom most was spent; None in a log that promises nothing."""
    remaining_budget: float | None
    """What is left of ε to the same annotator, to read: costs add up in zCDP, not in ε. None as above."""
    delta: float | None
    """The δ that both are stated at."""
    budget: float | None
    """ε promised to each annotator over everything released."""
    rounds: int
    """How many rounds were released; of a ``"moderate"`` log, batches."""
    remaining_rounds: int | None
    """How many more rounds everybody can take part in, with all the values that a round may have of them."""
    scope: str = (
        "Privacy covers the released ratings only, not this log's training statistics or the model."
    )
    """What it does not cover."""
    training: list[TrainingPrivacy] = field(default_factory=list)
    """Of each run that trained with Opacus, what that cost: apart from all of the above."""
    report: dict[str, Any] = field(default_factory=dict, repr=False)
    """The whole report, as ``rlhf-audit privacy --json`` gives it: what each round cost, the distribution over
    annotators, mechanism, adjacency, assumptions, and what is not protected."""
    text: str = field(default="", repr=False)
    """The same in words, as ``rlhf-audit privacy`` gives it."""

    @classmethod
    def read(cls, log_dir: str | os.PathLike[str]) -> PrivacyReport:
        """The report on the log in a folder. No key is needed, and another process may be writing.

        Raises:
            LogDamaged: there is no log, or its files cannot be read.
        """
        told, text = _engine.privacy_report(log_dir)
        report = json.loads(told)
        spent = report.get("spent")
        released = [one for one in report.get("rounds", []) if one["index"] is not None]
        return cls(
            mode=report["mode"],
            total_epsilon=None if spent is None else spent["epsilon"],
            remaining_budget=report["remaining"],
            delta=report["delta"],
            budget=report["epsilon"],
            rounds=len(released),
            remaining_rounds=report.get("remaining_rounds"),
            training=[TrainingPrivacy._of(told) for told in report["training"]],
            report=report,
            text=text,
        )
