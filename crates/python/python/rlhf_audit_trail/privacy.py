"""The promise to annotators, and what was spent of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from . import _engine
from .errors import BadInput

_MODES = ("minimal", "strong")


@dataclass(frozen=True)
class PrivacyConfig:
    """What is promised to annotators.

    Modes:

    ``"minimal"``
        Ratings are committed to and sealed; nothing is noised. The default where no budget is given.
    ``"strong"``
        Of ratings nothing is released but noised means over rounds (``auditor.release_round()``), within a budget for
        each annotator. The default where a budget is given.

    Which number wins:

    * The budget of everything ever released about one annotator is ``total_epsilon`` or, under its other name,
      ``epsilon``. Both may be given if they are equal.
    * The most that one round may cost is ``epsilon_per_round``, or what a round with ``noise_multiplier`` comes to. Both
      may be given if the latter is not the larger; then the noise multiplier says what a round costs. With neither, one
      round may spend the whole budget.
    * Rewards are clipped to ``reward_range``, or to ``(-clip_norm, clip_norm)``. One of the two is needed, not both.

    Args:
        epsilon: ε of the whole budget, above 0, at most 10,000.
        delta: the probability with which ε may fail, between 0 and 1.
        clip_norm: the largest absolute reward that counts as it is; above 0, in units of reward.
        epsilon_per_round: ε of one round at most.
        total_epsilon: the same as ``epsilon``.
        noise_multiplier: the noise's standard deviation over how far one annotator can move a round's sum; above 0.
        annotator_privacy_mode: ``"minimal"`` or ``"strong"``.
        reward_range: lowest and highest reward, for example ``(1, 5)``.
        ratings_per_annotator: how many ratings of one annotator count in a round.

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
        if self.mode == "strong":
            self._budget()
        elif self._given():
            names = ", ".join(self._given())
            raise BadInput(
                f"annotator_privacy_mode='minimal' noises nothing, so {names} would promise what is not kept; "
                "leave them out, or choose 'strong'"
            )

    @property
    def mode(self) -> str:
        """``"minimal"`` or ``"strong"``."""
        if self.annotator_privacy_mode is not None:
            return self.annotator_privacy_mode
        return "strong" if self._given() else "minimal"

    def _given(self) -> list[str]:
        return [
            name
            for name, value in vars(self).items()
            if value is not None and name != "annotator_privacy_mode"
        ]

    def _budget(self) -> tuple[float, float, float, float, float, int, int] | None:
        """As the engine takes it: ε, ε per round, δ, lowest and highest reward, grid steps a unit, cap."""
        if self.mode == "minimal":
            return None
        total = self._total()
        delta = 1e-5 if self.delta is None else float(self.delta)
        low, high = self._range()
        cap = 10 if self.ratings_per_annotator is None else self.ratings_per_annotator
        if not isinstance(cap, int) or cap < 1:
            raise BadInput("ratings_per_annotator must be a whole number above 0")
        return total, self._round(total, delta), delta, low, high, 100, cap

    def _total(self) -> float:
        if None not in (self.epsilon, self.total_epsilon) and self.epsilon != self.total_epsilon:
            raise BadInput(
                f"epsilon={self.epsilon} and total_epsilon={self.total_epsilon} are two names of one budget; give one"
            )
        total = self.epsilon if self.total_epsilon is None else self.total_epsilon
        if total is None:
            raise BadInput(
                "annotator_privacy_mode='strong' needs a budget: total_epsilon (or epsilon)"
            )
        if not (isinstance(total, (int, float)) and 0 < total <= 1e4):
            raise BadInput(f"total_epsilon must be above 0 and at most 10,000, not {total!r}")
        return float(total)

    def _range(self) -> tuple[float, float]:
        if self.clip_norm is not None and self.reward_range is not None:
            raise BadInput(
                "clip_norm and reward_range both say where rewards are clipped; give one"
            )
        if self.reward_range is not None:
            low, high = self.reward_range
        elif self.clip_norm is not None:
            low, high = -self.clip_norm, self.clip_norm
        else:
            raise BadInput(
                "annotator_privacy_mode='strong' needs bounds for rewards: reward_range=(1, 5), or clip_norm"
            )
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise BadInput(
                "rewards must be clipped between two finite numbers, the lower one first"
            )
        return float(low), float(high)

    def _round(self, total: float, delta: float) -> float:
        most = self.epsilon_per_round
        if self.noise_multiplier is not None:
            if not self.noise_multiplier > 0:
                raise BadInput("noise_multiplier must be above 0")
            comes_to = _engine.round_epsilon(float(self.noise_multiplier), delta)
            if most is not None and comes_to > most:
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


@dataclass(frozen=True)
class PrivacyReport:
    """What was spent of the privacy budget."""

    mode: str
    """``"minimal"`` or ``"strong"``."""
    total_epsilon: float | None
    """ε spent in all on the annotator on whom most was spent; None in a log that promises nothing."""
    remaining_budget: float | None
    """What is left of ε to the same annotator, to read: costs add up in zCDP, not in ε. None as above."""
    delta: float | None
    """The δ that both are stated at."""
    budget: float | None
    """ε promised to each annotator over everything released."""
    rounds: int
    """How many rounds were released."""
    remaining_rounds: int | None
    """How many more rounds everybody can take part in."""
    scope: str = (
        "Privacy covers the released ratings only, not this log's training statistics or the model."
    )
    """What it does not cover."""
